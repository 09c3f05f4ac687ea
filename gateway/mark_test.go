package gateway

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// Answers that are given while a walk is suspended do not pile up until it is
// done, and what was gathered before them stays.
func TestAnswersDoNotPileUpInAWalk(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	var subs []*simConn
	for i := range 4 {
		c := m.join(0, hello(fmt.Sprint(i)))
		c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
		c.frames()
		subs = append(subs, c)
	}
	pings := m.join(0, hello("pings"))
	looks := 0
	m.late = func() bool { looks++; return looks == 2 }
	m.publish("broadcast/other", nil)
	m.publish("broadcast/x", []byte("1"))
	m.publish("broadcast/x", []byte("2"))
	subs[3].write(wire.AppendPing(nil, nil)) // one of the subscribers answers in between, too
	l.drain()
	require.True(t, l.run.walking, "the walk was not interrupted")
	dirty, nodes, arena := len(l.dirty), len(l.nodes), len(l.arena)
	for range 100 {
		pings.write(wire.AppendPing(nil, []byte("12345678")))
		subs[0].write(wire.AppendPing(nil, nil))
		subs[3].write(wire.AppendPing(nil, nil))
	}
	require.Equal(t, dirty, len(l.dirty))
	require.Equal(t, nodes, len(l.nodes))
	require.Equal(t, arena, len(l.arena))
	m.late = nil
	m.drain()
	require.Len(t, pings.frames(), 100)
	for i, c := range subs {
		var got []string
		for f, ok := c.next(); ok; f, ok = c.next() {
			if f.t.Base() == wire.TypeMessage {
				msg, err := wire.ParseMessage(f.t, f.body)
				require.NoError(t, err)
				got = append(got, string(msg.Payload))
			}
		}
		require.Equal(t, []string{"1", "2"}, got, "device %d", i)
	}
	require.Empty(t, l.dirty)
	require.Empty(t, l.arena)
}

// Bad hellos during a walk are freed as well, although their sessions are gone.
func TestRefusalsDoNotPileUpInAWalk(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	for i := range 3 {
		c := m.join(0, hello(fmt.Sprint(i)))
		c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
	}
	m.late = func() bool { return true }
	m.publish("broadcast/x", nil)
	l.drain()
	require.True(t, l.run.walking, "the walk was not interrupted")
	for range 100 {
		c := m.connect(0)
		c.write(wire.AppendPing(nil, nil))
		require.NoError(t, c.Close())
	}
	require.Empty(t, l.dirty)
	require.Empty(t, l.arena)
	require.Len(t, l.nodes, 1)
}
