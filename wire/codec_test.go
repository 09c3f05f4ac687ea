package wire_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// frame is what all frame structs have in common.
type frame interface {
	Append(dst []byte) []byte
	Len() int
}

// probe is PING and PONG, which have functions instead of a struct.
type probe struct {
	t    wire.Type
	data []byte
}

func (p probe) Len() int { return 2 + len(p.data) }

func (p probe) Append(dst []byte) []byte {
	if p.t == wire.TypePing {
		return wire.AppendPing(dst, p.data)
	}
	return wire.AppendPong(dst, p.data)
}

// parse reads any frame; ok is false for a type that has no parser.
func parse(t wire.Type, body []byte) (f frame, ok bool, err error) {
	switch t.Base() {
	case wire.TypeHello:
		f, err = wire.ParseHello(body)
	case wire.TypeWelcome:
		f, err = wire.ParseWelcome(body)
	case wire.TypeSubscribe:
		f, err = wire.ParseSubscribe(body)
	case wire.TypeSubscribed:
		f, err = wire.ParseSubscribed(body)
	case wire.TypeUnsubscribe:
		f, err = wire.ParseUnsubscribe(body)
	case wire.TypeUnsubscribed:
		f, err = wire.ParseUnsubscribed(body)
	case wire.TypeTopic:
		f, err = wire.ParseTopic(body)
	case wire.TypePing, wire.TypePong:
		f, err = probe{t, body}, wire.CheckPing(t, body)
	case wire.TypeGoaway:
		f, err = wire.ParseGoaway(body)
	case wire.TypeError:
		f, err = wire.ParseRefusal(body)
	case wire.TypeAuth:
		f, err = wire.ParseAuth(body)
	case wire.TypeAck:
		f, err = wire.ParseAck(body)
	case wire.TypeCredit:
		f, err = wire.ParseCredit(body)
	case wire.TypeClose:
		f, err = wire.ParseClose(body)
	case wire.TypePublish:
		f, err = wire.ParsePublish(t, body)
	case wire.TypeMessage:
		f, err = wire.ParseMessage(t, body)
	case wire.TypeGap:
		f, err = wire.ParseGap(body)
	case wire.TypeStream:
		f, err = wire.ParseStream(body)
	case wire.TypeEnd:
		f, err = wire.ParseEnd(body)
	case wire.TypeLive:
		f, err = wire.ParseLive(body)
	default:
		return nil, false, nil
	}
	return f, true, err
}

// parseFrame reads a whole frame of a type that has a parser.
func parseFrame(b []byte) (frame, error) {
	t, body, _, err := wire.Next(b, 1<<wire.MaxFrameLog)
	if err != nil {
		return nil, err
	}
	f, ok, err := parse(t, body)
	if !ok {
		return nil, fmt.Errorf("no parser for %v", t)
	}
	return f, err
}

// body is a frame without its header.
func body(t *testing.T, b []byte) (wire.Type, []byte) {
	t.Helper()
	typ, body, rest, err := wire.Next(b, 1<<wire.MaxFrameLog)
	require.NoError(t, err)
	require.Empty(t, rest)
	return typ, body
}

// withBody is a frame of this type and body.
func withBody(t wire.Type, body []byte) []byte {
	return append(wire.AppendVarint([]byte{byte(t)}, uint64(len(body))), body...)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err, s)
	return b
}

func hexes(t testing.TB, list []string) [][]byte {
	t.Helper()
	var out [][]byte
	for _, s := range list {
		out = append(out, unhex(t, s))
	}
	return out
}

// payloadLen is how many bytes at the end of the frame may be any bytes.
func payloadLen(f frame) int {
	switch f := f.(type) {
	case wire.Publish:
		return len(f.Payload)
	case wire.Message:
		return len(f.Payload)
	case probe:
		return len(f.data)
	}
	return 0
}

// ownLen is the length of the TLV that ends a frame and may be missing: the text of a
// refusal, the delay of CLOSE.
func ownLen(f frame) int {
	bare := f
	switch f := f.(type) {
	case wire.Ack:
		f.Text = nil
		bare = f
	case wire.Subscribed:
		f.Text = nil
		bare = f
	case wire.Close:
		f.Retry = 0
		bare = f
	}
	return f.Len() - bare.Len()
}

// Every frame of the vectors: Append gives its bytes behind whatever is there
// already, Len is their number, no prefix of the frame is a frame, and no prefix
// of the body that cuts a field is a body.
func TestFrames(t *testing.T) {
	for _, v := range load(t).Frames {
		if v.skips() {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			b := unhex(t, v.Hex)
			f, err := parseFrame(b)
			require.NoError(t, err)
			require.Equal(t, len(b), f.Len())
			require.Equal(t, b, f.Append(nil))
			require.Equal(t, append([]byte("before"), b...), f.Append([]byte("before")))

			for n := range len(b) {
				_, _, rest, err := wire.Next(b[:n], 1<<wire.MaxFrameLog)
				require.ErrorIs(t, err, wire.ErrShort, "%d bytes of %d", n, len(b))
				require.Equal(t, b[:n], rest)
			}
			typ, whole := body(t, b)
			for n := range len(whole) - payloadLen(f) {
				if n == len(whole)-ownLen(f) {
					continue // the same frame without its TLV
				}
				_, _, err := parse(typ, whole[:n])
				require.Error(t, err, "%d bytes of %d", n, len(whole))
				require.Equal(t, wire.CodeMalformed, wire.CodeOf(err))
			}
		})
	}
}

