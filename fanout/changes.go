package fanout

import (
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// changes counts changes of the set of filters, so that a topic can see whether its matching groups may have changed
// since it last looked. One counter would make every filter that comes or goes cost every topic a new match, so there
// are many: a filter moves one of them, chosen by its first literal levels, and a topic depends on the four that filters
// which match it can have moved. Two prefixes that share a counter only cost a match that finds nothing new.
//
//	#  +  +/#  +/+/x      anyCounter
//	+/b  +/b/#  +/b/+/c   the counter of second level b
//	a/#  a/+  a/+/c       the counter of first level a
//	a/b/#  a/b/+          the counter of the prefix a/b
type changes struct {
	counters []atomic.Uint64 // a power of two
}

// counters are the three counters that a topic depends on besides anyCounter.
type counters [3]uint16

const (
	anyCounter  = 0 // of filters that say nothing about the first two levels
	noCounter   = 1 // never moves: for topics of a single level
	mostCounter = 1 << 13

	secondSeed = 0x9e3779b97f4a7c15 // keeps second level b apart from first level b
)

// newChanges has a counter for about every 64 topics.
func newChanges(topics int) changes {
	n := 64
	for n < mostCounter && n < topics/64 {
		n *= 2
	}
	return changes{counters: make([]atomic.Uint64, n)}
}

func (c *changes) at(hash uint64) uint16 {
	return uint16(2 + hash%uint64(len(c.counters)-2))
}

func (c *changes) first(level string) uint16   { return c.at(xxhash.Sum64String(level)) }
func (c *changes) prefix(levels string) uint16 { return c.at(xxhash.Sum64String(levels)) }
func (c *changes) second(level string) uint16 {
	return c.at(xxhash.Sum64String(level) ^ secondSeed)
}

func (c *changes) ofTopic(topic string) counters {
	first, rest, more := nextLevel(topic)
	if !more {
		return counters{c.first(first), noCounter, noCounter}
	}
	second, _, _ := nextLevel(rest)
	return counters{c.first(first), c.prefix(topic[:len(first)+1+len(second)]), c.second(second)}
}

func (c *changes) ofFilter(filter string) uint32 {
	first, rest, more := nextLevel(filter)
	second, _, evenMore := nextLevel(rest)
	literalSecond := more && second != "+" && (second != "#" || evenMore)
	switch {
	case first == "#" && !more:
		return anyCounter
	case first == "+" && literalSecond:
		return uint32(c.second(second))
	case first == "+":
		return anyCounter
	case literalSecond:
		return uint32(c.prefix(filter[:len(first)+1+len(second)]))
	default:
		return uint32(c.first(first))
	}
}

// count must follow the change that it counts: whoever then sees the new number sees the change.
func (c *changes) count(counter uint32) { c.counters[counter].Add(1) }

// sum is a version: counters only grow, so the same sum later means that none of them has moved.
func (c *changes) sum(of *counters) uint64 {
	return c.counters[anyCounter].Load() + c.counters[of[0]].Load() + c.counters[of[1]].Load() + c.counters[of[2]].Load()
}
