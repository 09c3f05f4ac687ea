package client

import (
	"github.com/bellwire/bellwire/wire"
)

// heldMost bounds what waits for the end of a replay of one topic; what does not
// fit is a Gap.
const heldMost = 4096

// intake is one subscription as its connections see it: what it has had, and so
// what of all that arrives the application still has to see. It outlives
// connections. It is pure: what it says goes to an outlet.
type intake struct {
	// Static.
	owner    *Subscription
	filter   string
	wildcard bool
	opts     subOptions
	without  guards

	// Over all connections.
	had *positions
	// answered: the gateway has agreed once, so the application counts on it.
	answered bool
	// resumes: it begins in the middle, so what it cannot resume may be missing.
	resumes bool
	answer  chan error // the answer to the first SUBSCRIBE; room for one

	// Of one connection.
	blind   bool               // one unknown gap was told, which covers all that cannot be resumed
	replays map[string]*replay // topics that are being replayed
}

// replay is a topic between SUBSCRIBE with a start and LIVE.
type replay struct {
	cursor  bool // it began with a cursor, so all that follows is expected
	settled bool // the lives of the cursor were compared with those of the gateway
	reason  wire.Reason
	held    []received // live messages that came before their turn
}

// received is a message with its place in its stream.
type received struct {
	life     wire.Life
	offset   uint64
	replayed bool
	payload  []byte
}

// outlet collects what subscriptions have to tell.
type outlet struct{ deliveries []delivery }

func (out *outlet) add(to *intake, it item) {
	out.deliveries = append(out.deliveries, delivery{to, it})
}

// plain delivers a message that nobody counts.
func (in *intake) plain(out *outlet, topic string, m received) {
	if m.replayed && in.replays[topic] == nil {
		return // another subscription asked for it
	}
	out.add(in, item{event: Message{topic, m.payload, m.life, m.offset, m.replayed}})
}

// message takes a message whose place is known.
func (in *intake) message(out *outlet, t *topic, m received) {
	if in.opts.untracked {
		in.plain(out, t.name, m)
		return
	}
	r := in.replays[t.name]
	if r != nil && m.replayed {
		in.settle(out, t, r)
	}
	pos, known := in.had.at(t.name, m.life)
	switch {
	case r != nil && m.replayed && !known:
		pos = m.offset - 1 // a replay from what is kept begins where it begins
	case r == nil && m.replayed:
		// Another subscription's replay. Only what comes next anyhow may be taken.
		if !known || m.offset != pos+1 {
			return
		}
	case r != nil && !m.replayed && (!known || m.offset > pos+1) && !t.sparse(m.life) && !in.without.hold:
		if len(r.held) < heldMost {
			r.held = append(r.held, m)
		}
		return
	case !known:
		pos = m.offset - 1
	}
	if m.offset > pos+1 && !t.sparse(m.life) {
		in.missing(out, t.name, m.life, m.offset-1, m.offset-1-pos, in.why(r))
	}
	in.take(out, t.name, m, pos)
}

func (in *intake) why(r *replay) wire.Reason {
	if r != nil && r.reason != 0 {
		return r.reason
	}
	return wire.ReasonNotKept
}

// take delivers a message unless the application has it already.
func (in *intake) take(out *outlet, topic string, m received, pos uint64) {
	if m.offset <= pos && !in.without.dedupe {
		return
	}
	in.had.set(topic, m.life, m.offset)
	out.add(in, item{
		event: Message{topic, m.payload, m.life, m.offset, m.replayed},
		topic: topic, life: m.life, offset: m.offset, moves: true,
	})
}

// missing tells that the positions up to an offset will not come.
func (in *intake) missing(out *outlet, topic string, life wire.Life, upTo, count uint64, why wire.Reason) {
	in.had.set(topic, life, upTo)
	it := item{topic: topic, life: life, offset: upTo, moves: true}
	if why != wire.ReasonOwn || !in.opts.noEcho {
		it.event = Gap{topic, why, count, life}
	}
	out.add(in, it)
}

// reach moves to a position without a word.
func (in *intake) reach(out *outlet, topic string, life wire.Life, offset uint64) {
	in.had.set(topic, life, offset)
	out.add(in, item{topic: topic, life: life, offset: offset, moves: true})
}

