package gateway

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// sim is a gateway without sockets, goroutines and clock: loops are drained by
// hand, seconds pass by hand, and a connection takes as much as its test says.
type sim struct {
	t     testing.TB
	g     *Gateway
	conns map[int32]*simConn
	fds   int32

	// late is asked whenever a loop looks whether its turn is over; nil: never.
	late func() bool
}

// firstSimFD is far above any descriptor of this process, so that what the
// gateway does to it by system calls fails.
const firstSimFD = 1 << 30

func newSim(t testing.TB, cfg Config) *sim {
	t.Helper()
	if cfg.Loops == 0 {
		cfg.Loops = 1
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g, err := New(cfg)
	require.NoError(t, err)
	m := &sim{t: t, g: g, conns: map[int32]*simConn{}, fds: firstSimFD}
	for _, l := range g.loops {
		l.ev = simLoop{sim: m}
		l.send = m.send
		l.unsent = func(int32) int { return 0 }
		l.stride = 1
		begin := time.Unix(0, 0)
		l.clock = func() time.Time {
			if m.late != nil && m.late() {
				begin = begin.Add(sliceTime)
			}
			return begin
		}
	}
	return m
}

// connect opens a connection on a loop; it takes everything until told otherwise.
func (m *sim) connect(loop int) *simConn { return m.connectFrom(loop, net.IPv4(127, 0, 0, 1)) }

// connectFrom is connect of a device with that address.
func (m *sim) connectFrom(loop int, from net.IP) *simConn {
	m.fds++
	l := m.g.loops[loop]
	c := &simConn{m: m, l: l, fd: m.fds, ip: from, room: -1}
	m.conns[c.fd] = c
	s, refusal := l.opened(c, int(c.fd))
	if s == nil {
		c.got, c.closed = refusal, true
		return c
	}
	c.s = s
	return c
}

// hello is a HELLO of a device with that name.
func hello(name string) wire.Hello {
	return wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: 16, Flags: wire.HelloTracks, Names: 100,
		Incarnation: 1, Method: wire.AuthToken, Auth: []byte(name),
	}
}

// join is connect, HELLO, and WELCOME taken.
func (m *sim) join(loop int, h wire.Hello) *simConn {
	m.t.Helper()
	c := m.connect(loop)
	c.write(h.Append(nil))
	require.Equal(m.t, wire.TypeWelcome, c.frame().t)
	return c
}

// joinAs is a session of a proven identity; p is what proved it, or nil.
func (m *sim) joinAs(h wire.Hello, id wire.Identity, p *secure.Proof) *simConn {
	m.t.Helper()
	c := m.connect(0)
	c.l.guard(c.s, func() {
		c.l.slots.at(c.s.n).recv = h.Recv
		c.l.proven(c.s, h, id, p, nil)
		c.l.flushOne(c.s)
	})
	require.Equal(m.t, wire.TypeWelcome, c.frame().t)
	return c
}

// drain lets every loop work until nothing is left to do but wait.
func (m *sim) drain() {
	for range 10_000 {
		for _, l := range m.g.loops {
			l.busy.Store(false)
			l.guard(nil, l.drain)
		}
		idle := true // only now: a later loop may have posted to an earlier one
		for _, l := range m.g.loops {
			idle = idle && l.idle() && (len(l.replays) == 0 || !l.anyReplayReady()) && len(l.dirty) == 0 && len(l.waiting) == 0 && !l.checking
		}
		if idle {
			return
		}
	}
	m.t.Fatal("the loops do not come to rest")
}

// pass lets seconds pass, one after the other.
func (m *sim) pass(seconds int) {
	for range seconds {
		m.g.now.Add(1)
		for _, l := range m.g.loops {
			l.guard(nil, l.tick)
		}
	}
	m.drain()
}

// send is the loops' system call.
func (m *sim) send(fd int32, b []byte) (int, error) {
	c := m.conns[fd]
	switch {
	case c == nil:
		m.t.Errorf("send to descriptor %d, which is nobody's", fd)
		return 0, syscall.EBADF
	case c.closed:
		m.t.Errorf("send to descriptor %d, which is closed and may be a stranger's", fd)
		return 0, syscall.EBADF
	case c.failed:
		return 0, syscall.EPIPE
	case len(c.out) > 0:
		m.t.Errorf("send past %d bytes that are buffered", len(c.out))
	}
	n := len(b)
	if c.room >= 0 {
		n = min(n, c.room)
		if n == 0 && len(b) > 0 {
			return 0, syscall.EAGAIN
		}
		c.room -= n
	}
	c.got = append(c.got, b[:n]...)
	return n, nil
}

