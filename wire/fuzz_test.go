package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// FuzzFrame gives any type and body to every parser: no panic, and what is
// accepted comes out again byte for byte, but for the TLVs that a codec skips.
func FuzzFrame(f *testing.F) {
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		before := bytes.Clone(body)
		got, known, err := parse(wire.Type(typ), body)
		require.Equal(t, before, body, "a parser wrote to its input")
		if !known {
			return
		}
		if err != nil {
			var e *wire.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Field)
			return
		}
		b := got.Append(nil)
		require.Equal(t, len(b), got.Len())
		// Only a body of more than 1 MiB gives a frame that Next refuses.
		again, out, rest, err := wire.Next(b, len(b))
		if len(body) > 1<<wire.MaxFrameLog {
			return
		}
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, wire.Type(typ), again)
		require.True(t, bytes.HasPrefix(body, out), "%x became %x", body, out)
		for skipped := body[len(out):]; len(skipped) > 0; {
			key, _, tail, ok := wire.NextTLV(skipped)
			require.True(t, ok)
			require.EqualValues(t, 1, key%2)
			skipped = tail
		}
		same, _, err := parse(again, out)
		require.NoError(t, err)
		require.Equal(t, got, same)
	})
}

// FuzzNext cuts any stream in any way: the same frames, the same rest, the same
// verdict as when it comes whole, and as a slow reader of the rule [W-2.2] says.
func FuzzNext(f *testing.F) {
	f.Fuzz(func(t *testing.T, stream []byte, limit uint32, cuts []byte) {
		max := int(limit % (1<<wire.MaxFrameLog + 1))
		want, rest, wantErr := feed(stream, max, nil)

		var at []int
		from := 0
		for _, c := range cuts {
			if from += int(c); from > len(stream) {
				break
			}
			at = append(at, from)
		}
		frames, _, err := feed(stream, max, at)
		require.Equal(t, want, frames)
		require.Equal(t, hex.EncodeToString(stream), strings.Join(want, "")+rest, "no byte is lost")
		if wantErr == nil {
			require.NoError(t, err)
		} else {
			require.Equal(t, wire.CodeOf(wantErr), wire.CodeOf(err))
			var e *wire.Error
			require.ErrorAs(t, err, &e)
		}

		slow, code := slowFrames(stream, max)
		require.Len(t, frames, len(slow))
		if wantErr != nil {
			require.Equal(t, code, wire.CodeOf(wantErr))
		} else {
			require.Equal(t, wire.CodeOK, code)
		}
	})
}

// slowFrames reads a stream by the words of [W-2.2].
func slowFrames(b []byte, max int) (frames [][]byte, code wire.Code) {
	for len(b) >= 2 {
		length, n := 0, 0
		for {
			if n == 3 {
				return frames, wire.CodeFrameTooLarge
			}
			if 1+n == len(b) {
				return frames, wire.CodeOK
			}
			c := b[1+n]
			length += int(c&0x7F) << (7 * n)
			n++
			if c < 0x80 {
				if c == 0 && n > 1 {
					return frames, wire.CodeMalformed
				}
				break
			}
		}
		size := 1 + n + length
		if size > max {
			return frames, wire.CodeFrameTooLarge
		}
		if size > len(b) {
			return frames, wire.CodeOK
		}
		frames, b = append(frames, b[:size]), b[size:]
	}
	return frames, wire.CodeOK
}

// FuzzVarint: what is accepted is the shortest form, and nothing else is.
func FuzzVarint(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n := wire.ConsumeVarint(b)
		switch {
		case n > 0:
			require.LessOrEqual(t, v, uint64(wire.MaxVarint))
			require.Equal(t, b[:n], slowVarint(v))
			require.Equal(t, b[:n], wire.AppendVarint(nil, v))
			require.Equal(t, n, wire.VarintLen(v))
		case n == 0:
			require.Less(t, len(b), 9)
			for _, c := range b {
				require.GreaterOrEqual(t, c, uint8(0x80))
			}
		default:
			require.Equal(t, -1, n)
			require.Zero(t, v)
			long := 0
			for long < len(b) && b[long] >= 0x80 {
				long++
			}
			require.True(t, long >= 9 || long > 0 && b[long] == 0, "%x", b)
		}
	})
}

// FuzzNames holds the syntax and the matcher against slow references.
func FuzzNames(f *testing.F) {
	f.Fuzz(func(t *testing.T, filter, topic string) {
		filterErr, topicErr := wire.CheckFilter([]byte(filter)), wire.CheckTopic([]byte(topic))
		require.Equal(t, slowCheck(filter, true), filterErr == nil, "%q: %v", filter, filterErr)
		require.Equal(t, slowCheck(topic, false), topicErr == nil, "%q: %v", topic, topicErr)
		require.Equal(t, slowCheck(filter, false), wire.CheckTopic([]byte(filter)) == nil, "%q", filter)
		got := wire.Match(filter, topic) // no panic on any bytes
		if filterErr == nil && topicErr == nil {
			require.Equal(t, slowMatch(filter, topic), got, "%q and %q", filter, topic)
		}
	})
}

// FuzzIdentity: what is accepted reads back as itself and holds no letter that
// means something elsewhere.
func FuzzIdentity(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		id, err := wire.ParseIdentity(s)
		if err != nil {
			require.NotPanics(t, func() { _ = id.String() })
			return
		}
		require.Equal(t, s, id.String())
		require.NotContains(t, id.Device, "/")
		for _, part := range []string{id.Tenant, id.Device} {
			require.NoError(t, wire.CheckTopic([]byte(part)), "an identity can be a level of a topic")
		}
	})
}

// FuzzCounter gives any frames to a counting device: no panic, and had never
// goes back [W-6.7].
func FuzzCounter(f *testing.F) {
	f.Fuzz(func(t *testing.T, stream []byte, cursor bool) {
		last := map[wire.Life]uint64{}
		d := &counter{had: map[wire.Life]uint64{}, bound: map[uint32]*counted{}}
		if cursor {
			d.cursor = map[wire.Life]bool{1: true}
			d.had[1] = 100
		}
		d.missing = func(wire.Life, bool, uint64, wire.Reason) {}
		d.take = func(life wire.Life, offset uint64, _ []byte) {
			if life == 0 && offset == 0 {
				return // not tracked
			}
			require.Greater(t, offset, last[life])
			last[life] = offset
		}
		for {
			typ, body, rest, err := wire.Next(stream, 1024)
			if err != nil {
				require.True(t, errors.Is(err, wire.ErrShort) || wire.CodeOf(err) != wire.CodeOK)
				return
			}
			stream = rest
			if typ == wire.TypeEnd {
				// A life that has ended may be told again from its beginning.
				clear(last)
			}
			if d.frame(typ, body) != nil {
				return
			}
		}
	})
}
