package gateway

import (
	"slices"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// replay is a stream that a session does not simply take from the live list. A
// session has one for a stream at most, whatever asked for it. While it reads,
// what the live list brings of the stream is passed over, since the ring has it.
// A marker in the mailbox, posted under the stream's lock, is where the live list
// takes over: everything before it stands before it.
type replay struct {
	stream   *fanout.Stream
	phase    replayPhase
	marker   uint32 // number of the marker that ends the phase, unless it is replayReads
	reader   fanout.Reader
	next     uint64   // the position of the marker
	from     uint64   // replayLater: where to begin, if anything waits for LIVE
	byGroups bool     // replayLater: until then only wildcards bring the topic
	far      *far     // of a sparse stream
	live     []uint32 // numbers of the subscriptions that are told LIVE when no stream has them any more
}

type replayPhase uint8

const (
	replayReads replayPhase = iota // the ring is read
	replayWaits                    // what comes before the marker is passed over
	replayLater                    // the live list goes on until the marker, then begin
)

// position is the position that the session gets next.
func (r *replay) position() uint64 {
	switch {
	case r.phase == replayReads:
		if r.far != nil {
			return r.far.next
		}
		return r.reader.Offset()
	case r.phase == replayLater && len(r.live) > 0:
		return r.from
	}
	return r.next
}

func (o *outbound) replayOf(s *fanout.Stream) *replay {
	if o == nil {
		return nil
	}
	for i := range o.replays {
		if o.replays[i].stream == s {
			return &o.replays[i]
		}
	}
	return nil
}

func (o *outbound) dropReplay(s *fanout.Stream) {
	for i := range o.replays {
		if o.replays[i].stream == s {
			o.replays = append(o.replays[:i], o.replays[i+1:]...)
			return
		}
	}
}

// mayReplay reports whether one more topic, or one that is being replayed anyway,
// may be read from its rings.
func (o *outbound) mayReplay(t *fanout.Topic, most int) bool {
	if o == nil || len(o.replays) < most {
		return true
	}
	topics := map[*fanout.Topic]bool{}
	for i := range o.replays {
		topics[o.replays[i].stream.Topic()] = true
	}
	return topics[t] || len(topics) < most
}

// replaysFor reports whether the replay of some stream was asked for by a
// subscription.
func (o *outbound) replaysFor(sub uint32) bool {
	for i := range o.replays {
		if slices.Contains(o.replays[i].live, sub) {
			return true
		}
	}
	return false
}

// replayOfOrigin is the first replay of a stream of an origin.
func (o *outbound) replayOfOrigin(origin uint32) *replay {
	if o == nil {
		return nil
	}
	for i := range o.replays {
		if originOf(o.replays[i].stream) == origin {
			return &o.replays[i]
		}
	}
	return nil
}

// replayFor is the session's replay of a stream, which is made if there is none.
func (l *loop) replayFor(s *session, stream *fanout.Stream) *replay {
	out := l.outbound(s)
	if r := out.replayOf(stream); r != nil {
		return r
	}
	l.slots.at(s.n).flags |= flagReplay
	out.replays = append(out.replays, replay{stream: stream})
	return &out.replays[len(out.replays)-1]
}

// readFrom has a session read a stream's ring from an offset, or from where it
// reads already if that is earlier, and returns where it is: not beyond the top.
func (l *loop) readFrom(s *session, stream *fanout.Stream, from uint64) uint64 {
	if r := s.out.replayOf(stream); r != nil {
		from = min(from, r.position())
	}
	r := l.replayFor(s, stream)
	r.phase, r.marker, r.reader, r.far = replayReads, 0, stream.Reader(from), nil
	l.readSoon(s)
	return r.reader.Offset()
}

// readSoon gives a session its part of the next turn's replays.
func (l *loop) readSoon(s *session) {
	if !s.out.replayed {
		s.out.replayed = true
		l.replays = append(l.replays, s.n)
		l.tickSoon()
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
			if sl.over(l.stride) {
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
	l.flush(sl) // what was said before comes first, and may fill the socket
	if s.closed || s.out == nil || sl.flags&flagOpen == 0 {
		return false
	}
	if sl.flags&flagBehind != 0 {
		return true
	}
	out := s.out
	var b []byte
	for i := 0; i < len(out.replays) && len(b) < replayBytes; i++ {
		if r := &out.replays[i]; r.phase == replayReads && !r.far.waits() {
			b = l.read(s, sl, r, b)
		}
	}
	if s.tenant.usage.meters() {
		s.tenant.usage.sent(len(b))
	}
	if len(b) > 0 {
		l.write(sl, b)
	}
	if s.closed || s.out == nil {
		return false
	}
	for i := range out.replays {
		if r := &out.replays[i]; r.phase == replayReads && !r.far.waits() {
			return true
		}
	}
	out.replayed = false
	return false
}

// read appends entries of one ring to b until there is enough, and joins the
// live list at the top.
func (l *loop) read(s *session, sl *slot, r *replay, b []byte) []byte {
	t := r.stream.Topic()
	in := s.interest(t, nil)
	d := replaying{topic: t, id: wire.TopicID(t.ID()), origin: originOf(r.stream), in: in, recv: sl.recv}
	if in.noEcho {
		d.own = l.tag(s)
	}
	if !in.exact && sl.flags&flagNamed != 0 {
		d.named, d.id = true, 0
	}
	if r.stream.Sparse() {
		return l.readFar(s, r, &d, b)
	}
	now := l.g.now.Load()
	for len(b) < replayBytes {
		e, missed, ok := r.reader.Next(now)
		if missed > 0 {
			b = l.replayedGap(b, &d, wire.ReasonNotKept, missed)
		}
		if !ok {
			break
		}
		b = l.replayed(b, &d, e)
	}
	r.reader.Join(func(next uint64) {
		r.phase, r.next = replayWaits, next
		r.marker = l.postMarker(s, r.stream)
	})
	return b
}

// replaying says how one stream is replayed to one session.
type replaying struct {
	topic  *fanout.Topic
	id     wire.TopicID
	origin uint32
	in     interest
	own    uint64 // tag of the session if it wants no echo
	recv   uint8
	named  bool
}

// replayed appends one entry of a ring, encoded anew: its numbers may have died.
func (l *loop) replayed(b []byte, d *replaying, e fanout.Entry) []byte {
	if d.in.noEcho && e.From == d.own {
		if d.in.track && !d.named {
			b = l.replayedGap(b, d, wire.ReasonOwn, 1)
		}
		return b
	}
	m := wire.Message{Topic: d.id, Origin: d.origin, Form: wire.OffsetFull, Offset: e.Offset, Payload: e.Frame[e.Body:]}
	if d.named {
		m = wire.Message{Name: []byte(d.topic.Name()), Payload: e.Frame[e.Body:]}
	}
	if l.g.cfg.without.replayOffset {
		m.Form = wire.OffsetNone
	}
	if logOf(m.Len()) > d.recv {
		return l.replayedGap(b, d, wire.ReasonTooBig, 1)
	}
	l.counters.replayed.Add(1)
	return m.Append(b)
}

func (l *loop) replayedGap(b []byte, d *replaying, r wire.Reason, n uint64) []byte {
	l.counters.gap(r, n)
	return wire.Gap{Topic: d.id, Origin: d.origin, Reason: r, Count: n}.Append(b)
}

// postMarker puts a marker for a session's replay into the mailbox and returns
// its number. It is called under the stream's lock.
func (l *loop) postMarker(s *session, stream *fanout.Stream) uint32 {
	l.markers++
	h, marker := l.handle(s), l.markers
	l.mail.post(entry{call: func(l *loop) {
		if s := l.slots.get(h); s != nil {
			l.marked(s, stream, marker)
		}
	}})
	return marker
}

// marked acts on a marker, unless something else has happened to the replay
// since it was posted.
func (l *loop) marked(s *session, stream *fanout.Stream, marker uint32) {
	r := s.out.replayOf(stream)
	if r == nil || r.phase == replayReads || r.marker != marker {
		return
	}
	if r.phase == replayLater && len(r.live) > 0 {
		l.tellStream(s, stream, l.readFrom(s, stream, r.from))
		return
	}
	next, live, waited := r.next, r.live, r.phase == replayWaits
	s.out.dropReplay(stream)
	if len(s.out.replays) == 0 {
		l.slots.at(s.n).flags &^= flagReplay
	}
	for _, sub := range live {
		if !s.out.replaysFor(sub) {
			l.say(s, wire.Live{Sub: sub}.Append(l.enc[:0]))
		}
	}
	if waited {
		l.tellMissed(s, stream, next)
	} else {
		l.tellStream(s, stream, next)
	}
	l.tellOver(s, stream)
	l.release(s)
}

// tellStream says the position of what comes next, if anything counts it.
func (l *loop) tellStream(s *session, stream *fanout.Stream, next uint64) {
	if t := stream.Topic(); s.interest(t, nil).track {
		l.tell(s, t, streamFrame(stream, next).Append(l.enc[:0]))
	}
}

// tellMissed tells a session what its groups may have been told while it was
// passed over.
func (l *loop) tellMissed(s *session, stream *fanout.Stream, next uint64) {
	sl, t := l.slots.at(s.n), stream.Topic()
	in := s.interest(t, nil)
	if !in.group || sl.flags&flagNamed != 0 {
		return
	}
	if !in.exact {
		if nameTooLong(t, sl.recv) {
			return
		}
		l.tell(s, t, topicFrame(t).Append(l.enc[:0]))
	}
	if in.groupTracks {
		l.tell(s, t, streamFrame(stream, next).Append(l.enc[:0]))
	}
}

func topicFrame(t *fanout.Topic) wire.Topic {
	return wire.Topic{Topic: wire.TopicID(t.ID()), Name: []byte(t.Name())}
}
