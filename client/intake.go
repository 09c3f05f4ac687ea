package client

import (
	"slices"

	"github.com/bellwire/bellwire/wire"
)

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
	// answered: the gateway has agreed and told the place where it begins, so the
	// application counts on what follows.
	answered bool
	// resumes: it begins in the middle, so what it cannot resume may be missing.
	resumes bool
	// covered: the application was told that messages of any topic may be missing,
	// and the wildcard has not begun since, so nothing more can be.
	covered bool
	answer  chan error // the answer to the first SUBSCRIBE; room for one

	// Of one connection.
	replays map[string]*replay // topics between SUBSCRIBE with a start and LIVE
	// awaits: topics of a wildcard whose helper is not agreed to yet. The helper will
	// bring all from the cursor on, so nothing before may move it.
	awaits map[string]bool
}

// connect forgets the connection before.
func (in *intake) connect() {
	in.replays, in.awaits = make(map[string]*replay), make(map[string]bool)
}

// replay is a topic between SUBSCRIBE with a start and LIVE.
type replay struct {
	cursor  bool // it began with a cursor: all that follows is expected
	settled bool // the lives that the gateway did not tell were ended
}

// received is a message with its place in its stream.
type received struct {
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
func (in *intake) plain(out *outlet, t *topic, m received) {
	if m.replayed && t.replaying && in.replays[t.name] == nil {
		return // another subscription asked for it
	}
	out.add(in, item{event: Message{Topic: t.name, Payload: m.payload, Replayed: m.replayed}})
}

// message takes a message whose place is known, unless the application has had it.
func (in *intake) message(out *outlet, t *topic, o *origin, m received) {
	if in.opts.untracked {
		// What is below was live before, or is another subscription's replay.
		if in.replays[t.name] != nil || m.offset >= o.high {
			out.add(in, item{event: Message{Topic: t.name, Payload: m.payload, Replayed: m.replayed}})
		}
		return
	}
	r := in.replays[t.name]
	if r != nil {
		in.settle(out, t, r) // all streams are told before the first message [W-6.8]
	}
	pos, known := in.had.at(t.name, o.life)
	switch {
	case !known && t.replaying && r == nil && m.replayed:
		return // before this subscription's time
	case known && m.offset <= pos && !in.without.dedupe:
		return
	case known && m.offset > pos+1 && !o.sparse:
		in.missing(out, t, o, m.offset-1, m.offset-1-pos, wire.ReasonNotKept)
	}
	in.had.set(t.name, o.life, m.offset)
	out.add(in, item{
		event: Message{t.name, m.payload, o.life, m.offset, m.replayed},
		topic: t.name, life: o.life, offset: m.offset, moves: true,
	})
}

// missing tells that count positions up to an offset will not come.
func (in *intake) missing(out *outlet, t *topic, o *origin, upTo, count uint64, why wire.Reason) {
	in.had.set(t.name, o.life, upTo)
	it := item{topic: t.name, life: o.life, offset: upTo, moves: true}
	if why != wire.ReasonOwn { // the device's own messages are no loss
		it.event = Gap{t.name, why, count, o.life}
	}
	out.add(in, it)
}

// reach moves to a position without a word.
func (in *intake) reach(out *outlet, t *topic, o *origin, offset uint64) {
	in.had.set(t.name, o.life, offset)
	out.add(in, item{topic: t.name, life: o.life, offset: offset, moves: true})
}

// stream is told where a stream goes on [W-6.7].
func (in *intake) stream(out *outlet, t *topic, o *origin) {
	if in.opts.untracked {
		return
	}
	r := in.replays[t.name]
	pos, known := in.had.at(t.name, o.life)
	switch {
	case known:
		in.had.set(t.name, o.life, pos) // it is back, if it was lost
	case r != nil && r.cursor:
		in.reach(out, t, o, 0)
		pos = 0
	case r == nil && t.replaying && !t.toldAll:
		return // it was told for another subscription, which begins elsewhere
	default:
		in.reach(out, t, o, o.next-1)
		pos = o.next - 1
	}
	if o.next > pos+1 && !o.sparse {
		in.missing(out, t, o, o.next-1, o.next-1-pos, wire.ReasonNotKept)
	}
}

// gap is told that count positions up to an offset are left out.
func (in *intake) gap(out *outlet, t *topic, o *origin, upTo, count uint64, why wire.Reason) {
	if in.opts.untracked {
		in.uncounted(out, Gap{t.name, why, count, 0})
		return
	}
	pos, known := in.had.at(t.name, o.life)
	switch {
	case !known && t.replaying && in.replays[t.name] == nil:
		return // before this subscription's time
	case !known:
		pos = upTo - count
	}
	if upTo > pos {
		in.missing(out, t, o, upTo, upTo-pos, why)
	}
}

// uncounted tells a gap that moves no position.
func (in *intake) uncounted(out *outlet, g Gap) {
	if g.Reason != wire.ReasonOwn {
		out.add(in, item{event: g})
	}
}

// end is told that a life is over.
func (in *intake) end(out *outlet, topic string, life wire.Life, how wire.How) {
	it := item{event: End{topic, how, life}, topic: topic, life: life}
	l := in.had.find(topic, life)
	switch {
	case l != nil && l.over:
		it.event = nil // it was told, and was replayed once more
		it.drops = true
	case how == wire.EndComplete || how == wire.EndRestarted:
		// For the application the place is of no more use. Here it is, until a gateway
		// knows nothing of the life: the next one may still have its messages.
		it.drops = true
		if l != nil {
			l.over = true
		}
	case l != nil:
		l.lost = true // it may come back
	}
	out.add(in, it)
}

// settle ends the lives of the cursor that the gateway did not tell. Nobody can
// say what their last messages were. It goes by what is told on this connection
// alone: one before may have told the new life, and was cut before it came to this.
func (in *intake) settle(out *outlet, t *topic, r *replay) {
	if r.settled || !r.cursor || in.without.life {
		return
	}
	r.settled = true
	how := wire.EndLost
	if slices.ContainsFunc(t.origins, func(o *origin) bool { return !o.over }) {
		how = wire.EndRestarted
	}
	for _, l := range in.had.lives(t.name) {
		if t.has(l.Life) {
			continue
		}
		if !l.lost && !l.over { // else it was told when it ended
			out.add(in, item{event: Gap{t.name, wire.ReasonNotKept, 0, l.Life}})
			in.end(out, t.name, l.Life, how)
		}
		in.had.drop(t.name, l.Life)
		out.add(in, item{topic: t.name, life: l.Life, drops: true})
	}
}

// live ends a replay.
func (in *intake) live(out *outlet, t *topic) {
	r := in.replays[t.name]
	delete(in.replays, t.name)
	if r != nil && !in.opts.untracked {
		in.settle(out, t, r)
	}
}

// abandon ends a replay that will not happen: what is between the cursor and now
// is a gap of unknown size.
func (in *intake) abandon(out *outlet, topic string) {
	r := in.replays[topic]
	delete(in.replays, topic)
	delete(in.awaits, topic)
	if r != nil && r.cursor {
		in.abandoned(out, topic)
	}
}

// abandoned gives up the place in a topic.
func (in *intake) abandoned(out *outlet, topic string) {
	delete(in.awaits, topic)
	for _, l := range in.had.lives(topic) {
		out.add(in, item{topic: topic, life: l.Life, drops: true})
	}
	in.had.forget(topic)
	out.add(in, item{event: Gap{Topic: topic, Reason: wire.ReasonNotKept}})
}