// stream is told where a stream is: next is the next live offset. renewed says
// that on this connection another life was before, so this one is wanted from its
// beginning.
func (in *intake) stream(out *outlet, t *topic, o *origin, renewed bool) {
	if in.opts.untracked || in.replays[t.name] != nil {
		return // a replay says itself where it is
	}
	pos, known := in.had.at(t.name, o.life)
	switch {
	case known && o.unsure && o.next > pos+1:
		in.reach(out, t.name, o.life, o.next-1) // that gap was told, without its size
	case known && !o.sparse && o.next > pos+1:
		in.missing(out, t.name, o.life, o.next-1, o.next-1-pos, wire.ReasonNotKept)
	case known:
		in.had.set(t.name, o.life, pos)
	case renewed && !o.sparse && o.next > 1:
		in.missing(out, t.name, o.life, o.next-1, o.next-1, wire.ReasonNotKept)
	default:
		if in.wildcard && in.resumes && !in.blind && o.next > 1 {
			// It may have been published while nobody listened.
			out.add(in, item{event: Gap{t.name, wire.ReasonNotKept, 0, o.life}})
		}
		in.reach(out, t.name, o.life, o.next-1)
	}
}

// gap is told that count positions up to an offset are left out.
func (in *intake) gap(out *outlet, t *topic, o *origin, upTo, count uint64, why wire.Reason) {
	if in.opts.untracked {
		if why != wire.ReasonOwn || !in.opts.noEcho {
			out.add(in, item{event: Gap{t.name, why, count, o.life}})
		}
		return
	}
	if r := in.replays[t.name]; r != nil {
		in.settle(out, t, r)
	}
	pos, known := in.had.at(t.name, o.life)
	if !known {
		pos = upTo - count
	}
	if upTo > pos {
		in.missing(out, t.name, o.life, upTo, upTo-pos, why)
	}
}

// end is told that a life is over.
func (in *intake) end(out *outlet, topic string, life wire.Life, how wire.How) {
	it := item{event: End{topic, how, life}, topic: topic, life: life}
	if how == wire.EndLost {
		if l := in.had.find(topic, life); l != nil {
			l.lost = true
		}
	} else {
		in.had.drop(topic, life)
		it.drops = true
	}
	out.add(in, it)
}

// settle compares the lives of the cursor with those that the gateway told: one
// that is not there any more is over, and nobody knows what its tail was. One that
// is new is wanted from its beginning.
func (in *intake) settle(out *outlet, t *topic, r *replay) {
	if r.settled || !r.cursor || len(t.origins) == 0 {
		return
	}
	r.settled = true
	before := in.had.lives(t.name)
	how := wire.EndLost
	for _, o := range t.origins {
		if _, known := in.had.at(t.name, o.life); !known && !o.over {
			how = wire.EndRestarted
		}
	}
	for _, l := range before {
		if l.lost || t.has(l.Life) || in.without.life {
			continue
		}
		out.add(in, item{event: Gap{t.name, wire.ReasonNotKept, 0, l.Life}})
		in.end(out, t.name, l.Life, how)
	}
	for _, o := range t.origins {
		if _, known := in.had.at(t.name, o.life); !known && !o.over && !o.sparse {
			in.reach(out, t.name, o.life, 0)
		}
	}
}

// live ends a replay: what was held takes its turn, and what neither the replay
// nor a gap accounted for is told.
func (in *intake) live(out *outlet, t *topic) {
	r := in.replays[t.name]
	if r == nil {
		return
	}
	if len(t.origins) == 0 && !in.opts.untracked {
		in.abandon(out, t.name, t) // nobody counts here
		return
	}
	in.settle(out, t, r)
	delete(in.replays, t.name)
	if in.opts.untracked {
		return
	}
	for _, m := range r.held {
		pos, known := in.had.at(t.name, m.life)
		if !known {
			pos = m.offset - 1
		}
		if m.offset > pos+1 && !t.sparse(m.life) {
			in.missing(out, t.name, m.life, m.offset-1, m.offset-1-pos, in.why(r))
		}
		in.take(out, t.name, m, pos)
	}
	for _, o := range t.origins {
		pos, known := in.had.at(t.name, o.life)
		switch {
		case o.over:
		case !known:
			in.reach(out, t.name, o.life, o.next-1)
		case !o.sparse && pos+1 < o.next:
			in.missing(out, t.name, o.life, o.next-1, o.next-1-pos, in.why(r))
		}
	}
}

// abandon ends a replay that will not happen: what is between the cursor and now
// is a gap of unknown size.
func (in *intake) abandon(out *outlet, topic string, t *topic) {
	r := in.replays[topic]
	if r == nil {
		return
	}
	delete(in.replays, topic)
	in.had.forget(topic)
	if r.cursor {
		out.add(in, item{event: Gap{Topic: topic, Reason: wire.ReasonNotKept}})
	}
	for _, m := range r.held {
		in.take(out, topic, m, 0)
	}
	if t != nil && !in.opts.untracked {
		for _, o := range t.origins {
			if _, known := in.had.at(topic, o.life); !known && !o.over {
				in.reach(out, topic, o.life, o.next-1)
			}
		}
	}
}
