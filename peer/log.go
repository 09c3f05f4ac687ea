package peer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/wire"
)

const (
	// slowWrite is how long others wait for a link that writes before the next batch is sealed, and for how long
	// messages gather at most while somebody is hungry.
	slowWrite = time.Millisecond
	// creditHeld bounds how long a message holds its publish credit for a link that has not written it.
	creditHeld = 500 * time.Millisecond
	// maxTaken bounds one write of a link.
	maxTaken = 256 << 10
	// mostKept times what may be kept is kept as long as its credit is not given back: a link that keeps up slows
	// publishers down rather than lose a batch.
	mostKept = 4
)

// Held is publish credit that a message holds.
type Held interface {
	// Release gives it back. It may be called before Broadcast returns.
	Release()
}

// Message is what Broadcast sends.
type Message struct {
	// Key is unique per tenant and topic in this process.
	Key           uint64
	Tenant, Topic string
	Offset        uint64
	Payload       []byte // copied
	Held          Held   // may be nil; released once
}

// batch is a sealed batch. It never changes but for held.
type batch struct {
	frame    []byte
	messages int
	raw      int // bytes of its entries
	at       time.Duration
	held     []Held
}

// size is what it takes in memory.
func (b *batch) size() int { return len(b.frame) + 128 }

// standing is how far a peer has come, linked or not.
type standing struct {
	life  wire.Life
	start uint64 // the first batch that is for it
	acked uint64
	given uint64 // the last batch that any link to it took
}

// cursor is a link's place in the log.
type cursor struct {
	name    string
	next    uint64 // the batch that it takes next
	wrote   uint64 // all up to here are written
	skipped uint64 // if not 0: batches from here up to next were given up, and it has not been told
	tops    bool   // it is to be told where streams stand

	writing bool          // it writes, or has been woken to
	slow    bool          // others do not wait for it
	since   time.Duration // when that write began
	wake    func()        // must not block
}

// outlog is what this gateway sends to all others: one sequence of batches, the same bytes for every peer, each sealed
// once. Messages gather while links write; when a link is hungry (it has written all there was) and none that keeps up
// is in the middle of a write, what gathered is sealed and all take it. If each hungry link sealed for itself, ten links
// would cut the log into ten times smaller batches.
//
// Batches are kept until all known peers have acknowledged them, within a bound; a link that comes too late skips.
// Any goroutine may call its methods. It has no clock: now is a monotonic time.
type outlog struct {
	retain  int
	without guards
	packer  compressor
	kick    func() // asks that seal be called soon; must not block
	arm     func() // asks that overdue be called after slowWrite; must not block

	anyone atomic.Bool // somebody is known

	mu       sync.Mutex
	closed   bool
	open     *gather
	full     []*gather // before open
	spare    []*gather
	holders  [][]Held // spare
	kicked   bool     // since the last seal
	armed    bool
	sealing  bool
	leaving  int     // gathers that are being sealed and are not kept yet
	kept     []batch // numbers first–last
	last     uint64
	bytes    int    // of kept
	released uint64 // up to here no credit is held
	cursors  []*cursor
	busy     int // of cursors that write and are not slow
	known    map[string]*standing

	counts logCounts // under mu
}

type logCounts struct {
	messages, batches, bytes, raw uint64
	saved                         uint64
	cost                          time.Duration
	dropped                       uint64 // batches given up before all had acknowledged them
	tooLarge                      uint64
}

func newLog(retain int, packer compressor) *outlog {
	return &outlog{
		retain: retain, packer: packer, kick: func() {}, arm: func() {},
		open: newGather(), known: make(map[string]*standing),
	}
}

// first is the oldest batch that is kept; last+1 if there is none.
func (l *outlog) first() uint64 { return l.last + 1 - uint64(len(l.kept)) }

// add takes one message.
func (l *outlog) add(m *Message) {
	if !l.anyone.Load() || !l.gather(m) {
		if m.Held != nil {
			m.Held.Release()
		}
	}
}

