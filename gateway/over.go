package gateway

import (
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// over is what a loop knows of an origin that has ended, in the order of its
// mailbox: what was posted of it before has been delivered.
type over struct {
	era uint32 // how often it has ended
	is  bool   // it has not come back
	how wire.How
}

// ending is an origin of whose end sessions are being told; or the central service.
type ending struct {
	origin  uint32
	how     wire.How
	central bool
	tenant  string     // central: whose devices; empty: all
	wild    bool       // central: all that have wildcards as well
	at      fanout.Sub // how far this has come
	from    fanout.Sub // where the part under way began
}

// concerns reports whether a session has to be told.
func (e *ending) concerns(s *session) bool {
	flag := subTracks
	if e.central {
		flag = subCentral | subBoth
		if e.tenant != "" && s.tenant.name != e.tenant {
			return false
		}
	}
	for i := range s.subs {
		if s.subs[i].flags&flag != 0 || e.wild && s.subs[i].group != nil {
			return true
		}
	}
	return false
}

// endTime is how long a loop tells sessions of an end before others have their turn.
const endTime = sliceTime

// originEnds has every loop tell its devices that an origin has ended. unheard counts
// the loops that have not come to it in their mailboxes.
func (g *Gateway) originEnds(o *fanout.Origin, how wire.How, unheard *atomic.Int32) {
	for _, l := range g.loops {
		unheard.Add(1)
		l.mail.post(entry{call: func(l *loop) {
			unheard.Add(-1)
			l.over[o.Number()] = over{era: l.over[o.Number()].era + 1, is: true, how: how}
			l.endings = append(l.endings, ending{origin: o.Number(), how: how})
			l.tellEnds()
		}})
	}
}

// originReturns tells every loop that an origin is back, before its first message.
func (g *Gateway) originReturns(o *fanout.Origin) {
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) {
			for len(l.endings) > 0 && !l.g.cfg.without.endFirst {
				l.tellEnd(&l.endings[0], time.Time{}) // nobody may hear of the end after the return
				l.endings = l.endings[1:]
			}
			if was := l.over[o.Number()]; was.is {
				l.over[o.Number()] = over{era: was.era}
			}
		}})
	}
}

// originForgotten has every loop end what sessions still replay of an origin whose
// streams were forgotten. If it comes back after all its streams may be others, and
// devices could not tell the two apart. Only who has been reading for longer than
// rings keep anything is concerned.
func (g *Gateway) originForgotten(o *origin) {
	if g.cfg.without.forgotten {
		return
	}
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) {
			for _, c := range l.slots.chunks {
				for i := range c {
					if c[i].flags&flagReplay != 0 {
						l.endReplaysOf(c[i].sess, o.Number())
					}
				}
			}
		}})
	}
}

// endReplaysOf brings a session to the end of what it replays of the forgotten
// streams of an origin, with gaps for what it has not come to.
func (l *loop) endReplaysOf(s *session, origin uint32) {
	var streams []*fanout.Stream
	for i := range s.out.replays {
		if stream := s.out.replays[i].stream; originOf(stream) == origin {
			streams = append(streams, stream)
		}
	}
	for _, stream := range streams {
		for r := s.out.replayOf(stream); r != nil; r = s.out.replayOf(stream) {
			if r.phase == replayReads {
				l.tell(s, stream.Topic(), l.read(s, l.slots.at(s.n), r, nil))
			}
			if !stream.Forgotten() {
				break // it has come back before this, and is what it was
			}
			l.marked(s, stream, r.marker)
		}
	}
}

// originGone has every loop forget that there was an origin with that number.
func (g *Gateway) originGone(number uint32) {
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) { delete(l.over, number) }})
	}
}

// isOver reports whether the origin of a stream has ended, as far as the mailbox has
// come.
func (l *loop) isOver(s *fanout.Stream) bool {
	o := s.Origin()
	return o != nil && l.over[o.Number()].is
}

// tellEnds goes on with telling sessions which origins have ended, between two runs.
func (l *loop) tellEnds() {
	if len(l.endings) == 0 {
		return
	}
	until := l.clock().Add(endTime)
	for len(l.endings) > 0 {
		if !l.tellEnd(&l.endings[0], until) {
			l.wake()
			return
		}
		l.endings = l.endings[1:]
	}
	l.endings = nil
}

// tellEnd tells the next sessions; false if the time was over first. A zero time
// never is.
func (l *loop) tellEnd(e *ending, until time.Time) bool {
	for ; int(e.at) < len(l.slots.chunks)*slotChunk; e.at++ {
		if int(e.at)%l.stride == 0 && e.at > e.from && !until.IsZero() && !l.clock().Before(until) {
			e.from = e.at
			return false
		}
		if s := l.slots.at(e.at).sess; s != nil && s.stage == stageOpen && e.concerns(s) {
			l.tellEndTo(s, e)
		}
	}
	return true
}

// tellEndTo tells one session. While it still reads something from the rings of the
// origin, or has yet to come to a marker, it is told behind that, by tellOver: END is
// about all streams of the origin, and nothing may follow it.
func (l *loop) tellEndTo(s *session, e *ending) {
	if e.central {
		l.say(s, wire.Gap{Origin: ownOrigin, Reason: wire.ReasonCentral}.Append(l.enc[:0]))
		return
	}
	if s.out.replayOfOrigin(e.origin) != nil && !l.g.cfg.without.endBehind {
		return
	}
	l.say(s, wire.End{Origin: e.origin, How: e.how}.Append(l.enc[:0]))
}

// tellOver tells a session, when a replay of a stream is over, that nothing follows,
// unless it replays another stream of the same origin.
func (l *loop) tellOver(s *session, stream *fanout.Stream) {
	o := stream.Origin()
	if o == nil || !s.tracks() || s.out.replayOfOrigin(o.Number()) != nil {
		return
	}
	if over := l.over[o.Number()]; over.is && !l.g.cfg.without.tellOver {
		l.say(s, wire.End{Origin: o.Number(), How: over.how}.Append(l.enc[:0]))
	}
}

// tracks reports whether any subscription of the session counts.
func (s *session) tracks() bool {
	for i := range s.subs {
		if s.subs[i].flags&subTracks != 0 {
			return true
		}
	}
	return false
}
