package gateway

import (
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// recheckTime is how long a loop asks about sessions again before others have their
// turn. It is timed and not counted: with a large policy one session with many
// wildcards takes whole milliseconds, with none it takes one thousandth.
const recheckTime = time.Millisecond

// recheckAll has every session asked about again: what it is proven by, and each of
// its subscriptions. Messages that were posted before may still leave meanwhile. The
// channel is closed when all have been, and never if the gateway ends before.
func (g *Gateway) recheckAll() <-chan struct{} {
	asked := make(chan struct{})
	left := new(atomic.Int32)
	left.Store(int32(len(g.loops)))
	done := func() {
		if left.Add(-1) == 0 {
			close(asked)
		}
	}
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) {
			if l.beginRecheck(); l.checking {
				l.passed = append(l.passed, done)
			} else {
				done()
			}
			l.recheckSome()
		}})
	}
	return asked
}

// beginRecheck takes newer rules over, if there are any. A pass that is under way
// goes on to its end, so that there are never more than two rules in force here.
func (l *loop) beginRecheck() {
	newest := l.g.rules.Load()
	if l.checking || l.rules == newest {
		return
	}
	l.before, l.rules = l.rules, newest
	l.checked, l.checking = 0, true
	l.early = map[fanout.Sub]bool{}
}

// rulesOf are the rules that a session was last asked about by.
func (l *loop) rulesOf(s *session) *rules {
	if l.late(s) {
		return l.before
	}
	return l.rules
}

// late reports that a pass has not come to a session yet.
func (l *loop) late(s *session) bool { return l.checking && s.n >= l.checked && !l.early[s.n] }

// upToDate has a session asked about now if that is due: what it subscribes to next
// is not to be delivered by rules that are over. Between runs only.
func (l *loop) upToDate(s *session) {
	if l.beginRecheck(); l.late(s) {
		l.early[s.n] = true
		l.recheck(s)
	}
}

// recheckSome goes on with the next sessions, between two runs: who is granted more
// in the middle of a walk would get a message of a topic that its group was told
// before. Turns follow one another until all are through.
func (l *loop) recheckSome() {
	if !l.checking {
		return
	}
	over := l.clock().Add(recheckTime)
	for {
		if l.endRecheck(); !l.checking {
			return
		}
		s := l.slots.at(l.checked).sess
		l.checked++
		if s == nil || s.stage != stageOpen && (s.stage == stageClosing || s.proof == nil || s.proof.Proof == nil) {
			continue // it has proven nothing yet, or is over
		}
		l.guard(s, func() { l.recheck(s) })
		if !l.clock().Before(over) && !l.g.cfg.without.recheckSlices {
			l.wake()
			return
		}
	}
}

// endRecheck ends a pass that is through, and begins the next one if rules have
// come meanwhile.
func (l *loop) endRecheck() {
	if l.checking && int(l.checked) >= len(l.slots.chunks)*slotChunk {
		l.checking, l.before, l.early = false, nil, nil
		if l.beginRecheck(); !l.checking {
			for _, done := range l.passed {
				done()
			}
			l.passed = nil
		}
	}
}

// recheck asks about one session again.
func (l *loop) recheck(s *session) {
	if err := l.g.checkSession(s); err != nil {
		l.refusedAt(s, auditRevoke, wire.CodeOf(err), textOf(err))
		l.closeWith(s, wire.CodeOf(err), textOf(err))
		return
	}
	if s.stage != stageOpen {
		return
	}
	picky, was := false, l.slots.at(s.n).flags&flagPicky != 0
	classes := l.g.classes()
	for i := 0; i < len(s.subs); i++ {
		ok, some := l.g.grants(s, &s.subs[i])
		switch {
		case !ok:
			l.revoke(s, i)
		case l.crossed(&s.subs[i], classes):
			l.endCrossed(s, i)
		default:
			l.recross(s, &s.subs[i], classes)
			picky = picky || some
			continue
		}
		if s.closed {
			return
		}
		i--
	}
	l.pick(s, picky)
	turned := l.endTurned(s)
	if (was || picky || turned) && !l.g.cfg.without.retell {
		l.retellGroups(s) // what is granted now was not told
	}
	l.forgetRefused(s)
}

// revoke ends a subscription that is not granted any more.
func (l *loop) revoke(s *session, i int) {
	l.refusedAt(s, auditRevoke, wire.CodeNotGranted, "subscription revoked: "+s.subs[i].filter())
	l.endSubscription(s, i, wire.CodeNotGranted)
}

// forgetRefused throws away what waits for a session that is behind, or that it
// reads from rings, of topics that it may not have any more.
func (l *loop) forgetRefused(s *session) {
	out := s.out
	if out == nil || l.g.cfg.without.purge {
		return
	}
	asked := map[*fanout.Topic]bool{}
	may := func(t *fanout.Topic) bool {
		ok, had := asked[t]
		if !had {
			ok = l.delivers(s, t, nil).any
			asked[t] = ok
		}
		return ok
	}
	out.forget(may)
	for i := len(out.replays) - 1; i >= 0; i-- {
		if stream := out.replays[i].stream; !may(stream.Topic()) {
			out.dropReplay(stream)
			l.tellOver(s, stream)
		}
	}
	if len(out.replays) == 0 {
		l.slots.at(s.n).flags &^= flagReplay
	}
	l.release(s)
}
