package fanout

import (
	"container/heap"
	"sync"
	"sync/atomic"
)

// Budget bounds the memory of the rings of all indexes that share it, and of each of them. What counts is frames and the
// rings' own arrays. When it is exceeded the ring that was published to least recently (to the second) loses its oldest
// messages first. It may be exceeded for as long as a Publish takes.
//
// All methods are safe for concurrent use.
type Budget struct {
	bytes, share atomic.Int64 // change in Resize only
	used         atomic.Int64

	resizing sync.Mutex // held by Resize; taken before trimming
	trimming sync.Mutex // held by whoever makes room; taken before any stream's lock

	mu    sync.Mutex // taken after a stream's lock
	rings rings      // all rings that hold something
}

// NewBudget makes a budget of that many bytes, of which one index may hold share. A share below 1 or above bytes means
// bytes. With bytes below 1 nothing is kept.
func NewBudget(bytes int64, share int64) *Budget {
	b := &Budget{rings: rings{which: ofBudget}}
	b.bytes.Store(max(bytes, 0))
	b.share.Store(shareOf(bytes, share))
	return b
}

func shareOf(bytes, share int64) int64 {
	bytes = max(bytes, 0)
	if share < 1 || share > bytes {
		return bytes
	}
	return share
}

// resizeStep is how much room Resize makes at once, while a Publish may have to wait for it.
const resizeStep = 128 << 10

// Resize changes both figures, as NewBudget takes them, and makes room at once: when it returns, the rings together hold
// at most bytes, but for what is being published meanwhile. What one index holds above its share goes at its next Publish.
func (b *Budget) Resize(bytes int64, share int64) {
	b.resizing.Lock()
	defer b.resizing.Unlock()
	share, bytes = shareOf(bytes, share), max(bytes, 0)
	// In steps, because whoever publishes makes room for all that is too much by the figure of that moment.
	for target := b.used.Load(); target > bytes; {
		target = max(bytes, target-resizeStep)
		b.bytes.Store(target)
		b.trimming.Lock()
		b.reduce(&b.used, target, &b.rings)
		b.trimming.Unlock()
	}
	b.bytes.Store(bytes)
	b.share.Store(share)
}

// Used returns how many bytes all rings hold.
func (b *Budget) Used() int64 { return b.used.Load() }

// Expire empties up to most rings whose last message is too old at now (in seconds), least recently published first,
// and returns how many it emptied. Streams drop what is too old when they are used; this gives back the memory of those
// that nobody uses.
func (b *Budget) Expire(now uint32, most int) int {
	b.trimming.Lock()
	defer b.trimming.Unlock()
	for emptied := range most {
		s := b.least(&b.rings)
		if s == nil || int64(now)-int64(s.published.Load()) <= int64(s.topic.index.limits.Age) {
			return emptied
		}
		s.Kept(now)
	}
	return most
}

func (b *Budget) open() *account {
	return &account{budget: b, rings: rings{which: ofAccount}}
}

// least returns the stream that was published to least recently, nil if no ring holds anything.
func (b *Budget) least(among *rings) *Stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(among.streams) > 0 {
		s := among.streams[0]
		published := s.published.Load()
		if published == s.place.key {
			return s
		}
		// A heap key is not raised when its stream is published to, which would cost every publish this lock, but
		// here, when it is at the top. Keys are never too high, so what then stays on top is the least.
		s.place.key = published
		heap.Fix(&b.rings, s.place.at[ofBudget])
		heap.Fix(&s.topic.index.account.rings, s.place.at[ofAccount])
	}
	return nil
}

// account is what one index holds of a budget.
type account struct {
	budget *Budget
	used   atomic.Int64
	rings  rings // those of the index, under the budget's lock
}

// fits reports whether a ring may cost that much at all.
func (a *account) fits(cost int64) bool { return cost <= a.budget.share.Load() }

func (a *account) charge(bytes int64) {
	a.used.Add(bytes)
	a.budget.used.Add(bytes)
}

// enter lists a stream whose ring holds something for the first time; its lock is held.
func (a *account) enter(s *Stream) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	s.place.key = s.published.Load()
	heap.Push(&a.budget.rings, s)
	heap.Push(&a.rings, s)
}

// leave takes a stream off whose ring is empty; its lock is held.
func (a *account) leave(s *Stream) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	heap.Remove(&a.budget.rings, s.place.at[ofBudget])
	heap.Remove(&a.rings, s.place.at[ofAccount])
}

// trim makes room until neither the index's share nor the budget is exceeded. The caller holds no stream's lock: trim
// takes those of other streams, and two streams that make room in each other would wait for ever.
func (a *account) trim() {
	b := a.budget
	if a.used.Load() <= b.share.Load() && b.used.Load() <= b.bytes.Load() {
		return
	}
	b.trimming.Lock()
	defer b.trimming.Unlock()
	b.reduce(&a.used, b.share.Load(), &a.rings)
	b.reduce(&b.used, b.bytes.Load(), &b.rings)
}

func (b *Budget) reduce(used *atomic.Int64, limit int64, among *rings) {
	for excess := used.Load() - limit; excess > 0; excess = used.Load() - limit {
		s := b.least(among)
		if s == nil {
			return // what is used is about to be given back, or about to be listed by whoever trims next
		}
		s.evict(excess)
	}
}

// place is where a stream stands in the two heaps that it is in while its ring holds something.
type place struct {
	at  [2]int
	key uint32 // a second not after the stream's last publish
}

const (
	ofBudget = iota
	ofAccount
)

var unplaced = place{at: [2]int{-1, -1}}

// rings is a heap of streams for container/heap, the lowest key first.
type rings struct {
	streams []*Stream
	which   int
}

func (r *rings) Len() int           { return len(r.streams) }
func (r *rings) Less(i, j int) bool { return r.streams[i].place.key < r.streams[j].place.key }

func (r *rings) Swap(i, j int) {
	r.streams[i], r.streams[j] = r.streams[j], r.streams[i]
	r.streams[i].place.at[r.which] = i
	r.streams[j].place.at[r.which] = j
}

// Push is for package heap.
func (r *rings) Push(s any) {
	stream := s.(*Stream)
	stream.place.at[r.which] = len(r.streams)
	r.streams = append(r.streams, stream)
}

// Pop is for package heap.
func (r *rings) Pop() any {
	last := len(r.streams) - 1
	s := r.streams[last]
	r.streams[last] = nil
	r.streams = r.streams[:last]
	return s
}
