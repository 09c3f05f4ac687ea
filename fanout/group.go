package fanout

import "sync/atomic"

// Group is the sessions of one loop that subscribed with the same wildcard filter. It lives from the first one that
// joins to the last one that leaves; whoever joins afterwards gets a new group.
type Group struct {
	filter  string
	loop    int
	counter uint32 // which counter of changes the filter moves
	age     uint64 // unique in the index: gives groups an order

	members  list   // loop only
	joins    uint32 // how often anyone joined; loop only
	trackers atomic.Int32
	gone     atomic.Bool // the last one has left
}

// Filter returns the filter that the members subscribed with.
func (g *Group) Filter() string { return g.filter }

// Len returns how many members the group has. For the loop only.
func (g *Group) Len() int { return len(g.members.subs) }

// Trackers returns how many members track. Any goroutine may call it.
func (g *Group) Trackers() int { return int(g.trackers.Load()) }

// Join makes s a member of the loop's group with that filter, which is created on first need. A session joins a group at
// most once. The filter must be valid (see the package documentation) but any bytes are safe.
//
// The cost does not depend on the number of topics: each topic notices new filters by itself when it is next published
// to. A publish that starts after Join has returned reaches the group. For the loop only.
func (x *Index) Join(loop int, filter string, s Sub, tracks bool) *Group {
	r := &x.rosters[loop]
	g := r.groups[filter]
	created := g == nil
	if created {
		if r.groups == nil {
			r.groups = make(map[string]*Group)
		}
		g = &Group{filter: filter, loop: loop, counter: x.changes.ofFilter(filter)}
		r.groups[filter] = g
	}
	g.members.add(s)
	if created || !x.without.tellJoiners {
		g.joins++
	}
	firstTracker := tracks && g.trackers.Add(1) == 1
	if created {
		x.changes.addGroup(g.counter, 1)
		x.filters.add(g)
	}
	if (created || firstTracker) && !x.without.announceFilters {
		x.changes.count(g.counter)
	}
	return g
}

// Leave takes s out of the group. tracks is what it joined with. When the last one leaves the filter is gone. For the
// loop only.
func (x *Index) Leave(g *Group, s Sub, tracks bool) {
	if !g.members.remove(s) {
		return
	}
	lastTracker := tracks && g.trackers.Add(-1) == 0
	empty := g.Len() == 0
	if empty {
		delete(x.rosters[g.loop].groups, g.filter)
		x.filters.remove(g)
		g.gone.Store(true)
		x.changes.addGroup(g.counter, -1)
	}
	if empty || lastTracker {
		x.changes.count(g.counter)
	}
	if empty {
		x.sweep.gone.Add(1) // last: whoever sees it finds no topic that can still come upon the group
	}
}

// Link is a group whose filter matches a topic. It remembers from which message on the group belongs to the topic's
// audience, and whether the group has been told about the topic.
type Link struct {
	group *Group
	from  atomic.Uint64 // post; 0: no message has been published since the filters matched. Written under the stream's lock
	told  uint32        // joins of the group when it was last told; 0: never. Loop only
	loop  uint8
	of    []toldOf // copies that it was told about. Loop only
}

// Group returns the group.
func (l *Link) Group() *Group { return l.group }

// From returns the post of the first message that the group is in the audience of, 0 if none has been published since
// it matches. Whoever gives several messages to a group at once leaves out those before it. Any goroutine may call it.
func (l *Link) From() uint64 { return l.from.Load() }

// toldOf says which members were told about a copy: those after so many joins, in one era of its origin.
type toldOf struct {
	origin uint32
	era    uint32
	joins  uint32
}

// mostTold bounds what a link remembers. A group that is told twice takes no harm.
const mostTold = 64

// Told reports whether the group has been told about the topic's own stream and nobody joined it since. For the loop only.
func (l *Link) Told() bool { return l.told == l.group.joins }

// SetTold notes that all present members of the group have been told about the topic's own stream. For the loop only.
func (l *Link) SetTold() { l.told = l.group.joins }

// ToldOf is Told for the copy from an origin with that number. era is how often the caller has seen the origin end: what
// was told before does not count. For the loop only.
func (l *Link) ToldOf(origin, era uint32) bool {
	for i := range l.of {
		if l.of[i].origin == origin {
			return l.of[i].era == era && l.of[i].joins == l.group.joins
		}
	}
	return false
}

// SetToldOf is SetTold for ToldOf. For the loop only.
func (l *Link) SetToldOf(origin, era uint32) {
	told := toldOf{origin, era, l.group.joins}
	for i := range l.of {
		if l.of[i].origin == origin {
			l.of[i] = told
			return
		}
	}
	if len(l.of) == mostTold {
		l.of = append(l.of[:0], l.of[1:]...)
	}
	l.of = append(l.of, told)
}

// Retell makes Told and ToldOf false for all topics of the group, as if somebody had joined: for a member that missed a telling,
// because another subscription had brought it the topic. For the loop only.
func (g *Group) Retell() { g.joins++ }
