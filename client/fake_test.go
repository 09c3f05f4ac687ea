package client_test

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// gateway is a model of one: streams that keep everything, sessions that are told
// everything at once. What it does wrong or differently is in its fields.
type gateway struct {
	life    wire.Life
	welcome wire.Welcome
	mute    bool // answers nothing, not even HELLO
	greet   func(wire.Hello) []byte
	onFrame func(p *peer, t wire.Type, body []byte) (handled bool)
	tls     *tls.Config // nil: plain
	raw     []byte      // not nil: no gateway at all; it says this and hangs up

	kept    int  // messages that the ring keeps; 0: all
	repeats bool // a replay begins where the ring begins, whatever the cursor
	drops   int  // live messages to leave out without a word, from the first on

	chunk int // the most that one write carries; 0: all
	cut   *cutter
	tap   func(from string, frame []byte) // sees all frames

	mu     sync.Mutex
	topics map[string]*stream
	byID   []*stream
	peers  []*peer
}

type stream struct {
	id   wire.TopicID
	name string
	msgs [][]byte
}

// cutter cuts a connection at one frame of all that the gateways send or read.
type cutter struct {
	mu     sync.Mutex
	sent   int // frames
	read   int
	atSent int // cut after this many frames; -1: never
	atRead int
	inside bool   // with atSent: in the middle of the next frame
	after  func() // called once when it cuts
	paused bool
}

func (c *cutter) do() {
	if f := c.after; f != nil {
		c.after = nil
		f()
	}
}

func newGateway(life wire.Life) *gateway {
	return &gateway{
		life: life, topics: make(map[string]*stream),
		welcome: wire.Welcome{
			Version: wire.Version, Recv: 12, Flags: wire.WelcomeResumes, Keepalive: 600, Credit: 16 << 10, MaxSubs: 32, Life: life,
		},
	}
}

// peer is the gateway's end of a connection.
type peer struct {
	g     *gateway
	nc    net.Conn
	hello wire.Hello
	subs  []wire.Subscribe // in order
	told  map[string]bool
	queue chan []byte
	gone  chan struct{}
	once  sync.Once
}

func (g *gateway) accept() net.Conn {
	here, there := net.Pipe()
	if g.raw != nil {
		go func() {
			_, _ = here.Read(make([]byte, 4096))
			_, _ = here.Write(g.raw)
			_ = here.Close()
		}()
		return there
	}
	if g.tls != nil {
		here = tls.Server(newBuffered(here), g.tls) // it shakes hands when it reads first
	}
	p := &peer{g: g, nc: here, told: make(map[string]bool), queue: make(chan []byte, 1<<16), gone: make(chan struct{})}
	g.mu.Lock()
	g.peers = append(g.peers, p)
	g.mu.Unlock()
	go p.write()
	go p.read()
	return there
}

// buffered has room for what is written, as TCP has and a pipe has not: in a handshake
// both sides may write at the same time.
type buffered struct {
	net.Conn
	mu     sync.Mutex
	closed bool
	queue  chan []byte
}

func newBuffered(nc net.Conn) *buffered {
	b := &buffered{Conn: nc, queue: make(chan []byte, 1<<12)}
	go func() {
		for p := range b.queue {
			_, _ = nc.Write(p)
		}
		_ = nc.Close()
	}()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, net.ErrClosed
	}
	b.queue <- slices.Clone(p)
	return len(p), nil
}

// SetWriteDeadline does nothing: a write ends at once.
func (b *buffered) SetWriteDeadline(time.Time) error { return nil }

// Close closes when all is written.
func (b *buffered) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.queue)
	}
	return nil
}

func (p *peer) close() {
	p.once.Do(func() {
		close(p.gone)
		_ = p.nc.Close()
		g := p.g
		g.mu.Lock()
		g.peers = slices.DeleteFunc(g.peers, func(o *peer) bool { return o == p })
		g.mu.Unlock()
	})
}

func (p *peer) write() {
	defer p.close()
	for {
		select {
		case <-p.gone:
			return
		case b := <-p.queue:
			if b == nil {
				return
			}
			if !p.pass(b) {
				return
			}
		}
	}
}

// pass writes one frame, unless the cutter says otherwise.
func (p *peer) pass(b []byte) bool {
	if p.g.tap != nil {
		p.g.tap("G", b)
	}
	c := p.g.cut
	if c == nil {
		for len(b) > 0 {
			n := len(b)
			if p.g.chunk > 0 {
				n = min(n, p.g.chunk)
			}
			if _, err := p.nc.Write(b[:n]); err != nil {
				return false
			}
			b = b[n:]
		}
		return true
	}
	c.mu.Lock()
	stop := c.atSent == c.sent && !c.paused
	if !c.paused {
		c.sent++
	}
	c.mu.Unlock()
	if stop {
		if c.inside {
			_, _ = p.nc.Write(b[:len(b)/2])
		}
		c.do()
		return false
	}
	_, err := p.nc.Write(b)
	return err == nil
}

func (p *peer) read() {
	defer p.close()
	var buf []byte
	chunk := make([]byte, 512)
	for {
		n, err := p.nc.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		for {
			t, body, rest, err := wire.Next(buf, 1<<20)
			if err != nil {
				break
			}
			if p.g.tap != nil {
				p.g.tap("D", buf[:len(buf)-len(rest)])
			}
			buf = rest
			if c := p.g.cut; c != nil {
				c.mu.Lock()
				stop := c.atRead == c.read && !c.paused
				if !c.paused {
					c.read++
				}
				c.mu.Unlock()
				if stop {
					c.do()
					return
				}
			}
			p.g.frame(p, t, body)
		}
	}
}

