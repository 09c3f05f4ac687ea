package fanout

import (
	"sync/atomic"
	"unsafe"
)

// Sub is a subscriber as its event loop numbers it: the slot of a session on that loop.
type Sub uint32

// inlineName is how many bytes of a name fit into the topic itself: what is left of its first cache line.
const inlineName = 40

// Topic is a name that messages are published under. Id and name never change. A topic lives as long as its index.
//
// It takes two cache lines. The first holds the name, so that a look-up that hits needs nothing else; the second what a
// publish reads next.
type Topic struct {
	name  string // refers to short if it fits
	short [inlineName]byte

	id       uint32
	trackers atomic.Int32  // exact subscribers that track
	exact    atomic.Uint64 // loops with an exact subscriber or a hold; each loop changes its own bit

	checkedAt atomic.Uint64           // changes.total when matchedAt was last found right
	matchedAt atomic.Uint64           // the state of the filters (changes.sum) that matched belongs to
	matched   atomic.Pointer[matched] // groups whose filter matches; nil: none
	depends   counters                // what matchedAt is a sum of

	stream atomic.Pointer[Stream]
	index  *Index
}

// fill sets up a topic that nobody else can see yet.
func (t *Topic) fill(x *Index, id uint32, name []byte, depends counters) {
	t.index, t.id, t.depends = x, id, depends
	if x.postOnly != nil && x.postOnly(string(name)) {
		s := newStream(t)
		s.postOnly.Store(true)
		t.stream.Store(s)
	}
	if n := copy(t.short[:], name); n == len(name) {
		// short is not written again and goes with the topic, so a string may refer to it. Keeping the bytes beside
		// the header saves every look-up a cache miss.
		t.name = unsafe.String(&t.short[0], n)
	} else {
		t.name = string(name)
	}
}

// ID returns the topic's number within its index, counted from 1.
func (t *Topic) ID() uint32 { return t.id }

// Name returns the topic's name.
func (t *Topic) Name() string { return t.name }

// Loops returns the loops where someone is interested, as a mask: those with an exact subscriber or a hold, and those
// with a group whose filter matches. Any goroutine may call it, but only what is read under the stream's lock (that is,
// what [Stream.Publish] hands to post) is ordered with subscriptions.
func (t *Topic) Loops() uint64 {
	loops := t.exact.Load()
	if m := t.match(); m != nil {
		loops |= m.loops
	}
	return loops
}

// Tracked reports whether anybody, exact subscriber or matching group, tracks the topic. Any goroutine may call it.
func (t *Topic) Tracked() bool {
	if t.trackers.Load() > 0 {
		return true
	}
	m := t.match()
	return m != nil && m.tracked
}

// audience returns who gets what is posted with that number: the loops, and whether anyone tracks it. The stream's lock
// is held.
func (t *Topic) audience(post uint64) (loops uint64, tracked bool) {
	loops, tracked = t.exact.Load(), t.trackers.Load() > 0
	if m := t.match(); m != nil {
		m.begin(post)
		loops |= m.loops
		tracked = tracked || m.tracked
	}
	return loops, tracked
}

// Track changes the number of exact subscribers that track the topic. Any goroutine may call it.
func (t *Topic) Track(delta int) { t.trackers.Add(int32(delta)) }

// Hold makes publishes post to the loop although nobody is listed there yet, until the matching [Topic.Release]. A
// subscription needs it from before its start marker is posted until it is listed. For the loop only.
func (t *Topic) Hold(loop int) {
	if t.index.rosters[loop].hold(t.id) {
		t.exact.Or(1 << loop)
	}
}

// Release takes back one [Topic.Hold]. Without a hold it does nothing. For the loop only.
func (t *Topic) Release(loop int) {
	if t.index.rosters[loop].release(t.id) {
		t.exact.And(^(uint64(1) << loop))
	}
}

// Add lists an exact subscriber; if it is listed already nothing changes. A subscriber that is added while a [Walk] is
// suspended may be shown by it. For the loop only.
func (t *Topic) Add(loop int, s Sub) {
	if t.index.rosters[loop].add(t.id, s) {
		t.exact.Or(1 << loop)
	}
}

// Remove takes an exact subscriber off the list and reports whether it was there. It is safe while the list is being
// walked. The cost does not depend on the length of the list. For the loop only.
func (t *Topic) Remove(loop int, s Sub) bool {
	removed, last := t.index.rosters[loop].remove(t.id, s)
	if last {
		t.exact.And(^(uint64(1) << loop))
	}
	return removed
}

// Subscribers returns how many exact subscribers the loop has. For the loop only.
func (t *Topic) Subscribers(loop int) int {
	return int(t.index.rosters[loop].interests[t.id].listed)
}

// Stream returns the topic's stream, which is created on first need. Any goroutine may call it.
func (t *Topic) Stream() *Stream {
	if s := t.stream.Load(); s != nil {
		return s
	}
	t.stream.CompareAndSwap(nil, newStream(t))
	return t.stream.Load()
}

// PostOnly says whether what comes on the topic belongs to no stream: from then on [Stream.Publish] takes nothing and
// [Topic.Post] does, or the other way round. Any goroutine may call it.
func (t *Topic) PostOnly(on bool) {
	if t.PostsOnly() == on {
		return
	}
	s := t.Stream()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postOnly.Store(on)
}

// PostsOnly reports what PostOnly said last, or Config.PostOnly at first. Any goroutine may call it.
func (t *Topic) PostsOnly() bool {
	s := t.Own()
	return s != nil && s.postOnly.Load()
}

// Post calls post under the lock of the topic's streams with the loops where someone is interested and the number of the
// post, for something that belongs to none of its streams. It does not, and returns false, unless the topic is post-only.
func (t *Topic) Post(post func(loops, number uint64)) bool {
	s := t.Stream()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.postOnly.Load() {
		return false
	}
	s.posts++
	loops, _ := t.audience(s.posts)
	post(loops, s.posts)
	return true
}
