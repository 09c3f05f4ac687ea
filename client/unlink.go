package client

import (
	"cmp"
	"maps"
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// releaseHelpers takes back the helpers whose work is done, once the wildcard
// itself brings what follows.
func (s *session) releaseHelpers(in *intake) {
	if !in.wildcard || !slices.ContainsFunc(s.wildcards, func(l *link) bool { return l.in == in }) {
		return
	}
	for _, l := range s.byNumber() {
		if l.in == in && l.helper && l.agreed && !l.replaying {
			s.quit(l)
		}
	}
}

func (s *session) quit(l *link) {
	if !l.leaving {
		l.leaving = true
		s.generation++
		s.pending = wire.Unsubscribe{Sub: l.number}.Append(s.pending)
	}
}

// part ends a subscription: nothing of it is delivered any more.
func (s *session) part(in *intake) {
	s.intakes = slices.DeleteFunc(s.intakes, func(o *intake) bool { return o == in })
	for _, l := range slices.Concat(s.queued, s.crowded) {
		l.leaving = l.leaving || l.in == in
	}
	for _, l := range s.byNumber() {
		if l.in == in {
			s.quit(l)
		}
	}
}

// byNumber is the links in the order in which they were asked.
func (s *session) byNumber() []*link {
	return slices.SortedFunc(maps.Values(s.links), func(a, b *link) int { return cmp.Compare(a.number, b.number) })
}

func (s *session) onUnsubscribed(f wire.Unsubscribed) error {
	l := s.links[f.Sub]
	switch {
	case l != nil && l.leaving:
		s.remove(l)
		s.gone(l)
	case l != nil:
		return s.refused(l, &RefusedError{Code: f.Code})
	case f.Sub == 0 || f.Sub > s.lastSub:
		return violated("UNSUBSCRIBED %d, which was not asked", f.Sub)
	}
	return nil
}

// remove forgets a link, and the counts of topics that nobody tracks any more:
// nothing counts their messages from here on.
func (s *session) remove(l *link) {
	delete(s.links, l.number)
	defer s.replayed(l) // another one may be waiting for it
	if !l.agreed {
		return
	}
	l.agreed = false
	s.generation++
	is := func(o *link) bool { return o == l }
	if wire.IsWildcard([]byte(l.filter)) {
		s.wildcards = slices.DeleteFunc(s.wildcards, is)
		for _, t := range s.topics {
			s.uncount(t)
		}
		return
	}
	if rest := slices.DeleteFunc(s.exact[l.filter], is); len(rest) > 0 {
		s.exact[l.filter] = rest
	} else {
		delete(s.exact, l.filter)
	}
	if l.topic != nil {
		s.uncount(l.topic)
	}
}

func (s *session) uncount(t *topic) {
	s.match(t)
	for _, in := range t.intakes {
		if !in.opts.untracked {
			return
		}
	}
	t.origins, t.main = nil, nil
}
