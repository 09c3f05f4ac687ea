package fanout

import (
	"errors"
	"sync"
)

// ErrTooManyLinks is returned by [Index.Ensure] when wildcards could link to so many topics that one more is not within
// the limit of the index. It passes when subscribers leave.
var ErrTooManyLinks = errors.New("limit of links reached: topics × matching filters are too many")

// reach is how many links there can be: for each group, the topics that depend on the counter that its filter moves.
// These are all topics which it matches and a few more, and they are known at once, while links are only made when a
// topic is used: by then it would be too late to refuse anybody.
type reach struct {
	mu     sync.Mutex
	total  int
	limit  int      // 0: none
	groups []uint32 // by counter
}

// addTopic counts a topic in, unless that is beyond the limit.
func (c *changes) addTopic(of *counters) bool {
	r := &c.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	more := int(r.groups[anyCounter])
	for _, counter := range of {
		more += int(r.groups[counter])
	}
	if more > 0 && r.limit > 0 && r.total+more > r.limit {
		return false
	}
	r.total += more
	c.topics[anyCounter].Add(1)
	for _, counter := range of {
		if counter != noCounter {
			c.topics[counter].Add(1)
		}
	}
	return true
}

// addGroup counts a group in, or out again.
func (c *changes) addGroup(counter uint32, delta int) {
	r := &c.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups[counter] += uint32(delta)
	r.total += delta * int(c.topics[counter].Load())
}

// Fits reports whether a subscriber with that filter is within the limit of links: a group that exists costs none. Join
// does not ask; several loops that ask at the same moment may together exceed the limit by a group each. For the loop
// only.
func (x *Index) Fits(loop int, filter string) bool {
	c := &x.changes
	if c.reach.limit == 0 || x.rosters[loop].groups[filter] != nil {
		return true
	}
	counter := c.ofFilter(filter)
	c.reach.mu.Lock()
	defer c.reach.mu.Unlock()
	return c.reach.total+int(c.topics[counter].Load()) <= c.reach.limit
}
