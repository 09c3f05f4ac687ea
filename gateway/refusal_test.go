package gateway_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// refusal is one entry of wire/testdata/vectors.json.
type refusal struct {
	Name, After string
	Send        []string
	Expect      []struct {
		Type    string
		Meaning map[string]any
	}
	Closed bool
}

func refusals(t *testing.T) []refusal {
	t.Helper()
	b, err := os.ReadFile("../wire/testdata/vectors.json")
	require.NoError(t, err)
	var v struct{ Refusals []refusal }
	require.NoError(t, json.Unmarshal(b, &v))
	require.NotEmpty(t, v.Refusals)
	return v.Refusals
}

// Everything that the vectors say is refused, in any pieces: the offender gets
// the code, and is closed or not; the device beside it notices nothing.
func TestRefusals(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{})
	check := witness(t, g)
	rng := rand.New(rand.NewPCG(1, 1))
	pieces := map[string]func(n int) int{
		"whole": func(n int) int { return n },
		"bytes": func(int) int { return 1 },
		"any":   func(n int) int { return 1 + rng.IntN(n) },
	}
	for _, r := range refusals(t) {
		for name, piece := range pieces {
			t.Run(r.Name+" in "+name, func(t *testing.T) {
				d := gatewaytest.Connect(t, g.Addr())
				if r.After == "welcome" {
					d.Send(gatewaytest.Hello("").Append(nil))
					d.Expect(wire.TypeWelcome)
				}
				b, err := hex.DecodeString(strings.Join(r.Send, ""))
				require.NoError(t, err)
				sendPieces(d, b, piece)
				for _, want := range r.Expect {
					f, err := d.Next(gatewaytest.Patience)
					require.NoError(t, err)
					require.Equal(t, want.Type, f.Type.String())
					for key, value := range want.Meaning {
						if got, ok := meaning(t, f)[key]; ok {
							require.EqualValues(t, value, got, key)
						}
					}
				}
				if !r.Closed {
					d.Ping()
					return
				}
				_, err = d.Next(gatewaytest.Patience)
				require.ErrorIs(t, err, io.EOF)
			})
		}
	}
	require.NoError(t, check())
}

// sendPieces ignores errors: the gateway may have hung up before the last piece.
func sendPieces(d *gatewaytest.Device, b []byte, piece func(int) int) {
	for len(b) > 0 {
		n := piece(len(b))
		if _, err := d.Conn.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// meaning is what the vectors say of the frames with which a gateway refuses.
func meaning(t *testing.T, f gatewaytest.Frame) map[string]any {
	t.Helper()
	h := func(b ...byte) string { return hex.EncodeToString(b) }
	switch f.Type {
	case wire.TypeError:
		e, err := wire.ParseRefusal(f.Body)
		require.NoError(t, err)
		return map[string]any{"code": h(byte(e.Code)), "type": h(byte(e.Type)), "number": e.Number}
	case wire.TypeClose:
		c, err := wire.ParseClose(f.Body)
		require.NoError(t, err)
		return map[string]any{"handle": c.Handle, "code": h(byte(c.Code))}
	case wire.TypeAck:
		a, err := wire.ParseAck(f.Body)
		require.NoError(t, err)
		return map[string]any{"seq": a.Seq, "code": h(byte(a.Code))}
	case wire.TypeSubscribed:
		s, err := wire.ParseSubscribed(f.Body)
		require.NoError(t, err)
		return map[string]any{"sub": s.Sub, "code": h(byte(s.Code)), "id": s.Topic}
	case wire.TypeUnsubscribed:
		u, err := wire.ParseUnsubscribed(f.Body)
		require.NoError(t, err)
		return map[string]any{"sub": u.Sub, "code": h(byte(u.Code))}
	case wire.TypePong:
		return map[string]any{"data": h(f.Body...)}
	}
	require.Fail(t, "no meaning", "%s", f.Type)
	return nil
}

// Every truncation of every frame that a device may send: either more is awaited
// or the offender is closed with a code; nothing else happens.
func TestTruncations(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{})
	check := witness(t, g)
	frames := [][]byte{
		wire.Subscribe{Sub: 1, Start: wire.StartCursor, Filter: []byte("broadcast/a"), Cursor: wire.Cursor{}.AppendPosition(wire.Position{Life: 1, Offset: 300})}.Append(nil),
		wire.Publish{Ack: true, Seq: 1, Name: []byte("broadcast/a"), Payload: []byte("x")}.Append(nil),
		wire.Unsubscribe{Sub: 300}.Append(nil),
		wire.Close{Handle: 1, Text: []byte("text")}.Append(nil),
	}
	for _, frame := range frames {
		typ, body, _, err := wire.Next(frame, 1<<16)
		require.NoError(t, err)
		for n := range body {
			d := gatewaytest.Connect(t, g.Addr())
			b := gatewaytest.Hello("").Append(nil)
			b = append(append(b, byte(typ), byte(n)), body[:n]...) // a whole frame with a body that is not
			d.Send(wire.AppendPing(b, nil))
			d.Expect(wire.TypeWelcome)
			f, err := d.Next(gatewaytest.Patience)
			require.NoError(t, err)
			if f.Type == wire.TypeError {
				e, err := wire.ParseRefusal(f.Body)
				require.NoError(t, err)
				if e.Code == wire.CodeMalformed {
					d.ExpectClosed(wire.CodeMalformed)
				}
			}
			_ = d.Conn.Close()
			// The frame itself cut off: the gateway waits, and loses nothing when the device leaves.
			cut := gatewaytest.Join(t, g.Addr(), "")
			cut.Send(frame[:2+n])
			_ = cut.Conn.Close()
		}
	}
	require.NoError(t, check())
	eventually(t, func() bool { return g.Status().Connections == 1 })
}

// Connects beyond the rate are refused with the code that says later.
func TestConnectRate(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Limits: gateway.Limits{ConnectRate: 5}})
	check := witness(t, g)
	refused := 0
	for range 20 {
		d := gatewaytest.Connect(t, g.Addr())
		c, err := code(d, 50*time.Millisecond)
		if err == nil {
			require.Equal(t, wire.CodeConnectRate, c)
			refused++
		} else {
			require.ErrorContains(t, err, "still open")
		}
	}
	require.GreaterOrEqual(t, refused, 5)
	require.NoError(t, check())
}

