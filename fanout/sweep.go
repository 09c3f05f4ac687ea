package fanout

import "sync/atomic"

// sweep is how far the look for links to groups that are gone has come. A topic finds its groups when it is used; one
// that nobody uses any more would keep the links of all who have left.
type sweep struct {
	gone  atomic.Uint64 // groups that are out of the filters
	begun uint64        // gone when the pass that is under way, or was the last, began
	at    uint32        // the topic that was looked at last; 0: no pass is under way
}

// Sweep drops links to groups without members and returns how many. It looks at up to about most topics and links, goes
// on next time where it stopped, and does nothing while no group has gone. One goroutine may call it at a time.
//
// A group that lives keeps its link, with its from and what it was told: one that got a new link would miss messages that
// are in mailboxes. A group that is gone never comes back, so nobody can tell whether it has a link.
func (x *Index) Sweep(most int) (dropped int) {
	s := &x.sweep
	if s.at == 0 {
		gone := s.gone.Load()
		if gone == s.begun {
			return 0
		}
		s.begun = gone
	}
	for last := x.topics.Load(); most > 0; most-- {
		if s.at >= last {
			s.at = 0
			return dropped
		}
		s.at++
		seen, fewer := x.at(s.at).prune()
		most -= seen
		dropped += fewer
	}
	return dropped
}

// prune drops the links to groups that are gone, and says how many links it looked at. matchedAt stays: whether the set
// is what the filters say has nothing to do with it.
func (t *Topic) prune() (seen, dropped int) {
	x := t.index
	mu := &x.rematch[t.id%rematchStripes] // also waits for a match that has found a group before it went
	mu.Lock()
	defer mu.Unlock()
	was := t.matched.Load()
	if was == nil {
		return 0, 0
	}
	is := was.living(x.without.keepLinks)
	if is != was {
		t.matched.Store(is)
		if x.without.keepLinks {
			t.matchedAt.Store(^uint64(0))
			t.checkedAt.Store(^uint64(0))
		}
	}
	return len(was.links), len(was.links) - is.len()
}

// living returns m without the links of groups that are gone (or any link, if none shall stay), m itself if it has none
// of them and nil if nothing is left.
func (m *matched) living(none bool) *matched {
	left := 0
	for _, l := range m.links {
		if !none && !l.group.gone.Load() {
			left++
		}
	}
	switch left {
	case len(m.links):
		return m
	case 0:
		return nil
	}
	next := &matched{tracked: m.tracked, links: make([]*Link, 0, left)}
	for _, l := range m.links {
		if len(next.links) < left && !l.group.gone.Load() {
			next.links = append(next.links, l)
			next.loops |= 1 << l.loop
		}
	}
	return next
}

func (m *matched) len() int {
	if m == nil {
		return 0
	}
	return len(m.links)
}