func (l *outlog) gather(m *Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.anyone.Load() {
		return false
	}
	if len(m.Payload) > maxPayload {
		l.counts.tooLarge++
		return false
	}
	if !l.open.hasRoom(len(m.Payload)) {
		l.full = append(l.full, l.open)
		l.open = l.spareGather()
	}
	g := l.open
	g.add(m, 0)
	l.counts.messages++
	if m.Held != nil {
		g.held = append(g.held, m.Held)
	}
	l.want()
	return true
}

// want has what gathered sealed when it is time.
func (l *outlog) want() {
	if l.kicked {
		return
	}
	hungry := l.hungry()
	switch {
	case hungry && l.busy == 0, len(l.full) > 0, len(l.open.entries) >= dueBatch:
		l.kicked = true
		l.kick()
	case hungry && !l.armed:
		l.armed = true
		l.arm()
	}
}

func (l *outlog) hungry() bool {
	for _, c := range l.cursors {
		if !c.writing {
			return true
		}
	}
	return false
}

func (l *outlog) gathered() bool { return len(l.full) > 0 || l.open.messages > 0 }

// seal makes batches of what gathered and wakes the links that are hungry. Compressing is done outside the lock, by one
// caller at a time; another one returns at once, and the links that are woken will see to the rest.
func (l *outlog) seal(now time.Duration) {
	l.mu.Lock()
	l.kicked = false
	if l.sealing || l.closed {
		l.mu.Unlock()
		return
	}
	l.sealing = true
	gathers := l.full
	l.full = nil
	if l.open.messages > 0 {
		gathers = append(gathers, l.open)
		l.open = l.spareGather()
	}
	l.leaving = len(gathers)
	for _, g := range gathers {
		seq := l.last + 1
		l.mu.Unlock()
		frame, saved, cost := l.packer.frame(seq, g.entries)
		l.mu.Lock()
		l.keep(g, frame, now)
		l.leaving--
		l.counts.saved += uint64(saved)
		l.counts.cost += cost
	}
	l.sealing = false
	for _, c := range l.cursors {
		if !c.writing && len(gathers) > 0 {
			l.begin(c, now)
			c.wake()
		}
	}
	done := l.trim(now)
	if l.closed {
		done = append(done, l.keptCredit()...)
	}
	l.mu.Unlock()
	l.letGo(done)
}

// keep is under the lock; so are all below that say nothing else.
func (l *outlog) keep(g *gather, frame []byte, now time.Duration) {
	b := batch{frame: frame, messages: g.messages, raw: len(g.entries), at: now, held: g.held}
	l.kept = append(l.kept, b)
	l.last++
	l.bytes += l.kept[len(l.kept)-1].size()
	l.counts.batches++
	l.counts.bytes += uint64(len(frame))
	l.counts.raw += uint64(b.raw)
	g.reset()
	if len(l.spare) < 4 {
		l.spare = append(l.spare, g)
	}
}

func (l *outlog) spareGather() *gather {
	g := (*gather)(nil)
	if n := len(l.spare); n > 0 {
		g, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		g = newGather()
	}
	if n := len(l.holders); n > 0 {
		g.held, l.holders = l.holders[n-1], l.holders[:n-1]
	}
	return g
}

func (l *outlog) begin(c *cursor, now time.Duration) {
	c.writing, c.since = true, now
	if !c.slow {
		l.busy++
	}
}

// overdue no longer waits for links whose write takes long, and has what gathered sealed.
func (l *outlog) overdue(now time.Duration) {
	l.mu.Lock()
	l.armed = false
	for _, c := range l.cursors {
		if c.writing && !c.slow && now-c.since >= slowWrite && !l.without.slowWrite {
			c.slow = true
			l.busy--
		}
	}
	if l.gathered() {
		l.want()
	}
	l.mu.Unlock()
}

// tick seals what has gathered for long, as nobody is linked, and gives back credit that is due.
func (l *outlog) tick(now time.Duration) {
	l.mu.Lock()
	stale := l.gathered() && len(l.cursors) == 0
	done := l.trim(now)
	l.mu.Unlock()
	l.letGo(done)
	if stale {
		l.seal(now)
	}
}

