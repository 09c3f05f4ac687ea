package peer

import (
	"errors"
	"time"

	judge "github.com/bellwire/bellwire/peer/history"
)

const (
	simSocket = 64 << 10 // bytes that a connection takes before a write waits
	simWrite  = 10 * time.Microsecond
)

var (
	errSimClosed = errors.New("the other side closed the connection")
	errSimReset  = errors.New("the connection was reset")
)

// simWay is one direction between two gateways, whatever connections there are.
type simWay struct {
	cuts  int
	delay time.Duration
	rate  float64 // bytes per second
	// held: the cut that is in force has held something up, which proves it.
	held bool
	calm time.Duration // until then there is no other blip
}

func (s *sim) way(from, to *simSlot) *simWay { return &s.ways[from.index][to.index] }

// whole reports whether something can go there and back.
func (s *sim) whole(a, b *simSlot) bool { return s.way(a, b).cuts == 0 && s.way(b, a).cuts == 0 }

// obstruct begins a cut of one direction; clear ends it, and what was held up is sent again.
func (s *sim) obstruct(from, to *simSlot) { s.way(from, to).cuts++ }

func (s *sim) clear(from, to *simSlot) {
	w := s.way(from, to)
	if w.cuts--; w.cuts > 0 {
		return
	}
	w.held = false
	for _, slot := range []*simSlot{from, to} {
		if slot.gate == nil {
			continue
		}
		for _, e := range slot.gate.ends {
			if e.to.gate.slot == from || e.to.gate.slot == to {
				e.goOn()
			}
		}
	}
}

// hold notes that a cut has an effect.
func (s *sim) hold(from, to *simSlot) {
	if w := s.way(from, to); !w.held {
		w.held = true
		s.proven("cut")
	}
}

// simEnd is one end of a connection with its shell: a reader and a writer, as conn has them.
type simEnd struct {
	sim  *sim
	id   uint64
	gate *simGate
	to   *simEnd
	link *link

	// What is on its way to the other end.
	queue   []simChunk
	unsent  int           // bytes in queue, and those whose arrival the other side could not confirm
	lost    int           // of these: that have arrived
	free    time.Duration // when the line has taken all that was written
	arming  bool          // an arrival is due
	finSent bool

	isWoken bool
	writing bool // until the connection has taken it
	closing bool // the link is closed: there is a deadline
	err     error
	read    bool // the reader has returned
	wrote   bool // so has the writer
	over    bool // gone has been called, or the gateway is dead
	bufs    [][]byte
}

type simChunk struct {
	at    time.Duration
	bytes []byte
	fin   bool
}

// connect makes a connection; it takes a round trip that the caller has waited for.
func (s *sim) connect(from, to *simGate) *simEnd {
	a, b := &simEnd{sim: s, gate: from}, &simEnd{sim: s, gate: to}
	a.to, b.to = b, a
	for _, e := range []*simEnd{a, b} {
		s.ends++
		e.id = s.ends
		e.gate.ends = append(e.gate.ends, e)
	}
	a.link = from.core.open(from.now(), endpoint{dialled: true, address: to.slot.name, looksFor: to.slot.name, begun: from.now()}, a.wake)
	b.link = to.core.open(to.now(), endpoint{address: from.slot.name, begun: to.now()}, b.wake)
	a.wake()
	b.wake()
	return a
}

func (e *simEnd) wake() {
	if !e.isWoken {
		e.isWoken = true
		e.sim.woken = append(e.sim.woken, e)
	}
}

// pump is the writer: it writes until nothing is left.
func (e *simEnd) pump() {
	e.isWoken = false
	if e.over || e.gate.later(e.wake) {
		return
	}
	if !e.closing && e.link.at() == closed {
		e.closing = true
		e.sim.after(goodbye, e.abort)
	}
	if e.writing || e.wrote {
		return
	}
	bufs, last := e.link.next(e.gate.now(), e.bufs[:0])
	e.bufs = bufs
	var size int
	for _, b := range bufs {
		size += len(b)
	}
	if size > 0 {
		e.sim.gauge("bytes of one write", size, maxTaken+2*maxFrame+maxControl+maxTops)
		chunk := make([]byte, 0, size)
		for _, b := range bufs {
			chunk = append(chunk, b...)
		}
		e.send(simChunk{bytes: chunk})
	}
	switch {
	case last:
		e.finish()
	case size > 0:
		e.writing = true
		e.sim.after(simWrite, e.written)
	}
}

