package gateway

import (
	"sync"

	"github.com/bellwire/bellwire/fanout"
)

// entry is one thing for a loop to do: a frame to deliver, or a call.
type entry struct {
	stream *fanout.Stream
	frame  []byte // finished, the same for all; of a message frame[body:] is the payload
	kind   entryKind
	body   int32
	missed uint64 // positions that a GAP stands for
	offset uint64 // of the message, or the first that is missing, or STREAM's next
	number uint64 // of the post: the same order for all streams of a topic
	from   uint64 // tag of the publishing identity
	charge *charge

	call func(*loop) // if not nil: do this instead
}

// entryKind says what the frame of an entry is.
type entryKind uint8

const (
	entryMessage entryKind = iota
	entryGap               // positions that were lost between gateways
	entryStream            // a stream begins, for those who subscribed by name
	entryCentral           // a message of no stream, with its topic's name
)

// mailbox hands work to one loop, in strict order. It is bounded by the pool of
// publish credit, which every message is charged to.
type mailbox struct {
	arm func() // wakes the loop; called once until take finds nothing

	mu     sync.Mutex
	in     []entry
	armed  bool
	closed bool
}

// post appends from any goroutine; false after close.
func (m *mailbox) post(e entry) bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.in = append(m.in, e)
	if !m.armed {
		m.armed = true
		m.arm() // under the lock: close must not come between, it frees what arm uses
	}
	m.mu.Unlock()
	return true
}

// take swaps what has come for the emptied buffer; on the loop only. When it
// returns nothing, the next post wakes the loop again.
func (m *mailbox) take(empty []entry) []entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.in) == 0 {
		m.armed = false
		return empty
	}
	out := m.in
	m.in = empty
	return out
}

// idle reports that nothing waits.
func (m *mailbox) idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.in) == 0
}

func (m *mailbox) depth() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.in)
}

// close refuses what comes later and returns what is left.
func (m *mailbox) close() []entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	out := m.in
	m.in = nil
	return out
}