// send queues frames; each argument is one.
func (p *peer) send(frames ...[]byte) {
	for _, f := range frames {
		p.queue <- f
	}
}

func (g *gateway) frame(p *peer, t wire.Type, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mute || g.onFrame != nil && g.onFrame(p, t, body) {
		return
	}
	switch t.Base() {
	case wire.TypeHello:
		h, err := wire.ParseHello(body)
		if err != nil {
			p.send(nil)
			return
		}
		h.Auth = slices.Clone(h.Auth)
		p.hello = h
		if g.greet != nil {
			if b := g.greet(h); b != nil {
				p.send(b, nil)
				return
			}
		}
		p.send(g.welcome.Append(nil))
	case wire.TypeSubscribe:
		f, err := wire.ParseSubscribe(body)
		if err != nil {
			p.send(wire.Close{Code: wire.CodeMalformed}.Append(nil), nil)
			return
		}
		f.Filter, f.Cursor = slices.Clone(f.Filter), slices.Clone(f.Cursor)
		g.subscribe(p, f)
	case wire.TypeUnsubscribe:
		f, _ := wire.ParseUnsubscribe(body)
		p.subs = slices.DeleteFunc(p.subs, func(s wire.Subscribe) bool { return s.Sub == f.Sub })
		p.send(wire.Unsubscribed{Sub: f.Sub}.Append(nil))
	case wire.TypePublish:
		f, _ := wire.ParsePublish(t, body)
		g.publish(string(f.Name), f.Payload)
		if f.Ack {
			p.send(wire.Ack{Seq: f.Seq}.Append(nil))
		}
		p.send(wire.Credit{Bytes: uint64(f.Len())}.Append(nil))
	case wire.TypePing:
		p.send(wire.AppendPong(nil, body))
	case wire.TypeClose:
		p.send(nil)
	}
}

func (g *gateway) stream(name string) *stream {
	s := g.topics[name]
	if s == nil {
		s = &stream{name: name}
		g.byID = append(g.byID, s)
		s.id = wire.TopicID(len(g.byID))
		g.topics[name] = s
	}
	return s
}

func (g *gateway) tell(s *stream, next uint64) []byte {
	return wire.Stream{Topic: s.id, Origin: 1, Flags: wire.StreamMain, Life: g.life, Next: next}.Append(nil)
}

func (g *gateway) subscribe(p *peer, f wire.Subscribe) {
	if len(p.subs) >= int(g.welcome.MaxSubs) {
		p.send(wire.Subscribed{Sub: f.Sub, Code: wire.CodeTooManySubs}.Append(nil))
		return
	}
	p.subs = append(p.subs, f)
	if wire.IsWildcard(f.Filter) {
		clear(p.told)
		p.send(wire.Subscribed{Sub: f.Sub}.Append(nil))
		return
	}
	s := g.stream(string(f.Filter))
	p.send(wire.Subscribed{Sub: f.Sub, Topic: s.id}.Append(nil))
	if !f.Track {
		return
	}
	top := uint64(len(s.msgs))
	oldest := uint64(1)
	if g.kept > 0 && top > uint64(g.kept) {
		oldest = top - uint64(g.kept) + 1
	}
	from := top + 1
	switch f.Start {
	case wire.StartNow:
		p.send(g.tell(s, from))
		return
	case wire.StartLast:
		from = max(top, 1)
	case wire.StartKept:
		from = oldest
	case wire.StartCursor:
		at, _ := f.Cursor.Find(g.life)
		from = at.Offset + 1
		if g.repeats {
			from = oldest
		}
	}
	p.send(g.tell(s, from))
	if from < oldest {
		p.send(wire.Gap{Topic: s.id, Origin: 1, Reason: wire.ReasonNotKept, Count: oldest - from}.Append(nil))
		from = oldest
	}
	for off := from; off <= top; off++ {
		p.send(wire.Message{Topic: s.id, Origin: 1, Form: wire.OffsetFull, Offset: off, Payload: s.msgs[off-1]}.Append(nil))
	}
	p.send(wire.Live{Sub: f.Sub}.Append(nil))
}

// Publish is a message from elsewhere.
func (g *gateway) Publish(topic string, payload string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.publish(topic, []byte(payload))
}

func (g *gateway) publish(topic string, payload []byte) {
	s := g.stream(topic)
	s.msgs = append(s.msgs, slices.Clone(payload))
	off := uint64(len(s.msgs))
	for _, p := range g.peers {
		listed, group := false, false
		for _, f := range p.subs {
			switch {
			case wire.IsWildcard(f.Filter):
				group = group || wire.Match(string(f.Filter), topic)
			case string(f.Filter) == topic:
				listed = true
			}
		}
		if !listed && !group {
			continue
		}
		if g.drops > 0 {
			g.drops--
			continue
		}
		if !listed && !p.told[topic] {
			p.told[topic] = true
			p.send(wire.Topic{Topic: s.id, Name: []byte(topic)}.Append(nil), g.tell(s, off))
		}
		m := wire.Message{Topic: s.id, Form: wire.OffsetLow, Offset: off, Payload: payload}
		p.send(m.Append(nil))
	}
}

// on replaces onFrame while connections are there.
func (g *gateway) on(f func(*peer, wire.Type, []byte) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onFrame = f
}

// each calls f for every connection.
func (g *gateway) each(f func(p *peer)) {
	g.mu.Lock()
	peers := slices.Clone(g.peers)
	g.mu.Unlock()
	for _, p := range peers {
		f(p)
	}
}

// kick ends every connection after what is queued, without a word.
func (g *gateway) kick() { g.each(func(p *peer) { p.send(nil) }) }

// say sends a frame on every connection.
func (g *gateway) say(frames ...[]byte) { g.each(func(p *peer) { p.send(frames...) }) }
