package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// feed gives a stream to Next in pieces that end at the cuts (nil: all at once)
// and returns the frames and what is left, in hex.
func feed(stream []byte, max int, cuts []int) (frames []string, rest string, err error) {
	var buf []byte
	from := 0
	for _, to := range append(cuts, len(stream)) {
		buf = append(buf, stream[from:to]...)
		from = to
		for {
			t, body, tail, err := wire.Next(buf, max)
			if errors.Is(err, wire.ErrShort) {
				break
			}
			if err != nil {
				return frames, hex.EncodeToString(buf), err
			}
			frames = append(frames, hex.EncodeToString(withBody(t, body)))
			buf = tail
		}
	}
	return frames, hex.EncodeToString(buf), nil
}

// Any chunking gives the same frames [W-1.1]: every single cut, every pair of
// cuts, and byte by byte.
func TestNextInAnyChunking(t *testing.T) {
	for _, v := range load(t).Streams {
		stream := unhex(t, v.Hex)
		check := func(cuts ...int) {
			frames, rest, err := feed(stream, v.Max, cuts)
			require.NoError(t, err)
			require.Equal(t, v.Frames, frames, "%s, cut at %v", v.Name, cuts)
			require.Equal(t, v.Rest, rest)
		}
		var each []int
		for i := range stream {
			each = append(each, i)
			check(i)
			for j := i; j < min(i+8, len(stream)); j++ {
				check(i, j)
			}
		}
		check(each...)
	}
}

// The limit counts the header [W-2.2], and is checked before the body is there.
func TestNextLimit(t *testing.T) {
	for _, max := range []int{128, 129, 130, 131, 1024, 16384, 1 << 20} {
		for _, size := range []int{max - 1, max, max + 1} {
			n := size - 2
			for 1+wire.VarintLen(uint64(n))+n > size {
				n--
			}
			b := withBody(0x40, bytes.Repeat([]byte{'x'}, n))
			_, whole, _, err := wire.Next(b, max)
			if len(b) <= max {
				require.NoError(t, err)
				require.Len(t, whole, n)
				continue
			}
			require.Equal(t, wire.CodeFrameTooLarge, wire.CodeOf(err), "%d bytes, limit %d", len(b), max)
			_, _, _, err = wire.Next(b[:len(b)-n], max)
			require.Equal(t, wire.CodeFrameTooLarge, wire.CodeOf(err), "the header alone")
		}
	}
}

// A length has at most three bytes; whether the fourth has come makes no
// difference to the verdict.
func TestNextLength(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want error
		code wire.Code
	}{
		{"", wire.ErrShort, 0},
		{"09", wire.ErrShort, 0},
		{"0980", wire.ErrShort, 0},
		{"098080", wire.ErrShort, 0},
		{"09ff", wire.ErrShort, 0},
		{"0901", wire.ErrShort, 0},
		{"098000", nil, wire.CodeMalformed},
		{"09808000", nil, wire.CodeMalformed},
		{"09808080", nil, wire.CodeFrameTooLarge},
		{"0980808000", nil, wire.CodeFrameTooLarge},
		{"0980808001", nil, wire.CodeFrameTooLarge},
		{"09ffff7f", nil, wire.CodeFrameTooLarge},
		{"09ffffffffffffffffff", nil, wire.CodeFrameTooLarge},
	} {
		_, _, rest, err := wire.Next(unhex(t, c.hex), 1<<wire.MaxFrameLog)
		require.Equal(t, c.hex, hex.EncodeToString(rest))
		if c.want != nil {
			require.ErrorIs(t, err, c.want, c.hex)
			continue
		}
		require.NotErrorIs(t, err, wire.ErrShort, c.hex)
		require.Equal(t, c.code, wire.CodeOf(err), c.hex)
	}
	_, _, _, err := wire.Next([]byte{9, 0}, 0)
	require.Equal(t, wire.CodeFrameTooLarge, wire.CodeOf(err), "a limit below every frame")
}

func TestErrors(t *testing.T) {
	_, err := wire.ParseAck([]byte{1})
	require.EqualError(t, err, "wire: ACK: code is missing (malformed)")
	require.Equal(t, wire.CodeMalformed, wire.CodeOf(err))
	require.Equal(t, wire.CodeMalformed, wire.CodeOf(errors.New("anything else")))
	require.Equal(t, wire.CodeVersion, wire.CodeOf(errors.Join(errors.New("x"), &wire.Error{Code: wire.CodeVersion})))
}

