package history

import (
	"cmp"
	"slices"
)

// mostTail is how many events of each subscriber are kept at least, and half of what is kept at most.
const mostTail = 128

// tail is what a subscriber saw last, and where it was before.
type tail struct {
	before, after []Event // two parts; the older one goes when the newer one is full
	start         []Event // where it was before the first of them
	middle        []Event // and between the two
}

func (t *tail) all() []Event { return slices.Concat(t.start, t.before, t.after) }

// keep remembers what a subscriber sees.
func (c *Checker) keep(e Event) {
	s := c.subscribers[e.Who]
	if s == nil {
		return
	}
	t := &s.tail
	if len(t.after) == mostTail {
		t.start, t.before, t.after = t.middle, t.after, t.before[:0]
		t.middle = c.places(s)
	}
	t.after = append(t.after, e)
}

// places are where a subscriber is, as events that bring another one there.
func (c *Checker) places(s *subscriber) []Event {
	var all []Event
	for _, sub := range s.subs {
		all = append(all, Event{At: sub.since, Kind: Subscribed, Who: s.name, Gateway: s.gateway.name, Topic: sub.filter})
		for _, h := range sub.had {
			e := Event{At: sub.since, Kind: Had, Who: s.name, Topic: h.stream.topic.name, Life: h.stream.life, Offset: h.offset}
			all = append(all, e)
			if h.since > 0 {
				e.Kind, e.At, e.Offset = Gap, h.since-c.rules.Joining-1, 0
				all = append(all, e)
			}
			if h.ended > 0 {
				e.Kind, e.At, e.Offset, e.How = End, h.ended, 0, h.how
				all = append(all, e)
			}
		}
	}
	if s.fresh > s.joined {
		all = append(all, Event{At: s.fresh, Kind: Back, Who: s.name, Gateway: s.gateway.name})
	}
	return all
}

// Excerpt is a history of its own that shows one of the report's findings: what happened to gateways, what was published to
// the subscriber's topics, and what it saw last. What only others saw is in it as far as they told where a message is.
func (r Report) Excerpt(f Finding) File {
	c := r.checker
	file := File{Rules: c.rules, Want: []string{string(f.Rule)}, Events: slices.Clone(c.fleet.events)}
	file.Rules.Floor = Floor{}
	s := c.subscribers[f.Event.Who]
	for _, t := range c.sorted() {
		if s == nil || s.subscription(t.name) == nil {
			continue
		}
		for _, o := range c.fleet.all {
			if feed := t.feeds[o]; feed != nil {
				file.Events = append(file.Events, feed.events(o, t)...)
			}
		}
	}
	slices.SortStableFunc(file.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	file.Events = merge(file.Events, f.tail)
	return file
}

// merge puts what one subscriber saw, in its order, between events that are sorted by time.
func merge(sorted, tail []Event) []Event {
	all := make([]Event, 0, len(sorted)+len(tail))
	for _, e := range tail {
		for len(sorted) > 0 && sorted[0].At <= e.At {
			all, sorted = append(all, sorted[0]), sorted[1:]
		}
		all = append(all, e)
	}
	return append(all, sorted...)
}

// events is a feed as it was told.
func (f *feed) events(o *origin, t *topic) []Event {
	var all []Event
	for i, p := range f.pubs {
		e := Event{At: p.at, Kind: Publish, Origin: o.name, Topic: t.name, Number: uint64(i + 1)}
		all = append(all, e)
		switch p.fate {
		case accepted, seen:
			e.Kind = Accepted
			all = append(all, e)
		case refused:
			e.Kind = Refused
			all = append(all, e)
		case sent:
		}
	}
	return all
}
