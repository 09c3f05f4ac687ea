package gateway

import "github.com/bellwire/bellwire/wire"

// account is what a device is owed of one topic while something matches it.
type account struct {
	covered  uint64 // up to here every position was a message, or announced
	due      uint64 // what comes before this was owed to a subscription that is over
	pending  uint64 // announced, and not needed yet
	early    map[uint64]bool
	loose    bool   // a replay without counting: gaps may lie before covered
	nameless bool   // told by name, or never told: gaps have no id
	tracked  uint64 // messages from here on belong to a stream that was told; 0: none
}

// taken notes the positions at which the gateway takes a SUBSCRIBE: from there on
// the subscription is owed everything.
func (d *counter) taken(filter string) {
	for num := uint32(1); num <= d.nextSub; num++ {
		s := d.subs[num]
		if s == nil || s.answered || string(s.q.Filter) != filter || d.c.s.byNumber(num) >= 0 {
			continue
		}
		s.from = map[string]uint64{}
		for _, topic := range modelTopics {
			if wire.Match(filter, topic) {
				s.from[topic] = d.m.top(topic)
			}
		}
		return
	}
}

// due is the first position that the device's subscriptions are owed of a topic,
// and the first that is tracked; 0: none.
func (d *counter) due(topic string) (any, tracked uint64) {
	for _, s := range d.subs {
		from, ok := s.from[topic]
		if !s.answered || !ok {
			continue
		}
		if any == 0 || from < any {
			any = from
		}
		if d.counts(s, topic) && (tracked == 0 || from < tracked) {
			tracked = from
		}
	}
	return any, tracked
}

// counts reports whether the gateway is to tell a subscription a topic's stream.
func (d *counter) counts(s *counted, topic string) bool {
	return s.q.Track && (!wire.IsWildcard(s.q.Filter) || d.names > 0 && !d.tooLong(topic))
}

// begin opens the accounts of a subscription that stands.
func (d *counter) begin(s *counted) {
	for topic, from := range s.from {
		a := d.accounts[topic]
		if a == nil {
			a = &account{covered: from - 1, due: from}
			d.accounts[topic] = a
		}
		a.loose = a.loose || s.q.Start != wire.StartNow && !wire.IsWildcard(s.q.Filter)
		_, a.tracked = d.due(topic)
	}
}

// end closes the accounts of a subscription that is over; what was owed to it
// alone need not come.
func (d *counter) end(s *counted) {
	for topic := range s.from {
		a := d.accounts[topic]
		if a == nil {
			continue
		}
		var any uint64
		if any, a.tracked = d.due(topic); any == 0 {
			d.loose = d.loose || a.nameless || d.names == 0
			delete(d.accounts, topic)
		} else if any > a.due {
			a.due = any
			a.loose = a.loose || a.covered+1 < any
		}
	}
}

// uncounted accounts for a message that is not tracked.
func (d *counter) uncounted(a *account, name string, offset uint64, full, named bool) {
	if a == nil {
		return // unsubscribed, and not told yet
	}
	a.nameless = a.nameless || named
	if offset <= a.covered {
		// What was on its way when the subscription was taken may come, once.
		early := offset < a.due && !a.early[offset]
		if a.early == nil {
			a.early = map[uint64]bool{}
		}
		a.early[offset] = true
		if !full && !a.loose && !early {
			d.problem("%s at %d came again", name, offset)
		}
		return
	}
	d.cover(a, name, offset)
	a.covered = offset
}

// cover checks that what lies between the last position and this one was
// announced.
func (d *counter) cover(a *account, name string, offset uint64) {
	from := max(a.covered+1, a.due)
	missing, most := d.m.others(name, from, offset, d.name, d.noEcho(name)), max(offset, from)-from
	if a.nameless || d.names == 0 || d.tooLong(name) {
		a.nameless = true
		d.lacking += missing - min(missing, a.pending)
		a.pending -= min(missing, a.pending)
		return
	}
	fresh := a.covered+1 == a.due // gaps may be those of messages that were on their way
	if missing > a.pending || most < a.pending && !a.loose && !fresh {
		d.problem("%s: %d lie before %d, announced were %d", name, missing, offset, a.pending)
	}
	a.pending = 0
}

// noEcho: messages of its own may be left out without a word.
func (d *counter) noEcho(name string) bool {
	return d.wants(name, func(s *counted) bool { return s.q.NoEcho })
}
