package fanout

import (
	"slices"
	"sync/atomic"
)

// Origin is a place elsewhere where messages enter the fleet: one life of another gateway. Its streams are copies, one for
// each topic that it has published to. Methods are safe for concurrent use.
type Origin struct {
	life   uint64
	number uint32
	sparse bool
	era    atomic.Uint32 // how often it has ended
}

// NewOrigin makes an origin. The number is the caller's name for it, unique among all of its origins.
func NewOrigin(life uint64, number uint32) *Origin { return &Origin{life: life, number: number} }

// NewSparseOrigin is NewOrigin for one that keeps its messages itself: offsets of a stream rise and need not be dense, and
// rings keep nothing of them.
func NewSparseOrigin(life uint64, number uint32) *Origin {
	return &Origin{life: life, number: number, sparse: true}
}

// Life returns the life that all offsets of the origin count in.
func (o *Origin) Life() uint64 { return o.life }

// Number returns the caller's name for the origin.
func (o *Origin) Number() uint32 { return o.number }

// End makes all copies silent: the next message of each begins it for everybody ([Stream.Accept]), if there ever is one.
func (o *Origin) End() { o.era.Add(1) }

// foreign is what a copy has besides what every stream has.
type foreign struct {
	own    *Stream // of the same topic
	origin *Origin
	told   uint32 // era + 1 in which it was told to those who were there; 0: never. Under the lock
}

