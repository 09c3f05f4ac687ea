package gateway

import (
	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// subscribe answers a SUBSCRIBE [W-4.4].
func (l *loop) subscribe(s *session, q wire.Subscribe) error {
	if s.byNumber(q.Sub) >= 0 {
		return &wire.Error{Code: wire.CodeOutOfOrder, Type: wire.TypeSubscribe, Field: "sub is in use"}
	}
	if code := l.maySubscribe(s, q); code != wire.CodeOK {
		l.refuseSub(s, q.Sub, code)
		return nil
	}
	if wire.IsWildcard(q.Filter) {
		if l.run.walking {
			// Who joins a group in the middle of a walk could get a message of
			// a topic that the group was told before.
			return errLater
		}
		l.subscribeGroup(s, q)
		return nil
	}
	if !l.g.broadcast(string(q.Filter)) {
		l.refuseSub(s, q.Sub, wire.CodeNoCentral)
		return nil
	}
	t, err := l.g.topic(s.tenant, q.Filter)
	if err != nil {
		l.refuseSub(s, q.Sub, wire.CodeOf(err))
		return nil
	}
	l.subscribeTopic(s, q, t)
	return nil
}

func (l *loop) refuseSub(s *session, sub uint32, code wire.Code) {
	l.counters.refused(code)
	l.say(s, wire.Subscribed{Sub: sub, Code: code, Retry: retryMillis}.Append(nil))
}

// retryMillis is the delay that goes with the codes of ClassLater.
const retryMillis = 1000

// maySubscribe is what can be decided before the topic is known.
func (l *loop) maySubscribe(s *session, q wire.Subscribe) wire.Code {
	switch {
	case q.Topic != 0:
		return wire.CodeNotSupported // no table was agreed on
	case wire.CheckFilter(q.Filter) != nil:
		return wire.CodeBadTopic
	case len(s.subs) >= l.g.limits.Load().Subscriptions:
		return wire.CodeTooManySubs
	}
	if may := l.g.cfg.Authorize; may != nil && may(s.identity(), ActionSubscribe, string(q.Filter)) != nil {
		return wire.CodeNotGranted
	}
	return wire.CodeOK
}

// subscribeGroup joins the sessions of this loop with the same wildcard. It
// starts with the next message: positions are told topic by topic.
func (l *loop) subscribeGroup(s *session, q wire.Subscribe) {
	track := q.Track && l.slots.at(s.n).flags&flagNamed == 0
	g := s.tenant.index.Join(l.n, string(q.Filter), s.n, track)
	s.subs = append(s.subs, subscription{group: g, num: q.Sub, policy: q.Policy, track: track, noEcho: q.NoEcho})
	l.noEcho(s, q)
	l.counters.subscriptions.Add(1)
	code := wire.CodeOK
	switch {
	case q.Start != wire.StartNow:
		code = wire.CodeOKLiveOnly
	case !l.g.allBroadcast(string(q.Filter)):
		code = wire.CodeOKCentralAway
	}
	l.say(s, wire.Subscribed{Sub: q.Sub, Code: code}.Append(nil))
}

// allBroadcast reports whether a filter matches broadcast topics only: some
// broadcast filter, taken as a topic, covers it level by level.
func (g *Gateway) allBroadcast(filter string) bool {
	for _, f := range g.cfg.Broadcast {
		if f == filter || wire.Match(f, filter) {
			return true
		}
	}
	return false
}

func (l *loop) noEcho(s *session, q wire.Subscribe) {
	if q.NoEcho {
		l.slots.at(s.n).flags |= flagNoEcho
	}
}

// subscribeTopic lists a session for an exact topic. Deliveries begin at a
// marker in the mailbox, so that STREAM's position is that of the next message
// (WIRE rule 5).
func (l *loop) subscribeTopic(s *session, q wire.Subscribe, t *fanout.Topic) {
	id := wire.TopicID(t.ID())
	sub := subscription{topic: t, num: q.Sub, policy: q.Policy, track: q.Track, noEcho: q.NoEcho, mute: q.PublishOnly}
	if q.PublishOnly {
		s.subs = append(s.subs, sub)
		l.counters.subscriptions.Add(1)
		l.say(s, wire.Subscribed{Sub: q.Sub, Topic: id}.Append(nil))
		return
	}
	from, code := l.from(q, t)
	if code != wire.CodeOK {
		l.refuseSub(s, q.Sub, code)
		return
	}
	l.noEcho(s, q)
	if !s.listed(t) {
		t.Add(l.n, s.n)
	}
	if q.Track {
		t.Track(1)
	}
	s.subs = append(s.subs, sub)
	l.counters.subscriptions.Add(1)

	say := func(next uint64) {
		l.say(s, wire.Subscribed{Sub: q.Sub, Topic: id}.Append(nil))
		if q.Track {
			l.say(s, l.streamFrame(t, next).Append(nil))
		}
	}
	if q.Start != wire.StartNow {
		say(from)
		l.startReplay(s, replay{topic: t, reader: t.Stream().Reader(from), sub: q.Sub, tell: true})
		return
	}
	t.Stream().Mark(func(next uint64) {
		say(next)
		if !l.idle() {
			l.startReplay(s, replay{topic: t, sub: q.Sub, marked: true})
			l.postMarker(s, t, q.Sub, false)
		}
	})
}

// idle reports that nothing that was posted before is still to be delivered;
// under a stream's lock this means nothing of that stream.
func (l *loop) idle() bool { return !l.run.walking && l.at == len(l.batch) && l.mail.idle() }

// from is the offset that a subscription which does not start now begins with.
func (l *loop) from(q wire.Subscribe, t *fanout.Topic) (uint64, wire.Code) {
	stream := t.Stream()
	oldest, next := stream.Kept(l.g.now.Load())
	switch q.Start {
	case wire.StartNow:
		return next, wire.CodeOK
	case wire.StartLast:
		return max(oldest, next-1), wire.CodeOK
	case wire.StartKept:
		return oldest, wire.CodeOK
	case wire.StartCursor:
	}
	// A life that the cursor does not name is new to the device: all of it is
	// missing, so it starts at the beginning.
	p, _ := q.Cursor.Find(wire.Life(stream.Life()))
	if p.Offset >= next {
		return 0, wire.CodeCursorUnusable
	}
	return p.Offset + 1, wire.CodeOK
}

// listed reports whether the session is on the topic's list.
func (s *session) listed(t *fanout.Topic) bool {
	for i := range s.subs {
		if s.subs[i].topic == t && !s.subs[i].mute {
			return true
		}
	}
	return false
}

// unsubscribe answers an UNSUBSCRIBE [W-4.6].
func (l *loop) unsubscribe(s *session, num uint32) {
	code := wire.CodeOK
	if i := s.byNumber(num); i >= 0 {
		sub := s.subs[i]
		l.unlist(s, i)
		s.subs[i] = s.subs[len(s.subs)-1]
		s.subs = s.subs[:len(s.subs)-1]
		if s.out != nil && sub.topic != nil {
			s.out.dropReplay(sub.topic, num)
			l.release(s)
		}
		if sub.topic != nil && !sub.mute {
			if s.listed(sub.topic) {
				sub.topic.Add(l.n, s.n)
			}
			l.retellGroups(s)
		}
	}
	l.say(s, wire.Unsubscribed{Sub: num, Code: code}.Append(nil))
}

// retellGroups has the groups of a session tell their topics again: it was not
// told those that an exact subscription brought it until now.
func (l *loop) retellGroups(s *session) {
	for i := range s.subs {
		if g := s.subs[i].group; g != nil {
			g.Retell()
		}
	}
}

// unlist takes one subscription off the lists; the record stays.
func (l *loop) unlist(s *session, i int) {
	sub := &s.subs[i]
	l.counters.subscriptions.Add(-1)
	switch {
	case sub.group != nil:
		s.tenant.index.Leave(sub.group, s.n, sub.track)
	case sub.mute:
	default:
		sub.topic.Remove(l.n, s.n)
		if sub.track {
			sub.topic.Track(-1)
		}
	}
}
