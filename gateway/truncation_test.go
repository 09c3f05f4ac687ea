package gateway_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// truncation is one frame and what answers each of its truncations, that to no
// body first.
type truncation struct {
	name    string
	frame   []byte
	answers []string
}

const (
	malformed   = "ERROR malformed"
	outOfOrder  = "ERROR out of order"
	unsupported = "ERROR not supported"
	nothing     = ""
)

// upTo is n truncations with an answer, and the rest with another.
func upTo(n int, first string, of int, then string) []string {
	return append(slices.Repeat([]string{first}, n), slices.Repeat([]string{then}, of-n)...)
}

func truncations(t *testing.T) (all []truncation) {
	add := func(name string, frame []byte, broken int, then string) {
		_, body, rest, err := wire.Next(frame, 1<<16)
		require.NoError(t, err)
		require.Empty(t, rest)
		all = append(all, truncation{name, frame, upTo(min(broken, len(body)), malformed, len(body), then)})
	}
	const always = 1 << 10 // no truncation of it is a frame
	topic := []byte("broadcast/a")
	cursor := wire.Cursor{}.AppendPosition(wire.Position{Life: 1, Offset: 300})
	add("HELLO", gatewaytest.Hello("abc").Append(nil), always, nothing)
	add("SUBSCRIBE", wire.Subscribe{Sub: 1, Filter: topic}.Append(nil), always, nothing)
	add("SUBSCRIBE with a cursor", wire.Subscribe{Sub: 1, Start: wire.StartCursor, Filter: topic, Cursor: cursor}.Append(nil), always, nothing)
	add("UNSUBSCRIBE", wire.Unsubscribe{Sub: 300}.Append(nil), always, nothing)
	add("CLOSE", wire.Close{Text: []byte("text")}.Append(nil), always, nothing)
	add("CLOSE of a socket", wire.Close{Handle: 300, Text: []byte("text")}.Append(nil), always, nothing)

	// A payload is whole at any length; what stands before it is not.
	add("PUBLISH", wire.Publish{Ack: true, Seq: 1, Name: topic, Payload: []byte("xyz")}.Append(nil), 2+len(topic), "ACK ok")
	add("PUBLISH without seq", wire.Publish{Name: topic, Payload: []byte("xyz")}.Append(nil), 1+len(topic), nothing)
	add("PUBLISH by id", wire.Publish{Topic: 300, Payload: []byte("xyz")}.Append(nil), 2, "ERROR unknown id")
	block := []byte{0x49, 5, 1, 'a', 2, 1, 0} // N and X: name, then a block of one odd TLV
	add("PUBLISH with a block", block, 5, nothing)

	// Of these the gateway takes any body [W-2.4] [W-3.3], or looks at the handle
	// alone [W-10.1].
	add("AUTH", wire.Auth{Method: 1, Data: []byte("token")}.Append(nil), 7, unsupported)
	add("ERROR", wire.Refusal{Code: wire.CodeOverload, Type: wire.TypePing, Text: []byte("text")}.Append(nil), 0, nothing)
	add("a type that may be skipped", []byte{0xF3, 3, 1, 2, 3}, 0, nothing)
	for _, typ := range []wire.Type{wire.TypeOpen, wire.TypeCredit, wire.TypeEOF, wire.TypeData} {
		add(typ.String(), []byte{byte(typ), 4, 0xAC, 0x02, 1, 2}, 2, unsupported)
	}

	var pongs []string
	for n := range 8 {
		pongs = append(pongs, "PONG "+hex.EncodeToString([]byte("pingping")[:n]))
	}
	all = append(all,
		truncation{"PING", wire.AppendPing(nil, []byte("pingping")), pongs},
		truncation{"PONG", wire.AppendPong(nil, []byte("pingping")), upTo(0, "", 8, nothing)},
		// The order is looked at before the body.
		truncation{"SUBSCRIBED", wire.Subscribed{Sub: 1, Topic: 1}.Append(nil), upTo(0, "", 3, outOfOrder)},
		truncation{"MESSAGE", wire.Message{Topic: 300, Payload: []byte("x")}.Append(nil), upTo(0, "", 3, outOfOrder)})
	return all
}

// said is a frame in the words of truncation.
func said(t *testing.T, f gatewaytest.Frame) string {
	t.Helper()
	switch f.Type {
	case wire.TypeError:
		e, err := wire.ParseRefusal(f.Body)
		require.NoError(t, err)
		return "ERROR " + e.Code.String()
	case wire.TypeClose:
		c, err := wire.ParseClose(f.Body)
		require.NoError(t, err)
		return "CLOSE " + c.Code.String()
	case wire.TypeAck:
		a, err := wire.ParseAck(f.Body)
		require.NoError(t, err)
		return "ACK " + a.Code.String()
	case wire.TypePong:
		return "PONG " + hex.EncodeToString(f.Body)
	}
	return f.Type.String()
}

