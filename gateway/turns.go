package gateway

import (
	"errors"
	"os"

	"github.com/bellwire/bellwire/wire"
)

const (
	// readFrames is how many frames of one read are handled at once. A burst of
	// 128 publishes with as many other frames among them is, so that it is
	// delivered joined; it is also the most that one of very many devices that
	// flood can take before another is looked at, 20 µs of PINGs. The frames are
	// counted, not timed: a clock that is looked at for each read costs more than
	// most reads do.
	readFrames = 256
	// turnFrames is how many a session that waited is given before the next one.
	turnFrames = 128
	// stallFrames is the same at the end of a walk, when all that waited for it
	// come before the next walk begins.
	stallFrames = 32
	// lastFrames is how many are handled of a device that has hung up: what it
	// published in its last breath counts.
	lastFrames = 4096
	// subscribeFrames is how many more frames a SUBSCRIBE counts for where there is a
	// policy: weighing a wildcard against a hundred rules takes 0.1 ms, also when it
	// is refused, and so as often as a device asks.
	subscribeFrames = 32
	// answerBytes of answers end a session's part as well, so that what one that
	// does not read leaves in gnet's buffer stays small.
	answerBytes = 16 * kib
	// shownBytes is what is looked at of a session that waited: gnet copies what
	// does not lie in one piece.
	shownBytes = 16 * kib
	// mostRead is what gnet reads at once.
	mostRead = 64 * kib
)

// wait puts a session on the list of those whose frames go on in the loop's turn.
func (l *loop) wait(s *session) {
	l.slots.at(s.n).flags |= flagWaits
	if l.waiting = append(l.waiting, l.handle(s)); len(l.waiting) == 1 {
		l.wake()
	}
}

// stall is wait for the end of the walk that is under way.
func (l *loop) stall(s *session) {
	l.slots.at(s.n).flags |= flagWaits
	l.stalled = append(l.stalled, l.handle(s))
}

// readOn gives those who wait their part, one after the other, as long as a turn
// lasts. It has a time of its own: neither a mailbox that never empties nor a
// device that sends as fast as it can keeps the other from going on.
func (l *loop) readOn() {
	if len(l.waiting) == 0 {
		return
	}
	sl := l.slice()
	done := 0
	for done < len(l.waiting) { // who has more left goes to the end
		h := l.waiting[done]
		done++
		l.goOn(h, turnFrames)
		if sl.over(l.stride) {
			break
		}
	}
	if l.waiting = append(l.waiting[:0], l.waiting[done:]...); len(l.waiting) > 0 {
		l.wake()
	}
}

// resume goes on with those who waited for the end of a walk; false if the time
// was over first. No walk begins before all had their part.
func (l *loop) resume(sl *slice) bool {
	for len(l.stalled) > 0 {
		h := l.stalled[len(l.stalled)-1]
		l.stalled = l.stalled[:len(l.stalled)-1]
		l.goOn(h, stallFrames)
		if sl.over(l.stride) && len(l.stalled) > 0 {
			return false
		}
	}
	return true
}

// goOn handles up to so many frames of a session that waited.
func (l *loop) goOn(h handle, frames int) {
	s := l.slots.get(h)
	if s == nil {
		return
	}
	l.slots.at(s.n).flags &^= flagWaits
	l.guard(s, func() {
		m := l.mark()
		if b, more, err := l.shown(s); err == nil {
			l.work(s, b, min(frames, l.frames))
			if more && !s.closed && s.stage == stageOpen && l.slots.at(h.slot).flags&flagWaits == 0 {
				l.wait(s)
			}
		}
		l.cutBack(m, h.slot)
	})
}

// shown is what a session that waited has received, or the beginning of it if
// there is a whole frame in that.
func (l *loop) shown(s *session) (b []byte, more bool, err error) {
	if l.ready(s) {
		return nil, false, nil // what has not been opened stays as it is
	}
	if s.secure == nil && s.conn.InboundBuffered() > shownBytes {
		b, err = s.conn.Peek(shownBytes)
		if _, _, _, e := wire.Next(b, l.g.limits.Load().Frame); err == nil && !errors.Is(e, wire.ErrShort) {
			return b, true, nil
		}
	}
	b, err = s.conn.Peek(-1)
	return b, false, err
}

// hold leaves what a session that waits has received where it is, as long as it is
// not more than a device that keeps to its credit has a reason to send ahead.
func (l *loop) hold(s *session) {
	lim := l.g.limits.Load()
	if s.conn.InboundBuffered() <= lim.held() {
		return
	}
	l.sayAck(s)
	l.closeWith(s, wire.CodeOverload, "too much was sent ahead")
	if !s.closed {
		_, _ = s.conn.Discard(-1)
	}
}

// held is what may wait of one session's frames: what credit is for, and beside
// it two frames and a read of small ones, which need none.
func (l *Limits) held() int { return l.PublishCredit + 2*l.Frame + mostRead }

// hungUp unlinks a session whose device is gone. What it sent before and still
// waits is handled first, if gnet says so outside of a walk: while it reads.
func (l *loop) hungUp(s *session, err error) {
	var e *os.SyscallError
	if !s.closed && l.slots.at(s.n).flags&flagWaits != 0 && errors.As(err, &e) && e.Syscall == "read" {
		m, n := l.mark(), s.n
		for range 2 { // what a transport has opened, and what it has not
			l.slots.at(n).flags &^= flagWaits
			if b, err := s.conn.Peek(-1); err == nil && !s.closed {
				l.work(s, b, lastFrames)
			}
			if s.secure == nil || s.closed {
				break
			}
		}
		l.cutBack(m, n)
	}
	l.lost(s)
}
