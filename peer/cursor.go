package peer

import (
	"fmt"
	"time"

	"github.com/bellwire/bellwire/wire"
)

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
	skipFrom, skipTo       uint64 // if not 0: say so first
	lost                   uint64 // of these, batches that were for it: one that is new has missed none
	tops                   bool   // say where streams stand
	batches                int
	messages, bytes, saved int
	last                   uint64 // of what was taken so far
	hungry                 bool   // nothing is left
	resent                 int    // batches that an earlier link had been given
	everything             bool   // nothing gathers either
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
			t.lost += first.lost
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
		if from := max(t.skipFrom, s.start); t.skipTo >= from {
			t.lost = t.skipTo - from + 1
		}
	}
	t.tops = c.tops
	for c.next <= l.last && (t.batches == 0 || t.bytes < maxTaken) {
		b := &l.kept[c.next-first]
		bufs = append(bufs, b.frame)
		t.batches++
		t.messages += b.messages
		t.bytes += len(b.frame)
		t.saved += b.saved
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
