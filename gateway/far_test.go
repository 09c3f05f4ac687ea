package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

const keptLife = wire.Life(0xABCD)

// keeperStub keeps the messages of the topic orders/kept, at every third offset.
type keeperStub struct {
	centralStub
	mu    sync.Mutex
	kept  int // messages
	lost  int // of these, the first ones are not there any more
	fails bool
}

func (k *keeperStub) Bound(_, topic string) (wire.Position, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return wire.Position{Life: keptLife, Offset: offsetOf(k.kept)}, topic == "orders/kept"
}

// offsetOf is the position of the nth message.
func offsetOf(n int) uint64 { return uint64(3 * n) }

func (k *keeperStub) Replay(_ context.Context, _, _ string, from wire.Position, most int, fn func(uint64, []byte) bool) (wire.Position, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails {
		return from, false, errors.New("away")
	}
	whole := from.Offset >= offsetOf(k.lost)
	for n := k.lost + 1; n <= k.kept; n++ {
		if offsetOf(n) <= from.Offset {
			continue
		}
		if most--; most < 0 || !fn(offsetOf(n), fmt.Appendf(nil, "kept %d", n)) {
			return wire.Position{Life: keptLife, Offset: offsetOf(n - 1)}, whole, nil
		}
	}
	return wire.Position{Life: keptLife, Offset: max(from.Offset, offsetOf(k.kept))}, whole, nil
}

func (k *keeperStub) publish(t *testing.T, g *gateway.Gateway) {
	t.Helper()
	k.mu.Lock()
	k.kept++
	n := k.kept
	k.mu.Unlock()
	require.NoError(t, g.FromCentral(t.Context(), gateway.DefaultTenant, "orders/kept", wire.Position{Life: keptLife, Offset: offsetOf(n)}, fmt.Appendf(nil, "kept %d", n)))
}

// A topic that is bound to a stream of the central service is counted by the stream's
// sequence, and a device resumes it from there, pages and pages of it, at a gateway
// that has never seen it [W-6.3].
func TestBoundTopicIsResumed(t *testing.T) {
	k := &keeperStub{kept: 500}
	g := gatewaytest.Start(t, gateway.Config{Central: k, Loops: 2})
	d := gatewaytest.Join(t, g.Addr(), "d")
	cursor := wire.Cursor{}.AppendPosition(wire.Position{Life: keptLife, Offset: offsetOf(100)})
	require.Equal(t, wire.CodeOK, subscribed(t, d, wire.Subscribe{Sub: 1, Filter: []byte("orders/kept"), Track: true, Start: wire.StartCursor, Cursor: cursor}).Code)
	s := d.Stream()
	require.Equal(t, keptLife, s.Life)
	require.EqualValues(t, wire.StreamSparse, s.Flags)
	require.EqualValues(t, offsetOf(100)+1, s.Next)
	for range 10 {
		k.publish(t, g) // while it is being replayed
	}
	last, live := uint64(0), false
	for last < offsetOf(510) {
		f, err := d.Next(gatewaytest.Patience)
		require.NoError(t, err)
		if f.Type == wire.TypeLive {
			live = true
			continue
		}
		if f.Type == wire.TypeStream {
			continue
		}
		m, err := wire.ParseMessage(f.Type, f.Body)
		require.NoError(t, err)
		if m.Offset <= last {
			continue // twice, as the protocol allows
		}
		require.Equal(t, max(last, offsetOf(100))+3, m.Offset)
		require.Equal(t, fmt.Sprintf("kept %d", m.Offset/3), string(m.Payload))
		require.Equal(t, s.Origin, m.Origin)
		last = m.Offset
	}
	if !live {
		d.Expect(wire.TypeLive)
	}
	k.publish(t, g)
	require.EqualValues(t, offsetOf(511), next(t, d).Offset)
}

// What the stream does not keep any more, or cannot be read, is announced in its place;
// then the subscription goes on.
func TestBoundTopicSaysWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		stub   *keeperStub
		reason wire.Reason
		after  []int
	}{
		"not kept": {&keeperStub{kept: 5, lost: 3}, wire.ReasonNotKept, []int{4, 5}},
		"away":     {&keeperStub{kept: 5, fails: true}, wire.ReasonCentral, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gateway.Config{Central: c.stub})
			d := gatewaytest.Join(t, g.Addr(), "d")
			subscribed(t, d, wire.Subscribe{Sub: 1, Filter: []byte("orders/kept"), Track: true, Start: wire.StartCursor, Cursor: wire.Cursor{}})
			id := d.Stream()
			require.Equal(t, wire.Gap{Topic: id.Topic, Origin: id.Origin, Reason: c.reason}, d.Gap())
			require.Greater(t, d.Stream().Next, uint64(1))
			for _, n := range c.after {
				require.EqualValues(t, offsetOf(n), d.Message().Offset)
			}
			d.Expect(wire.TypeLive)
			c.stub.publish(t, g)
			require.EqualValues(t, offsetOf(6), next(t, d).Offset)
		})
	}
}

// When the stream is deleted its devices hear that it begins anew.
func TestBoundTopicEnds(t *testing.T) {
	k := &keeperStub{kept: 1}
	g := gatewaytest.Start(t, gateway.Config{Central: k})
	d := gatewaytest.Join(t, g.Addr(), "d")
	subscribed(t, d, wire.Subscribe{Sub: 1, Filter: []byte("orders/kept"), Track: true})
	s := d.Stream()
	g.CentralEnded(keptLife)
	end, err := wire.ParseEnd(d.Expect(wire.TypeEnd).Body)
	require.NoError(t, err)
	require.Equal(t, wire.End{Origin: s.Origin, How: wire.EndRestarted}, end)
}