// written ends a write once the socket has room again.
func (e *simEnd) written() {
	if e.writing && e.unsent <= simSocket {
		e.writing = false
		e.wake()
	}
}

// finish is the end of the writer.
func (e *simEnd) finish() {
	e.wrote = true
	e.fin()
	e.done()
}

func (e *simEnd) fin() {
	if !e.finSent {
		e.finSent = true
		e.send(simChunk{fin: true})
	}
}

// send puts something on the line.
func (e *simEnd) send(c simChunk) {
	w := e.sim.way(e.gate.slot, e.to.gate.slot)
	e.free = max(e.free, e.sim.now) + time.Duration(float64(len(c.bytes))/w.rate*float64(time.Second))
	c.at = e.free + w.delay + e.sim.between(0, w.delay/4)
	if n := len(e.queue); n > 0 {
		c.at = max(c.at, e.queue[n-1].at)
	}
	e.queue = append(e.queue, c)
	e.unsent += len(c.bytes)
	e.arm()
}

func (e *simEnd) arm() {
	if len(e.queue) > 0 && !e.arming {
		e.arming = true
		e.sim.at(e.queue[0].at, e.arrive)
	}
}

// arrive brings the other end what has come by now. What a cut holds up is sent again when that is over.
func (e *simEnd) arrive() {
	e.arming = false
	s, from, to := e.sim, e.gate.slot, e.to.gate.slot
	if len(e.queue) == 0 {
		return
	}
	if s.way(from, to).cuts > 0 {
		s.hold(from, to)
		return
	}
	if e.to.gate.later(e.arrive) {
		e.arming = true
		return
	}
	for len(e.queue) > 0 && e.queue[0].at <= s.now {
		c := e.queue[0]
		e.queue = e.queue[1:]
		if s.way(to, from).cuts > 0 {
			e.lost += len(c.bytes)
		} else {
			e.unsent -= len(c.bytes)
		}
		e.to.take(c)
	}
	if e.writing {
		e.written()
	}
	e.arm()
}

// goOn sends again what a cut has held up.
func (e *simEnd) goOn() {
	for _, end := range []*simEnd{e, e.to} {
		end.unsent -= end.lost
		end.lost = 0
		if end.writing {
			end.written()
		}
		if len(end.queue) > 0 && !end.arming {
			end.arming = true
			end.sim.after(end.sim.between(0, 200*time.Millisecond), end.arrive)
		}
	}
}

// take is the reader.
func (e *simEnd) take(c simChunk) {
	switch {
	case e.over:
		if !e.gate.slot.off() && len(c.bytes) > 0 {
			e.to.reset() // nobody is here any more
		}
	case c.fin:
		e.ended(errSimClosed)
	case e.read || e.err != nil:
	default:
		e.link.enter(e.gate.now())
		if err := e.handle(c.bytes); err != nil {
			e.err = err
			e.link.fail(err)
		}
		e.link.leave(e.gate.now())
	}
}

func (e *simEnd) handle(b []byte) error {
	for len(b) > 0 {
		t, body, rest, err := nextFrame(b, e.link.limit())
		if err != nil {
			return &CloseError{Why: Broken, Text: err.Error()}
		}
		e.sim.frames++
		e.sim.gauge("bytes of one frame", len(body), maxFrame)
		if t == typeSkip {
			e.sim.skips++
		}
		if e.sim.trace != nil {
			_, _ = e.sim.trace.Write(append([]byte{byte(e.id), byte(t)}, body...)) // it has no error
		}
		was := e.link.at()
		if err := e.link.handle(e.gate.now(), t, body); err != nil {
			return err
		}
		if was != up && e.link.at() == up {
			e.sim.links++
		}
		b = rest
	}
	return nil
}

