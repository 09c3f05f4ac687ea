package history

import "github.com/bellwire/bellwire/wire"

// message judges a delivery.
func (c *Checker) message(s *subscriber, sub *subscription, e Event) {
	st, pub := c.published(e)
	if st == nil {
		return
	}
	h := c.place(sub, e)
	switch {
	case e.Offset <= h.offset && h.has(e.Offset):
		c.find(Unique, e, "delivered again, %d was the last", h.offset)
		return
	case e.Offset <= h.offset:
		c.find(Ordered, e, "delivered after it was announced as missing, %d was the last", h.offset)
		return
	}
	c.resumed(h, e)
	c.skipped(s, h, e, e.Offset-1)
	h.move(e.Offset, true)
	h.since = 0
	c.counts.Delivered++
	c.timely(s, st, pub, e)
	switch delay := e.At - pub.at; {
	case !c.explained(s, st, pub.at, e.At):
		c.delays.add(delay)
	case c.rules.Prompt > 0 && delay > c.rules.Prompt:
		c.unsettled(s, e.At)
	}
}

// published finds what was published as what was delivered, and judges whether it is that. The stream is nil if it is
// not.
func (c *Checker) published(e Event) (*stream, *pub) {
	o := c.fleet.origins[e.Origin]
	if e.Number == 0 || o == nil {
		c.find(True, e, "what came is not what was published")
		return nil, nil
	}
	if first := c.fleet.claim(e.Life, o); first != o {
		c.find(True, e, "the life is of %s and brings a message of %s", first.name, o.name)
		return nil, nil
	}
	st := c.stream(c.topic(e.Topic), e.Life)
	_, most := st.top()
	switch {
	case e.Number > uint64(len(st.feed.pubs)):
		c.find(True, e, "its number was not published")
		return nil, nil
	case e.Offset == 0 || e.Offset > most:
		c.find(True, e, "%d messages were published, none can be at its offset", most)
		return nil, nil
	}
	if rule, text := st.learn(e.Offset, e.Number); rule != "" {
		c.find(rule, e, "%s", text)
		return nil, nil
	}
	pub := &st.feed.pubs[e.Number-1]
	if pub.fate == refused {
		c.find(True, e, "its publisher was told that it is refused")
	}
	return st, pub
}

// resumed judges that a life goes on that may have ended.
func (c *Checker) resumed(h *had, e Event) {
	if h.ended > 0 && h.how != wire.EndLost {
		c.find(Honest, e, "a life goes on that ended as %s", h.how)
	}
	h.ended = 0
}

// skipped judges that nothing was said of the positions up to one that came.
func (c *Checker) skipped(s *subscriber, h *had, e Event, upTo uint64) {
	if n := c.owed(s, h, upTo, forever); n > 0 {
		c.find(Honest, e, "%d positions, up to %d, came neither as messages nor in a gap", n, upTo)
	}
}

// told is a stream's place.
func (c *Checker) told(s *subscriber, sub *subscription, e Event) {
	if e.Offset == 0 {
		c.broken("%s was told a stream without a place", e.Who)
		return
	}
	h := sub.find(e.Topic, e.Life)
	switch {
	case h == nil:
		h = c.place(sub, e)
		c.skipped(s, h, e, e.Offset-1)
		h.move(max(h.offset, e.Offset-1), false)
	case e.Offset > h.offset+1:
		e.Count, e.Offset, e.Reason = e.Offset-1-h.offset, e.Offset-1, wire.ReasonNotKept
		c.announced(s, h, e)
	}
	c.resumed(h, e)
	h.since = 0
}