// attach makes the cursor of a new link to a peer that holds everything up to held of this gateway's batches.
func (l *outlog) attach(name string, life wire.Life, held uint64, now time.Duration, wake func()) (*cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held > l.last {
		return nil, &CloseError{Why: Broken, Text: fmt.Sprintf("it holds batch %d, and there are %d", held, l.last)}
	}
	s := l.known[name]
	if s == nil || s.life != life {
		s = &standing{life: life, start: l.last + 1}
		if held > 0 {
			s.start = held + 1
		}
		l.known[name] = s
		l.anyone.Store(true)
	}
	s.acked = max(s.acked, held)
	// What it says counts, not what it has acknowledged: it may have forgotten.
	c := &cursor{name: name, next: max(held+1, s.start, l.first()), tops: held == 0, wake: wake}
	if l.without.resend {
		c.next = l.last + 1
	}
	if c.next > held+1 {
		c.skipped, c.tops = held+1, true
	}
	c.wrote = c.next - 1
	l.cursors = append(l.cursors, c)
	l.begin(c, now)
	return c, nil
}

// detach forgets a link, not its peer.
func (l *outlog) detach(c *cursor, now time.Duration) {
	l.mu.Lock()
	for i, other := range l.cursors {
		if other == c {
			l.cursors = append(l.cursors[:i], l.cursors[i+1:]...)
			if c.writing && !c.slow {
				l.busy--
			}
			break
		}
	}
	if l.gathered() {
		l.want()
	}
	done := l.trim(now)
	l.mu.Unlock()
	l.letGo(done)
}

// forget keeps nothing for a peer any more.
func (l *outlog) forget(name string, now time.Duration) {
	l.mu.Lock()
	for _, c := range l.cursors {
		if c.name == name {
			l.mu.Unlock()
			return // it is back
		}
	}
	delete(l.known, name)
	l.anyone.Store(len(l.known) > 0)
	done := l.trim(now)
	l.mu.Unlock()
	l.letGo(done)
}

// taken is what a link is to write next.
type taken struct {
	skipFrom, skipTo uint64 // if not 0: say so first
	tops             bool   // say where streams stand
	batches          int
	messages, bytes  int
	last             uint64 // of what was taken so far
	hungry           bool   // nothing is left
	resent           int    // batches that an earlier link had been given
	everything       bool   // nothing gathers either
}

// take moves a link's cursor on; what it took before has been written. The frames are appended to bufs.
func (l *outlog) take(c *cursor, now time.Duration, bufs [][]byte) (taken, [][]byte) {
	l.mu.Lock()
	c.wrote = c.next - 1
	done := l.trim(now)
	t, bufs := l.collect(c, now, bufs)
	seal := t.hungry && l.gathered() && l.busy == 0 && !l.sealing
	if t.hungry && !seal && l.gathered() {
		l.want()
	}
	l.mu.Unlock()
	l.letGo(done)
	if seal {
		l.seal(now)
		// Sealing has begun a write for this link; without one it is hungry still.
		first := t
		l.mu.Lock()
		t, bufs = l.collect(c, now, bufs)
		l.mu.Unlock()
		if first.skipFrom != 0 {
			t.skipFrom, t.skipTo = first.skipFrom, max(first.skipTo, t.skipTo)
		}
	}
	return t, bufs
}