// CopyOf returns the topic's copy of an origin's stream, which is created on first need. Nothing is known of it then: it
// begins with the first message that is accepted, or the first position that is missed. Any goroutine may call it.
func (t *Topic) CopyOf(o *Origin) *Stream {
	own := t.Stream()
	if s := own.copyOf(o); s != nil {
		return s
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	if s := own.copyOf(o); s != nil {
		return s
	}
	s := &Stream{topic: t, place: unplaced, foreign: &foreign{own: own, origin: o}}
	own.setCopies(append(slices.Clone(own.others()), s))
	return s
}

func (s *Stream) others() []*Stream {
	if list := s.copies.Load(); list != nil {
		return *list
	}
	return nil
}

func (s *Stream) setCopies(list []*Stream) {
	if len(list) == 0 {
		s.copies.Store(nil)
		return
	}
	s.copies.Store(&list)
}

func (s *Stream) copyOf(o *Origin) *Stream {
	for _, c := range s.others() {
		if c.foreign.origin == o {
			return c
		}
	}
	return nil
}

// Sparse reports whether offsets of the stream need not be dense.
func (s *Stream) Sparse() bool { return s.foreign != nil && s.foreign.origin.sparse }

// Own returns the topic's own stream if there is one. Any goroutine may call it.
func (t *Topic) Own() *Stream { return t.stream.Load() }

// Streams calls fn for the topic's own stream and all copies, if there are any. One that nobody counts in is left out.
// Any goroutine may call it.
func (t *Topic) Streams(fn func(*Stream)) {
	own := t.Own()
	if own == nil {
		return
	}
	if !own.postOnly.Load() {
		fn(own)
	}
	for _, c := range own.others() {
		fn(c)
	}
}

// Mark calls fn for each of the topic's streams of which something is known, all under the lock that they share, with the
// offset that its next message will get: see [Stream.Mark]. A copy is silent if its next message will begin it for everybody.
func (t *Topic) Mark(fn func(s *Stream, next uint64, silent bool)) {
	own := t.Stream()
	own.mu.Lock()
	defer own.mu.Unlock()
	if !own.postOnly.Load() {
		fn(own, own.next, false)
	}
	for _, c := range own.others() {
		if c.next != 0 {
			fn(c, c.next, c.foreign.told != c.foreign.origin.era.Load()+1)
		}
	}
}

// Verdict is what became of a message that has its offset already.
type Verdict uint8

// The verdicts of [Stream.Accept].
const (
	Taken     Verdict = iota // it was the next one
	Duplicate                // there was one with this offset; nothing was done
	Hole                     // messages before it are missing; nothing was done
)

// Accept is Publish for a message of a copy, which has its offset already. The first one that is accepted begins the
// stream. begins is called before post, with the loops where somebody is interested, if those who subscribed by name
// have not been told of the stream: it is new to them, or its origin had ended. Groups are told by whoever walks.
func (s *Stream) Accept(offset uint64, now uint32, encode func(offset uint64, tracked bool) Entry, begins func(loops, number, next uint64), post func(loops, number uint64, e Entry)) Verdict {
	if v := s.accept(offset, now, encode, begins, post); v != Taken {
		return v
	}
	s.makeRoom()
	return Taken
}

func (s *Stream) accept(offset uint64, now uint32, encode func(uint64, bool) Entry, begins func(uint64, uint64, uint64), post func(uint64, uint64, Entry)) Verdict {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	switch {
	case offset < max(s.next, firstOffset):
		return Duplicate
	case offset > s.next && s.next != 0 && !s.Sparse():
		return Hole
	}
	s.next = offset
	s.begin(begins)
	e, loops, number := s.appendLocked(now, encode)
	post(loops, number, e)
	return Taken
}

// BeginAt says where a copy begins of which nothing is known yet.
func (s *Stream) BeginAt(next uint64) {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	if s.next == 0 {
		s.next = max(next, firstOffset)
	}
}

// begin posts the stream's beginning, once in each era of the origin; the lock is held.
func (s *Stream) begin(begins func(loops, number, next uint64)) {
	c := s.foreign
	era := c.origin.era.Load() + 1
	if c.told == era && !s.topic.index.without.beginOnce {
		return
	}
	c.told = era
	if c.own.copyOf(c.origin) == nil { // it was forgotten, and comes back
		c.own.setCopies(append(slices.Clone(c.own.others()), s))
	}
	// Loops with groups alone get it as well: who subscribes by name there now is listed before the messages behind it.
	if loops, _ := s.topic.audience(c.own.posts + 1); loops != 0 {
		c.own.posts++
		begins(loops, c.own.posts, s.next)
	}
}

// Miss announces that no position of a copy before next will come: post is called under the lock with the loops where
// somebody is interested, the first missing position and how many are missing. If nothing is known of the copy it begins
// at next, and nothing is posted; if next is not beyond what is known nothing happens. begins is as for Accept.
func (s *Stream) Miss(next uint64, begins func(loops, number, next uint64), post func(loops, number, first, count uint64)) {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	if s.next == 0 {
		s.next = max(next, firstOffset)
		return
	}
	if next <= s.next {
		return
	}
	s.begin(begins)
	own := s.foreign.own
	own.posts++
	loops, _ := s.topic.audience(own.posts)
	first := s.next
	s.next = next
	post(loops, own.posts, first, next-first)
}

// Backfill keeps messages that are older than all that the ring holds, for readers: rising offsets, before the oldest
// one that is kept and before next. At must not fall. Nothing is posted. What does not fit is left out from the front. It
// does nothing to a stream of which nothing is known, or that was forgotten.
func (s *Stream) Backfill(now uint32, older []Entry) {
	s.backfill(now, older)
	s.makeRoom()
}

func (s *Stream) backfill(now uint32, older []Entry) {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	if s.Forgotten() {
		return // nobody would find it, and no Forget would drop it
	}
	s.expire(now)
	limits := s.topic.index.limits
	before := s.ring.cost()
	oldest, at, empty := s.next, now, s.ring.n == 0
	if !empty {
		oldest, at = s.ring.oldest().Offset, s.ring.oldest().At
	}
	for i := len(older) - 1; i >= 0; i-- {
		e := older[i]
		if e.Offset >= oldest || e.Offset < firstOffset {
			continue
		}
		e.At = min(e.At, at)
		if s.ring.n >= limits.Messages || s.ring.bytes+len(e.Frame) > limits.Bytes || int64(now)-int64(e.At) > int64(limits.Age) {
			break
		}
		s.ring.pushFront(e)
		oldest, at = e.Offset, e.At
		if empty { // this is the newest one
			s.published.Store(max(s.published.Load(), at))
			empty = false
		}
	}
	s.charge(before)
}

// Forgotten reports whether this is a copy that [Index.Forget] has dropped and that has not come back.
func (s *Stream) Forgotten() bool {
	return s.foreign != nil && s.foreign.own.copyOf(s.foreign.origin) != s
}

// Forget drops the copies of an origin that has ended, with what they keep. Readers that are under way find nothing any
// more. If the origin comes back after all, so do its copies, one by one.
func (x *Index) Forget(o *Origin) {
	x.Each(func(t *Topic) bool {
		if own := t.Own(); own != nil {
			own.forget(o)
		}
		return true
	})
}

func (s *Stream) forget(o *Origin) {
	if s.copyOf(o) == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.copyOf(o)
	if gone == nil {
		return
	}
	before := gone.ring.cost()
	gone.ring = ring{}
	gone.charge(before)
	gone.foreign.told = 0 // so that whatever comes lists it again
	s.setCopies(slices.DeleteFunc(slices.Clone(s.others()), func(c *Stream) bool { return c == gone }))
}
