package client

import (
	"slices"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// link is one SUBSCRIBE on one connection. A subscription has one, and a wildcard
// that resumes has helpers beside it: exact ones with a cursor, one for each topic
// that it has seen, until their replay is done.
type link struct {
	number    uint32
	in        *intake
	filter    string
	helper    bool
	start     wire.Start
	agreed    bool // SUBSCRIBED came
	replaying bool // LIVE is awaited
	leaving   bool // UNSUBSCRIBE was sent
	topic     *topic
}

// retry is a SUBSCRIBE to repeat after a delay.
type retry struct {
	link  *link
	after time.Duration // 0: not told
}

// begin subscribes everything on a new connection.
func (s *session) begin(all []*intake) {
	for _, in := range all {
		s.intakes = append(s.intakes, in)
		in.connect()
		in.resumes = in.resumes || in.answered
	}
	free := int(s.welcome.MaxSubs) - len(all)
	for _, in := range all {
		free -= s.enter(in, max(free, 0))
	}
	s.publish()
}

// join subscribes one more on a connection under way.
func (s *session) join(in *intake) {
	s.intakes = append(s.intakes, in)
	in.connect()
	s.enter(in, max(int(s.welcome.MaxSubs)-len(s.links)-1, 0))
}

// enter sends the SUBSCRIBEs of a subscription, with at most so many helpers, and
// says how many it took. What was had before is resumed [W-6.8].
func (s *session) enter(in *intake, helpers int) int {
	if in.wildcard {
		return s.enterWildcard(in, helpers)
	}
	l := &link{in: in, filter: in.filter, start: in.opts.start}
	switch had := len(in.had.lives(in.filter)) > 0; {
	case in.without.cursor && in.answered:
		l.start = wire.StartNow
	case had && !in.opts.untracked:
		l.start = wire.StartCursor
	case in.answered && (in.opts.untracked || l.start == wire.StartNow):
		l.start = wire.StartNow
		s.out.add(in, item{event: Gap{Topic: in.filter, Reason: wire.ReasonNotKept}})
	}
	s.ask(l)
	return 0
}

// enterWildcard resumes the topics heard of last, exactly and first, so that
// nothing lies between their replay and the wildcard's messages.
func (s *session) enterWildcard(in *intake, helpers int) int {
	var topics []string
	if !in.opts.untracked && !in.without.cursor {
		topics = in.had.topics()
	}
	fit := min(len(topics), helpers)
	for _, topic := range topics[:fit] {
		in.awaits[topic] = true
		s.ask(&link{in: in, filter: topic, helper: true, start: wire.StartCursor})
	}
	for _, topic := range topics[fit:] {
		in.had.forget(topic)
	}
	// Of a topic that it has not seen nobody knows what was published meanwhile. That
	// is told once, however many connections it takes to begin anew.
	if fit < len(topics) || in.resumes && !in.covered {
		in.covered = true
		s.out.add(in, item{event: Gap{Reason: wire.ReasonNotKept}})
	}
	start := in.opts.start
	if in.answered || start == wire.StartCursor {
		start = wire.StartNow
	}
	s.ask(&link{in: in, filter: in.filter, start: start})
	return fit
}

// ask sends the SUBSCRIBE of a link under a new number. A topic is counted once on
// a connection, so while it is replayed for one subscription the next one waits.
func (s *session) ask(l *link) {
	exact := !wire.IsWildcard([]byte(l.filter))
	if exact && s.replaying[l.filter] != nil {
		s.queued = append(s.queued, l)
		return
	}
	if l.helper && len(l.in.had.lives(l.filter)) == 0 {
		// Newer topics took its place while it waited. An empty cursor would bring all again.
		l.in.abandoned(&s.out, l.filter)
		return
	}
	s.lastSub++
	l.number, l.agreed, l.replaying = s.lastSub, false, false
	f := wire.Subscribe{
		Sub: l.number, Policy: l.in.opts.policy, Track: !l.in.opts.untracked, Start: l.start,
		NoEcho: l.in.opts.noEcho, Filter: []byte(l.filter),
	}
	if l.start == wire.StartCursor {
		f.Cursor = l.in.had.cursor(l.filter, 1<<s.welcome.Recv-f.Len()-wire.MaxHeader-1)
	}
	if exact && l.start != wire.StartNow {
		l.replaying = true
		s.replaying[l.filter] = l
		l.in.replays[l.filter] = &replay{cursor: l.start == wire.StartCursor}
	}
	s.links[l.number] = l
	s.pending = f.Append(s.pending)
	if exact && !l.in.answered && f.Track {
		s.pending = wire.AppendPing(s.pending, nil)
	}
}

// again repeats the SUBSCRIBE of a link that was told to come later.
func (s *session) again(l *link) {
	if !l.leaving && slices.Contains(s.intakes, l.in) {
		s.ask(l)
	}
}

// replayed ends a link's replay, one way or the other, and lets the next one of
// the topic begin.
func (s *session) replayed(l *link) {
	if !l.replaying {
		return
	}
	l.replaying = false
	s.generation++
	delete(s.replaying, l.filter)
	queued := s.queued
	s.queued = nil
	for _, q := range queued {
		if !q.leaving {
			s.ask(q) // those of other topics, and of this one if it is taken again, queue up again
		}
	}
}

func (s *session) onSubscribed(f wire.Subscribed) error {
	l := s.links[f.Sub]
	if l == nil || l.agreed {
		return violated("SUBSCRIBED %d, which was not asked", f.Sub)
	}
	if f.Code.Class() != wire.ClassFine {
		return s.refused(l, &RefusedError{Code: f.Code, Retry: time.Duration(f.Retry) * time.Millisecond, Text: string(f.Text)})
	}
	l.agreed = true
	if l.helper {
		delete(l.in.awaits, l.filter)
	}
	s.generation++
	if wire.IsWildcard([]byte(l.filter)) {
		s.wildcards = append(s.wildcards, l)
	} else {
		t, err := s.name(f.Topic, l.filter)
		if err != nil {
			return err
		}
		if t != nil {
			t.toldAll = !l.replaying
		}
		l.topic = t
		s.exact[l.filter] = append(s.exact[l.filter], l)
	}
	if f.Code == wire.CodeOKLiveOnly && l.replaying {
		if t := l.topic; t != nil {
			t.toldAll = true
		}
		if !l.leaving {
			l.in.abandon(&s.out, l.filter)
		}
		s.replayed(l)
	}
	if l.leaving {
		return nil
	}
	if !l.helper {
		l.in.covered = false // what is missed from here on is another gap
	}
	if !l.helper && (l.in.wildcard || l.in.opts.untracked) {
		s.placed(l.in) // any other is told its place by STREAM, or by no STREAM before PONG
	}
	s.releaseHelpers(l.in)
	return nil
}

// placed tells the caller of Subscribe that nothing is missed from here on. It is
// told behind what was delivered before, so that its cursor says where it began.
func (s *session) placed(in *intake) {
	if !in.answered {
		in.answered = true
		s.out.add(in, item{placed: true})
	}
}

// onPong answers those whose topics the gateway does not count.
func (s *session) onPong() {
	for _, l := range s.byNumber() {
		if l.agreed && !l.leaving && !l.helper {
			s.placed(l.in)
		}
	}
}

// answers tells the caller of Subscribe, once.
func (in *intake) answers(err error) {
	select {
	case in.answer <- err:
	default: // it was told before
	}
}

// refused ends a link, or repeats it if that may help.
func (s *session) refused(l *link, err *RefusedError) error {
	if l.leaving {
		s.remove(l)
		s.gone(l)
		return nil
	}
	err.What = "subscribing " + l.filter
	if err.Code.Class() == wire.ClassLater && err.Retry == 0 {
		err.Retry = laterLeast
	}
	switch {
	case err.retryable():
		s.retries = append(s.retries, retry{l, err.Retry})
	case s.crowdedOut(l, err.Code):
		s.remove(l)
		s.crowded = append(s.crowded, l)
		return nil
	case l.helper:
		l.in.abandon(&s.out, l.filter)
	case err.Code == wire.CodeCursorUnusable && l.start == wire.StartCursor:
		l.in.abandon(&s.out, l.filter)
		s.remove(l)
		l.start = wire.StartNow
		s.ask(l)
		return nil
	default:
		s.over(l.in, err)
	}
	s.remove(l)
	s.gone(l)
	return nil
}

// over ends a subscription from the gateway's side.
func (s *session) over(in *intake, err error) {
	in.answers(err)
	s.out.add(in, item{err: err})
	s.part(in)
}

func (s *session) onLive(f wire.Live) error {
	l := s.links[f.Sub]
	if l == nil || !l.agreed || !l.replaying {
		if f.Sub == 0 || f.Sub > s.lastSub {
			return violated("LIVE of subscription %d, which was not asked", f.Sub)
		}
		return nil // it was given up meanwhile
	}
	switch {
	case l.leaving:
	case l.topic == nil:
		l.in.abandon(&s.out, l.filter)
	default:
		l.in.live(&s.out, l.topic)
	}
	s.replayed(l)
	s.releaseHelpers(l.in)
	return nil
}
