package client

import "sync"

const (
	// spareItems and spareBytes are how much more than its buffer a subscription
	// takes while a Publish or Subscribe waits for its answer, which stands behind
	// the messages: the goroutine that would make room may be the one that waits.
	spareItems = 4096
	spareBytes = 16 << 20
)

// queue is what was received for one subscription and not taken yet. One goroutine
// pushes, one at a time pops.
type queue struct {
	size  int
	ready chan struct{} // poked when something came
	room  chan struct{} // poked when something was taken

	mu    sync.Mutex // guards all below
	items []item     // from head on
	head  int
	bytes int // of payloads
}

func newQueue(size int) *queue {
	return &queue{size: size, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// push is false if there is no room; spare allows for more.
func (q *queue) push(it item, spare bool) bool {
	q.mu.Lock()
	n := len(q.items) - q.head
	full := n >= q.size
	if full && spare {
		full = n >= q.size+spareItems || q.bytes >= spareBytes
	}
	if !full {
		q.items = append(q.items, it)
		q.bytes += it.bytes()
	}
	q.mu.Unlock()
	if !full {
		poke(q.ready)
	}
	return !full
}

// peek is the first item; it stays.
func (q *queue) peek() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return item{}, false
	}
	return q.items[q.head], true
}

// pop takes the first item.
func (q *queue) pop() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return item{}, false
	}
	it := q.items[q.head]
	q.items[q.head] = item{}
	q.bytes -= it.bytes()
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 2*q.size+64 {
			q.items = nil // it was in use for once
		}
	} else if q.head >= q.size && 2*q.head >= len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	poke(q.room)
	return it, true
}

func (it item) bytes() int {
	if m, ok := it.event.(Message); ok {
		return len(m.Payload)
	}
	return 0
}

// poke signals on a channel with room for one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
