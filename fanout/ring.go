package fanout

import (
	"fmt"
	"unsafe"
)

// Defaults of [RingLimits].
const (
	DefaultRingMessages = 256
	DefaultRingBytes    = 256 << 10
	DefaultRingAge      = 120
)

// RingLimits bounds what a stream keeps for readers. A field that is 0 takes its default.
type RingLimits struct {
	Messages int    // default 256
	Bytes    int    // of all frames together, default 256 KiB; a larger frame is not kept
	Age      uint32 // seconds, default 120
}

func (l RingLimits) withDefaults() (RingLimits, error) {
	if l.Messages < 0 || l.Messages > 1<<20 {
		return l, fmt.Errorf("ring messages: %d is not within 1 to %d (0: default)", l.Messages, 1<<20)
	}
	if l.Bytes < 0 {
		return l, fmt.Errorf("ring bytes: %d is negative (0: default)", l.Bytes)
	}
	if l.Messages == 0 {
		l.Messages = DefaultRingMessages
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultRingBytes
	}
	if l.Age == 0 {
		l.Age = DefaultRingAge
	}
	return l, nil
}

// ring holds a stream's last messages in the order of their offsets. Offsets may have holes where a message was too
// large. It grows by doubling, from one entry: most streams of a large index hold one message. The stream's lock
// guards it.
type ring struct {
	entries []Entry // length 0 or a power of two
	head    int     // place of the oldest
	n       int
	bytes   int // of the frames
}

// ringCost is the memory of a ring of that many places and bytes of frames.
func ringCost(places, bytes int) int64 {
	return int64(places)*int64(unsafe.Sizeof(Entry{})) + int64(bytes)
}

func (r *ring) cost() int64 { return ringCost(len(r.entries), r.bytes) }

func (r *ring) at(i int) *Entry { return &r.entries[(r.head+i)&(len(r.entries)-1)] }

func (r *ring) oldest() *Entry { return r.at(0) }

func (r *ring) push(e Entry) {
	if r.n == len(r.entries) {
		r.resize(max(1, 2*r.n))
	}
	r.n++
	*r.at(r.n - 1) = e
	r.bytes += len(e.Frame)
}

// pushFront puts an entry before the oldest.
func (r *ring) pushFront(e Entry) {
	if r.n == len(r.entries) {
		r.resize(max(1, 2*r.n))
	}
	r.head = (r.head - 1) & (len(r.entries) - 1)
	r.n++
	*r.at(0) = e
	r.bytes += len(e.Frame)
}

func (r *ring) resize(places int) {
	entries := make([]Entry, places)
	for i := range r.n {
		entries[i] = *r.at(i)
	}
	r.entries, r.head = entries, 0
}

func (r *ring) dropOldest() {
	e := r.oldest()
	r.bytes -= len(e.Frame)
	*e = Entry{}
	r.head = (r.head + 1) & (len(r.entries) - 1)
	r.n--
}

// dropOlder drops what was published more than age seconds before now.
func (r *ring) dropOlder(now, age uint32) {
	for r.n > 0 && int64(now)-int64(r.oldest().At) > int64(age) {
		r.dropOldest()
	}
}

// since returns the oldest message at or after offset, nil if there is none.
func (r *ring) since(offset uint64) *Entry {
	low, high := 0, r.n
	for low < high {
		middle := (low + high) / 2
		if r.at(middle).Offset < offset {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == r.n {
		return nil
	}
	return r.at(low)
}

// shrink gives back memory when a quarter of the places or less is in use; an empty ring has none.
func (r *ring) shrink() {
	switch {
	case r.n == 0:
		*r = ring{}
	case 4*r.n <= len(r.entries):
		r.resize(len(r.entries) / 2)
	}
}
