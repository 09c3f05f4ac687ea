package gateway_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// Devices that hang up, or reset, while they are being written to cost nobody
// anything (BC-D1): who comes after them has what they held, and gets nothing that
// was theirs. What else keeps a session apart from the one before it cannot be
// seen here for sure, since it takes a send at the moment of the reset:
// TestGoneInTheMiddle plays these moments without sockets.
func TestDisconnectWhileWrittenTo(t *testing.T) {
	bothWays(t, "unlist", "a stranger gets MESSAGE", func(t *testing.T, guard string) error {
		const leavers = 60
		g := gatewaytest.Start(t, gateway.Config{Loops: 2, Limits: gateway.Limits{SendBuffer: 4096}}.Without(guard))
		check := witness(t, g)
		done := make(chan struct{})
		go func() {
			defer close(done)
			payload := make([]byte, 2000)
			for range 1000 {
				_, _ = g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/flood", payload)
			}
		}()
		for i := range leavers {
			d := gatewaytest.Join(t, g.Addr(), fmt.Sprintf("leaver%d", i))
			d.Send(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/flood")}.Append(nil))
			if i%2 == 0 {
				require.NoError(t, d.Conn.(*net.TCPConn).SetLinger(0))
			}
			if i%3 == 0 {
				_, _ = d.Next(time.Second)
			}
			_ = d.Conn.Close()
		}
		<-done
		if err := check(); err != nil {
			return err
		}
		eventually(t, func() bool { return g.Status().Connections == 1 && g.Status().Sessions == 1 })
		require.Zero(t, g.Status().CreditUsed)
		require.Empty(t, sessions(t, g, "broadcast/flood"))

		var strangers []*gatewaytest.Device
		for i := range leavers {
			strangers = append(strangers, gatewaytest.Join(t, g.Addr(), fmt.Sprintf("stranger%d", i)))
		}
		flood(t, g, 1)
		for _, d := range strangers {
			d.Send(wire.AppendPing(nil, nil))
			if f, err := d.Next(gatewaytest.Patience); err != nil || f.Type != wire.TypePong {
				return errors.Join(fmt.Errorf("a stranger gets %s", f.Type), err)
			}
		}
		return check()
	})
}
