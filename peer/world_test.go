package peer

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// world drives cores over connections in memory, in one goroutine and in a time of its own: the code that runs behind
// sockets, where each history can be repeated.
type world struct {
	t     testing.TB
	now   time.Duration
	nodes []*node
	wires []*wireOf
}

// node is a gateway in a world.
type node struct {
	world  *world
	name   string
	host   *host
	core   *core
	kicked bool
	due    time.Duration // of overdue; 0: not armed
}

// wireOf is a connection. Each end has what is on its way to it.
type wireOf struct{ ends [2]*end }

type end struct {
	node    *node
	link    *link
	to      *end
	inbox   [][]byte // frames, whole
	woken   bool
	sent    bool // its last frame is written
	over    bool // gone has been called
	stuck   bool // it is in the middle of a write, for ever
	blocked bool // what comes to this end stays under way
	frames  map[wire.Type]int
}

func newWorld(t testing.TB) *world { return &world{t: t, now: time.Second} }

func (w *world) add(name string, h *host, change func(*Config)) *node {
	w.t.Helper()
	cfg := Config{
		Cluster: "test", Name: name, Life: h.life, Streams: h, Source: h, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	require.NoError(w.t, cfg.complete())
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	n := &node{world: w, name: name, host: h, core: newCore(ctx, cfg, nil)}
	n.core.log.kick = func() { n.kicked = true }
	n.core.log.arm = func() { n.due = w.now + slowWrite }
	h.mesh = func(m Message) { n.core.log.add(&m) }
	w.nodes = append(w.nodes, n)
	return n
}

// connect has one gateway dial another.
func (w *world) connect(from, to *node) *wireOf {
	c := &wireOf{}
	for i, n := range []*node{from, to} {
		c.ends[i] = &end{node: n, frames: make(map[wire.Type]int)}
	}
	c.ends[0].to, c.ends[1].to = c.ends[1], c.ends[0]
	for i, e := range c.ends {
		other := c.ends[1-i].node
		e.link = e.node.core.open(w.now, endpoint{dialled: i == 0, address: other.name}, func() { e.woken = true })
		e.woken = true
	}
	w.wires = append(w.wires, c)
	return c
}

// link connects two gateways and has them say hello.
func (w *world) link(from, to *node) *wireOf {
	w.t.Helper()
	c := w.connect(from, to)
	w.settle()
	require.Equal(w.t, up, c.ends[0].link.at(), "%v", c.ends[0].link.cause())
	require.Equal(w.t, up, c.ends[1].link.at(), "%v", c.ends[1].link.cause())
	return c
}

// settle runs until nothing is left to do at this time.
func (w *world) settle() {
	for busy := true; busy; {
		busy = false
		for _, n := range w.nodes {
			if n.kicked {
				n.kicked, busy = false, true
				n.core.log.seal(w.now)
			}
		}
		for _, c := range w.wires {
			for _, e := range c.ends {
				if e.write() || e.read() {
					busy = true
				}
			}
		}
	}
}

// write has an end write what it has to.
func (e *end) write() bool {
	if !e.woken || e.sent || e.stuck {
		return false
	}
	bufs, last := e.link.next(e.node.world.now, nil)
	for _, b := range bufs {
		for len(b) > 0 {
			t, _, rest, err := wire.Next(b, maxFrame)
			require.NoError(e.node.world.t, err)
			e.frames[t]++
			e.to.inbox = append(e.to.inbox, append([]byte(nil), b[:len(b)-len(rest)]...))
			b = rest
		}
	}
	e.woken, e.sent = len(bufs) > 0, last
	return true
}

// read has an end handle one frame, or see that the other one has closed.
func (e *end) read() bool {
	now := e.node.world.now
	switch {
	case e.over, e.blocked:
		return false
	case len(e.inbox) > 0:
		t, body, _, err := wire.Next(e.inbox[0], maxFrame)
		require.NoError(e.node.world.t, err)
		e.inbox = e.inbox[1:]
		e.link.enter(now)
		if err = e.link.handle(now, t, body); err != nil {
			e.link.fail(err)
		}
		e.link.leave(now)
		return true
	case e.to.sent:
		e.close()
		return true
	}
	return false
}

func (e *end) close() {
	e.over, e.woken = true, true
	e.node.core.gone(e.link, e.node.world.now, fmt.Errorf("the other side closed the connection"))
}

// cut breaks a connection at once: what was under way is lost.
func (w *world) cut(c *wireOf) {
	for _, e := range c.ends {
		e.inbox, e.sent, e.blocked = nil, true, false
	}
	w.settle()
}

// pass has time go by.
func (w *world) pass(d time.Duration) {
	for until := w.now + d; w.now < until; {
		w.now = min(until, w.now+tickEvery)
		for _, n := range w.nodes {
			if n.due != 0 && w.now >= n.due {
				n.due = 0
				n.core.log.overdue(w.now)
			}
			n.core.tick(w.now, func(f func()) { f() })
		}
		for _, c := range w.wires {
			for _, e := range c.ends {
				if e.sent && !e.over && (e.blocked || e.to.blocked) {
					e.close() // it waits no longer for an answer
				}
			}
		}
		w.settle()
	}
}

// pair is two linked gateways.
func pair(t testing.TB, change func(*Config)) (w *world, a, b *node, c *wireOf) {
	w = newWorld(t)
	a, b = w.add("a", newHost(t, 1), change), w.add("b", newHost(t, 2), change)
	return w, a, b, w.link(a, b)
}

func (n *node) publish(topic string, from, to int) {
	for i := from; i <= to; i++ {
		n.host.publish(topic, fmt.Sprint(i), nil)
	}
}

// state is what a node knows of another one.
func (n *node) state(name string) LinkState {
	for _, s := range n.core.states(n.world.now) {
		if s.Name == name {
			return s
		}
	}
	return LinkState{}
}
