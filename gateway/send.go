package gateway

import (
	"runtime/debug"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// write sends bytes to a session now: directly while its socket takes them,
// through gnet's buffer from the first time on that it does not.
func (l *loop) write(s *slot, b []byte) {
	if s.flags&flagOpen == 0 {
		return
	}
	if s.flags&flagSealed != 0 {
		l.sealed = s.sess.secure.Seal(l.sealed[:0], b)
		b = l.sealed
	}
	l.writeRaw(s, b)
}

// writeRaw sends bytes as they are.
func (l *loop) writeRaw(s *slot, b []byte) {
	if s.flags&flagOpen == 0 || len(b) == 0 {
		return
	}
	l.counters.sends.Add(1)
	if s.flags&flagBehind != 0 {
		l.buffer(s, b)
		return
	}
	if sent, err := l.send(s.fd, b); err != nil || sent < len(b) {
		l.sentPart(s, b[max(sent, 0):], err)
	}
}

// sentPart handles a send that the socket did not take whole: the session is
// behind now, or its socket has failed.
func (l *loop) sentPart(s *slot, rest []byte, err error) {
	if err != nil && !again(err) {
		s.flags &^= flagOpen
		s.flags |= flagBehind // the fast path stays away
		l.doomed = append(l.doomed, l.handle(s.sess))
		return
	}
	l.fallBehind(s)
	if l.g.cfg.without.rest {
		return
	}
	l.buffer(s, rest)
}

// buffer hands bytes, sealed ones if the session seals, to gnet, which writes
// them when the socket takes them. It copies, so a session is given only one
// write at a time.
func (l *loop) buffer(s *slot, b []byte) {
	if _, err := s.sess.conn.Write(b); err != nil {
		// gnet has closed it and called lost from inside Write.
		return
	}
}

// say sends a control frame, or anything else that policies do not drop.
func (l *loop) say(s *session, b []byte) { l.tell(s, nil, b) }

// tell is say of a frame about a topic: it is not sent if it still waits when the
// topic is not granted any more.
func (l *loop) tell(s *session, t *fanout.Topic, b []byte) {
	sl := l.slots.at(s.n)
	switch {
	case sl.flags&flagOpen == 0:
	case sl.flags&flagBehind != 0:
		s.out.answer(t, b)
		if lim := l.g.limits.Load(); len(s.out.items)+s.out.joined > lim.pendingItems() || s.out.answers > lim.pendingAnswers() {
			l.giveUp(s) // it asks without reading the answers
		}
	default:
		start := len(l.arena)
		l.arena = append(l.arena, b...)
		l.gather(s.n, sl, l.arena[start:len(l.arena):len(l.arena)])
	}
}

// flushOne writes what one session has coming, before its read event ends.
func (l *loop) flushOne(s *session) {
	if s.closed {
		return
	}
	sl := l.slots.at(s.n)
	l.flush(sl)
	l.reap()
}

// reap closes the sessions whose socket failed, outside of any walk.
func (l *loop) reap() {
	for len(l.doomed) > 0 {
		h := l.doomed[len(l.doomed)-1]
		l.doomed = l.doomed[:len(l.doomed)-1]
		if s := l.slots.get(h); s != nil {
			l.drop(s)
		}
	}
}

// drop closes a connection at once.
func (l *loop) drop(s *session) {
	if s.closed {
		return
	}
	// lost is called from inside; an error here means that it was closed before.
	_ = l.ev.Close(s.conn)
	l.lost(s)
}

// lingerSeconds is how long a closing connection is read from, so that what the
// device still sends does not turn its CLOSE into a reset.
const lingerSeconds = 2

// closeWith ends a session in an orderly way: CLOSE, then the end of our
// stream, then wait for the device to hang up.
func (l *loop) closeWith(s *session, code wire.Code, text string) {
	if s.closed || s.stage == stageClosing {
		return
	}
	if s.secure != nil && s.secure.transport == nil {
		l.drop(s) // there are no keys yet, and a TLS client does not read frames
		return
	}
	l.counters.closedWith(code)
	frame := wire.Close{Code: code, Text: []byte(wire.CutText(text, 96)), Retry: l.g.delay(code)}.Append(nil)
	sl := l.slots.at(s.n)
	if sl.flags&flagBehind != 0 {
		// Nobody waits for a socket that is full: CLOSE goes behind what gnet
		// holds, and is lost with it if the device does not read.
		l.write(sl, frame)
		l.drop(s)
		return
	}
	l.say(s, frame)
	l.flush(sl)
	if s.closed || sl.flags&flagBehind != 0 {
		l.drop(s)
		return
	}
	if sl.flags&flagSealed != 0 {
		l.sealed = s.secure.CloseNotify(l.sealed[:0])
		l.writeRaw(sl, l.sealed)
	}
	s.stage = stageClosing // one that was never proven counts until it is gone
	l.unlistAll(s)
	finish(sl.fd)
	l.wheel.set(s.n, l.g.now.Load()+lingerSeconds)
}

// streamFrame says what the next position of a stream is.
func streamFrame(s *fanout.Stream, next uint64) wire.Stream {
	f := wire.Stream{Topic: wire.TopicID(s.Topic().ID()), Origin: originOf(s), Life: wire.Life(s.Life()), Next: next}
	switch {
	case f.Origin == ownOrigin:
		f.Flags = wire.StreamMain
	case s.Sparse():
		f.Flags = wire.StreamSparse
	}
	return f
}

// originOf is the origin index of a stream, on every connection.
func originOf(s *fanout.Stream) uint32 {
	if o := s.Origin(); o != nil {
		return o.Number()
	}
	return ownOrigin
}

// originNumber is an origin index that was not given before.
func (g *Gateway) originNumber() uint32 { return ownOrigin + g.origins.Add(1) }

// ownOrigin is the origin index of the gateway's own streams on every connection.
// Those of other gateways are counted on from it.
const ownOrigin = 1

func stack() string { return string(debug.Stack()) }
