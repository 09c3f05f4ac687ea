package gateway

import (
	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// replay is a topic that a session does not take from the live list: it reads
// the ring, or waits for the marker of its start. What the live list brings of
// that topic is passed over until the marker has come through the mailbox, in
// which everything before it stands before it.
type replay struct {
	topic   *fanout.Topic
	reader  fanout.Reader
	sub     uint32 // the device's number
	reading bool   // false: only the marker is awaited
	tell    bool   // LIVE is said at the end
	marked  bool   // the marker is in the mailbox
}

func (o *outbound) replayOf(t *fanout.Topic) *replay {
	for i := range o.replays {
		if o.replays[i].topic == t {
			return &o.replays[i]
		}
	}
	return nil
}

func (o *outbound) dropReplay(t *fanout.Topic, sub uint32) {
	for i := range o.replays {
		if r := &o.replays[i]; r.topic == t && r.sub == sub {
			o.replays = append(o.replays[:i], o.replays[i+1:]...)
			return
		}
	}
}

// startReplay takes a topic off the live list of a session.
func (l *loop) startReplay(s *session, r replay) {
	out := s.outbound()
	r.reading = !r.marked
	out.replays = append(out.replays, r)
	l.slots.at(s.n).flags |= flagReplay
	if r.reading && !out.replayed {
		out.replayed = true
		l.replays = append(l.replays, s.n)
		l.busy.Store(true)
	}
}

// replayBytes is what one session is sent from rings before the next one's turn.
const replayBytes = 16 * kib

// replaySome gives each session that replays a part of its rings; false if the
// time was over and somebody is still waiting.
func (l *loop) replaySome(sl *slice) bool {
	for i := 0; i < len(l.replays); i++ {
		n := l.replays[i]
		if l.replayOne(n) {
			if sl.over(sliceCheck) {
				// The others go first next time.
				l.replays = append(l.replays[i+1:], l.replays[:i+1]...)
				return false
			}
			continue
		}
		l.replays = append(l.replays[:i], l.replays[i+1:]...)
		i--
	}
	return len(l.replays) == 0 || !l.anyReplayReady()
}

// anyReplayReady reports whether some session could be sent more at once; one
// that is behind waits for the tick.
func (l *loop) anyReplayReady() bool {
	for _, n := range l.replays {
		if l.slots.at(n).flags&(flagBehind|flagOpen) == flagOpen {
			return true
		}
	}
	return false
}

// replayOne sends one session what its rings hold, up to replayBytes; false if
// it reads no ring any more.
func (l *loop) replayOne(n fanout.Sub) bool {
	sl := l.slots.at(n)
	s := sl.sess
	if s == nil || s.out == nil || sl.flags&flagOpen == 0 {
		return false
	}
	if sl.flags&flagBehind != 0 {
		return true
	}
	out := s.out
	var b []byte
	for i := 0; i < len(out.replays) && len(b) < replayBytes; i++ {
		if r := &out.replays[i]; r.reading {
			b = l.read(s, sl, r, b)
		}
	}
	if len(b) > 0 {
		l.flush(sl)
		if sl.flags&(flagBehind|flagOpen) == flagOpen {
			l.write(sl, b)
		} else if s.out != nil {
			s.out.push(item{kind: itemControl, frame: b})
		}
	}
	if s.closed || s.out == nil {
		return false
	}
	for i := range out.replays {
		if out.replays[i].reading {
			return true
		}
	}
	out.replayed = false
	return false
}

// read appends entries of one ring to b until there is enough, and joins the
// live list at the top.
func (l *loop) read(s *session, sl *slot, r *replay, b []byte) []byte {
	id := wire.TopicID(r.topic.ID())
	var sub subscription
	if i := s.byNumber(r.sub); i >= 0 {
		sub = s.subs[i]
	}
	now := l.g.now.Load()
	for len(b) < replayBytes {
		e, missed, ok := r.reader.Next(now)
		if missed > 0 {
			l.counters.gap(wire.ReasonNotKept, missed)
			b = wire.Gap{Topic: id, Origin: ownOrigin, Reason: wire.ReasonNotKept, Count: missed}.Append(b)
		}
		if !ok {
			break
		}
		b = l.replayed(b, s, sl, &sub, id, e)
	}
	if r.reader.Join(func(uint64) { l.postMarker(s, r.topic, r.sub, r.tell) }) {
		r.reading, r.marked = false, true
	}
	return b
}

// replayed appends one entry of a ring, encoded anew: its numbers may have died.
func (l *loop) replayed(b []byte, s *session, sl *slot, sub *subscription, id wire.TopicID, e fanout.Entry) []byte {
	if sub.noEcho && e.From == s.tag() {
		if sub.track {
			l.counters.gap(wire.ReasonOwn, 1)
			b = wire.Gap{Topic: id, Origin: ownOrigin, Reason: wire.ReasonOwn, Count: 1}.Append(b)
		}
		return b
	}
	m := wire.Message{Topic: id, Origin: ownOrigin, Form: wire.OffsetFull, Offset: e.Offset, Payload: e.Frame[e.Body:]}
	if logOf(m.Len()) > sl.recv {
		l.counters.gap(wire.ReasonTooBig, 1)
		return wire.Gap{Topic: id, Origin: ownOrigin, Reason: wire.ReasonTooBig, Count: 1}.Append(b)
	}
	l.counters.replayed.Add(1)
	return m.Append(b)
}

// postMarker puts the start of a live subscription into the mailbox. It is
// called under the stream's lock, so that everything before it was posted before
// and everything after it comes after.
func (l *loop) postMarker(s *session, t *fanout.Topic, sub uint32, tell bool) {
	h := s.handle()
	l.mail.post(entry{call: func(l *loop) {
		s := l.slots.get(h)
		if s == nil || s.out == nil {
			return
		}
		s.out.dropReplay(t, sub)
		if tell {
			l.say(s, wire.Live{Sub: sub}.Append(nil))
		}
		if len(s.out.replays) == 0 {
			l.slots.at(s.n).flags &^= flagReplay
		}
		l.release(s)
	}})
}
