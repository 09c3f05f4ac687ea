package gateway

import (
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
const endTime = time.Millisecond

// originEnds has every loop tell its devices that an origin has ended.
func (g *Gateway) originEnds(o *fanout.Origin, how wire.How) {
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) {
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
			for len(l.endings) > 0 {
				l.tellEnd(&l.endings[0], time.Time{}) // nobody may hear of the end after the return
				l.endings = l.endings[1:]
			}
			if was := l.over[o.Number()]; was.is {
				l.over[o.Number()] = over{era: was.era}
			}
		}})
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
		s := l.slots.at(e.at).sess
		if s == nil || s.stage != stageOpen || !e.concerns(s) {
			continue
		}
		l.tellEndTo(s, e)
		if e.at%64 == 0 && !until.IsZero() && !l.clock().Before(until) {
			e.at++
			return false
		}
	}
	return true
}

// tellEndTo tells one session. What it still reads from the rings of the origin is
// told to it anew: END was about all of them.
func (l *loop) tellEndTo(s *session, e *ending) {
	if e.central {
		l.say(s, wire.Gap{Origin: ownOrigin, Reason: wire.ReasonCentral}.Append(l.enc[:0]))
		return
	}
	l.say(s, wire.End{Origin: e.origin, How: e.how}.Append(l.enc[:0]))
	if s.out == nil {
		return
	}
	for i := range s.out.replays {
		if r := &s.out.replays[i]; r.phase != replayLater && originOf(r.stream) == e.origin {
			l.tellStream(s, r.stream, r.position())
		}
	}
}

// tellOver tells a session, at the end of a replay, that nothing follows it.
func (l *loop) tellOver(s *session, stream *fanout.Stream) {
	if !l.isOver(stream) {
		return
	}
	t, o := stream.Topic(), stream.Origin()
	if s.interest(t, nil).track {
		l.tell(s, t, wire.End{Topic: wire.TopicID(t.ID()), Origin: o.Number(), How: l.over[o.Number()].how}.Append(l.enc[:0]))
	}
}