func (l *outlog) collect(c *cursor, now time.Duration, bufs [][]byte) (taken, [][]byte) {
	var t taken
	first := l.first()
	s := l.known[c.name]
	if s == nil { // forgotten, which no linked peer is
		s = &standing{}
	}
	if c.next < first {
		if c.skipped == 0 {
			c.skipped = c.next
		}
		c.next, c.tops = first, true
	}
	if c.skipped != 0 {
		t.skipFrom, t.skipTo, c.skipped = c.skipped, c.next-1, 0
	}
	t.tops = c.tops
	for c.next <= l.last && (t.batches == 0 || t.bytes < maxTaken) {
		b := &l.kept[c.next-first]
		bufs = append(bufs, b.frame)
		t.batches++
		t.messages += b.messages
		t.bytes += len(b.frame)
		if c.next <= s.given {
			t.resent++
		}
		c.next++
	}
	s.given = max(s.given, c.next-1)
	t.last = c.next - 1
	t.everything = c.next > l.last && !l.gathered() && !l.sealing
	if t.batches > 0 {
		if !c.writing {
			l.begin(c, now)
		}
		if !c.slow && now-c.since >= slowWrite {
			c.slow = true
			l.busy--
		}
		c.since = now
		return t, bufs
	}
	t.hungry = true
	if c.writing {
		if c.writing = false; !c.slow {
			l.busy--
		}
		c.slow = now-c.since >= slowWrite
	}
	return t, bufs
}

// told says that a link has been told where streams stand.
func (l *outlog) told(c *cursor) {
	l.mu.Lock()
	c.tops = false
	l.mu.Unlock()
}

// ack notes that a peer holds everything up to seq. It reports whether that can be.
func (l *outlog) ack(c *cursor, seq uint64, now time.Duration) bool {
	l.mu.Lock()
	if seq >= c.next {
		l.mu.Unlock()
		return false
	}
	if s := l.known[c.name]; s != nil && seq > s.acked {
		s.acked = seq
	}
	done := l.trim(now)
	l.mu.Unlock()
	l.letGo(done)
	return true
}

// edge is the batch that everything which was added so far is in, or before.
func (l *outlog) edge() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	edge := l.last + uint64(l.leaving+len(l.full))
	if l.open.messages > 0 {
		edge++
	}
	return edge
}

// trim gives back the credit of batches that all healthy links have written, or that are old, and lets go of batches
// that all have acknowledged, or that are too many.
func (l *outlog) trim(now time.Duration) (done [][]Held) {
	first := l.first()
	low := l.last
	for _, c := range l.cursors {
		if c.wrote >= low || l.bytes > mostKept*l.retain {
			continue
		}
		if waits := c.wrote + 1; waits >= first && now-l.kept[waits-first].at < creditHeld {
			low = c.wrote
		}
	}
	l.released = max(l.released, first-1)
	for l.released < low {
		l.released++
		b := &l.kept[l.released-first]
		if len(b.held) > 0 {
			done = append(done, b.held)
		}
		b.held = nil
	}
	l.drop(first)
	return done
}

// drop lets go of batches at the front whose credit is given back.
func (l *outlog) drop(first uint64) {
	if first > l.released {
		return // most calls: heartbeats, and links that keep up
	}
	acked := l.last
	for _, s := range l.known {
		acked = min(acked, max(s.acked, s.start-1))
	}
	n := 0
	for seq := first; seq <= l.released && (seq <= acked || l.bytes > l.retain && !l.without.bound); seq++ {
		if seq > acked {
			l.counts.dropped++
		}
		l.bytes -= l.kept[n].size()
		n++
	}
	clear(l.kept[:n])
	l.kept = l.kept[n:]
}

// close takes nothing more and gives all credit back.
func (l *outlog) close() {
	l.mu.Lock()
	l.closed = true
	var done [][]Held
	for _, g := range append(l.full, l.open) {
		done = append(done, g.held)
		g.held = nil
	}
	done = append(done, l.keptCredit()...)
	l.mu.Unlock()
	l.letGo(done)
}

// keptCredit takes the credit of all that is kept.
func (l *outlog) keptCredit() (done [][]Held) {
	for i := range l.kept {
		done = append(done, l.kept[i].held)
		l.kept[i].held = nil
	}
	return done
}

// letGo gives credit back. It is called without the lock: who gets it back may publish at once.
func (l *outlog) letGo(done [][]Held) {
	if len(done) == 0 {
		return
	}
	for _, held := range done {
		for _, h := range held {
			h.Release()
		}
		clear(held)
	}
	l.mu.Lock()
	for _, held := range done {
		if len(l.holders) < 16 && cap(held) <= 4096 {
			l.holders = append(l.holders, held[:0])
		}
	}
	l.mu.Unlock()
}
