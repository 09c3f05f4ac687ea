package fanout

import (
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// changes counts changes of the set of filters, so that a topic can see whether its matching groups may have changed
// since it last looked. One counter would make every filter that comes or goes cost every topic a new match, so there
// are many. A topic depends on one for each of its first levels, one for each of its first prefixes, and anyCounter. A
// filter moves one that every topic which it matches depends on: that of a literal level or of a literal prefix, and of
// these the one with the fewest topics. "broadcast/+/kitchen" moves the counter of third level kitchen, since nearly
// every topic begins with broadcast; "#" and "+/+" move anyCounter. Keys that share a counter only cost matches that find
// nothing new.
type changes struct {
	total    atomic.Uint64   // of all counters: while it stands still nobody needs to look at more
	counters []atomic.Uint32 // how often filters have moved them
	topics   []atomic.Uint32 // how many topics depend on each
	perKind  int             // a power of two
	reach    reach
}

const (
	anyCounter  = 0       // of filters without a literal level among the first
	noCounter   = 1       // never moves: stands where a topic has no further level
	mostPerKind = 1 << 13 // so that a counter fits 16 bits

	keyedLevels   = 5 // levels with a counter of their own
	keyedPrefixes = 2 // prefixes with one: of two levels and of three
)

// counters are what a topic depends on besides anyCounter: levels first, then prefixes.
type counters [keyedLevels + keyedPrefixes]uint16

func newChanges(topics, links int) changes {
	n := 16
	for n < mostPerKind && n < topics/128 {
		n *= 2
	}
	all := 2 + n*len(counters{})
	return changes{
		counters: make([]atomic.Uint32, all), topics: make([]atomic.Uint32, all), perKind: n,
		reach: reach{limit: links, groups: make([]uint32, all)},
	}
}

// at returns the counter of a key. There are as many kinds of keys as fields of counters, and each has counters of its
// own: a first level that nearly all topics share does not disturb filters that are told apart by the third.
func (c *changes) at(kind int, key string) uint16 {
	return uint16(2 + kind*c.perKind + int(xxhash.Sum64String(key)&uint64(c.perKind-1)))
}

// keys calls fn for each key of a name, from the left.
func (c *changes) keys(name string, fn func(kind int, counter uint16, level string, last bool)) {
	for i, rest, more, end := 0, name, true, 0; more && i < keyedLevels; i++ {
		var level string
		level, rest, more = nextLevel(rest)
		fn(i, c.at(i, level), level, !more)
		end += len(level)
		if prefix := keyedLevels + i - 1; i > 0 && prefix < len(counters{}) {
			fn(prefix, c.at(prefix, name[:end]), level, !more)
		}
		end++ // the slash
	}
}

// ofTopic returns the counters that a topic depends on.
func (c *changes) ofTopic(name string) counters {
	var of counters
	for i := range of {
		of[i] = noCounter
	}
	c.keys(name, func(kind int, counter uint16, _ string, _ bool) {
		of[kind] = counter
	})
	return of
}

// ofFilter returns the counter that a filter moves.
func (c *changes) ofFilter(filter string) uint32 {
	best, literal := uint32(anyCounter), true // literal: all levels so far
	c.keys(filter, func(kind int, counter uint16, level string, last bool) {
		if level == "+" || level == "#" && last {
			literal = false
			return
		}
		if kind >= keyedLevels && !literal {
			return
		}
		if best == anyCounter || c.topics[counter].Load() <= c.topics[best].Load() {
			best = uint32(counter)
		}
	})
	return best
}

// count must follow the change that it counts: whoever then sees the new numbers sees the change. The total goes last,
// so that whoever sees it sees the counter.
func (c *changes) count(counter uint32) {
	c.counters[counter].Add(1)
	c.total.Add(1)
}

// sum is a version: counters only grow, so the same sum later means that none of them has moved.
func (c *changes) sum(of *counters) uint64 {
	sum := uint64(c.counters[anyCounter].Load())
	for _, counter := range of {
		sum += uint64(c.counters[counter].Load())
	}
	return sum
}