// ended is that nothing more will be read.
func (e *simEnd) ended(err error) {
	if e.read || e.over {
		return
	}
	e.read = true
	if e.err == nil {
		e.err = err
	}
	e.link.fail(e.err)
	e.done()
}

// reset breaks the connection for this end: what is on its way is lost.
func (e *simEnd) reset() {
	if e.over {
		return
	}
	e.queue, e.finSent = nil, true
	e.writing, e.wrote = false, true
	e.ended(errSimReset)
	e.done()
}

// abort is the deadline of a link that is closed.
func (e *simEnd) abort() {
	if e.over || e.gate.later(e.abort) {
		return
	}
	e.writing, e.wrote = false, true
	e.fin()
	e.ended(errSimClosed)
	e.done()
}

// done ends the shell when reader and writer have.
func (e *simEnd) done() {
	if e.over || !e.read || !e.wrote {
		return
	}
	e.over = true
	e.fin()
	e.gate.lost(e)
}

// simDialer keeps a gateway linked to another one, as dialer does.
type simDialer struct {
	gate    *simGate
	to      *simSlot
	pause   time.Duration
	resting bool // the two are linked: a link that goes wakes it
	end     *simEnd
}

func (d *simDialer) step() {
	g, s := d.gate, d.gate.sim
	switch {
	case g.dead || g.leaving:
	case g.later(d.step):
	case g.core.linked(d.to.name):
		d.pause, d.resting = firstPause, true
	case d.pause > 0:
		s.after(d.pause/2+s.between(0, d.pause), d.dial)
	default:
		d.dial()
	}
}

// dial begins a connection.
func (d *simDialer) dial() {
	g, s := d.gate, d.gate.sim
	if g.dead || g.leaving || g.later(d.dial) {
		return
	}
	if g.core.linked(d.to.name) {
		d.step()
		return
	}
	d.knock(s.now+time.Second, s.now+dialWithin)
}

// knock sends a SYN, which is sent once again; until is when the dialler gives up.
func (d *simDialer) knock(again, until time.Duration) {
	g, s := d.gate, d.gate.sim
	from := g.slot
	trip := s.way(from, d.to).delay + s.way(d.to, from).delay
	switch {
	case g.dead || g.leaving:
	case s.whole(from, d.to) && !d.to.off():
		s.after(trip, func() { d.answered() })
	case s.now < again:
		if !d.to.off() {
			s.hold(from, d.to)
		}
		s.at(again, func() { d.knock(again, until) })
	default:
		s.at(until, func() { d.failed(Failed) })
	}
}

func (d *simDialer) answered() {
	g := d.gate
	switch to := d.to.gate; {
	case g.dead || g.leaving || g.later(d.answered):
	case to == nil || to.dead || to.leaving:
		d.failed(Failed)
	default:
		d.end = g.sim.connect(g, to)
	}
}

// failed sets when it tries again.
func (d *simDialer) failed(why Why) {
	d.end = nil
	switch why {
	case OtherFleet, Version, WrongName, Self, TooMany, OlderLife, Unsupported:
		d.pause = hopeless
	case Linked, Bye:
		d.pause = firstPause
	default:
		d.pause = min(max(firstPause, 2*d.pause), longPause)
	}
	d.step()
}

// linkGone is a link that has ended: that which it made itself, or another one.
func (d *simDialer) linkGone(e *simEnd) {
	switch {
	case d.end == e:
		why := e.link.cause().Why
		if e.link.member != nil {
			d.pause = 0
		}
		d.failed(why)
	case d.resting:
		d.resting = false
		d.gate.sim.after(d.gate.sim.between(0, whileLinked), d.step)
	}
}

// cutTold begins a fault between two gateways that the checker is told of.
func (s *sim) cutTold(a, b *simSlot) {
	s.tell(judge.Event{Kind: judge.Cut, Gateway: a.name, Other: b.name})
}

func (s *sim) healTold(a, b *simSlot) {
	s.tell(judge.Event{Kind: judge.Healed, Gateway: a.name, Other: b.name})
}
