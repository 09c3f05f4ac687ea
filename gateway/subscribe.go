package gateway

import (
	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// subscribe answers a SUBSCRIBE [W-4.4].
func (l *loop) subscribe(s *session, q wire.Subscribe) error {
	if s.byNumber(q.Sub) >= 0 {
		return &wire.Error{Code: wire.CodeOutOfOrder, Type: wire.TypeSubscribe, Field: "sub is in use"}
	}
	code, picky := l.maySubscribe(s, q)
	if code != wire.CodeOK {
		l.refuseSub(s, q, code)
		return nil
	}
	if wire.IsWildcard(q.Filter) {
		if l.run.walking {
			// Who joins a group in the middle of a walk could get a message of
			// a topic that the group was told before.
			return errLater
		}
		if l.upToDate(s); s.closed || s.stage != stageOpen {
			return nil
		}
		if !s.tenant.index.Fits(l.n, string(q.Filter)) {
			l.g.crowded(s.tenant)
			l.refuseSub(s, q, wire.CodeThrottled)
			return nil
		}
		l.subscribeGroup(s, q, picky)
		return nil
	}
	central := !l.g.broadcast(string(q.Filter))
	if central && l.g.cfg.Central == nil {
		l.refuseSub(s, q, wire.CodeNoCentral)
		return nil
	}
	t, err := l.g.topic(s.tenant, q.Filter)
	if err != nil {
		l.refuseSub(s, q, wire.CodeOf(err))
		return nil
	}
	if central {
		l.subscribeCentral(s, q, t)
		return nil
	}
	l.subscribeTopic(s, q, t)
	return nil
}

func (l *loop) refuseSub(s *session, q wire.Subscribe, code wire.Code) {
	l.counters.refused(code)
	l.audited(s, auditSubscribe, code, q.Filter, "")
	l.say(s, wire.Subscribed{Sub: q.Sub, Code: code, Retry: retryMillis, Text: l.g.why(code)}.Append(l.enc[:0]))
}

// retryMillis is the delay that goes with the codes of ClassLater.
const retryMillis = 1000

// maySubscribe is what can be decided before the topic is known, and whether each
// message has to be asked for.
func (l *loop) maySubscribe(s *session, q wire.Subscribe) (code wire.Code, picky bool) {
	switch {
	case q.Topic != 0:
		return wire.CodeNotSupported, false // no table was agreed on
	case wire.CheckFilter(q.Filter) != nil && !l.g.cfg.without.topicCheck:
		return wire.CodeBadTopic, false
	case q.PublishOnly && wire.IsWildcard(q.Filter):
		return wire.CodeBadTopic, false
	case len(s.subs) >= l.g.limits.Load().Subscriptions:
		return wire.CodeTooManySubs, false
	}
	return l.granted(s, q)
}

// granted asks for permission. A wildcard that is granted in part stands, and each
// of its messages is asked for.
func (l *loop) granted(s *session, q wire.Subscribe) (code wire.Code, picky bool) {
	asked := ActionSubscribe
	if q.PublishOnly {
		asked = ActionPublish
	}
	cover := l.g.covers(s, asked, q.Filter)
	switch {
	case cover == access.None:
		return wire.CodeNotGranted, false
	case q.Start != wire.StartNow && !wire.IsWildcard(q.Filter) && !q.PublishOnly && s.tenant.usage.inDebt():
		return wire.CodeThrottled, false // a replay would add to it
	}
	return wire.CodeOK, cover == access.Part
}

// subscribeGroup joins the sessions of this loop with the same wildcard. It
// starts with the next message: positions are told topic by topic.
func (l *loop) subscribeGroup(s *session, q wire.Subscribe, picky bool) {
	sl := l.slots.at(s.n)
	if sl.flags&flagNamed != 0 {
		q.Track = false // a position needs an id
	}
	part := l.centralPart(s, q)
	l.joinGroup(s, q)
	if part.Class() == wire.ClassFine {
		s.subs[len(s.subs)-1].flags |= subCentral
	}
	if picky {
		l.pick(s, true)
	}
	l.noEcho(s, q)
	l.counters.subscriptions.Add(1)
	code := wire.CodeOK
	switch {
	case q.Start != wire.StartNow:
		code = wire.CodeOKLiveOnly
	case part != wire.CodeOK && !l.g.allBroadcast(string(q.Filter)):
		code = wire.CodeOKCentralAway
	}
	l.say(s, wire.Subscribed{Sub: q.Sub, Code: code}.Append(l.enc[:0]))
	if !q.Track {
		sl.flags |= flagPlain
	} else {
		l.tellOthers(s, string(q.Filter))
	}
}

// joinGroup makes a session a member, which it is at most once however many of
// its subscriptions have the filter; one of them is counted as a tracker.
func (l *loop) joinGroup(s *session, q wire.Subscribe) {
	sub := subscription{num: q.Sub, policy: q.Policy, flags: flagsOf(q)}
	counted := false
	for i := range s.subs {
		if g := s.subs[i].group; g != nil && g.Filter() == string(q.Filter) {
			sub.group = g
			counted = counted || s.subs[i].flags&subCounted != 0
		}
	}
	if q.Track && !counted {
		sub.flags |= subCounted
	}
	if sub.group == nil || sub.flags&subCounted != 0 {
		sub.group = s.tenant.index.Join(l.n, string(q.Filter), s.n, q.Track)
	}
	s.subs = append(s.subs, sub)
}

// tellOthers has a session told the position of topics that subscriptions which
// do not count have brought it until now: a wildcard that counts has joined them.
func (l *loop) tellOthers(s *session, filter string) {
	l.retellGroups(s)
	if s.out != nil {
		for i := range s.out.replays {
			r := &s.out.replays[i]
			if t := r.stream.Topic(); r.phase != replayLater && wire.Match(filter, t.Name()) {
				l.tell(s, t, streamFrame(r.stream, r.position()).Append(l.enc[:0]))
			}
		}
	}
	for i := range s.subs {
		sub := &s.subs[i]
		if sub.topic == nil || sub.flags&(subMute|subTracks|subCentral) != 0 || !wire.Match(filter, sub.topic.Name()) {
			continue
		}
		l.startNow(s, sub.topic, interest{any: true, exact: true})
	}
}

// allBroadcast reports whether a filter matches topics only that come as broadcasts
// alone.
func (g *Gateway) allBroadcast(filter string) bool { return g.classes().allBroadcast(filter) }

func (l *loop) noEcho(s *session, q wire.Subscribe) {
	if q.NoEcho {
		l.slots.at(s.n).flags |= flagNoEcho
	}
}

// subscribeTopic lists a session for an exact topic.
func (l *loop) subscribeTopic(s *session, q wire.Subscribe, t *fanout.Topic) {
	id := wire.TopicID(t.ID())
	sub := subscription{topic: t, num: q.Sub, policy: q.Policy, flags: flagsOf(q)}
	if q.PublishOnly { // its start is of no effect [W-4.4]
		s.subs = append(s.subs, sub)
		l.counters.subscriptions.Add(1)
		l.say(s, wire.Subscribed{Sub: q.Sub, Topic: id}.Append(l.enc[:0]))
		return
	}
	if q.Start != wire.StartNow && !s.out.mayReplay(t, l.g.limits.Load().Replays) {
		l.refuseSub(s, q, wire.CodeReplayBusy)
		return
	}
	if q.Start == wire.StartCursor && ahead(q, t) {
		l.refuseSub(s, q, wire.CodeCursorUnusable)
		return
	}
	had := s.interest(t, nil)
	l.noEcho(s, q)
	if !s.listed(t, -1) {
		t.Add(l.n, s.n)
	}
	if q.Track {
		t.Track(1)
	}
	s.subs = append(s.subs, sub)
	l.wantBoth(s, &s.subs[len(s.subs)-1])
	l.counters.subscriptions.Add(1)
	l.say(s, wire.Subscribed{Sub: q.Sub, Topic: id}.Append(l.enc[:0]))
	if q.Start == wire.StartNow {
		l.startNow(s, t, had)
	} else {
		l.startKept(s, q, t, had)
	}
}

// startNow begins with the next message of each stream. What is in the mailbox was
// published before: a marker behind it says where the subscription begins, so that
// STREAM's position is that of its first message (WIRE rule 5). had are the other
// subscriptions of the session, which go on bringing the topic until then.
func (l *loop) startNow(s *session, t *fanout.Topic, had interest) {
	idle, asked := false, false
	t.Mark(func(stream *fanout.Stream, next uint64, silent bool) {
		if !asked { // the markers of other streams do not count
			idle, asked = l.idle() || l.g.cfg.without.startMarker, true
		}
		switch r := s.out.replayOf(stream); {
		case r == nil && (idle || l.g.cfg.without.onItsWay) && silent && l.isOver(stream):
			// It has ended, and nothing of it is on its way. If its origin comes back
			// it begins for everybody.
		case r == nil:
			l.startStream(s, stream, next, idle, had)
		case r.phase == replayLater:
			// It tells the position when its time has come.
		default:
			l.tellStream(s, stream, r.position())
		}
	})
}

// startStream is startNow for one stream that the session does not replay. It is
// called under the stream's lock.
func (l *loop) startStream(s *session, stream *fanout.Stream, next uint64, idle bool, had interest) {
	if idle || !had.any {
		l.tellStream(s, stream, next)
	}
	if idle {
		return
	}
	r := l.replayFor(s, stream)
	r.next, r.marker = next, l.postMarker(s, stream)
	if r.phase = replayWaits; had.any {
		r.phase, r.byGroups = replayLater, !had.exact
	}
}

// startKept begins with what the rings hold.
func (l *loop) startKept(s *session, q wire.Subscribe, t *fanout.Topic, had interest) {
	t.Stream() // it is told, even if nobody has published here yet
	newest := newestStream(t, l.g.now.Load())
	t.Streams(func(stream *fanout.Stream) {
		if stream.Next() != 0 { // else nothing is known of it yet
			l.startKeptStream(s, q, stream, l.from(q, stream, newest), had)
		}
	})
}

// startKeptStream is startKept for one stream.
func (l *loop) startKeptStream(s *session, q wire.Subscribe, stream *fanout.Stream, from uint64, had interest) {
	r := s.out.replayOf(stream)
	switch {
	case r != nil && r.phase == replayLater:
		// Nothing that comes behind the marker may be left out.
		if r.from = min(r.from, from); len(r.live) == 0 {
			r.from = min(from, r.next)
		}
		r.live = append(r.live, q.Sub)
		return
	case r == nil && had.any:
		// What the mailbox holds is not only in the ring, it is on its way: the
		// replay begins behind it. A cursor may be ahead of this gateway; what comes
		// until then is still the other subscriptions'.
		idle := true
		stream.Mark(func(next uint64) {
			if !l.g.cfg.without.ahead {
				from = min(from, next)
			}
			if idle = l.idle(); !idle {
				r = l.replayFor(s, stream)
				r.phase, r.next, r.from, r.live = replayLater, next, from, []uint32{q.Sub}
				r.byGroups, r.marker = !had.exact, l.postMarker(s, stream)
			}
		})
		if !idle {
			return
		}
	}
	from = l.readFrom(s, stream, from)
	r = s.out.replayOf(stream)
	r.live = append(r.live, q.Sub)
	l.tellStream(s, stream, from)
}

// idle reports that nothing that was posted before is still to be delivered;
// under a stream's lock this means nothing of that stream.
func (l *loop) idle() bool { return !l.run.walking && l.at == len(l.batch) && l.mail.idle() }

// newestStream is the one of a topic's streams that keeps the last message; nil if
// nothing is kept.
func newestStream(t *fanout.Topic, now uint32) (newest *fanout.Stream) {
	lastAt, lastPost := uint32(0), uint64(0)
	t.Streams(func(s *fanout.Stream) {
		if _, at, post := s.Last(now); post > lastPost || post == lastPost && at > lastAt {
			newest, lastAt, lastPost = s, at, post
		}
	})
	return newest
}

// from is the offset in a stream that a subscription which does not start now
// begins with [W-6.8]. newest has the topic's last message.
func (l *loop) from(q wire.Subscribe, stream, newest *fanout.Stream) uint64 {
	now := l.g.now.Load()
	oldest, next := stream.Kept(now)
	switch q.Start {
	case wire.StartLast:
		if stream != newest {
			return next
		}
		last, _, _ := stream.Last(now)
		return last
	case wire.StartKept:
		return oldest
	case wire.StartNow, wire.StartCursor:
	}
	// A life that the cursor does not name is new to the device: all of it is
	// missing, so it starts at the beginning.
	p, _ := q.Cursor.Find(wire.Life(stream.Life()))
	if l.g.cfg.without.cursor {
		return oldest
	}
	return p.Offset + 1
}

// ahead reports whether a cursor claims positions that the topic's own stream has
// not given yet: it is not what this gateway told anyone. Of another gateway's
// stream the device may have seen more elsewhere.
func ahead(q wire.Subscribe, t *fanout.Topic) bool {
	stream := t.Stream()
	p, ok := q.Cursor.Find(wire.Life(stream.Life()))
	return ok && p.Offset >= stream.Next()
}
