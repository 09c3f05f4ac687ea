package peer

import (
	"fmt"
	"time"
)

// next is what the link writes now: the frames, in order, which stay as they are until the next call. Nothing: it sleeps
// until it is woken. last: close the connection behind them.
func (l *link) next(now time.Duration, bufs [][]byte) (_ [][]byte, last bool) {
	l.mu.Lock()
	control := l.out
	l.out, l.spare = l.spare[:0], control
	if cap(l.out) > 16<<10 {
		l.out = nil
	}
	if l.phase != up {
		defer l.mu.Unlock()
		if len(control) > 0 {
			bufs = append(bufs, control)
		}
		if l.phase == closed && len(l.bye) > 0 {
			bufs = append(bufs, l.bye)
		}
		return bufs, l.phase == closed
	}
	cursor, ack, beat, left := l.cursor, l.ackDue, l.beatDue, l.ended
	l.ackDue, l.beatDue = false, false
	if beat {
		l.beatAt, l.beatSeq = now, cursor.next-1 // only this goroutine moves it
		if !l.beating {
			l.beating, l.waiting = true, now
		}
	}
	l.mu.Unlock()

	if ack {
		control = appendSeq(control, typeAck, l.origin.last.Load())
	}
	if beat {
		control = appendSeq(control, typeHeartbeat, cursor.next-1)
	}
	t, taken := l.core.log.take(cursor, now, bufs)
	if t.skipFrom != 0 {
		control = appendSkip(control, t.skipFrom, t.skipTo)
		l.member.tally.skipped.Add(t.lost)
	}
	if len(control) > 0 {
		taken = append(taken, nil)
		copy(taken[len(bufs)+1:], taken[len(bufs):])
		taken[len(bufs)] = control
	}
	l.tally(&t)
	l.keepControl(control)
	bufs = l.slow(now, &t, taken)
	if l.core.leaving.Load() && !left && t.everything && len(l.tops) == 0 && !l.hasAsked() {
		bufs = append(bufs, ended{}.frame())
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
	}
	return bufs, false
}

// slow adds what may take its time behind what is live: one frame of tops and one answer.
func (l *link) slow(now time.Duration, t *taken, bufs [][]byte) [][]byte {
	switch {
	case !t.tops || l.core.cfg.without.tops:
	case l.topsAt != 0 && now-l.topsAt < topsEvery:
		l.mu.Lock()
		l.topsLater = true
		l.mu.Unlock()
	default:
		l.topsAt = now
		l.core.log.told(l.cursor)
		var w topsWriter
		l.core.cfg.Source.Tops(topsWithin, func(tenant, topic string, next uint64) bool {
			w.add(tenant, topic, next)
			return true
		})
		w.close()
		l.tops = append(l.tops, w.frames...)
	}
	if len(l.tops) > 0 {
		bufs = append(bufs, l.tops[0])
		l.tops = l.tops[1:]
	}
	if q, ok := l.question(t.last); ok {
		bufs = append(bufs, l.reply(q))
	}
	return bufs
}

func (l *link) hasAsked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked) > 0
}

// question is the oldest one, if it is its turn.
func (l *link) question(taken uint64) (q question, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.asked) == 0 || l.asked[0].after > taken && !l.core.cfg.without.answerOrder {
		return q, false
	}
	q = l.asked[0]
	l.asked = l.asked[1:]
	return q, true
}

func (l *link) reply(q question) []byte {
	var a answer
	a.begin(l.answer[:0], q.fetch)
	l.core.cfg.Source.Read(q.life, q.tenant, q.topic, q.from, q.to, a.add)
	l.answer = a.finish()
	l.member.tally.answered.Add(uint64(a.n))
	return l.answer
}

// keepControl has the buffer of control frames used again.
func (l *link) keepControl(control []byte) {
	l.mu.Lock()
	l.spare = control
	l.mu.Unlock()
}

// tick does what is due.
func (l *link) tick(now time.Duration) {
	busy := l.reading.Load() != 0
	l.mu.Lock()
	wake := false
	switch l.phase {
	case greeting, greeted:
		if now-l.begun >= l.core.cfg.greeting && !busy {
			l.failLocked(&CloseError{Why: Late, Text: "no HELLO in time"})
			wake = true
		}
	case up:
		wake = l.tickUp(now, busy)
	case closed:
	}
	wake = wake || l.topsLater || len(l.asked) > 0
	l.topsLater = false
	l.mu.Unlock()
	if wake {
		l.wake()
	}
}

func (l *link) tickUp(now time.Duration, busy bool) (wake bool) {
	silence := l.core.cfg.Silence
	if busy {
		// This side waits for publish credit and reads nothing: the other one sees by ACKs that it lives.
		if now-time.Duration(l.reading.Load()-1) >= beatEvery && now-l.answeredBusy >= beatEvery {
			l.answeredBusy = now
			l.ackDue = true
			wake = true
		}
	} else {
		switch {
		case l.core.cfg.without.silence:
		case now-l.heard >= silence:
			l.failLocked(&CloseError{Why: Silent, Text: fmt.Sprintf("nothing was heard for %v", now-l.heard)})
			return true
		case l.beating && now-l.waiting >= silence:
			l.failLocked(&CloseError{Why: Silent, Text: fmt.Sprintf("no HEARTBEAT was answered for %v", now-l.waiting)})
			return true
		}
	}
	if since := l.ackSince.Load(); since != 0 && now-time.Duration(since-1) >= ackWithin {
		l.ackSince.Store(0)
		l.ackDue = true
		wake = true
	}
	if now-l.beatAt >= beatEvery && !l.beatDue {
		l.beatDue = true
		wake = true
	}
	return wake
}
