package gateway

import (
	"math"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// deliverSlow gives a run to a session that the fast path passes over: it is
// behind, wants names or no echo, reads the topic from its ring, is not told what
// its group is, or the frames do not fit it.
func (l *loop) deliverSlow(n fanout.Sub, sl *slot) {
	if sl.flags&flagOpen == 0 {
		return
	}
	r, s := &l.run, sl.sess
	if rp := s.out.replayOf(r.stream); rp != nil && r.kind != entryCentral && !l.g.cfg.without.withhold {
		switch {
		case rp.phase != replayLater:
			return // the ring has it, or it came before the subscription's start
		case rp.byGroups && r.link == nil:
			sl.taken = l.runs - 1 // before the start of the exact one: as if it were not there
			return
		}
	}
	var group *fanout.Group
	if r.link != nil {
		group = r.link.Group()
	}
	in := l.delivers(s, r.topic, group)
	if !in.any {
		return
	}
	if r.kind == entryStream {
		if in.track {
			l.tell(s, r.topic, r.bytes)
		}
		return
	}
	if r.kind == entryCentral {
		l.deliverCentral(n, sl, in)
		return
	}
	d := delivery{l: l, n: n, sl: sl, s: s, in: in, topic: r.topic, stream: r.stream, id: wire.TopicID(r.topic.ID()), origin: originOf(r.stream)}
	switch {
	case group == nil:
	case sl.flags&flagNamed != 0:
		d.named, d.id = true, 0
	case r.tlog > sl.recv && nameTooLong(r.topic, sl.recv):
		d.id = 0
	case len(r.tell) > 0:
		l.tell(s, r.topic, topicFrame(r.topic).Append(l.enc[:0]))
		if in.track {
			l.tell(s, r.topic, streamFrame(r.stream, r.entries[r.skip].offset).Append(l.enc[:0]))
		}
	}
	var own uint64
	if in.noEcho {
		own = l.tag(s)
	}
	for i := r.skip; i < len(r.entries); i++ {
		e := &r.entries[i]
		if e.kind == entryGap {
			d.gap(wire.ReasonLost, e.missed)
			continue
		}
		if in.noEcho && e.from == own {
			if in.track && d.id != 0 {
				d.gap(wire.ReasonOwn, 1)
			}
			continue
		}
		frame := e.frame
		if d.named {
			frame = wire.Message{Name: []byte(r.topic.Name()), Payload: e.frame[e.body:]}.Append(nil)
		}
		if d.id == 0 && !d.named || logOf(len(frame)) > sl.recv {
			d.gap(wire.ReasonTooBig, 1)
			continue
		}
		if !d.message(frame, e.offset) {
			return
		}
	}
	d.flushGap()
}

// nameTooLong reports that a topic can never be told to a device.
func nameTooLong(t *fanout.Topic, recv uint8) bool {
	return len(t.Name()) > alwaysFits && topicFrame(t).Len() > 1<<recv
}

// delivery is one run on its way to one slow session. Gaps next to each other
// become one.
type delivery struct {
	l      *loop
	n      fanout.Sub
	sl     *slot
	s      *session
	in     interest
	topic  *fanout.Topic
	stream *fanout.Stream
	id     wire.TopicID // 0: it cannot be told, or is named
	origin uint32
	named  bool
	// central: the messages belong to no stream, and have their names.
	central bool

	reason wire.Reason
	count  uint64
}

func (d *delivery) gap(r wire.Reason, n uint64) {
	if d.count > 0 && d.reason != r {
		d.flushGap()
	}
	d.reason = r
	if d.l.g.cfg.without.gapOf != r {
		d.count += n
	}
}

func (d *delivery) flushGap() {
	if d.count == 0 {
		return
	}
	d.l.counters.gap(d.reason, d.count)
	if d.sl.flags&flagBehind != 0 {
		d.s.out.pushGap(d.topic, d.id, d.origin, d.reason, d.count)
		d.l.bound(d.s)
	} else {
		d.l.say(d.s, wire.Gap{Topic: d.id, Origin: d.origin, Reason: d.reason, Count: d.count}.Append(d.l.enc[:0]))
	}
	d.count = 0
}

// message sends or queues one message; false if the rest of the run is not for
// this session any more.
func (d *delivery) message(frame []byte, offset uint64) bool {
	d.flushGap()
	l := d.l
	if d.sl.flags&flagBehind == 0 {
		l.gather(d.n, d.sl, frame)
		l.run.sent += len(frame)
		l.counters.messages.Add(1)
		return true
	}
	lim := l.g.limits.Load()
	if d.in.policy == wire.Lossless && !d.central && d.s.out.mayReplay(d.topic, lim.Replays) {
		waiting := d.s.out.replayOf(d.stream) != nil // for its marker, to be told the position
		if from := l.readFrom(d.s, d.stream, offset); waiting {
			l.tellStream(d.s, d.stream, from)
		}
		return false
	}
	l.run.sent += len(frame) // one that is read from its ring pays then
	it := item{
		kind: itemMessage, policy: d.in.policy, at: l.g.now.Load(), id: d.id, origin: d.origin, frame: frame, topic: d.topic,
	}
	most, messages := l.g.memory.room(lim)
	if l.g.cfg.without.slowPolicy {
		most = math.MaxInt
	}
	if messages == 0 { // for want of memory
		d.s.out.pushGap(d.topic, d.id, d.origin, wire.ReasonSlow, 1)
		l.counters.droppedSlow(1)
		return l.bound(d.s)
	}
	dropped := d.s.out.pushMessage(it, most, messages)
	l.counters.messages.Add(1)
	l.counters.droppedSlow(dropped)
	return l.bound(d.s)
}

// bound keeps what waits for a session within bounds that its policies cannot
// keep; false if that ended the session.
func (l *loop) bound(s *session) bool {
	most := l.g.memory.items(l.g.limits.Load())
	if len(s.out.items) <= most {
		return true
	}
	if s.out.squeeze(); len(s.out.items) <= most/2 {
		return true
	}
	l.giveUp(s)
	return false
}

// giveUp ends a session that is behind; it may come back and resume.
func (l *loop) giveUp(s *session) {
	sl := l.slots.at(s.n)
	if sl.flags&flagOpen == 0 {
		return
	}
	sl.flags &^= flagOpen
	l.counters.closedWith(wire.CodeSlow)
	b := wire.Close{Code: wire.CodeSlow}.Append(nil)
	if sl.flags&flagSealed != 0 {
		b = s.secure.CloseNotify(s.secure.Seal(nil, b))
	}
	l.buffer(sl, b)
	l.doomed = append(l.doomed, l.handle(s))
}

// fallBehind puts a session on the list of those whose socket is full.
func (l *loop) fallBehind(s *slot) {
	s.flags |= flagBehind
	out := l.outbound(s.sess)
	out.moved = l.g.now.Load()
	out.buffered = -1
	if !out.listed {
		out.listed = true
		l.behind = append(l.behind, s.sess.n)
	}
	l.tickSoon()
}

func (l *loop) outbound(s *session) *outbound {
	if s.out == nil {
		s.out = &outbound{loose: l.g.cfg.without.gapInPlace}
	}
	return s.out
}

// retryBehind looks whether the sockets that were full take something again:
// gnet has no callback for it.
func (l *loop) retryBehind() {
	if len(l.behind) == 0 {
		return
	}
	now := l.g.now.Load()
	lim := l.g.limits.Load()
	kept := l.behind[:0]
	for _, n := range l.behind {
		if l.retry(n, now, lim) {
			kept = append(kept, n)
		}
	}
	l.behind = kept
	if len(kept) > 0 {
		l.tickSoon()
	}
}

// retry sends one joined write of what waits; false if the session keeps up
// again or is gone.
func (l *loop) retry(n fanout.Sub, now uint32, lim *Limits) bool {
	sl := l.slots.at(n)
	s := sl.sess
	if s == nil || s.out == nil || !s.out.listed || sl.flags&flagOpen == 0 {
		return false
	}
	out := s.out
	l.counters.droppedSlow(out.expire(now - seconds(lim.PendingAge)))
	l.shed(out, lim)
	if held := s.conn.OutboundBuffered(); held > 0 {
		// The kernel's queue falls long before it asks for more.
		if held += l.unsent(sl.fd); held != out.buffered {
			out.buffered, out.moved = held, now
		}
		if now-out.moved > seconds(lim.StuckAfter) && !l.g.cfg.without.stuckClose {
			l.giveUp(s)
			return false
		}
		return true
	}
	if len(out.items) > 0 {
		l.scratch = out.take(l.scratch[:0], joinBytes)
		if len(l.scratch) > 0 {
			out.moved, out.buffered = now, -1
			sl.flags &^= flagBehind
			l.write(sl, l.scratch)
			if s.closed || sl.flags&flagOpen == 0 {
				return false
			}
			if sl.flags&flagBehind != 0 || len(out.items) > 0 {
				sl.flags |= flagBehind
				return true
			}
		}
	}
	out.listed = false
	sl.flags &^= flagBehind
	l.release(s)
	return false
}

// release forgets the outbound of a session that needs none any more.
func (l *loop) release(s *session) {
	if out := s.out; out != nil && !out.listed && len(out.replays) == 0 {
		s.out = nil
		l.slots.at(s.n).flags &^= flagReplay
	}
}
