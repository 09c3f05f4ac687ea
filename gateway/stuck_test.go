package gateway_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// stuck is a gateway whose devices fall behind soon, and one that never reads.
func stuck(t *testing.T, lim gateway.Limits, guard string, q wire.Subscribe) (*gateway.Gateway, *gatewaytest.Device) {
	lim.SendBuffer = 4096
	g := gatewaytest.Start(t, gateway.Config{Loops: 1, Limits: lim}.Without(guard))
	d := gatewaytest.Join(t, g.Addr(), "stuck").Slow()
	q.Sub, q.Filter = 1, []byte("broadcast/flood")
	d.Subscribe(q)
	return g, d
}

func flood(t *testing.T, g *gateway.Gateway, n int) {
	t.Helper()
	payload := make([]byte, 10_000)
	for range n {
		_, err := g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/flood", payload)
		require.NoError(t, err)
	}
}

// A device that never reads holds no more than its bound, is closed after a
// while, and delays nobody (BC-D6).
func TestNeverReads(t *testing.T) {
	bothWays(t, "stuckClose", "still connected", func(t *testing.T, guard string) error {
		g, _ := stuck(t, gateway.Limits{StuckAfter: time.Second}, guard, wire.Subscribe{})
		check := witness(t, g)
		flood(t, g, 100)
		for end := time.Now().Add(4 * time.Second); g.Status().Sessions > 1; {
			if time.Now().After(end) {
				return errors.New("still connected")
			}
			if err := check(); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
		return check()
	})
}

func TestPendingIsBounded(t *testing.T) {
	const most = 64 << 10
	bothWays(t, "slowPolicy", "pending bytes", func(t *testing.T, guard string) error {
		g, d := stuck(t, gateway.Limits{PendingBytes: most}, guard, wire.Subscribe{Track: true})
		d.Expect(wire.TypeStream)
		check := witness(t, g)
		flood(t, g, 200)
		if err := check(); err != nil {
			return err
		}
		for _, row := range sessions(t, g, "broadcast/flood") {
			if row.PendingBytes > most {
				return fmt.Errorf("%d pending bytes", row.PendingBytes)
			}
		}
		// It reads again: what was dropped lies in a GAP in its place.
		position := uint64(1)
		for position <= 200 {
			f, err := d.Next(gatewaytest.Patience)
			if err != nil {
				return err
			}
			switch f.Type.Base() {
			case wire.TypeGap:
				gap, err := wire.ParseGap(f.Body)
				require.NoError(t, err)
				require.Equal(t, wire.ReasonSlow, gap.Reason)
				position += gap.Count
			case wire.TypeMessage:
				m, err := wire.ParseMessage(f.Type, f.Body)
				require.NoError(t, err)
				require.Equal(t, byte(position), byte(m.Offset))
				position++
			}
		}
		if g.Status().Dropped == 0 {
			return errors.New("nothing was dropped")
		}
		return nil
	})
}
