package gateway

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// BC-12: a session is not granted more in the middle of a walk: its group was told
// the topic before it was of those who are.
func TestNoGrantWithinAWalk(t *testing.T) {
	m := newSim(t, Config{Policy: policyOf(t, allowAll, denySecret)})
	l := m.g.loops[0]
	for n := range slotChunk {
		m.join(0, hello(fmt.Sprint(n)))
	}
	wild := wire.Subscribe{Filter: []byte("broadcast/#")}
	late := []*simConn{m.subscribed("late1", wild), m.subscribed("late2", wild)}
	m.publish("broadcast/secret/x", []byte("1"))
	m.drain()
	require.NoError(t, m.g.Reload(Config{}))
	m.beginPass()
	require.True(t, l.late(late[0].s))
	m.publish("broadcast/secret/x", []byte("2"))
	m.late = func() bool { return true }
	l.drain()
	require.True(t, l.run.walking)
	m.late = nil
	l.tick()
	m.drain()
	require.False(t, l.checking)
	m.publish("broadcast/secret/x", []byte("3"))
	m.drain()
	for _, c := range late {
		require.Equal(t, []string{"TOPIC 1 broadcast/secret/x", `MESSAGE 1 "3"`}, c.frames())
	}
}

// BC-12: a replay does not read ahead for a socket that turns out to be full, where
// it would be out of reach when the topic is revoked.
func TestReplayWaitsForTheSocket(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	for n := range 3 {
		m.publish("broadcast/secret/x", fmt.Append(nil, "canary", n))
	}
	m.drain()
	c := m.join(0, hello("c"))
	c.write(wire.Subscribe{Sub: 1, Start: wire.StartKept, Filter: []byte("broadcast/secret/x")}.Append(nil))
	require.Equal(t, []string{"SUBSCRIBED 1 ok id 1"}, c.frames())
	c.take(0)
	l.say(c.s, []byte{byte(wire.TypePing), 0})
	sl := l.slice()
	l.catchUp(&sl)
	m.reload(allowAll, denySecret)
	c.take(-1)
	m.drain()
	require.Equal(t, []string{"PING ", "UNSUBSCRIBED 1 not granted"}, c.frames())
}
