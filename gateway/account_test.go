package gateway

import (
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// account is what a device is owed of one stream while something matches its
// topic.
type account struct {
	covered  uint64 // up to here every position was a message, or announced
	due      uint64 // what comes before this was owed to a subscription that is over
	pending  uint64 // announced, and not needed yet
	early    map[uint64]bool
	loose    bool   // a replay without counting: gaps may lie before covered
	nameless bool   // told by name, or never told: gaps have no id
	tracked  uint64 // messages from here on belong to a stream that was told; 0: none
	ended    uint64 // what was counted to when the device was told its end
}

// taken notes the positions at which the gateway takes a SUBSCRIBE: from there on
// the subscription is owed everything.
func (d *counter) taken(filter string) {
	for num := uint32(1); num <= d.nextSub; num++ {
		s := d.subs[num]
		if s == nil || s.answered || string(s.q.Filter) != filter || d.c.s.byNumber(num) >= 0 {
			continue
		}
		s.from, s.known = map[streamID]uint64{}, map[streamID]bool{}
		for _, id := range d.m.order {
			if wire.Match(filter, id.topic) {
				s.from[id], s.known[id] = d.m.top(id), id.origin == ownOrigin || d.m.streams[id].known
			}
		}
		return
	}
}

// owed is the first position that a subscription is owed of a stream; 0: it is
// owed nothing. What begins later is owed whole.
func (s *counted) owed(id streamID) uint64 {
	if !s.answered || s.from == nil || !wire.Match(string(s.q.Filter), id.topic) || !slices.Contains(modelTopics, id.topic) {
		return 0 // topics that are not granted have no account
	}
	return max(s.from[id], 1)
}

// due is the first position that the device's subscriptions are owed of a stream,
// and the first that is tracked; 0: none.
func (d *counter) due(id streamID) (any, tracked uint64) {
	for _, s := range d.subs {
		from := s.owed(id)
		if from == 0 {
			continue
		}
		if any == 0 || from < any {
			any = from
		}
		if d.counts(s, id.topic) && (tracked == 0 || from < tracked) {
			tracked = from
		}
	}
	return any, tracked
}

// counts reports whether the gateway is to tell a subscription a topic's streams.
func (d *counter) counts(s *counted, topic string) bool {
	return s.q.Track && (!wire.IsWildcard(s.q.Filter) || d.names > 0 && !d.tooLong(topic))
}

// account is that of a stream, opened if something is owed of it; nil: nothing is.
func (d *counter) account(id streamID) *account {
	if a := d.accounts[id]; a != nil {
		return a
	}
	any, tracked := d.due(id)
	if any == 0 {
		return nil
	}
	a := &account{covered: any - 1, due: any, tracked: tracked}
	d.accounts[id] = a
	return a
}

// begin opens the accounts of a subscription that stands.
func (d *counter) begin(s *counted) {
	for _, id := range d.m.order {
		if s.owed(id) == 0 {
			continue
		}
		a := d.account(id)
		a.loose = a.loose || s.q.Start != wire.StartNow && !wire.IsWildcard(s.q.Filter)
		_, a.tracked = d.due(id)
	}
}

// end closes the accounts of a subscription that is over; what was owed to it
// alone need not come.
func (d *counter) end(s *counted) {
	for _, id := range d.m.order {
		a := d.accounts[id]
		if a == nil || s.owed(id) == 0 {
			continue
		}
		var any uint64
		if any, a.tracked = d.due(id); any == 0 {
			d.loose = d.loose || a.nameless || d.names == 0
			delete(d.accounts, id)
		} else if any > a.due {
			a.due = any
			a.loose = a.loose || a.covered+1 < any
		}
	}
}

// uncounted accounts for a message that is not tracked.
func (d *counter) uncounted(id streamID, offset uint64, full, named bool) {
	a := d.account(id)
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
			d.problem("%s at %d came again", id, offset)
		}
		return
	}
	d.cover(a, id, offset)
	a.covered = offset
}

// cover checks that what lies between the last position and this one was
// announced.
func (d *counter) cover(a *account, id streamID, offset uint64) {
	from := max(a.covered+1, a.due)
	missing, most := d.m.others(id, from, offset, d.name, d.noEcho(id.topic)), max(offset, from)-from
	if a.nameless || d.names == 0 || d.tooLong(id.topic) {
		a.nameless = true
		d.lacking += missing - min(missing, a.pending)
		a.pending -= min(missing, a.pending)
		return
	}
	fresh := a.covered+1 == a.due // gaps may be those of messages that were on their way
	if missing > a.pending || most < a.pending && !a.loose && !fresh {
		d.problem("%s: %d lie before %d, announced were %d", id, missing, offset, a.pending)
	}
	a.pending = 0
}

// noEcho: messages of its own may be left out without a word.
func (d *counter) noEcho(name string) bool {
	return d.wants(name, func(s *counted) bool { return s.q.NoEcho })
}
