package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// drained is what a device got of each topic by the time it has read everything.
type drained struct {
	messages map[wire.TopicID]int
	gaps     map[wire.TopicID]map[wire.Reason]int
}

// drainSlow lets a device that was slow read all that waits for it.
func (m *sim) drainSlow(c *simConn) drained {
	m.t.Helper()
	d := drained{map[wire.TopicID]int{}, map[wire.TopicID]map[wire.Reason]int{}}
	c.take(-1)
	for m.pass(1); c.s.out != nil && !c.closed; m.pass(1) {
		c.take(-1)
	}
	for {
		f, ok := c.next()
		if !ok {
			return d
		}
		switch f.t.Base() {
		case wire.TypeMessage:
			msg, err := wire.ParseMessage(f.t, f.body)
			require.NoError(m.t, err)
			d.messages[msg.Topic]++
		case wire.TypeGap:
			g, err := wire.ParseGap(f.body)
			require.NoError(m.t, err)
			if d.gaps[g.Topic] == nil {
				d.gaps[g.Topic] = map[wire.Reason]int{}
			}
			d.gaps[g.Topic][g.Reason] += int(g.Count)
		default:
		}
	}
}

// slowDevice has subscribed to everything, and its socket takes nothing more.
func (m *sim) slowDevice(h wire.Hello, policy wire.Policy) *simConn {
	m.t.Helper()
	c := m.join(0, h)
	c.write(wire.Subscribe{Sub: 1, Track: true, Policy: policy, Filter: []byte("broadcast/#")}.Append(nil))
	c.frames()
	c.take(0)
	return c
}

// What waits for one session by default.
const (
	mostMessages = 2048
	mostItems    = itemsPerMessage * mostMessages
)

func topicNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("broadcast/t%d", i))
	}
	return names
}

// What waits is bounded also when all of it is gaps of many topics, whose messages
// are too big for the device: it keeps its session, and nothing is uncounted [W-6.4].
func TestOnlyGapsWait(t *testing.T) {
	const rounds = 150
	names := topicNames(128) // more than merging looks back
	m := newSim(t, Config{})
	h := hello("small")
	h.Recv, h.Names = wire.MinFrameLog, 1000
	c := m.slowDevice(h, wire.DropOldest)
	big := make([]byte, 300)
	for range rounds {
		for _, name := range names {
			m.publish(name, big)
		}
		m.drain()
		require.False(t, c.closed)
		require.LessOrEqual(t, len(c.s.out.items), mostItems)
	}
	got := m.drainSlow(c)
	require.False(t, c.closed)
	require.Len(t, got.gaps, len(names))
	for id, gaps := range got.gaps {
		require.Equal(t, map[wire.Reason]int{wire.ReasonTooBig: rounds}, gaps, "topic %d", id)
	}
}

// Small messages are dropped by their number, long before their bytes would count:
// the session stays, and gets the newest.
func TestSmallMessagesAreDropped(t *testing.T) {
	const published = 3 * mostItems
	m := newSim(t, Config{})
	c := m.slowDevice(hello("d"), wire.DropOldest)
	for i := range published {
		m.publish("broadcast/x", make([]byte, 16))
		if i%1000 == 999 {
			m.drain()
			require.False(t, c.closed)
			require.LessOrEqual(t, c.s.out.messages, mostMessages)
			require.LessOrEqual(t, len(c.s.out.items), mostItems)
		}
	}
	m.drain()
	got := m.drainSlow(c)
	require.False(t, c.closed)
	// What gnet had taken over before cannot be dropped any more.
	require.GreaterOrEqual(t, got.messages[1], mostMessages)
	require.Less(t, got.messages[1], mostMessages+1500)
	require.Equal(t, published, got.messages[1]+got.gaps[1][wire.ReasonSlow])
}

// Of each topic only the newest waits, however many topics there are.
func TestOnlyTheNewestWaits(t *testing.T) {
	const rounds = 200
	names := topicNames(100)
	m := newSim(t, Config{})
	c := m.slowDevice(hello("d"), wire.LatestOnly)
	for range rounds {
		for _, name := range names {
			m.publish(name, make([]byte, 40))
		}
		m.drain()
		require.False(t, c.closed)
		require.LessOrEqual(t, c.s.out.messages, len(names))
		require.LessOrEqual(t, len(c.s.out.items), mostItems)
	}
	got := m.drainSlow(c)
	require.False(t, c.closed)
	require.Len(t, got.messages, len(names))
	for id, n := range got.messages {
		require.LessOrEqual(t, n, 2, "topic %d", id) // one that gnet had, and the newest
		require.Equal(t, map[wire.Reason]int{wire.ReasonSuperseded: rounds - n}, got.gaps[id], "topic %d", id)
	}
}

// A device that reads steadily is not stuck, though gnet's buffer shows nothing of
// it while the kernel's queue empties; one that reads nothing is. Without a look at
// the kernel's queue, or without the guard, it would be otherwise.
func TestSlowIsNotStuck(t *testing.T) {
	const perSecond = 1000
	for name, c := range map[string]struct {
		reads, blind bool
		without      guards
		closed       bool
	}{
		"reads slowly":                       {reads: true},
		"reads nothing":                      {closed: true},
		"reads slowly, and nobody looks":     {reads: true, blind: true, closed: true},
		"reads nothing, and is never closed": {without: guards{stuckClose: true}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newSim(t, Config{Limits: Limits{StuckAfter: 2 * time.Second}, without: c.without})
			d := m.slowDevice(hello("d"), wire.DropOldest)
			kernel := 64 * kib
			m.g.loops[0].unsent = func(int32) int {
				if c.blind {
					return 0
				}
				return kernel
			}
			for range 10 {
				m.publish("broadcast/x", make([]byte, 10_000))
				if c.reads {
					kernel -= perSecond
				}
				m.pass(1)
			}
			require.Equal(t, c.closed, d.closed)
			if c.closed {
				require.Zero(t, m.g.conns.Load())
				require.EqualValues(t, 1, m.g.loops[0].counters.closes[wire.CodeSlow].Load())
			}
		})
	}
}

// Gaps that merging could not join, because too many others stand between,
// are joined before the session is given up.
func TestSqueezeKeepsEveryPosition(t *testing.T) {
	topics := make([]fanout.Topic, 3*mergeReach)
	var o outbound
	for range 5 {
		for i := range topics {
			o.pushGap(&topics[i], wire.TopicID(i+1), ownOrigin, wire.ReasonTooBig, 2)
		}
	}
	require.Greater(t, len(o.items), len(topics), "merging joined everything itself")
	o.squeeze()
	require.Len(t, o.items, len(topics))
	for i, it := range o.items {
		require.Equal(t, wire.TopicID(i+1), it.id)
		require.EqualValues(t, 10, it.count)
	}
	// A control frame sets positions anew: gaps on its two sides stay apart.
	o.push(item{kind: itemControl, frame: []byte{1}})
	o.pushGap(&topics[0], 1, ownOrigin, wire.ReasonTooBig, 1)
	o.squeeze()
	require.Len(t, o.items, len(topics)+2)
}
