package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// taken is what a device got on one connection.
type taken struct {
	ends    []int // bytes up to the end of each frame
	offsets []uint64
	life    wire.Life
}

// take resumes behind a position and reads until it has everything, or until the
// connection ends.
func take(t *testing.T, d *gatewaytest.Device, topic string, life wire.Life, had, messages uint64) (got taken, err error) {
	q := wire.Subscribe{Sub: 1, Track: true, Start: wire.StartCursor, Filter: []byte(topic), Cursor: wire.Cursor{}}
	if had > 0 {
		q.Cursor = q.Cursor.AppendPosition(wire.Position{Life: life, Offset: had})
	}
	d.Send(q.Append(gatewaytest.Hello("cut").Append(nil)))
	next, total := uint64(0), 0
	for {
		f, err := d.Next(gatewaytest.Patience)
		if err != nil {
			return got, nil
		}
		total += 1 + wire.VarintLen(uint64(len(f.Body))) + len(f.Body)
		got.ends = append(got.ends, total)
		switch f.Type.Base() {
		case wire.TypeStream:
			s, err := wire.ParseStream(f.Body)
			require.NoError(t, err)
			next, got.life = s.Next, s.Life
		case wire.TypeMessage:
			m, err := wire.ParseMessage(f.Type, f.Body)
			require.NoError(t, err)
			if m.Offset <= had {
				return got, fmt.Errorf("%d came twice", m.Offset)
			}
			require.Equal(t, next, m.Offset)
			next++
			got.offsets, had = append(got.offsets, m.Offset), m.Offset
		case wire.TypeGap:
			return got, errors.New("a gap")
		}
		if had == messages && f.Type == wire.TypeLive {
			return got, nil
		}
	}
}

// Cut at every frame boundary of a session, a device that resumes has everything
// exactly once (BC-D2) [W-6.6] [W-6.8].
func TestCutAtEveryFrame(t *testing.T) {
	bothWays(t, "cursor", "came twice", func(t *testing.T, guard string) error {
		const messages = 8
		topic := "broadcast/cut"
		g := gatewaytest.Start(t, gateway.Config{Loops: 2}.Without(guard))
		check := witness(t, g)
		for i := range messages {
			_, err := g.Publish(t.Context(), gateway.DefaultTenant, topic, fmt.Appendf(nil, "message %d", i))
			require.NoError(t, err)
		}
		all, err := take(t, gatewaytest.Connect(t, g.Addr()), topic, 0, 0, messages)
		require.NoError(t, err)
		require.Len(t, all.offsets, messages)
		for _, end := range all.ends[:len(all.ends)-1] {
			p := gatewaytest.NewProxy(t, g.Addr())
			p.CutAfter(end)
			before, err := take(t, gatewaytest.Connect(t, p.Addr()), topic, 0, 0, messages)
			require.NoError(t, err)
			after, err := take(t, gatewaytest.Connect(t, g.Addr()), topic, before.life, uint64(len(before.offsets)), messages)
			if err != nil {
				return fmt.Errorf("cut after %d bytes: %w", end, err)
			}
			require.Equal(t, all.offsets, slices.Concat(before.offsets, after.offsets), "cut after %d bytes", end)
		}
		return check()
	})
}

// A stalled link delays one device, and loses nothing: what the socket does not
// take waits. Without the guard the device gets the beginning of a frame and then
// another one.
func TestStalledLink(t *testing.T) {
	bothWays(t, "rest", "after the stall", func(t *testing.T, guard string) error {
		const messages = 300 // more than the buffers on the way hold
		g := gatewaytest.Start(t, gateway.Config{Limits: gateway.Limits{SendBuffer: 4096, PendingBytes: 8 << 20}}.Without(guard))
		check := witness(t, g)
		p := gatewaytest.NewProxy(t, g.Addr())
		d := gatewaytest.Join(t, p.Addr(), "far")
		d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/flood")})
		p.Stall(true)
		flood(t, g, messages)
		if err := check(); err != nil {
			return err
		}
		behind := sessions(t, g, "broadcast/flood")
		require.Len(t, behind, 1)
		require.Positive(t, behind[0].PendingBytes, "the link holds everything: nothing was stalled")
		p.Stall(false)
		for n := range messages {
			f, err := d.Next(gatewaytest.Patience)
			if err != nil || f.Type.Base() != wire.TypeMessage || len(f.Body) < 10_000 {
				return fmt.Errorf("message %d after the stall: %s of %d bytes: %w", n, f.Type, len(f.Body), err)
			}
		}
		p.Cut()
		_, err := d.Next(gatewaytest.Patience)
		require.ErrorIs(t, err, io.EOF)
		eventually(t, func() bool { return g.Status().Sessions == 1 })
		return check()
	})
}
