package peer

import (
	"slices"
	"time"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// simSub is a subscription of a session: exact, and it tracks.
type simSub struct {
	gate    *simGate
	device  *simDevice
	topic   *fanout.Topic
	name    string
	number  fanout.Sub
	replays []*simReplay
	reading bool
	live    bool // LIVE is to be told
}

// simReplay is a stream that the session does not simply take from the live list, as replay of package gateway.
type simReplay struct {
	stream *fanout.Stream
	reads  bool // the ring is read; else what comes before the marker is passed over
	reader fanout.Reader
	next   uint64
}

func (r *simReplay) position() uint64 {
	if r.reads {
		return r.reader.Offset()
	}
	return r.next
}

func originNumber(s *fanout.Stream) uint32 {
	if o := s.Origin(); o != nil {
		return o.Number()
	}
	return 1
}

// post puts something into the mailbox, which is emptied a little later.
func (g *simGate) post(p simPost) {
	g.mail = append(g.mail, p)
	if !g.drains {
		g.drains = true
		g.sim.after(g.sim.between(0, time.Millisecond), g.drain)
	}
}

// drain handles what is in the mailbox.
func (g *simGate) drain() {
	if g.dead || g.later(g.drain) {
		return
	}
	g.drains = false
	batch := g.mail
	g.mail = nil
	for _, p := range batch {
		if p.kind == simCall {
			p.call()
			continue
		}
		for _, sub := range g.subs {
			if sub.topic == p.stream.Topic() && sub.replayOf(p.stream) == nil {
				sub.deliver(p)
			}
		}
	}
}

func (sub *simSub) deliver(p simPost) {
	d, origin := sub.device, originNumber(p.stream)
	switch p.kind {
	case simBegins:
		d.stream(sub.name, p.stream, p.offset)
	case simGap:
		d.gap(sub.name, origin, wire.ReasonLost, p.count)
	case simMessage:
		d.message(sub.name, origin, p.offset, false, p.bytes)
	case simCall:
	}
}

func (sub *simSub) replayOf(s *fanout.Stream) *simReplay {
	for _, r := range sub.replays {
		if r.stream == s {
			return r
		}
	}
	return nil
}

// isOver reports whether the origin of a stream has ended, as far as the mailbox has come.
func (g *simGate) isOver(s *fanout.Stream) *simOrigin {
	if o := s.Origin(); o != nil {
		if so := g.originOf(wire.Life(o.Life())); so.over {
			return so
		}
	}
	return nil
}

// subscribe lists a session for a topic, from now on or from a cursor.
func (g *simGate) subscribe(d *simDevice, name string, cursor wire.Cursor, resumes bool) {
	t, err := g.index.Ensure([]byte(name))
	if err != nil {
		g.sim.problem("%v", err)
		return
	}
	g.numbers++
	sub := &simSub{gate: g, device: d, topic: t, name: name, number: g.numbers}
	t.Add(0, sub.number)
	t.Track(1)
	g.subs = append(g.subs, sub)
	t.Stream()
	if !resumes {
		sub.startNow()
		return
	}
	sub.live = true
	t.Streams(func(s *fanout.Stream) {
		if s.Next() == 0 {
			return // nothing is known of it yet
		}
		p, _ := cursor.Find(wire.Life(s.Life()))
		r := &simReplay{stream: s, reads: true, reader: s.Reader(p.Offset + 1)}
		sub.replays = append(sub.replays, r)
		d.stream(name, s, r.reader.Offset())
	})
	sub.readSoon()
}

// startNow begins with the next message of each stream.
func (sub *simSub) startNow() {
	g := sub.gate
	sub.topic.Mark(func(s *fanout.Stream, next uint64, silent bool) {
		if silent && g.isOver(s) != nil {
			return
		}
		sub.device.stream(sub.name, s, next)
		if len(g.mail) > 0 {
			r := &simReplay{stream: s, next: next}
			sub.replays = append(sub.replays, r)
			g.post(simPost{call: func() { sub.marked(r) }})
		}
	})
}

func (sub *simSub) readSoon() {
	if !sub.reading {
		sub.reading = true
		sub.gate.sim.after(sub.gate.sim.between(0, 3*time.Millisecond), sub.read)
	}
}

// read gives the session a part of its rings, and has it join the live list where they are read to the end.
func (sub *simSub) read() {
	g := sub.gate
	if g.dead || sub.device.gate != g || !slices.Contains(g.subs, sub) || g.later(sub.read) {
		return
	}
	sub.reading = false
	for _, r := range sub.replays {
		for range 32 {
			if !r.reads || !sub.readOne(r) {
				break
			}
		}
		if !r.reads {
			continue
		}
		r.reader.Join(func(next uint64) {
			r.reads, r.next = false, next
			g.post(simPost{call: func() { sub.marked(r) }})
		})
		if r.reads {
			sub.readSoon()
		}
	}
}

func (sub *simSub) readOne(r *simReplay) bool {
	e, missed, ok := r.reader.Next(sub.gate.second())
	if missed > 0 {
		sub.device.gap(sub.name, originNumber(r.stream), wire.ReasonNotKept, missed)
	}
	if ok {
		sub.device.message(sub.name, originNumber(r.stream), e.Offset, true, e.Frame)
	}
	return ok
}

// marked is the place in the mailbox where the live list takes over.
func (sub *simSub) marked(r *simReplay) {
	i := slices.Index(sub.replays, r)
	if i < 0 || sub.device.gate != sub.gate {
		return
	}
	sub.replays = slices.Delete(sub.replays, i, i+1)
	if sub.live && len(sub.replays) == 0 {
		sub.live = false
		sub.device.live(sub.name)
	}
	if o := sub.gate.isOver(r.stream); o != nil {
		sub.device.end(sub.name, o.Number(), o.how)
	}
}

// disconnect takes a device's subscriptions off.
func (g *simGate) disconnect(d *simDevice) {
	for _, sub := range g.subs {
		if sub.device == d {
			sub.topic.Remove(0, sub.number)
			sub.topic.Track(-1)
			sub.replays = nil
		}
	}
	g.subs = slices.DeleteFunc(g.subs, func(sub *simSub) bool { return sub.device == d })
}
