package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// publish publishes to broadcast/a.
func publish(t *testing.T, g *gateway.Gateway, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		_, err := g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/a", []byte(p))
		require.NoError(t, err)
	}
}

// A device that comes back to the same gateway is replayed what it missed, whole,
// then LIVE, then goes on; what the ring no longer holds is announced (BC-D2).
func TestResume(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2, Limits: gateway.Limits{RingMessages: 4}})
	first := gatewaytest.Join(t, g.Addr(), "d")
	first.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")})
	s := first.Stream()
	publish(t, g, "1")
	first.Message()
	require.NoError(t, first.Conn.Close())
	publish(t, g, "2", "3", "4")

	had := wire.Cursor{}.AppendPosition(wire.Position{Life: s.Life, Offset: 1})
	q := wire.Subscribe{Sub: 1, Track: true, Start: wire.StartCursor, Cursor: had, Filter: []byte("broadcast/a")}
	back := gatewaytest.Join(t, g.Addr(), "d")
	back.Subscribe(q)
	require.EqualValues(t, 2, back.Stream().Next)
	for _, want := range []string{"2", "3", "4"} {
		m := back.Message()
		require.Equal(t, want, string(m.Payload))
		require.Equal(t, want, fmt.Sprint(m.Offset))
		require.Equal(t, wire.OffsetFull, m.Form)
	}
	back.Expect(wire.TypeLive)
	publish(t, g, "5", "6")
	require.Equal(t, "5", string(back.Message().Payload))
	require.Equal(t, "6", string(back.Message().Payload))

	overtaken := gatewaytest.Join(t, g.Addr(), "other")
	overtaken.Subscribe(q)
	require.EqualValues(t, 2, overtaken.Stream().Next)
	require.Equal(t, wire.Gap{Topic: 1, Origin: 1, Reason: wire.ReasonNotKept, Count: 1}, overtaken.Gap())
	for _, want := range []string{"3", "4", "5", "6"} {
		require.Equal(t, want, string(overtaken.Message().Payload))
	}
	overtaken.Expect(wire.TypeLive)
}

// A gateway that was started anew has another life; the cursor of the old one is
// of no use there, and what is kept is replayed from the beginning.
func TestResumeAtAnotherLife(t *testing.T) {
	old := gatewaytest.Start(t, gateway.Config{})
	d := gatewaytest.Join(t, old.Addr(), "d")
	d.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")})
	s := d.Stream()
	require.NoError(t, old.Close())

	g := gatewaytest.Start(t, gateway.Config{})
	publish(t, g, "new")
	d = gatewaytest.Join(t, g.Addr(), "d")
	d.Subscribe(wire.Subscribe{
		Sub: 1, Track: true, Start: wire.StartCursor, Filter: []byte("broadcast/a"),
		Cursor: wire.Cursor{}.AppendPosition(wire.Position{Life: s.Life, Offset: 17}),
	})
	again := d.Stream()
	require.NotEqual(t, s.Life, again.Life)
	require.EqualValues(t, 1, again.Next)
	require.Equal(t, "new", string(d.Message().Payload))
	d.Expect(wire.TypeLive)
}

// read is what a tracking device gets until a position, which it counts.
func read(t *testing.T, d *gatewaytest.Device, from, to uint64) (messages, missing int) {
	t.Helper()
	for from < to {
		f, err := d.Next(gatewaytest.Patience)
		require.NoError(t, err)
		switch f.Type.Base() {
		case wire.TypeMessage:
			m, err := wire.ParseMessage(f.Type, f.Body)
			require.NoError(t, err)
			require.Equal(t, byte(from), byte(m.Offset), "out of place")
			from++
			messages++
		case wire.TypeGap:
			gap, err := wire.ParseGap(f.Body)
			require.NoError(t, err)
			from += gap.Count
			missing += int(gap.Count)
		case wire.TypeStream:
			s, err := wire.ParseStream(f.Body)
			require.NoError(t, err)
			require.Equal(t, from, s.Next)
		default:
			require.Fail(t, "unexpected", "%s", f.Type)
		}
	}
	require.Equal(t, to, from)
	return messages, missing
}

// Three devices stop reading, each with another policy: a healthy one beside them
// gets all at once, the lossless one gets all later, the others what they asked
// for, and every position is accounted for (BC-D6).
func TestPoliciesEndToEnd(t *testing.T) {
	const messages, size = 200, 10_000
	g := gatewaytest.Start(t, gateway.Config{Loops: 1, Limits: gateway.Limits{SendBuffer: 4096, RingBytes: 4 << 20}})
	slow := map[wire.Policy]*gatewaytest.Device{}
	for _, p := range []wire.Policy{wire.DropOldest, wire.LatestOnly, wire.Lossless} {
		d := gatewaytest.Join(t, g.Addr(), p.String()).Slow()
		d.Subscribe(wire.Subscribe{Sub: 1, Track: true, Policy: p, Filter: []byte("broadcast/flood")})
		d.Stream()
		slow[p] = d
	}
	healthy := gatewaytest.Join(t, g.Addr(), "healthy")
	healthy.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/flood")})
	healthy.Stream()
	for range messages {
		flood(t, g, 1)
		m := healthy.Message()
		require.Len(t, m.Payload, size)
	}
	got, missing := read(t, slow[wire.Lossless], 1, messages+1)
	require.Equal(t, messages, got)
	require.Zero(t, missing)
	oldest, gone := read(t, slow[wire.DropOldest], 1, messages+1)
	require.NotZero(t, gone)
	latest, gone := read(t, slow[wire.LatestOnly], 1, messages+1)
	require.NotZero(t, gone)
	require.Less(t, latest, oldest, "only the newest waits")
	require.Equal(t, "200", metrics(t, g)["bellwire_published_inside_total"])
	require.NotEqual(t, "0", metrics(t, g)["bellwire_dropped_total"])
	// They keep up again.
	time.Sleep(50 * time.Millisecond)
	flood(t, g, 1)
	for _, d := range slow {
		read(t, d, messages+1, messages+2)
	}
}
