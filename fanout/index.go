package fanout

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Bounds of a [Config].
const (
	// MaxLoops is how many event loops a mask of loops has room for.
	MaxLoops = 64
	// MaxTopics bounds the array of topic chunks, which is laid out when an index is made (8 bytes for 256 topics).
	MaxTopics = 1 << 24
)

// ErrTooManyTopics is returned by [Index.Ensure] when the index has given out all its ids. Ids are never given again, so
// only a restart of the gateway or a higher limit helps.
var ErrTooManyTopics = errors.New("topic limit reached: raise the limit of topics or restart the gateway")

// Config is what an [Index] is made from.
type Config struct {
	Loops  int        // event loops, 1 to MaxLoops
	Topics int        // most topics this index ever names, 1 to MaxTopics
	Links  int        // most links of topics to groups whose filter may match; 0: no bound
	Life   uint64     // life of every stream of this index
	Ring   RingLimits // bounds of each stream's ring; zero fields take the defaults
	Budget *Budget    // shared by the indexes of a gateway; nil: no common bound
	// PostOnly says of a new topic whether what comes on it belongs to no stream, as [Topic.PostOnly] does later. It is
	// called with locks held and must not use the index. Nil: of none.
	PostOnly func(topic string) bool
}

// Index holds the topics of one tenant and says who wants their messages. Topics are never deleted and an id never
// changes hands: ids travel in frames that are encoded once and may wait in many queues, so a number that came to mean
// another topic would deliver a message under a wrong name.
//
// Methods are safe for concurrent use unless they say that they belong to a loop; those may only be called by code that
// runs on that loop.
type Index struct {
	shards  [shardCount]shard
	chunks  []atomic.Pointer[chunk]
	rosters []roster // one per loop
	filters filters
	changes changes
	rematch [rematchStripes]sync.Mutex // by topic id: one goroutine at a time matches a topic against the filters
	sweep   sweep

	life     uint64
	limits   RingLimits
	postOnly func(topic string) bool // nil: of none
	account  *account                // nil without a budget

	naming sync.Mutex    // held while an id is given
	topics atomic.Uint32 // ids given so far; topic n is complete before n is stored here
	limit  uint32

	without rules
}

// rules names the guarantees that a test can take away, to show that its checker would notice. All are false except
// in tests.
type rules struct {
	postUnderLock   bool // messages are posted under the stream's lock
	markUnderLock   bool // so are start markers
	joinAtTop       bool // a reader joins the live list only when it has read everything
	tellOvertaken   bool // a reader says what the ring dropped before it got there
	tellJoiners     bool // a group counts as not told once anyone has joined it
	announceFilters bool // a new filter makes topics match again
	beginGroups     bool // a group gets only messages that were published with it in the audience
	walkDownwards   bool // walks go from the end of a list to its beginning
	keepLinks       bool // a sweep leaves the links of groups that live
	postNumbers     bool // what is posted is numbered by topic, not by stream
	beginOnce       bool // a copy begins once until its origin ends
}

const rematchStripes = 64

// chunkTopics × the size of a Topic makes 32 KiB: from there on the allocator hands out whole pages without a header, so
// each topic begins on a cache line.
const chunkTopics = 256

type chunk [chunkTopics]Topic

// NewIndex makes the index of one tenant. It fails if a field of cfg is out of range.
func NewIndex(cfg Config) (*Index, error) {
	if cfg.Loops < 1 || cfg.Loops > MaxLoops {
		return nil, fmt.Errorf("loops: %d is not within 1 to %d", cfg.Loops, MaxLoops)
	}
	if cfg.Topics < 1 || cfg.Topics > MaxTopics {
		return nil, fmt.Errorf("topics: %d is not within 1 to %d", cfg.Topics, MaxTopics)
	}
	if cfg.Links < 0 {
		return nil, fmt.Errorf("links: %d is negative", cfg.Links)
	}
	limits, err := cfg.Ring.withDefaults()
	if err != nil {
		return nil, err
	}
	x := &Index{
		chunks:   make([]atomic.Pointer[chunk], cfg.Topics/chunkTopics+1),
		rosters:  make([]roster, cfg.Loops),
		changes:  newChanges(cfg.Topics, cfg.Links),
		life:     cfg.Life,
		postOnly: cfg.PostOnly,
		limits:   limits,
		limit:    uint32(cfg.Topics),
	}
	if cfg.Budget != nil {
		x.account = cfg.Budget.open()
	}
	return x, nil
}

// Lookup returns the topic called name, nil if there is none. It takes no lock and does not allocate.
func (x *Index) Lookup(name []byte) *Topic {
	return x.lookup(xxhash.Sum64(name), name)
}

// lookup usually costs two cache misses in a large index: one for the slot and one for the topic, which holds its name.
func (x *Index) lookup(hash uint64, name []byte) *Topic {
	table := x.shards[shardOf(hash)].table.Load()
	if table == nil {
		return nil
	}
	tag := tagOf(hash)
	for at := hash; ; at++ {
		slot := table.slots[at&table.mask].Load()
		if slot == 0 {
			return nil
		}
		if slot>>32 != tag {
			continue
		}
		if t := x.at(uint32(slot)); t.name == string(name) {
			return t
		}
	}
}

// ByID returns the topic with that id, nil if there is none. It takes no lock and does not allocate.
func (x *Index) ByID(id uint32) *Topic {
	if id == 0 || id > x.topics.Load() {
		return nil
	}
	return x.at(id)
}

// at returns the topic with an id that has been given.
func (x *Index) at(id uint32) *Topic {
	return &x.chunks[id/chunkTopics].Load()[id%chunkTopics]
}

// Ensure returns the topic called name and creates it if there is none. It fails with [ErrTooManyTopics] or
// [ErrTooManyLinks]. The name is copied.
func (x *Index) Ensure(name []byte) (*Topic, error) {
	hash := xxhash.Sum64(name)
	if t := x.lookup(hash, name); t != nil {
		return t, nil
	}
	shard := &x.shards[shardOf(hash)]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if t := x.lookup(hash, name); t != nil {
		return t, nil
	}
	t, err := x.create(name)
	if err != nil {
		return nil, err
	}
	shard.insert(hash, t.id, x.at)
	return t, nil
}

func (x *Index) create(name []byte) (*Topic, error) {
	x.naming.Lock()
	defer x.naming.Unlock()
	id := x.topics.Load() + 1
	if id > x.limit {
		return nil, ErrTooManyTopics
	}
	depends := x.changes.ofTopic(string(name))
	if !x.changes.addTopic(&depends) {
		return nil, ErrTooManyLinks
	}
	place := &x.chunks[id/chunkTopics]
	if place.Load() == nil {
		place.Store(new(chunk))
	}
	t := x.at(id)
	t.fill(x, id, name, depends)
	x.topics.Store(id)
	return t, nil
}

// Len returns how many topics there are, which is also the highest id given.
func (x *Index) Len() int { return int(x.topics.Load()) }

// Each calls fn for every topic in the order of their ids until fn returns false. Topics created meanwhile may be left out.
func (x *Index) Each(fn func(*Topic) bool) {
	for id := uint32(1); id <= x.topics.Load(); id++ {
		if !fn(x.at(id)) {
			return
		}
	}
}
