package peer

import (
	"slices"
	"time"

	"github.com/bellwire/bellwire/fanout"
	judge "github.com/bellwire/bellwire/peer/history"
	"github.com/bellwire/bellwire/wire"
)

// simDevice is a subscriber that counts, by [W-6.7] and the receive loop of [W-11.2], and resumes by [W-6.8]. It tells the
// checker what it concludes, so a gateway that has it count wrong is found out.
type simDevice struct {
	sim     *sim
	name    string
	fleet   int
	topics  []string
	resumes bool // with cursors; else each connection begins anew
	joined  bool
	gate    *simGate // nil: it is away

	// had outlives the connection.
	had []*simHad
	// Of the connection.
	bound    []*simBound
	resuming []string // topics of which LIVE is to come
	cursors  []*simHad
}

// simHad is a position. It is kept, and named in cursors, when its life has ended or its gateway is not known somewhere:
// rings keep what there was, and whoever does not name the life is given it again.
type simHad struct {
	topic  string
	life   wire.Life
	offset uint64
	over   bool // it ended as complete or restarted: nothing of it is of use
}

type simBound struct {
	topic  string
	origin uint32
	life   wire.Life
	next   uint64
}

// connect begins a connection at a gateway.
func (d *simDevice) connect(g *simGate) {
	s := d.sim
	d.gate, d.bound, d.resuming, d.cursors = g, nil, nil, nil
	back := d.joined
	d.joined = true
	if back {
		s.tell(judge.Event{Kind: judge.Back, Who: d.name, Gateway: g.slot.name})
	}
	for _, topic := range d.topics {
		switch {
		case !back:
			s.tell(judge.Event{Kind: judge.Subscribed, Who: d.name, Topic: topic, Gateway: g.slot.name})
		case !d.resumes:
			s.tell(judge.Event{Kind: judge.Gap, Who: d.name, Topic: topic})
		}
		var cursor wire.Cursor
		for _, h := range d.had {
			if h.topic == topic {
				cursor = cursor.AppendPosition(wire.Position{Life: h.life, Offset: h.offset})
				d.cursors = append(d.cursors, h)
			}
		}
		resumes := back && d.resumes
		if resumes {
			d.resuming = append(d.resuming, topic)
		}
		g.subscribe(d, topic, cursor, resumes)
	}
}

// lostGateway is a connection that breaks: the device goes to another gateway.
func (d *simDevice) lostGateway() {
	if d.gate == nil {
		return
	}
	d.gate.disconnect(d)
	d.gate = nil
	d.sim.tell(judge.Event{Kind: judge.Away, Who: d.name})
	d.sim.after(d.sim.between(10*time.Millisecond, time.Second), d.comeBack)
}

func (d *simDevice) comeBack() {
	s := d.sim
	var there []*simGate
	for _, slot := range s.fleets[d.fleet] {
		if g := slot.gate; g.ready() && s.now >= g.until {
			there = append(there, g)
		}
	}
	if len(there) == 0 {
		s.after(100*time.Millisecond, d.comeBack)
		return
	}
	d.connect(there[s.rng.IntN(len(there))])
}

func (d *simDevice) place(topic string, life wire.Life) *simHad {
	for _, h := range d.had {
		if h.topic == topic && h.life == life {
			return h
		}
	}
	return nil
}

func (d *simDevice) binding(topic string, origin uint32) *simBound {
	for _, b := range d.bound {
		if b.topic == topic && b.origin == origin {
			return b
		}
	}
	return nil
}

// missing is what the device reports.
func (d *simDevice) missing(h *simHad, upTo uint64, why wire.Reason) {
	d.sim.tell(judge.Event{
		Kind: judge.Gap, Who: d.name, Topic: h.topic, Life: h.life, Offset: upTo, Count: upTo - h.offset, Reason: why,
	})
	h.offset = upTo
}

// stream is STREAM.
func (d *simDevice) stream(topic string, s *fanout.Stream, next uint64) {
	origin, life := originNumber(s), wire.Life(s.Life())
	b := d.binding(topic, origin)
	if b == nil {
		b = &simBound{topic: topic, origin: origin}
		d.bound = append(d.bound, b)
	}
	if b.life != 0 && b.life != life {
		d.place(topic, b.life).over = true
	}
	b.life, b.next = life, next
	h := d.place(topic, life)
	if h == nil {
		h = &simHad{topic: topic, life: life}
		if !slices.Contains(d.resuming, topic) {
			h.offset = next - 1
		}
		d.had = append(d.had, h)
	}
	if h.over {
		return
	}
	if next > h.offset+1 {
		d.missing(h, next-1, 0)
	}
	d.sim.tell(judge.Event{Kind: judge.Stream, Who: d.name, Topic: topic, Life: life, Offset: next})
}

// message is MESSAGE, live or replayed.
func (d *simDevice) message(topic string, origin uint32, offset uint64, replayed bool, payload []byte) {
	b := d.binding(topic, origin)
	switch {
	case b == nil:
		d.sim.problem("%s was given a message of %s from index %d, which no STREAM has told", d.name, topic, origin)
		return
	case replayed && offset < b.next:
		return // twice
	case offset != b.next:
		d.sim.problem("%s has counted to %d in %s %v and is given %d", d.name, b.next, topic, b.life, offset)
		return
	}
	b.next++
	h := d.place(topic, b.life)
	if b.next-1 <= h.offset || h.over {
		return // it has it already
	}
	h.offset = b.next - 1
	e := judge.Event{Kind: judge.Message, Who: d.name, Topic: topic, Life: b.life, Offset: h.offset}
	if of, number, err := judge.ParsePayload(payload); err == nil {
		e.Origin, e.Number = string(of), number
	}
	d.sim.tell(e)
}

// gap is GAP.
func (d *simDevice) gap(topic string, origin uint32, why wire.Reason, count uint64) {
	b := d.binding(topic, origin)
	if b == nil {
		d.sim.problem("%s was told a gap of %s from index %d, which no STREAM has told", d.name, topic, origin)
		return
	}
	b.next += count
	if h := d.place(topic, b.life); b.next-1 > h.offset && !h.over {
		d.missing(h, b.next-1, why)
	}
}

// endOf is END for all topics.
func (d *simDevice) endOf(origin uint32, how wire.How) {
	for _, topic := range d.topics {
		d.end(topic, origin, how)
	}
}

// end is END.
func (d *simDevice) end(topic string, origin uint32, how wire.How) {
	b := d.binding(topic, origin)
	if b == nil {
		return
	}
	if h := d.place(topic, b.life); !h.over {
		d.sim.tell(judge.Event{Kind: judge.End, Who: d.name, Topic: topic, Life: b.life, How: how})
		h.over = how == wire.EndComplete || how == wire.EndRestarted
	}
	d.bound = slices.DeleteFunc(d.bound, func(other *simBound) bool { return other == b })
}

// live is LIVE: of a life of the cursor of which no STREAM has come nobody knows what is missing.
func (d *simDevice) live(topic string) {
	d.resuming = slices.DeleteFunc(d.resuming, func(t string) bool { return t == topic })
	for _, h := range d.cursors {
		if h.topic != topic || h.over || slices.ContainsFunc(d.bound, func(b *simBound) bool {
			return b.topic == topic && b.life == h.life
		}) {
			continue
		}
		d.sim.tell(judge.Event{Kind: judge.Gap, Who: d.name, Topic: topic, Life: h.life})
	}
}
