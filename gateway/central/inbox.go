package central

import "sync"

// arrival is a message that waits for whoever delivers, or the place of some that are
// missing.
type arrival struct {
	tenant, topic string
	missing       bool
	payload       []byte
}

// inbox is what has come and was not delivered yet, in order and bounded. What does not
// fit is missing, and that is said in its place, once for each run of messages.
type inbox struct {
	most int

	mu    sync.Mutex
	queue []arrival
	bytes int
	holes map[interest]struct{} // topics whose last arrival says that it is missing
	all   bool                  // the last arrival says so for all topics
	wake  chan struct{}         // holds one: the queue is not empty
}

// mostHoles is from when on the holes of topics are told as one of all.
const mostHoles = 4096

func newInbox(most int) *inbox {
	return &inbox{most: most, holes: map[interest]struct{}{}, wake: make(chan struct{}, 1)}
}

func (a *arrival) size() int { return len(a.tenant) + len(a.topic) + len(a.payload) }

// add reports whether the message fits.
func (b *inbox) add(a arrival) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+a.size() > b.most {
		b.miss(a.tenant, a.topic)
		return false
	}
	b.push(a)
	b.all = false
	if len(b.holes) > 0 {
		delete(b.holes, interest{a.tenant, a.topic})
	}
	return true
}

// missed says that something is missing of all topics without a stream.
func (b *inbox) missed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.miss("", "")
}

func (b *inbox) miss(tenant, topic string) {
	if b.all {
		return
	}
	if len(b.holes) >= mostHoles {
		tenant, topic = "", ""
	}
	if topic == "" {
		b.all = true
		clear(b.holes)
	} else {
		i := interest{tenant, topic}
		if _, told := b.holes[i]; told {
			return
		}
		b.holes[i] = struct{}{}
	}
	b.push(arrival{tenant: tenant, topic: topic, missing: true})
}

func (b *inbox) push(a arrival) {
	b.queue = append(b.queue, a)
	b.bytes += a.size()
	signal(b.wake)
}

// take is all that waits; into is room to swap it for.
func (b *inbox) take(into []arrival) []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return nil // into is still the caller's
	}
	all := b.queue
	b.queue = into[:0]
	// What comes next stands behind what was taken.
	b.all = false
	clear(b.holes)
	return all
}

// freed gives back the room of an arrival that was delivered.
func (b *inbox) freed(a *arrival) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= a.size()
}