// A delivery of 16 bytes on a topic of 25 bytes takes 19 bytes while the id is
// below 128, 20 with the check byte [W-4.2].
func TestDeliverySize(t *testing.T) {
	topic, payload := "broadcast/eu/kitchen/temp", []byte("temp=21.5;hum=40")
	require.Len(t, topic, 25)
	require.Len(t, payload, 16)
	for id := wire.TopicID(1); id < 128; id++ {
		require.Len(t, wire.Message{Topic: id, Payload: payload}.Append(nil), 19)
		require.Len(t, wire.Message{Topic: id, Form: wire.OffsetLow, Offset: 4712, Payload: payload}.Append(nil), 20)
		require.Len(t, wire.Message{Topic: id, Origin: 2, Form: wire.OffsetLow, Offset: 90, Payload: payload}.Append(nil), 21)
	}
	require.Len(t, wire.Message{Topic: 128, Payload: payload}.Append(nil), 20)
	require.Len(t, wire.Message{Name: []byte(topic), Payload: payload}.Append(nil), 2+1+25+16)
}

// The longest control frames to a device that carry no text or name fit 128
// bytes, whatever the numbers; the others are cut by their sender [W-2.2].
func TestControlFramesFitTheSmallestDevice(t *testing.T) {
	const most32, most = 1<<32 - 1, uint64(wire.MaxVarint)
	for _, f := range []frame{
		wire.Welcome{Keepalive: most32, Credit: most, MaxSubs: most32, Table: most32, Life: 1<<64 - 1},
		wire.Subscribed{Sub: most32, Code: wire.CodeReplayBusy, Topic: most32, Retry: most32},
		wire.Unsubscribed{Sub: most32},
		wire.Ack{Seq: most, Code: wire.CodeThrottled, Retry: most32},
		wire.Credit{Handle: most32, Bytes: most},
		wire.Gap{Topic: most32, Origin: most32, Count: most},
		wire.Stream{Topic: most32, Origin: most32, Life: 1<<64 - 1, Next: most},
		wire.End{Topic: most32, Origin: most32},
		wire.Live{Sub: most32},
		probe{wire.TypePong, make([]byte, wire.MaxPing)},
		wire.Refusal{Number: most, Text: make([]byte, 64)},
		wire.Close{Handle: most32, Text: make([]byte, 64)},
		wire.Close{Code: wire.CodeOverload, Text: make([]byte, 96), Retry: most32},
		wire.AuthLeft(most32),
		wire.Goaway{Within: most32, Spread: most32, Target: make([]byte, 64)},
	} {
		require.LessOrEqual(t, f.Len(), wire.MaxControl, "%T", f)
	}
}

func TestCutText(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"", 0, ""},
		{"abc", 3, "abc"},
		{"abc", 2, "ab"},
		{"abc", 0, ""},
		{"abc", -1, ""},
		{"aü", 2, "a"},
		{"aü", 3, "aü"},
		{"温度", 5, "温"},
		{"温度", 2, ""},
		{"\x80\x80\x80", 2, ""},
	} {
		require.Equal(t, c.want, wire.CutText(c.text, c.n), "%q to %d", c.text, c.n)
	}
}

// A delay is written only where the code allows one [W-2.5], [W-3.6].
func TestCloseRetry(t *testing.T) {
	for code := range 256 {
		c := wire.Close{Code: wire.Code(code), Retry: 1500}
		_, whole := body(t, c.Append(nil))
		got, err := wire.ParseClose(whole)
		require.NoError(t, err)
		if c.Code.Class() == wire.ClassLater {
			require.Equal(t, uint32(1500), got.Retry, "%02x", code)
		} else {
			require.Equal(t, wire.Close{Code: c.Code, Text: []byte{}}, got)
			require.Equal(t, wire.Close{Code: c.Code}.Append(nil), c.Append(nil))
		}
	}
}

// What a gateway says of a token's time reads back, and nothing else is a time [W-3.3].
func TestAuthLeft(t *testing.T) {
	for _, seconds := range []uint32{0, 1, 9, 10, 300, 86_400, 1<<32 - 1} {
		_, whole := body(t, wire.AuthLeft(seconds).Append(nil))
		a, err := wire.ParseAuth(whole)
		require.NoError(t, err)
		got, ok := a.Left()
		require.True(t, ok)
		require.Equal(t, seconds, got)
	}
	for _, bad := range []wire.Auth{
		{Method: wire.AuthToken},
		{Method: wire.AuthCertificate, Data: []byte("300")},
		{Method: 7, Data: []byte("300")},
		{Method: wire.AuthToken, Data: []byte("-1")},
		{Method: wire.AuthToken, Data: []byte("+1")},
		{Method: wire.AuthToken, Data: []byte("1.5")},
		{Method: wire.AuthToken, Data: []byte("30 ")},
		{Method: wire.AuthToken, Data: []byte("4294967296")},
		{Method: wire.AuthToken, Data: []byte("00000000001")},
	} {
		_, ok := bad.Left()
		require.False(t, ok, "%q", bad.Data)
	}
}
