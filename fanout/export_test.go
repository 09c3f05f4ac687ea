package fanout

import "unsafe"

// Rules that a test can take away from an index, by name.
const (
	PostUnderLock   = "post under lock"
	MarkUnderLock   = "mark under lock"
	JoinAtTop       = "join at top"
	TellOvertaken   = "tell overtaken"
	TellJoiners     = "tell joiners"
	AnnounceFilters = "announce filters"
	BeginGroups     = "begin groups"
	WalkDownwards   = "walk downwards"
	KeepLinks       = "keep links"
	PostNumbers     = "post numbers"
	BeginOnce       = "begin once"
)

// Without takes a rule away.
func (x *Index) Without(rule string) {
	*map[string]*bool{
		PostUnderLock:   &x.without.postUnderLock,
		MarkUnderLock:   &x.without.markUnderLock,
		JoinAtTop:       &x.without.joinAtTop,
		TellOvertaken:   &x.without.tellOvertaken,
		TellJoiners:     &x.without.tellJoiners,
		AnnounceFilters: &x.without.announceFilters,
		BeginGroups:     &x.without.beginGroups,
		WalkDownwards:   &x.without.walkDownwards,
		KeepLinks:       &x.without.keepLinks,
		PostNumbers:     &x.without.postNumbers,
		BeginOnce:       &x.without.beginOnce,
	}[rule] = true
}

// Locked reports whether somebody holds the stream's lock.
func (s *Stream) Locked() bool {
	if mu := s.lock(); mu.TryLock() {
		mu.Unlock()
		return false
	}
	return true
}

// RingPlaces returns how many entries the ring has memory for.
func (s *Stream) RingPlaces() int { return len(s.ring.entries) }

// Links returns the filters of the groups that the topic holds links of, whether or not they live.
func (t *Topic) Links() (filters []string) {
	if m := t.matched.Load(); m != nil {
		for _, l := range m.links {
			filters = append(filters, l.group.filter)
		}
	}
	return filters
}

// Reach returns how many links there can be.
func (x *Index) Reach() int { return x.changes.reach.total }

// Sizes that tests state.
const (
	TopicSize = unsafe.Sizeof(Topic{})
	EntrySize = unsafe.Sizeof(Entry{})
	ShardSize = unsafe.Sizeof(shard{})
)

// InlineName is the longest name that is kept in the topic itself.
const InlineName = inlineName

// Filters returns how many nodes the tree of filters has, without the root.
func (x *Index) Filters() int { return x.filters.root.count() - 1 }

func (n *node) count() int {
	nodes := 1
	if n.single != nil {
		nodes += n.single.count()
	}
	for _, child := range n.literal {
		nodes += child.count()
	}
	return nodes
}

// List is the list of subscribers of one loop.
type List = list

// Insert, Delete, Subs and Places are the methods of List.
func (l *list) Insert(s Sub) bool { return l.add(s) }
func (l *list) Delete(s Sub) bool { return l.remove(s) }
func (l *list) Subs() []Sub       { return l.subs }
func (l *list) Places() int       { return cap(l.subs) }

// Stale reports whether the topic will match its filters anew when it is next used.
func (t *Topic) Stale() bool { return t.matchedAt.Load() != t.index.changes.sum(&t.depends) }