// gap is that positions are announced as missing.
func (c *Checker) gap(s *subscriber, sub *subscription, e Event) {
	c.unsettled(s, e.At)
	if e.Life == 0 {
		c.unplaced(sub, e.At)
		return
	}
	h := c.place(sub, e)
	if e.Count == 0 || e.Offset == 0 && h.since > 0 {
		c.counts.Unknown++
		h.since = e.At + c.rules.Joining + 1
		return
	}
	if e.Offset == 0 {
		e.Offset = h.offset + e.Count
	}
	if e.Offset > wire.MaxVarint {
		c.find(True, e, "there is no such position")
		return
	}
	if e.Offset < h.offset+e.Count {
		c.find(Honest, e, "announces as missing, up to %d, what was there before, up to %d", e.Offset, h.offset)
		e.Count = e.Offset - min(h.offset, e.Offset)
	}
	c.resumed(h, e)
	c.skipped(s, h, e, e.Offset-e.Count)
	if e.Offset > h.offset {
		h.move(max(h.offset, e.Offset-e.Count), false)
		c.announced(s, h, e)
	}
	h.since = 0
}

// unplaced is that nothing is known any more of where a subscriber is.
func (c *Checker) unplaced(sub *subscription, at int64) {
	c.counts.Unknown++
	sub.since = at + c.rules.Joining + 1
	for _, h := range sub.had {
		h.since = sub.since
	}
}

// announced judges positions that will not come, from behind the last one up to e.Offset.
func (c *Checker) announced(s *subscriber, h *had, e Event) {
	from := h.offset + 1
	h.move(e.Offset, false)
	if e.Reason == wire.ReasonOwn {
		return
	}
	c.counts.Missing += e.Offset + 1 - from
	if h.stream.feed == nil {
		return
	}
	if _, most := h.stream.top(); e.Offset > most {
		c.find(Honest, e, "announces %d as missing, %d were published", e.Offset, most)
		e.Offset = most
	}
	var unexplained uint64
	for at := from; at <= e.Offset; at++ {
		p := h.stream.at(at)
		if p == nil {
			continue
		}
		c.timely(s, h.stream, p, e)
		if !c.explained(s, h.stream, p.at, e.At) {
			unexplained++
		}
	}
	c.counts.Unexplained += unexplained
	if unexplained > 0 && c.counts.Unexplained > c.rules.Spare {
		c.find(Honest, e, "%d positions announced as missing (%s) though no fault explains it", unexplained, e.Reason)
	}
}

// end is that a life is over.
func (c *Checker) end(s *subscriber, sub *subscription, e Event) {
	c.unsettled(s, e.At)
	h := c.place(sub, e)
	h.ended, h.how = e.At, e.How
	c.counts.Ended++
	o := h.stream.origin
	if o == nil {
		return
	}
	if o.alive(e.At) {
		apart := o.gateway.way(s.gateway).since(c.rules.Settle) > e.At
		if e.How == wire.EndRestarted || e.How == wire.EndLost && !apart {
			c.find(Honest, e, "ended as %s, and %s is alive", e.How, o.name)
		}
		return
	}
	if late := e.At - max(o.died, s.fresh, s.gateway.woke); c.rules.EndWithin > 0 && late > c.rules.EndWithin {
		c.find(Timely, e, "told %s after %s had died", seconds(late), o.name)
	}
}

// due is when a subscriber should have had what was published at a time: then, or since when it is connected and the way
// is whole.
func (c *Checker) due(s *subscriber, st *stream, at int64) int64 {
	if st.origin != nil {
		at = max(at, st.origin.gateway.way(s.gateway).since(c.rules.Settle))
	}
	return max(at, s.fresh)
}

// explained says whether a fault explains that a subscriber does not get what was published at a time.
func (c *Checker) explained(s *subscriber, st *stream, published, now int64) bool {
	return s.away || c.due(s, st, published) > published || st.origin != nil && st.origin.died <= min(now, published+c.rules.Settle)
}

// timely judges when a subscriber learned what became of a message.
func (c *Checker) timely(s *subscriber, st *stream, p *pub, e Event) {
	due := c.due(s, st, p.at)
	if c.rules.Late == 0 || due == forever || e.At-due <= c.rules.Late {
		return
	}
	if o := st.origin; o != nil && o.died <= e.At && o.died-due <= c.rules.Late {
		return // it died before that was due
	}
	c.find(Timely, e, "%s after it was due", seconds(e.At-due))
}
