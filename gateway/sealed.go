package gateway

import (
	"errors"

	"github.com/bellwire/bellwire/wire"
)

// takeSealed handles what came through a transport; what is not a whole frame yet
// is kept by the session, because gnet's buffer holds the sealed bytes.
func (l *loop) takeSealed(s *session, b []byte, frames int) {
	if l.ready(s) {
		l.takeReady(s, frames)
		return
	}
	plain, err := s.secure.Open(append(l.unseal[:0], s.secure.plain...), b)
	l.unseal = plain[:0]
	if len(b) > 0 {
		_, _ = s.conn.Discard(len(b))
	}
	if !l.answerTransport(s) {
		return
	}
	if err != nil && !l.g.cfg.without.lastFrames {
		frames = max(frames, lastFrames) // there is no later turn for them
	}
	used := l.consume(s, plain, frames)
	if s.closed {
		return
	}
	if err != nil { // also the orderly end of what the device sends: what came before it counts
		l.sayAck(s)
		l.flushOne(s)
		l.drop(s)
		return
	}
	if !l.fewUnproven(s, len(b)) {
		return
	}
	s.secure.plain = append([]byte(nil), plain[used:]...)
	if used > 0 {
		l.heard(s)
	}
	l.sayAck(s)
	l.flushOne(s)
}

// mostUnproven is how many bytes a device may send between its handshake and
// WELCOME: HELLO and what may follow it, in many small records. What TLS keeps of a
// record that is not whole is bounded by it too.
const mostUnproven = 8 * kib

// fewUnproven counts the bytes of a device that is not proven yet; false if those
// were too many.
func (l *loop) fewUnproven(s *session, n int) bool {
	if s.stage != stageNew && s.stage != stageProving {
		return true
	}
	if s.secure.unproven += n; s.secure.unproven <= mostUnproven || l.g.cfg.without.heldLimit {
		return true
	}
	l.refusedAt(s, auditFrame, wire.CodeOverCredit, "more than 8 KiB before WELCOME")
	l.closeWith(s, wire.CodeOverCredit, "more than 8 KiB before WELCOME")
	return false
}

// answerTransport writes what the transport itself has to say; false if the session
// is over. A device can ask for that as often as it likes, new keys for instance, and
// not read the answers, which no policy drops: so many end it, as those to frames do.
func (l *loop) answerTransport(s *session) bool {
	sl := l.slots.at(s.n)
	l.sealed = s.secure.Answer(l.sealed[:0])
	if len(l.sealed) > 0 && sl.flags&flagBehind != 0 && !l.g.cfg.without.answerBound {
		if s.conn.OutboundBuffered()+len(l.sealed) > l.g.limits.Load().pendingAnswers() {
			l.giveUp(s)
			l.reap()
			return false
		}
	}
	l.writeRaw(sl, l.sealed)
	return !s.closed
}

// ready reports that a whole frame was opened and has not had its turn. Nothing more
// is opened until it has: what a device sends ahead then waits sealed, where hold
// bounds it, and is not copied again for each turn.
func (l *loop) ready(s *session) bool {
	if s.secure == nil || s.stage != stageOpen || l.g.cfg.without.openedBound {
		return false
	}
	_, _, _, err := wire.Next(s.secure.plain, l.g.limits.Load().Frame)
	return !errors.Is(err, wire.ErrShort)
}

// takeReady handles what was opened before.
func (l *loop) takeReady(s *session, frames int) {
	used := l.consume(s, s.secure.plain, frames)
	if s.closed {
		return
	}
	if s.secure.plain = s.secure.plain[used:]; len(s.secure.plain) == 0 {
		s.secure.plain = nil
	}
	l.heard(s)
	l.sayAck(s)
	l.flushOne(s)
	if !s.closed && s.stage == stageOpen && l.slots.at(s.n).flags&flagWaits == 0 && s.conn.InboundBuffered() > 0 {
		l.wait(s)
	}
}