// The payload is found in all 16 types of MESSAGE [W-6.1], behind each form of offset
// [W-6.2].
func TestAllMessageTypes(t *testing.T) {
	for flags := range byte(16) {
		b := []byte{7} // the id
		if flags&1 != 0 {
			b = []byte{2, 'a', 'b'}
		}
		if flags&2 != 0 {
			b = append(b, 3) // the origin
		}
		form := wire.OffsetNone
		switch flags & 0x0C {
		case 0x04:
			form, b = wire.OffsetLow, append(b, 0x2C)
		case 0x08:
			form, b = wire.OffsetFull, append(b, 0xAC, 0x02)
		case 0x0C:
			form, b = wire.OffsetTLVs, append(b, 0xAC, 0x02, 2, 1, 0) // the block is one TLV that is skipped
		}
		m, err := wire.ParseMessage(wire.Type(0x50|flags), append(b, "payload"...))
		require.NoError(t, err, "%x", flags)
		require.Equal(t, "payload", string(m.Payload), "%x", flags)
		require.Equal(t, form, m.Form, "%x", flags)
		require.Equal(t, flags&1 != 0, m.Name != nil, "%x", flags)
		require.Equal(t, flags&2 != 0, m.Origin == 3, "%x", flags)
	}
}

// A cut payload is another payload, not an error: only the head is checked.
func TestPayloadIsAnyBytes(t *testing.T) {
	for _, v := range load(t).Frames {
		f, err := parseFrame(unhex(t, v.Hex))
		require.NoError(t, err)
		typ, whole := body(t, unhex(t, v.Hex))
		for n := range payloadLen(f) {
			cut, _, err := parse(typ, whole[:len(whole)-n])
			require.NoError(t, err, v.Name)
			require.Equal(t, payloadLen(f)-n, payloadLen(cut), v.Name)
		}
	}
}

// Control frames end in TLVs: odd keys are skipped, even ones refused, and what
// is not a TLV is malformed [W-2.5].
func TestTrailingTLVs(t *testing.T) {
	odd := wire.AppendTLV(wire.AppendTLV(nil, 5, []byte("x")), 1<<40+1, nil)
	even := wire.AppendTLV(wire.AppendTLV(nil, 5, []byte("x")), 2, nil)
	seen := map[wire.Type]bool{}
	for _, v := range load(t).Frames {
		typ, whole := body(t, unhex(t, v.Hex))
		f, _, err := parse(typ, whole)
		require.NoError(t, err)
		switch f.(type) {
		case wire.Publish, wire.Message, probe:
			continue
		}
		seen[typ] = true
		got, _, err := parse(typ, append(bytes.Clone(whole), odd...))
		require.NoError(t, err, v.Name)
		require.Equal(t, f, got, v.Name)

		_, _, err = parse(typ, append(bytes.Clone(whole), even...))
		require.Equal(t, wire.CodeUnknownType, wire.CodeOf(err), v.Name)

		for n := 1; n < len(odd); n++ {
			if n == 3 { // the first TLV alone is whole
				continue
			}
			_, _, err = parse(typ, append(bytes.Clone(whole), odd[:n]...))
			require.Error(t, err, "%s and %d bytes of TLVs", v.Name, n)
			require.Equal(t, wire.CodeMalformed, wire.CodeOf(err), v.Name)
		}
	}
	require.Len(t, seen, 17, "control frames that the vectors show")
}

// What was parsed aliases the input with no room behind it, so that an append to
// one field never overwrites the next.
func TestParsedSlicesHaveNoRoom(t *testing.T) {
	b := wire.Publish{Name: []byte("a/b"), TLVs: []byte{1, 0}, Payload: []byte("payload")}.Append(nil)
	b = append(b, "next frame"...)
	want := bytes.Clone(b)
	typ, whole, _, err := wire.Next(b, 1024)
	require.NoError(t, err)
	p, err := wire.ParsePublish(typ, whole)
	require.NoError(t, err)
	_ = append(p.Name, 0xEE)
	_ = append(p.TLVs, 0xEE)
	_ = append(p.Payload, 0xEE)
	require.Equal(t, want, b)
}

// The usual delivery has a way of its own; at every length around its ends it is
// written as any other would be [W-6.1].
func TestUsualDeliveryIsWrittenAsAnyOther(t *testing.T) {
	for _, topic := range []wire.TopicID{0, 1, 0x7F, 0x80} {
		for n := range 135 {
			for _, form := range []wire.OffsetForm{wire.OffsetNone, wire.OffsetLow, wire.OffsetFull} {
				m := wire.Message{Topic: topic, Form: form, Payload: bytes.Repeat([]byte{7}, n)}
				body := wire.AppendVarint(nil, uint64(topic))
				if form != wire.OffsetNone {
					m.Offset = 0x55
					body = append(body, 0x55)
				}
				body = append(body, m.Payload...)
				want := append(wire.AppendVarint([]byte{byte(m.Type())}, uint64(len(body))), body...)
				require.Equal(t, want, m.Append(nil))
				require.Equal(t, len(want), m.Len())
			}
		}
	}
}
