package history

import "github.com/bellwire/bellwire/wire"

// subscriber is a device as the checker remembers it.
type subscriber struct {
	name    string
	gateway *gateway
	joined  int64 // when it subscribed first
	fresh   int64 // since when it is connected
	away    bool
	subs    []*subscription
	tail    tail

	// Of the last fault.
	epoch    int
	unsettle int64 // when something came last that shows that it had not settled; 0: nothing did
}

// subscription is one filter of a subscriber.
type subscription struct {
	filter   string
	wildcard bool
	since    int64 // what is published from then on is owed
	had      []*had
}

// had is how far a subscriber is in one stream.
type had struct {
	stream *stream
	offset uint64 // the last position that was delivered or announced
	got    uint64 // which of the last 64 positions were delivered, the lowest bit is offset's
	// since: of positions beyond offset only what is published from then on is owed; 0: all.
	since int64
	ended int64 // when END was told; 0: it was not, or something of it came since
	how   wire.How
}

func (s *subscriber) subscription(topic string) *subscription {
	for _, sub := range s.subs {
		if sub.filter == topic {
			return sub
		}
	}
	for _, sub := range s.subs {
		if sub.wildcard && wire.Match(sub.filter, topic) {
			return sub
		}
	}
	return nil
}

// find is the place in a life, nil if it has none.
func (sub *subscription) find(topic string, life wire.Life) *had {
	for i := len(sub.had) - 1; i >= 0; i-- {
		if h := sub.had[i]; h.stream.life == life && h.stream.topic.name == topic {
			return h
		}
	}
	return nil
}

// begin is the place in a stream that was not known before.
func (sub *subscription) begin(st *stream, offset uint64) *had {
	h := &had{stream: st, offset: offset, since: sub.since}
	sub.had = append(sub.had, h)
	return h
}

// has says whether a position was delivered, as far as it is remembered: of those long ago it says yes.
func (h *had) has(offset uint64) bool {
	back := h.offset - offset
	return back >= 64 || h.got>>back&1 != 0
}

// move goes to a position, which was delivered or not.
func (h *had) move(offset uint64, delivered bool) {
	h.got <<= min(offset-h.offset, 64)
	if delivered {
		h.got |= 1
	}
	h.offset = offset
}

// subscribed begins a subscription.
func (c *Checker) subscribed(e Event) {
	s := c.subscribers[e.Who]
	if s == nil {
		s = &subscriber{name: e.Who, epoch: len(c.epochs)}
		c.subscribers[e.Who] = s
		c.order = append(c.order, s)
	}
	s.gateway, s.away = c.fleet.gateway(e.Gateway), false
	if s.subs == nil {
		s.joined, s.fresh = e.At, e.At
	}
	if s.subscription(e.Topic) != nil && !wire.IsWildcard([]byte(e.Topic)) {
		c.broken("%s has subscribed %s twice", e.Who, e.Topic)
		return
	}
	sub := &subscription{filter: e.Topic, wildcard: wire.IsWildcard([]byte(e.Topic)), since: e.At}
	s.subs = append(s.subs, sub)
}

// place is where a subscription is in the event's stream, from now on if it has no place in it yet.
func (c *Checker) place(sub *subscription, e Event) *had {
	if h := sub.find(e.Topic, e.Life); h != nil {
		return h
	}
	return sub.begin(c.stream(c.topic(e.Topic), e.Life), 0)
}

// had is a place that a subscriber began with.
func (c *Checker) had(sub *subscription, e Event) {
	if sub.find(e.Topic, e.Life) != nil {
		c.broken("%s has a place in %s and life %s already", e.Who, e.Topic, e.Life)
		return
	}
	h := sub.begin(c.stream(c.topic(e.Topic), e.Life), e.Offset)
	h.since, h.got = 0, ^uint64(0)
}

// owed counts the positions that a subscriber has not had, up to one, and that were published when it had subscribed and
// before a time. Of those whose time is not known, the lowest are the oldest.
func (c *Checker) owed(s *subscriber, h *had, upTo uint64, before int64) (n uint64) {
	if upTo <= h.offset {
		return 0
	}
	since := h.since
	if o := h.stream.origin; o != nil && o.gateway != s.gateway && since > s.gateway.born {
		since = max(since, s.gateway.born+c.rules.Linking)
	}
	if since == 0 && before == forever {
		return upTo - h.offset
	}
	for at := min(upTo, h.stream.highest()); at > h.offset; at-- {
		p := h.stream.at(at)
		if p == nil {
			continue
		}
		if p.at < since {
			break
		}
		if p.at < before {
			n++
		}
	}
	return n
}