// Publishes beyond the rate are refused one by one, with a delay.
func TestPublishRate(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Limits: gateway.Limits{PublishRate: 3}})
	d := gatewaytest.Join(t, g.Addr(), "d")
	var codes []wire.Code
	for seq := range uint64(10) {
		codes = append(codes, d.Publish(seq+1, "broadcast/a", "x"))
	}
	require.Equal(t, []wire.Code{wire.CodeOK, wire.CodeOK, wire.CodeOK}, codes[:3])
	require.Contains(t, codes, wire.CodePublishRate)
}

// 10 MB go through a window of 16 KiB, as fast as credit comes back; who does not
// wait for it is closed.
func TestCredit(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2, Limits: gateway.Limits{Frame: 4096, PublishCredit: 16 << 10}})
	sub := gatewaytest.Join(t, g.Addr(), "sub")
	sub.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")})
	sub.Stream()
	const size, messages = 2000, 5000
	received := make(chan error, 1)
	go func() {
		for n := range uint64(messages) {
			f, err := sub.Next(gatewaytest.Patience)
			if err != nil {
				received <- err
				return
			}
			m, err := wire.ParseMessage(f.Type, f.Body)
			if err != nil || m.Offset != (n+1)&0xFF {
				received <- errors.Join(err, errors.New(f.Type.String()))
				return
			}
		}
		received <- nil
	}()
	pub := gatewaytest.Connect(t, g.Addr())
	pub.Send(gatewaytest.Hello("pub").Append(nil))
	w, err := wire.ParseWelcome(pub.Expect(wire.TypeWelcome).Body)
	require.NoError(t, err)
	require.EqualValues(t, 16<<10, w.Credit)
	frame := wire.Publish{Name: []byte("broadcast/a"), Payload: make([]byte, size)}.Append(nil)
	credit := w.Credit
	for range messages {
		for credit < uint64(len(frame)) {
			c, err := wire.ParseCredit(pub.Expect(wire.TypeCredit).Body)
			require.NoError(t, err)
			credit += c.Bytes
		}
		credit -= uint64(len(frame))
		pub.Send(frame)
	}
	require.NoError(t, <-received)
	eventually(t, func() bool { return g.Status().CreditUsed == 0 })

	// A frame that no credit can ever cover, and one more than there is.
	greedy := gatewaytest.Join(t, g.Addr(), "greedy")
	greedy.Send(wire.Publish{Name: []byte("broadcast/a"), Payload: make([]byte, 5000)}.Append(nil))
	greedy.ExpectClosed(wire.CodeFrameTooLarge)
}
