package gateway

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// A turn that was interrupted goes on after a hook has panicked for one of its
// sessions: the others get what they are owed.
func TestPanicDuringAnInterruptedWalk(t *testing.T) {
	m := newSim(t, Config{Authorize: func(_ wire.Identity, a Action, _ string) error {
		if a == ActionPublish {
			panic("hook")
		}
		return nil
	}})
	var devices []*simConn
	for i := range 5 {
		c := m.join(0, hello(fmt.Sprint(i)))
		c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
		c.frames()
		devices = append(devices, c)
	}
	m.publish("broadcast/a", []byte("one"))
	l := m.g.loops[0]
	m.late = func() bool { return true }
	l.drain()
	require.True(t, l.run.walking, "the turn was not interrupted")
	devices[2].write(wire.Publish{Name: []byte("broadcast/a")}.Append(nil))
	require.True(t, devices[2].closed)
	m.late = nil
	m.drain()
	for i, c := range devices {
		if i != 2 {
			require.Equal(t, []string{`MESSAGE 1 "one"`}, c.frames(), "device %d", i)
		}
	}
	require.Zero(t, m.g.credit.used.Load())
	require.EqualValues(t, 4, m.g.conns.Load())
}

// A panic in the turn itself loses what was being delivered, but neither the
// loop nor the credit.
func TestPanicInTheTurn(t *testing.T) {
	m := newSim(t, Config{})
	c := m.join(0, hello("a"))
	c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
	c.frames()
	l := m.g.loops[0]
	send := l.send
	l.send = func(int32, []byte) (int, error) { panic("send") }
	m.publish("broadcast/a", []byte("lost"))
	l.guard(nil, l.drain)
	l.send = send
	require.EqualValues(t, 1, l.counters.panics.Load())
	require.True(t, l.busy.Load(), "nobody wakes the loop for the rest")
	m.publish("broadcast/a", []byte("next"))
	m.drain()
	require.Contains(t, c.frames(), `MESSAGE 1 "next"`)
	require.Zero(t, m.g.credit.used.Load())
}

// Sockets that fail in the middle of a walk, at the send or at gnet's write, cost
// their own sessions only, and nothing is sent to a descriptor afterwards.
func TestSocketsFailDuringAWalk(t *testing.T) {
	for _, slow := range []bool{false, true} {
		m := newSim(t, Config{})
		var devices []*simConn
		for i := range 40 {
			c := m.join(0, hello(fmt.Sprint(i)))
			c.write(wire.Subscribe{Sub: 1, NoEcho: i%2 == 0, Filter: []byte("broadcast/a")}.Append(nil))
			c.write(wire.Subscribe{Sub: 2, Filter: []byte("broadcast/#")}.Append(nil))
			c.frames()
			devices = append(devices, c)
		}
		if slow {
			for _, c := range devices {
				c.take(3)
			}
			m.publish("broadcast/a", []byte("zero"))
			m.drain()
		}
		for i, c := range devices {
			c.failed = i%3 == 0
			if slow && !c.failed {
				c.take(-1)
			}
		}
		m.publish("broadcast/a", []byte("one"))
		m.publish("broadcast/b", []byte("two"))
		m.drain()
		for _, c := range devices {
			if c.failed && len(c.out) > 0 {
				_ = c.Close() // gnet finds out when it writes what it has buffered
			}
		}
		m.pass(1)
		alive := 0
		for i, c := range devices {
			if c.failed {
				require.True(t, c.closed, "device %d", i)
				continue
			}
			alive++
			got := c.frames()
			require.Contains(t, got, `MESSAGE 1 "one"`)
			require.Contains(t, got, `MESSAGE 2 "two"`)
		}
		require.EqualValues(t, alive, m.g.conns.Load())
		require.Equal(t, alive, m.g.loops[0].slots.open)
		require.Zero(t, m.g.credit.used.Load())
	}
}

// A device that asks and asks without reading the answers is given up on.
func TestAnswersThatNobodyReads(t *testing.T) {
	m := newSim(t, Config{})
	c := m.join(0, hello("a"))
	c.take(0)
	for range mostItems + 10 {
		c.write(wire.AppendPing(nil, nil))
	}
	m.drain()
	require.True(t, c.closed)
	require.Zero(t, m.g.conns.Load())
}

// Everything that sessions hold is given back: after many have come and gone the
// gateway is as before.
func TestNothingIsLeft(t *testing.T) {
	m := newSim(t, Config{Loops: 2})
	for round := range 20 {
		var devices []*simConn
		for i := range 10 {
			c := m.join(i%2, hello(fmt.Sprint(i)))
			for n, filter := range []string{"broadcast/a", "broadcast/a", "broadcast/#", "broadcast/#", "broadcast/+"} {
				q := wire.Subscribe{Sub: uint32(n + 1), Track: n%2 == 0, Filter: []byte(filter)}
				if n == 1 {
					q.Start = wire.StartKept
				}
				c.write(q.Append(nil))
			}
			c.write(wire.Publish{Name: []byte("broadcast/a"), Payload: []byte("x")}.Append(nil))
			devices = append(devices, c)
		}
		if round%2 == 0 {
			m.drain()
		}
		for _, c := range devices {
			_ = c.Close()
		}
		m.drain()
	}
	topic := m.topic("broadcast/a")
	require.Zero(t, topic.Loops())
	require.False(t, topic.Tracked())
	tot := m.g.totals()
	require.Zero(t, tot.sessions)
	require.Zero(t, tot.subscriptions)
	require.Zero(t, m.g.credit.used.Load())
	for _, l := range m.g.loops {
		require.Zero(t, l.slots.open)
		require.Empty(t, l.behind)
		require.Empty(t, l.replays)
	}
}