// simLoop is what a loop asks of gnet's.
type simLoop struct {
	gnet.EventLoop
	sim *sim
}

func (simLoop) Close(c gnet.Conn) error { return c.Close() }

// simConn is a connection as gnet shows it, with its traps: Discard of nothing
// discards everything, Write buffers without bound and may close.
type simConn struct {
	gnet.Conn
	m  *sim
	l  *loop
	s  *session
	fd int32
	ip net.IP // where it comes from

	in     []byte // received and not discarded
	peeks  int    // how often the gateway has looked at that
	out    []byte // gnet's buffer
	room   int    // bytes that the socket still takes; -1: any number
	got    []byte // what the device has received and the test not looked at
	total  int    // bytes that the test has looked at
	closed bool
	failed bool // the socket is broken, which the next write finds out
}

func (c *simConn) Peek(n int) ([]byte, error) {
	c.peeks++
	if n > len(c.in) {
		return nil, io.ErrShortBuffer
	}
	if n <= 0 {
		n = len(c.in)
	}
	return c.in[:n], nil
}

func (c *simConn) Discard(n int) (int, error) {
	if n <= 0 || n >= len(c.in) {
		n = len(c.in)
	}
	// What was peeked is gone: whoever kept it sees rubbish.
	rest := bytes.Clone(c.in[n:])
	for i := range c.in {
		c.in[i] = 0xEE
	}
	c.in = rest
	return n, nil
}

func (c *simConn) Write(b []byte) (int, error) {
	if c.closed {
		c.m.t.Errorf("Write to descriptor %d, which is closed and may be a stranger's", c.fd)
		return 0, net.ErrClosed
	}
	if c.failed {
		_ = c.Close()
		return 0, syscall.EPIPE
	}
	n := 0
	if len(c.out) == 0 {
		if n = len(b); c.room >= 0 {
			n = min(n, c.room)
			c.room -= n
		}
		c.got = append(c.got, b[:n]...)
	}
	c.out = append(c.out, b[n:]...)
	return len(b), nil
}

func (c *simConn) InboundBuffered() int { return len(c.in) }

func (c *simConn) OutboundBuffered() int { return len(c.out) }

func (c *simConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: c.ip, Port: 1} }

// Close is what gnet does whoever closes: the loop is told, once.
func (c *simConn) Close() error {
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.s != nil {
		c.l.lost(c.s)
	}
	return nil
}

// write has the gateway receive bytes in one piece.
func (c *simConn) write(b []byte) {
	if c.closed {
		return
	}
	c.in = append(c.in, b...)
	c.l.guard(c.s, func() { c.l.traffic(c.s) })
}

// take lets the socket take that many bytes more, or any number with -1, and the
// device read them.
func (c *simConn) take(room int) {
	c.room = room
	n := len(c.out)
	if room >= 0 {
		n = min(n, room)
		c.room -= n
	}
	c.got = append(c.got, c.out[:n]...)
	c.out = c.out[n:]
}

// simFrame is one frame that a device received.
type simFrame struct {
	t    wire.Type
	body []byte
}

// next is the next frame that the device has whole.
func (c *simConn) next() (simFrame, bool) {
	t, body, rest, err := wire.Next(c.got, 1<<wire.MaxFrameLog)
	if err != nil {
		require.ErrorIs(c.m.t, err, wire.ErrShort)
		return simFrame{}, false
	}
	c.total += len(c.got) - len(rest)
	c.got = rest
	return simFrame{t, bytes.Clone(body)}, true
}

// frame is the next frame, which must be there.
func (c *simConn) frame() simFrame {
	c.m.t.Helper()
	f, ok := c.next()
	require.True(c.m.t, ok, "nothing more was received")
	return f
}

// frames is all that was received, decoded.
func (c *simConn) frames() (all []string) {
	for {
		f, ok := c.next()
		if !ok {
			return all
		}
		all = append(all, decoded(c.m.t, f))
	}
}

// publish is a publish from inside that never waits for credit.
func (m *sim) publish(topic string, payload []byte) {
	m.t.Helper()
	_, err := m.g.Publish(m.t.Context(), DefaultTenant, topic, payload)
	require.NoError(m.t, err)
}

// topic is a topic of the default tenant.
func (m *sim) topic(name string) *fanout.Topic {
	m.t.Helper()
	ten, err := m.g.tenants.get(DefaultTenant)
	require.NoError(m.t, err)
	topic, err := ten.index.Ensure([]byte(name))
	require.NoError(m.t, err)
	return topic
}
