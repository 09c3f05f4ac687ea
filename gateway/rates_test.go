package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

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

// 10 MB go through a window of 16 KiB, as fast as credit comes back [W-5.3].
func TestCredit(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2, Limits: gateway.Limits{
		Frame: 4096, PublishCredit: 16 << 10, PendingBytes: 16 << 20, PendingMessages: 5000, // the reader may be slow
	}})
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
}
