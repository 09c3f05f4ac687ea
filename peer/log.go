package peer

import (
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
	saved    int // of them, by compression
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
		l.keep(g, frame, saved, now)
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
func (l *outlog) keep(g *gather, frame []byte, saved int, now time.Duration) {
	b := batch{frame: frame, messages: g.messages, raw: len(g.entries), saved: saved, at: now, held: g.held}
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

// holds reports whether batches are kept, or messages gather.
func (l *outlog) holds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept) > 0 || l.gathered()
}
