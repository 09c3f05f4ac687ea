package gateway

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// A device that floods with small frames behind a transport makes the gateway
// hold no more than a plain one does: nothing is opened while frames that were
// opened before wait for their turn (MS-17).
func TestSealedFloodIsHeld(t *testing.T) {
	const read, rounds = 8 * kib, 200
	for _, without := range []bool{false, true} {
		cfg := Config{newTransport: func() transport { return &xorTransport{} }}
		cfg.without.openedBound = without
		m := newSim(t, cfg)
		m.late = func() bool { return true }
		c := &sealedConn{simConn: m.connect(0)}
		c.send(hello("a").Append(nil), read)
		var pings []byte
		for len(pings) < read {
			pings = wire.AppendPing(pings, nil)
		}
		most := 0
		for range rounds {
			c.send(pings, 2*read)
			if c.closed {
				break
			}
			c.l.busy.Store(false)
			c.l.guard(nil, c.l.drain)
			c.got = nil
			most = max(most, len(c.s.secure.plain)+len(c.in))
		}
		held := c.l.g.limits.Load().held()
		if without {
			require.False(t, c.closed)
			require.Greater(t, most, 3*held)
			continue
		}
		require.True(t, c.closed, "it sends ahead of what it is given")
		require.Less(t, most, 2*held)
	}
}

// What was opened and waits is handled before what was not: none is lost, none
// overtakes, whatever else comes.
func TestSealedFramesInOrder(t *testing.T) {
	m := newSim(t, Config{newTransport: func() transport { return &xorTransport{} }})
	c := &sealedConn{simConn: m.connect(0)}
	c.send(hello("a").Append(nil), 1000)
	_, _ = c.received()
	const frames = 3000
	var b []byte
	for i := range frames {
		b = wire.AppendPing(b, []byte{byte(i >> 8), byte(i)})
		if len(b) > 2000 {
			c.send(b, 700)
			b = nil
		}
	}
	c.send(b, 700)
	m.drain()
	got, _ := c.received()
	require.Len(t, got, frames)
	for i := range got {
		require.Equal(t, got[0][:4], got[i][:4])
	}
	require.Empty(t, c.in)
	require.Empty(t, c.s.secure.plain)
}

// chattyTransport answers each Open, as TLS does a device that asks for new keys.
type chattyTransport struct {
	xorTransport
	owed int
}

func (x *chattyTransport) Open(dst, cipher []byte) ([]byte, error) {
	x.owed += 1000
	return x.xorTransport.Open(dst, cipher)
}

func (x *chattyTransport) Answer(dst []byte) []byte {
	dst = append(dst, make([]byte, x.owed)...)
	x.owed = 0
	return dst
}

// What a transport has to say to a device that does not read is bounded: it is
// buffered as long as the device asks, and so never counts as stuck (MS-17).
func TestTransportAnswersAreBounded(t *testing.T) {
	for _, without := range []bool{false, true} {
		cfg := Config{newTransport: func() transport { return &chattyTransport{} }}
		cfg.without.answerBound = without
		m := newSim(t, cfg)
		c := &sealedConn{simConn: m.connect(0)}
		c.send(hello("a").Append(nil), 1000)
		c.take(0)
		most, size := 0, c.l.g.limits.Load().pendingAnswers()
		for range 2 * size / 1000 {
			c.send(wire.AppendPong(nil, nil), 1000)
			most = max(most, len(c.out))
		}
		require.Equal(t, !without, c.closed)
		require.Equal(t, without, most > size+kib)
		require.Equal(t, map[bool]int64{true: 1}[without], m.g.conns.Load())
	}
}

// endingTransport says at once that nothing more will come.
type endingTransport struct{ xorTransport }

func (x *endingTransport) Open(dst, cipher []byte) ([]byte, error) {
	dst, err := x.xorTransport.Open(dst, cipher)
	if err == nil && len(dst) > kib {
		err = io.EOF
	}
	return dst, err
}

// What a device published before it ended its TLS stream counts, as it does for one
// that hangs up.
func TestSealedLastBreath(t *testing.T) {
	const messages = 1000
	for _, without := range []bool{false, true} {
		cfg := Config{newTransport: func() transport { return &endingTransport{} }}
		cfg.without.lastFrames = without
		m := newSim(t, cfg)
		c := &sealedConn{simConn: m.connect(0)}
		c.send(hello("a").Append(nil), 1000)
		before := m.topic("broadcast/a").Stream().Next()
		var b []byte
		for range messages {
			b = wire.Publish{Name: []byte("broadcast/a"), Payload: []byte("x")}.Append(b)
		}
		c.send(b, 1<<20)
		require.True(t, c.closed)
		require.Equal(t, !without, m.topic("broadcast/a").Stream().Next() == before+messages)
	}
}
