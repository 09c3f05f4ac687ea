package bench

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// closeFrame is a CLOSE with a delay, as gateways tell it.
func closeFrame(code wire.Code, tlvs ...byte) []byte {
	_, body, _, err := wire.Next(wire.Close{Code: code, Text: []byte("later")}.Append(nil), maxFrame)
	if err != nil {
		return nil
	}
	body = append(append([]byte(nil), body...), tlvs...)
	return append([]byte{byte(wire.TypeClose), byte(len(body))}, body...)
}

func TestWhenToComeAgain(t *testing.T) {
	delay := wire.AppendTLV(nil, closeRetry, wire.AppendVarint(nil, 1500))
	for _, test := range []struct {
		name  string
		frame []byte
		later bool
		after time.Duration
	}{
		{"with a delay", closeFrame(wire.CodeOverload, delay...), true, 1500 * time.Millisecond},
		{"without one", closeFrame(wire.CodeConnectRate), true, 0},
		{"after another TLV", closeFrame(wire.CodeOverload, append(wire.AppendTLV(nil, 5, []byte("x")), delay...)...), true, 1500 * time.Millisecond},
		{"a delay of nonsense", closeFrame(wire.CodeOverload, wire.AppendTLV(nil, closeRetry, []byte{0x80})...), true, 0},
		{"hours", closeFrame(wire.CodeOverload, wire.AppendTLV(nil, closeRetry, wire.AppendVarint(nil, 1<<40))...), true, 10 * time.Minute},
		{"never", closeFrame(wire.CodeNotAuthenticated, delay...), false, 0},
		{"broken", []byte{byte(wire.TypeClose), 1, 0}, false, 0},
	} {
		_, body, _, err := wire.Next(test.frame, maxFrame)
		require.NoError(t, err, test.name)
		err = closed(body)
		require.Error(t, err)
		var later *laterError
		require.Equal(t, test.later, errors.As(err, &later), "%s: %v", test.name, err)
		if test.later {
			require.Equal(t, test.after, later.after, test.name)
		}
	}
}

// answering is a server that answers each connection with the next of some bytes, and then ends it unless it is the last.
func answering(t *testing.T, answers ...[]byte) *caller {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 512))                //nolint:errcheck // the test would fail
			c.Write(answers[min(i, len(answers)-1)]) //nolint:errcheck // the test would fail
			if i < len(answers)-1 {
				c.Close()
			}
		}
	}()
	return &caller{remote: l.Addr().(*net.TCPAddr).AddrPort(), topic: "t"}
}

func TestADeviceComesAgain(t *testing.T) {
	welcome := wire.Welcome{Version: wire.Version, Recv: 12, Credit: 99}.Append(nil)
	good := append(wire.Subscribed{Sub: 1, Topic: 7}.Append(welcome), 0x50)
	c := answering(t, nil, closeFrame(wire.CodeOverload, wire.AppendTLV(nil, closeRetry, []byte{1})...), welcome, good)
	d, again, err := c.insist(t.Context(), 3, nil)
	require.NoError(t, err)
	defer d.tcp.Close()
	require.Equal(t, 3, again)
	require.EqualValues(t, 7, d.id)
	require.EqualValues(t, 99, d.welcome.Credit)
	require.Equal(t, []byte{0x50}, d.rest)

	for want, answer := range map[string][]byte{
		"not authenticated":        closeFrame(wire.CodeNotAuthenticated),
		"refused a":                wire.Refusal{Type: wire.TypeSubscribe, Code: wire.CodeNotAuthenticated}.Append(nil),
		"the subscription was ref": wire.Subscribed{Sub: 1, Code: wire.CodeNotAuthenticated}.Append(nil),
		"no device here expects":   wire.Message{Topic: 1}.Append(nil),
	} {
		_, again, err := answering(t, answer).insist(t.Context(), 0, nil)
		require.ErrorContains(t, err, want)
		require.Zero(t, again, "it need not come again")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err = answering(t, nil, nil).insist(ctx, 0, nil)
	require.Error(t, err, "a device whose run is over gives up")
}
