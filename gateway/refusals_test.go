package gateway_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// The protocol's vectors of what a gateway answers to what it does not do, and
// whether it hangs up then.
func TestRefusalVectors(t *testing.T) {
	b, err := os.ReadFile("../wire/testdata/vectors.json")
	require.NoError(t, err)
	var all struct {
		Refusals []struct {
			Name, After string
			Send        []string
			Expect      []struct {
				Type    string
				Meaning map[string]any
			}
			Closed bool
		}
	}
	require.NoError(t, json.Unmarshal(b, &all))
	require.NotEmpty(t, all.Refusals)
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	for i, v := range all.Refusals {
		t.Run(v.Name, func(t *testing.T) {
			d := gatewaytest.Connect(t, g.Addr())
			if v.After == "welcome" {
				d.Send(gatewaytest.Hello(fmt.Sprintf("device-%d", i)).Append(nil))
				d.Expect(wire.TypeWelcome)
			}
			for _, s := range v.Send {
				frame, err := hex.DecodeString(s)
				require.NoError(t, err)
				d.Send(frame)
			}
			for _, want := range v.Expect {
				f, err := d.Next(gatewaytest.Patience)
				require.NoError(t, err)
				require.Equal(t, want.Type, f.Type.String())
				got := answer(t, f)
				for field, value := range want.Meaning {
					require.Equal(t, fmt.Sprint(value), got[field], "%s of %s", field, want.Type)
				}
			}
			if v.Closed {
				_, err := d.Next(gatewaytest.Patience)
				require.ErrorIs(t, err, io.EOF)
				return
			}
			d.Send(wire.AppendPing(nil, []byte("alive")))
			require.Equal(t, "alive", string(d.Expect(wire.TypePong).Body))
		})
	}
}

// answer is a frame in the words of the vectors.
func answer(t *testing.T, f gatewaytest.Frame) map[string]string {
	t.Helper()
	say := func(values ...any) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(values); i += 2 {
			m[values[i].(string)] = fmt.Sprint(values[i+1])
		}
		return m
	}
	octet := func(b uint8) string { return hex.EncodeToString([]byte{b}) }
	switch f.Type {
	case wire.TypeError:
		r, err := wire.ParseRefusal(f.Body)
		require.NoError(t, err)
		return say("code", octet(uint8(r.Code)), "type", octet(uint8(r.Type)), "number", r.Number)
	case wire.TypeClose:
		c, err := wire.ParseClose(f.Body)
		require.NoError(t, err)
		return say("handle", c.Handle, "code", octet(uint8(c.Code)))
	case wire.TypeAck:
		a, err := wire.ParseAck(f.Body)
		require.NoError(t, err)
		return say("seq", a.Seq, "code", octet(uint8(a.Code)))
	case wire.TypeSubscribed:
		s, err := wire.ParseSubscribed(f.Body)
		require.NoError(t, err)
		return say("sub", s.Sub, "code", octet(uint8(s.Code)), "id", s.Topic)
	case wire.TypeUnsubscribed:
		u, err := wire.ParseUnsubscribed(f.Body)
		require.NoError(t, err)
		return say("sub", u.Sub, "code", octet(uint8(u.Code)))
	case wire.TypePong:
		return say("data", hex.EncodeToString(f.Body))
	}
	require.Fail(t, "no refusal is answered by "+f.Type.String())
	return nil
}
