package fanout

import (
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

const (
	shardBits  = 7
	shardCount = 1 << shardBits
	firstSlots = 16
)

// shard holds the names of a part of the topics. Look-ups read the table without a lock; mu is held to insert.
type shard struct {
	mu    sync.Mutex
	table atomic.Pointer[table]
	used  int      // slots in use, under mu
	_     [40]byte // a shard fills a cache line, so that inserting into one does not slow look-ups in the next
}

// table is a hash table with linear probing. A slot is a tag (32 bits of the hash) above a topic id, or 0 while free.
// The tag spares look-ups the topics that are not meant, and slots without pointers spare the garbage collector the
// table. Slots only ever go from free to used, so a reader needs no lock; a full table is replaced by a larger copy.
type table struct {
	mask  uint64
	slots []atomic.Uint64
}

func newTable(slots int) *table {
	return &table{mask: uint64(slots - 1), slots: make([]atomic.Uint64, slots)}
}

// Shard, tag and place in the table come from different bits of the hash: the shard from the highest, the place from
// the lowest (a shard of MaxTopics has at most 25), the tag from 24 to 55.
func shardOf(hash uint64) uint64 { return hash >> (64 - shardBits) }
func tagOf(hash uint64) uint64   { return hash >> 24 & (1<<32 - 1) }

// insert adds a topic that is not there yet; mu is held. topic returns the topic of an id: growing hashes names anew.
func (s *shard) insert(hash uint64, id uint32, topic func(id uint32) *Topic) {
	t := s.table.Load()
	if t == nil {
		t = newTable(firstSlots)
		s.table.Store(t)
	}
	if 4*(s.used+1) > 3*len(t.slots) {
		t = t.grown(topic)
		s.table.Store(t)
	}
	t.put(hash, id)
	s.used++
}

func (t *table) grown(topic func(id uint32) *Topic) *table {
	larger := newTable(2 * len(t.slots))
	for i := range t.slots {
		if slot := t.slots[i].Load(); slot != 0 {
			id := uint32(slot)
			larger.put(xxhash.Sum64String(topic(id).name), id)
		}
	}
	return larger
}

func (t *table) put(hash uint64, id uint32) {
	at := hash
	for t.slots[at&t.mask].Load() != 0 {
		at++
	}
	t.slots[at&t.mask].Store(tagOf(hash)<<32 | uint64(id))
}
