package fanout

import (
	"sync"
	"sync/atomic"
)

// Entry is one message of a stream.
type Entry struct {
	Offset uint64 // position in the stream, from 1
	At     uint32 // when it was published, in the seconds of the now that Publish was given
	From   uint64 // who published it; not looked at here
	Frame  []byte // the finished delivery, immutable; Frame[Body:] is the payload
	Body   int
}

// firstOffset leaves 0 for "nothing yet".
const firstOffset = 1

// Stream counts the messages of a topic that come from one place and keeps the last ones in a ring. A topic has one of its
// own, and a copy of one for each [Origin] elsewhere. The own one exists as long as its topic: when memory runs short its
// ring is emptied, never its count, so its life does not change. (Forgetting it would have to begin a new life; at some
// 200 bytes each it is not worth it.)
//
// All that must agree on the order of messages happens under one lock, which all streams of a topic share: giving
// offsets, keeping messages, posting them to the loops, and posting the markers where subscriptions start. The functions
// that callers pass in run there: they must be short, must not use any stream, and must not wait for anyone who may be
// using one.
type Stream struct {
	topic   *Topic
	foreign *foreign // nil: the topic's own stream

	mu       sync.Mutex                // of the own stream: guards all streams of the topic
	posts    uint64                    // of the own stream: what was posted on the topic so far
	copies   atomic.Pointer[[]*Stream] // of the own stream: those of other origins; the list is immutable
	postOnly atomic.Bool               // of the own stream: nobody counts in it
	next     uint64
	post     uint64 // the number of its last message
	ring     ring

	published atomic.Uint32 // when last, in seconds; changes under mu, read by the budget without
	place     place         // among all rings, under the budget's lock
}

func newStream(t *Topic) *Stream {
	return &Stream{topic: t, next: firstOffset, place: unplaced}
}

// lock is what guards the stream.
func (s *Stream) lock() *sync.Mutex { return &s.own().mu }

// own is the own stream of the same topic.
func (s *Stream) own() *Stream {
	if s.foreign != nil {
		return s.foreign.own
	}
	return s
}

// Topic returns what the stream is of.
func (s *Stream) Topic() *Topic { return s.topic }

// Origin returns where the stream comes from, nil for the topic's own.
func (s *Stream) Origin() *Origin {
	if s.foreign == nil {
		return nil
	}
	return s.foreign.origin
}

// Life returns the life that the stream's offsets count in.
func (s *Stream) Life() uint64 {
	if s.foreign != nil {
		return s.foreign.origin.life
	}
	return s.topic.index.life
}

// Next returns the offset that the next message will get; 0: it is a copy of which nothing is known yet. It is out of
// date at once: for display.
func (s *Stream) Next() uint64 {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	return s.next
}

// Published returns the second of the last message, 0 if there was none.
func (s *Stream) Published() uint32 { return s.published.Load() }

// Publish gives a message the next offset, keeps it, and posts it, all under the stream's lock. now is in seconds.
// encode makes the entry (its Offset and At are set afterwards); tracked says whether anyone counts the messages.
// post gets the mask of loops where someone is interested, and the number of the post: the how manyth of the topic it is,
// whatever the stream. It is called even if nobody is interested. Neither is kept. Without
// what encode allocates, and while the ring does not grow, nothing is allocated.
//
// A stream that nobody counts in ([Topic.PostOnly]) takes nothing: neither function is called and the offset is 0.
//
// If the rings of the budget are then too large together, the least recently published ones lose messages before Publish
// returns.
func (s *Stream) Publish(now uint32, encode func(offset uint64, tracked bool) Entry, post func(loops, number uint64, e Entry)) uint64 {
	var e Entry
	if s.topic.index.without.postUnderLock {
		var loops, number uint64
		if e, loops, number = s.append(now, encode); e.Offset != 0 {
			post(loops, number, e)
		}
	} else {
		e = s.appendAndPost(now, encode, post)
	}
	s.makeRoom()
	return e.Offset
}

// makeRoom has other rings give up what this one took beyond the budget; no lock is held.
func (s *Stream) makeRoom() {
	if account := s.topic.index.account; account != nil {
		account.trim()
	}
}