// play sends the first n bytes of the body as a frame, then PING; the error says
// what came instead of the answer.
func (tr truncation) play(t *testing.T, g *gateway.Gateway, n int) error {
	typ, body, _, err := wire.Next(tr.frame, 1<<16)
	require.NoError(t, err)
	d := gatewaytest.Connect(t, g.Addr())
	defer d.Conn.Close()
	var b []byte
	if typ != wire.TypeHello {
		d.Send(gatewaytest.Hello("").Append(nil))
		d.Expect(wire.TypeWelcome)
	}
	b = append(append(b, byte(typ), byte(n)), body[:n]...)
	d.Send(wire.AppendPing(b, []byte("end")))
	var want []string
	switch answer := tr.answers[n]; answer {
	case malformed, outOfOrder:
		want = []string{answer, "CLOSE" + answer[len("ERROR"):], "the end"}
	case nothing:
		want = []string{"PONG 656e64"}
	default:
		want = []string{answer, "PONG 656e64"}
		if typ.Base() == wire.TypePublish && answer == "ACK ok" {
			slices.Reverse(want) // an ACK waits for what came with its PUBLISH
		}
	}
	for _, w := range want {
		f, err := d.Next(gatewaytest.Patience)
		got := "the end"
		if !errors.Is(err, io.EOF) {
			if err != nil {
				return err
			}
			got = said(t, f)
		}
		if got != w {
			return fmt.Errorf("%s cut to %d bytes: %s came, want %s", tr.name, n, got, w)
		}
	}
	return nil
}

// Every truncation of every frame that a device may send, as a frame that is too
// short [W-2.3]: either it is one all the same and is answered as such, or the
// offender is told that it is malformed and closed [W-7.2].
func TestTruncations(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{})
	check := witness(t, g)
	without := gatewaytest.Start(t, gateway.Config{}.Without("refusal a0"))
	for _, tr := range truncations(t) {
		t.Run(tr.name, func(t *testing.T) {
			for n, answer := range tr.answers {
				require.NoError(t, tr.play(t, g, n))
				if answer == malformed {
					require.ErrorContains(t, tr.play(t, without, n), "came, want "+malformed)
				}
			}
		})
	}
	require.NoError(t, check())
	eventually(t, func() bool { return g.Status().Connections == 1 })
}

// A frame that is cut off where the device hangs up is nothing: no answer, and
// nothing is left of it. It has no control: what would be taken out is the wait
// for the rest, which TestAnyPieces does.
func TestCutOff(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{})
	check := witness(t, g)
	for _, tr := range truncations(t) {
		for n := 1; n < len(tr.frame); n++ {
			d := gatewaytest.Connect(t, g.Addr())
			if wire.Type(tr.frame[0]) != wire.TypeHello {
				d.Send(gatewaytest.Hello("").Append(nil))
				d.Expect(wire.TypeWelcome)
			}
			d.Send(tr.frame[:n])
			require.NoError(t, d.Conn.(*net.TCPConn).CloseWrite())
			f, err := d.Next(gatewaytest.Patience)
			require.ErrorIs(t, err, io.EOF, "%s cut off after %d bytes: %s came", tr.name, n, f.Type)
			_ = d.Conn.Close()
		}
	}
	require.NoError(t, check())
	eventually(t, func() bool { return g.Status().Connections == 1 })
	require.Zero(t, g.Status().CreditUsed)
}

// A frame that is too large is refused as soon as its length is there, also after
// HELLO [W-2.2]; without the guard the gateway waits for all of it.
func TestFrameLimit(t *testing.T) {
	bothWays(t, "frameLimit", "still open", func(t *testing.T, guard string) error {
		g := gatewaytest.Start(t, gateway.Config{Limits: gateway.Limits{Frame: 4096}}.Without(guard))
		check := witness(t, g)
		d := gatewaytest.Join(t, g.Addr(), "large")
		// The largest one, whole: 4 bytes for PUBLISH's and the name's own head.
		name := []byte("broadcast/a")
		fits := wire.Publish{Name: name, Payload: make([]byte, 4096-4-len(name))}
		require.Equal(t, 4096, fits.Len())
		d.Send(fits.Append(nil))
		d.Ping()
		d.Send([]byte{byte(wire.TypePublish) | 1, 0xFE, 0x1F}) // one byte more, of which none has come
		return errors.Join(wantCode(d, 2*time.Second, wire.CodeFrameTooLarge), check())
	})
}
