package gateway

import (
	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// Action is what a device wants to do with a topic or filter.
type Action = access.Action

// The actions.
const (
	ActionPublish   = access.Publish
	ActionSubscribe = access.Subscribe
)

// may is the decision on a topic: publishing, subscribing to it, and asking again
// after a reload. Deliveries ask the same policy, see delivers.
func (g *Gateway) may(s *session, a Action, topic string) bool {
	if !g.rules.Load().policy.May(s.subject(), a, topic) {
		return false
	}
	return g.cfg.Authorize == nil || g.cfg.Authorize(s.identity(), a, topic) == nil
}

// covers is the same for a filter: how much of it a device is granted. The hook of
// an embedder grants a wildcard whole or not at all. A topic stays where it is unless
// there is such a hook: very many devices subscribe to one and then do nothing, and
// what they leave for the garbage collector is memory.
func (g *Gateway) covers(s *session, a Action, filter []byte) access.Cover {
	policy, c := g.rules.Load().policy, access.None
	switch {
	case wire.IsWildcard(filter):
		c = policy.Filter(s.subject(), a, string(filter))
	case policy.May(s.subject(), a, string(filter)):
		c = access.Whole
	}
	if c != access.None && g.cfg.Authorize != nil && g.cfg.Authorize(s.identity(), a, string(filter)) != nil {
		return access.None
	}
	return c
}

// grants is whether a subscription may stand, and whether each of its messages has
// to be asked for.
func (g *Gateway) grants(s *session, sub *subscription) (ok, picky bool) {
	switch {
	case sub.flags&subMute != 0:
		return g.may(s, ActionPublish, sub.topic.Name()), false
	case sub.topic != nil:
		return g.may(s, ActionSubscribe, sub.topic.Name()), false
	}
	c := g.covers(s, ActionSubscribe, []byte(sub.group.Filter()))
	return c != access.None, c == access.Part
}

// delivers is what a session wants of a topic; nothing if that is not granted. What
// its subscriptions cover whole was granted when they were made, and after a reload.
// It asks the rules that the session was last asked about by, not newer ones: who is
// granted a topic has to be told it first.
func (l *loop) delivers(s *session, t *fanout.Topic, g *fanout.Group) interest {
	in := s.interest(t, g)
	if !in.any || in.exact || l.slots.at(s.n).flags&flagPicky == 0 || l.g.cfg.without.perMessage {
		return in
	}
	if !l.rulesOf(s).policy.May(s.subject(), ActionSubscribe, t.Name()) {
		return interest{}
	}
	return in
}

// pick marks a session whose wildcards are granted in part.
func (l *loop) pick(s *session, picky bool) {
	if sl := l.slots.at(s.n); picky {
		sl.flags |= flagPicky
	} else {
		sl.flags &^= flagPicky
	}
}