func (s *Stream) appendAndPost(now uint32, encode func(uint64, bool) Entry, post func(uint64, uint64, Entry)) Entry {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock() // deferred: the callers' functions may panic, which must not stop the stream
	if s.postOnly.Load() {
		return Entry{}
	}
	e, loops, number := s.appendLocked(now, encode)
	post(loops, number, e)
	return e
}

// append is for tests that take away the rule postUnderLock.
func (s *Stream) append(now uint32, encode func(uint64, bool) Entry) (e Entry, loops, number uint64) {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	if s.postOnly.Load() {
		return Entry{}, 0, 0
	}
	return s.appendLocked(now, encode)
}

func (s *Stream) appendLocked(now uint32, encode func(uint64, bool) Entry) (e Entry, loops, number uint64) {
	own := s.own()
	own.posts++
	number = own.posts
	if s.topic.index.without.postNumbers {
		number = s.next
	}
	loops, tracked := s.topic.audience(number)
	e = encode(s.next, tracked)
	now = max(now, s.published.Load()) // clocks of loops may differ by a second; a ring's times must not go back
	e.Offset, e.At = s.next, now
	s.next++
	s.post = number
	s.published.Store(now)
	s.keep(e)
	return e, loops, number
}

// Mark calls fn under the stream's lock with the offset that the next message will get: the place to post the marker
// where a subscription starts. Everything posted before it has a lower offset, everything after it that or a higher one.
// Nothing of a copy may be known: next is 0 then, and Mark tells no place in it.
func (s *Stream) Mark(fn func(next uint64)) {
	if s.topic.index.without.markUnderLock {
		fn(s.Next())
		return
	}
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	fn(s.next)
}

// Kept returns the range of offsets, without next, that the ring still holds at now; if it holds none both are the same.
// Messages that were too large to keep are missing from the range; a [Reader] says so. What is too old is dropped.
func (s *Stream) Kept(now uint32) (oldest, next uint64) {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	s.expire(now)
	if s.ring.n == 0 {
		return s.next, s.next
	}
	return s.ring.oldest().Offset, s.next
}

// Last returns the offset of the last message that the ring still holds at now, the second in which it was published, and
// the number of the stream's last post (0: what it holds was not posted here); next and 0 if it holds none.
func (s *Stream) Last(now uint32) (offset uint64, at uint32, post uint64) {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	s.expire(now)
	if s.ring.n == 0 {
		return s.next, 0, 0
	}
	e := s.ring.at(s.ring.n - 1)
	return e.Offset, e.At, s.post
}

// keep appends e to the ring, if it fits at all, and makes room for it.
func (s *Stream) keep(e Entry) {
	if s.Sparse() {
		return
	}
	x := s.topic.index
	limits := x.limits
	if len(e.Frame) > limits.Bytes || x.account != nil && !x.account.fits(ringCost(1, len(e.Frame))) {
		s.expire(e.At)
		return
	}
	before := s.ring.cost()
	s.ring.dropOlder(e.At, limits.Age)
	for s.ring.n >= limits.Messages || s.ring.n > 0 && s.ring.bytes+len(e.Frame) > limits.Bytes {
		s.ring.dropOldest()
	}
	s.ring.push(e)
	s.charge(before)
}

// expire drops what is older than the limit; mu is held.
func (s *Stream) expire(now uint32) {
	before := s.ring.cost()
	s.ring.dropOlder(now, s.topic.index.limits.Age)
	s.charge(before)
}

// evict drops the oldest messages until bytes are free or none is left.
func (s *Stream) evict(bytes int64) {
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	before := s.ring.cost()
	for s.ring.n > 0 && before-s.ring.cost() < bytes {
		s.ring.dropOldest()
		s.ring.shrink()
	}
	s.charge(before)
}

// charge tells the budget what has changed since the ring cost before; mu is held.
func (s *Stream) charge(before int64) {
	s.ring.shrink()
	account := s.topic.index.account
	after := s.ring.cost()
	if account == nil || after == before {
		return
	}
	account.charge(after - before)
	switch {
	case before == 0:
		account.enter(s)
	case after == 0:
		account.leave(s)
	}
}
