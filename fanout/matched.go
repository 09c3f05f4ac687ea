package fanout

import (
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"
)

// matched is the groups whose filter matches a topic, as of one state of the filters. The set is immutable, and a link stays
// the same as long as its group matches.
type matched struct {
	loops   uint64
	links   []*Link // by loop, then by age of the group
	tracked bool
	begun   atomic.Bool // all links have a from; written under the stream's lock
}

// begin notes that the post with that number is the first of links that have had none. Messages before it may still
// be in the mailbox of a loop because of other subscribers who were there then, while later ones before it are not: a group
// that got those would see a hole that nobody announces.
func (m *matched) begin(post uint64) {
	if m.begun.Load() {
		return
	}
	for _, l := range m.links {
		if l.from.Load() == 0 {
			l.from.Store(post)
		}
	}
	m.begun.Store(true)
}

// on returns the links of one loop.
func (m *matched) on(loop int) []*Link {
	if m.loops>>loop&1 == 0 {
		return nil
	}
	if len(m.links) == bits.OnesCount64(m.loops) { // one for each loop
		i := bits.OnesCount64(m.loops & (1<<loop - 1))
		return m.links[i : i+1 : i+1]
	}
	start, _ := slices.BinarySearchFunc(m.links, loop, func(l *Link, loop int) int { return cmp.Compare(int(l.loop), loop) })
	end := start
	for end < len(m.links) && int(m.links[end].loop) == loop {
		end++
	}
	return m.links[start:end:end]
}

// match returns the groups that match the topic, nil if there are none. Groups are not looked for when a topic or a
// filter appears but here, when a topic is used after filters have changed: so neither has to walk over the other.
func (t *Topic) match() *matched {
	total := t.index.changes.total.Load()
	if t.checkedAt.Load() != total {
		if t.matchedAt.Load() != t.index.changes.sum(&t.depends) {
			t.matchAgain()
		}
		t.checkedAt.Store(total) // if another goroutine has stored a later one, that is checked once more
	}
	return t.matched.Load()
}

func (t *Topic) matchAgain() {
	x := t.index
	mu := &x.rematch[t.id%rematchStripes]
	mu.Lock()
	defer mu.Unlock()
	// The sum is read before the filters: a filter that comes in between is found and then looked for once more.
	sum := x.changes.sum(&t.depends)
	if t.matchedAt.Load() == sum {
		return
	}
	var room [16]*Group
	found := x.filters.match(t.name, room[:0])
	slices.SortFunc(found, byLoopThenAge)
	t.matched.Store(t.matched.Load().updated(found))
	t.matchedAt.Store(sum)
}

func byLoopThenAge(a, b *Group) int {
	if a.loop != b.loop {
		return cmp.Compare(a.loop, b.loop)
	}
	return cmp.Compare(a.age, b.age)
}

// updated returns m (which may be nil) itself if found is what it has, else a new one that keeps the links of the groups
// that stay. found is in the order of links.
func (m *matched) updated(found []*Group) *matched {
	if len(found) == 0 {
		return nil
	}
	tracked := slices.ContainsFunc(found, func(g *Group) bool { return g.Trackers() > 0 })
	var old []*Link
	if m != nil {
		old = m.links
		same := slices.EqualFunc(found, old, func(g *Group, l *Link) bool { return l.group == g })
		if same && m.tracked == tracked {
			return m
		}
	}
	next := &matched{tracked: tracked, links: make([]*Link, len(found))}
	for i, g := range found {
		for len(old) > 0 && byLoopThenAge(old[0].group, g) < 0 {
			old = old[1:]
		}
		if len(old) > 0 && old[0].group == g {
			next.links[i] = old[0]
		} else {
			next.links[i] = &Link{group: g, loop: uint8(g.loop)}
		}
		next.loops |= 1 << g.loop
	}
	return next
}
