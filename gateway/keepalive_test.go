package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// interval is the keepalive of the devices below, in seconds; after one and a
// half of them, and the second that is under way, silence ends a session.
const (
	interval = 10
	silence  = interval + interval/2 + 1
)

// keepaliveSim is a gateway whose devices may choose short intervals, and the
// HELLO of one that does.
func keepaliveSim(t *testing.T, guard string) (*sim, func(name string) wire.Hello) {
	m := newSim(t, Config{Limits: Limits{KeepaliveMin: time.Second}}.Without(guard))
	return m, func(name string) wire.Hello {
		h := hello(name)
		h.Keepalive = interval
		return h
	}
}

// Only whole frames keep a session: one that sends a byte per second of a large
// PUBLISH is silent [W-3.4]. The device beside it notices nothing. If any byte
// counted, it would stay.
func TestBytesOfAFrameDoNotKeepASession(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		for guard, want := range map[string]bool{"": true, "wholeFrames": false} {
			t.Run(fmt.Sprintf("sealed %v without %q", sealed, guard), func(t *testing.T) {
				m, helloOf := keepaliveSim(t, guard)
				healthy := m.join(0, helloOf("healthy"))
				healthy.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
				healthy.frames()
				offender, write := m.dripping(helloOf("offender"), sealed)

				frame := wire.Publish{Name: []byte("broadcast/a"), Payload: make([]byte, 10_000)}.Append(nil)
				for second := range 5 * silence {
					if !offender.closed {
						write(frame[second : second+1])
					}
					if second%interval == 0 {
						healthy.write(wire.AppendPing(nil, nil))
						require.Equal(t, []string{`PONG ""`}, healthy.frames())
					}
					m.publish("broadcast/a", fmt.Append(nil, second))
					m.pass(1)
					require.Equal(t, []string{fmt.Sprintf("MESSAGE 1 %q", fmt.Sprint(second))}, healthy.frames())
					ended := offender.closed || offender.s.stage == stageClosing
					require.Equal(t, want && second+1 >= silence, ended, "after %d s", second+1)
				}
				closes := m.g.loops[0].counters.closes[wire.CodeKeepaliveMissed].Load()
				require.Equal(t, want, closes == 1)
				require.False(t, healthy.closed)
			})
		}
	}
}

// dripping joins a device, behind the toy transport or without, and returns what
// sends plain bytes for it.
func (m *sim) dripping(h wire.Hello, sealed bool) (*simConn, func([]byte)) {
	if !sealed {
		c := m.join(0, h)
		return c, c.write
	}
	m.g.cfg.newTransport = func() transport { return new(xorTransport) }
	c := &sealedConn{simConn: m.connect(0)}
	m.g.cfg.newTransport = nil
	write := func(plain []byte) { c.write(c.x.Seal(nil, plain)) }
	write(h.Append(nil))
	require.Equal(m.t, stageOpen, c.s.stage)
	return c.simConn, write
}

// Who only reads is silent, whatever it is sent.
func TestReadingIsNotASignOfLife(t *testing.T) {
	m, helloOf := keepaliveSim(t, "")
	c := m.join(0, helloOf("reader"))
	c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
	for range silence - 1 {
		m.publish("broadcast/a", []byte("x"))
		m.pass(1)
		require.Equal(t, stageOpen, c.s.stage)
	}
	c.frames()
	m.pass(1)
	require.Contains(t, c.frames()[0], "CLOSE 0 keepalive missed")
}

// A whole frame that has to wait for the end of a walk counts when it comes.
func TestAFrameThatWaitsKeepsTheSession(t *testing.T) {
	const others, sent = 2 * silence, silence - 2
	m, helloOf := keepaliveSim(t, "")
	for i := range others {
		m.join(0, hello(fmt.Sprint(i))).write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
	}
	c := m.join(0, helloOf("waits"))
	m.publish("broadcast/a", []byte("x"))
	m.late = func() bool { return true }
	l := m.g.loops[0]
	l.drain()
	for second := range silence + 2 {
		if second == sent {
			c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(nil))
			require.Len(t, l.stalled, 1)
		}
		m.g.now.Add(1)
		l.guard(nil, l.tick)
		require.True(t, l.run.walking, "the walk was over after %d s", second)
		require.Equal(t, stageOpen, c.s.stage, "closed after %d s", second)
	}
	m.late = nil
	m.drain()
	require.NotEmpty(t, c.s.subs)
}
