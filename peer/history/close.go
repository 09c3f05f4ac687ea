package history

import "github.com/bellwire/bellwire/wire"

// Close judges what a history ends with, and reports. The load has to have stopped long enough before that all of it could
// arrive. It is called once.
func (c *Checker) Close() Report {
	for _, s := range c.order {
		c.settle(s)
		if n := len(c.epochs); n > 0 {
			c.settled(s, n-1, c.now)
		}
		if s.away {
			c.counts.Absent++
			continue
		}
		for _, sub := range s.subs {
			c.closeSubscription(s, sub)
		}
	}
	c.floor()
	return c.report()
}

func (c *Checker) closeSubscription(s *subscriber, sub *subscription) {
	for _, h := range sub.had {
		c.closeStream(s, h)
	}
	if !sub.wildcard {
		c.unseen(s, sub, c.topics[sub.filter])
		return
	}
	for _, t := range c.sorted() {
		if wire.Match(sub.filter, t.name) && s.subscription(t.name) == sub {
			c.unseen(s, sub, t)
		}
	}
}

// closeStream judges the end of a stream that a subscriber knows.
func (c *Checker) closeStream(s *subscriber, h *had) {
	c.bind(h.stream)
	o := h.stream.origin
	if o == nil {
		return // nothing of that gateway was ever delivered to anybody
	}
	top, _ := h.stream.top()
	e := Event{At: c.now, Kind: Message, Who: s.name, Topic: h.stream.topic.name, Life: h.stream.life, Offset: top}
	if o.died == forever {
		if o.gateway.way(s.gateway).faults == 0 {
			c.tailOfLiving(s, h, e)
		}
		return
	}
	over := h.ended > 0 || h.since > 0 // an unknown number is missing, and nothing came since
	switch missing := c.owed(s, h, top, forever); {
	case !over && c.now-max(o.died, s.fresh, s.gateway.woke) > c.rules.EndWithin:
		c.find(Honest, e, "%s died, and no END was told; %d was the last", o.name, h.offset)
	case missing > 0 && (o.left || h.ended > 0 && h.how == wire.EndComplete):
		c.find(Honest, e, "it ended in good order, and %d positions were not told; %d was the last", missing, h.offset)
	case over:
		c.counts.Tail += missing
	}
	if n := c.overdue(s, h, top); n > 0 {
		c.find(Timely, e, "%d positions, published long before %s died, were never told; %d was the last", n, o.name, h.offset)
	}
}

// tailOfLiving judges that all of a stream has come whose gateway is alive.
func (c *Checker) tailOfLiving(s *subscriber, h *had, e Event) {
	n := c.owed(s, h, e.Offset, c.now+1-c.rules.Late)
	switch {
	case n == 0:
	case h.ended > 0:
		c.find(Honest, e, "%d positions never came; it ended as %s at %d, and %s is alive", n, h.how, h.offset, h.stream.origin.name)
	default:
		c.find(Honest, e, "%d positions never came, and nothing was said; %d was the last", n, h.offset)
	}
}

// overdue counts the positions of a dead gateway that were due long before it died.
func (c *Checker) overdue(s *subscriber, h *had, top uint64) (n uint64) {
	for at := top; c.rules.Late > 0 && at > h.offset; at-- {
		p := h.stream.at(at)
		if p == nil {
			continue
		}
		if p.at < h.since {
			break
		}
		if due := c.due(s, h.stream, p.at); due != forever && h.stream.origin.died-due > c.rules.Late {
			n++
		}
	}
	return n
}

// unseen judges the streams of a topic that a subscriber was told nothing of.
func (c *Checker) unseen(s *subscriber, sub *subscription, t *topic) {
	if t == nil {
		return
	}
	for _, o := range c.fleet.all {
		f := t.feeds[o]
		if f == nil {
			continue
		}
		streams := f.streams
		if len(streams) == 0 {
			streams = []*stream{{topic: t, origin: o, feed: f}} // nobody was told anything
		}
		for _, st := range streams {
			if sub.find(t.name, st.life) == nil {
				c.unseenStream(s, sub, st)
			}
		}
	}
}

func (c *Checker) unseenStream(s *subscriber, sub *subscription, st *stream) {
	top, _ := st.top()
	h := &had{stream: st, since: sub.since}
	e := Event{At: c.now, Kind: Message, Who: s.name, Topic: st.topic.name, Life: st.life, Offset: top, Origin: st.origin.name}
	if st.origin.died == forever {
		if st.origin.gateway.way(s.gateway).faults > 0 {
			return
		}
		if n := c.owed(s, h, top, c.now+1-c.rules.Late); n > 0 {
			c.find(Honest, e, "%d messages of %s, and nothing was ever told of them", n, st.origin.name)
		}
		return
	}
	if n := c.overdue(s, h, top); n > 0 {
		c.find(Honest, e, "%d messages, published long before %s died, and nothing was ever told of them", n, st.origin.name)
	}
	c.counts.Unseen += c.owed(s, h, top, forever)
}
