package gateway

import (
	"slices"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// listed reports whether a subscription of the session, but for the one with
// that index, lists it for the topic.
func (s *session) listed(t *fanout.Topic, but int) bool {
	for i := range s.subs {
		if s.subs[i].topic == t && s.subs[i].flags&subMute == 0 && i != but {
			return true
		}
	}
	return false
}

// sharing is the index of another subscription with the same wildcard as the
// one with that index, or -1.
func (s *session) sharing(g *fanout.Group, but int) int {
	for i := range s.subs {
		if s.subs[i].group == g && i != but {
			return i
		}
	}
	return -1
}

// unsubscribe answers an UNSUBSCRIBE [W-4.6].
func (l *loop) unsubscribe(s *session, num uint32) {
	if i := s.byNumber(num); i >= 0 {
		l.endSubscription(s, i, wire.CodeOK)
		return
	}
	l.say(s, wire.Unsubscribed{Sub: num, Code: wire.CodeOK}.Append(l.enc[:0]))
}

// endSubscription takes out the subscription with that index and says so; the last
// one takes its place.
func (l *loop) endSubscription(s *session, i int, code wire.Code) {
	sub := s.subs[i]
	l.unlist(s, i)
	last := len(s.subs) - 1
	s.subs[i], s.subs[last] = s.subs[last], subscription{}
	s.subs = s.subs[:last]
	var ended []*fanout.Stream
	if s.out != nil {
		ended = l.endReplays(s, sub.num)
	}
	if sub.topic != nil && sub.flags&subMute == 0 {
		l.retellGroups(s)
	}
	l.say(s, wire.Unsubscribed{Sub: sub.num, Code: code}.Append(l.enc[:0]))
	for _, stream := range ended {
		l.tellOver(s, stream)
	}
}

// endReplays ends the replays that no subscription of the session needs any
// more. One that another needs goes on: the ring holds what that one was owed.
func (l *loop) endReplays(s *session, num uint32) (ended []*fanout.Stream) {
	for i := 0; i < len(s.out.replays); i++ {
		r := &s.out.replays[i]
		r.live = slices.DeleteFunc(r.live, func(n uint32) bool { return n == num })
		in := s.interest(r.stream.Topic(), nil)
		r.byGroups = r.byGroups || !in.exact && !l.g.cfg.without.onlyGroups
		if !in.any {
			ended = append(ended, r.stream)
			s.out.dropReplay(r.stream)
			i--
		}
	}
	if len(s.out.replays) == 0 {
		l.slots.at(s.n).flags &^= flagReplay
	}
	l.release(s)
	return ended
}

// retellGroups has the groups of a session tell their topics again: it was not
// told those that an exact subscription brought it until now.
func (l *loop) retellGroups(s *session) {
	for i := range s.subs {
		if g := s.subs[i].group; g != nil {
			g.Retell()
		}
	}
}

// unlist takes one subscription off the lists; the record stays. Another one of
// the session that needs the same list keeps its place there.
func (l *loop) unlist(s *session, i int) {
	sub := &s.subs[i]
	l.counters.subscriptions.Add(-1)
	if sub.flags&(subCentral|subBoth) != 0 {
		l.g.wanted.drop(s.tenant.name, sub.filter())
	}
	switch {
	case sub.group != nil:
		if other := s.sharing(sub.group, i); other >= 0 {
			s.subs[other].flags |= sub.flags & subCounted
			return
		}
		s.tenant.index.Leave(sub.group, s.n, sub.flags&subCounted != 0)
	case sub.flags&subMute != 0:
	default:
		if !s.listed(sub.topic, i) {
			sub.topic.Remove(l.n, s.n)
		}
		if sub.flags&subTracks != 0 {
			sub.topic.Track(-1)
		}
	}
}

// unlistAll takes a session off all lists.
func (l *loop) unlistAll(s *session) {
	for last := len(s.subs) - 1; last >= 0; last-- {
		l.unlist(s, last)
		s.subs = s.subs[:last]
	}
	s.subs, s.out = nil, nil
	l.slots.at(s.n).flags &^= flagOpen | flagReplay
}
