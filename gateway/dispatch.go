package gateway

import (
	"errors"
	"math"
	"net"
	"net/netip"

	"github.com/bellwire/bellwire/wire"
)

// mostHeld is what may follow HELLO before the device is proven.
const mostHeld = 4 * kib

// traffic handles what a connection has received, unless that waits for its turn.
func (l *loop) traffic(s *session) {
	m, n := l.mark(), s.n
	if l.slots.at(n).flags&flagWaits != 0 && s.stage != stageClosing {
		l.hold(s)
	} else if b, err := s.conn.Peek(-1); err == nil {
		l.work(s, b, l.frames)
	}
	l.cutBack(m, n)
}

// work handles up to so many frames of b, which is what gnet's buffer begins with.
func (l *loop) work(s *session, b []byte, frames int) {
	switch {
	case s.stage == stageHail || s.stage == stageShake:
		l.hail(s, b)
		return
	case s.stage == stageNew && s.secure == nil && isProxyHeader(b):
		l.turnAway(s, auditProxy, wire.CodeOverload, unlistedProxy)
		return
	}
	if l.g.cfg.without.wholeFrames {
		l.heard(s)
	}
	if s.secure != nil {
		l.takeSealed(s, b, frames)
		return
	}
	used := l.consume(s, b, frames)
	if s.closed {
		return
	}
	if s.stage == stageClosing {
		used = -1 // also what it was not shown
	}
	if used != 0 {
		l.heard(s)
	}
	if used > 0 || l.g.cfg.without.keepPart {
		// Of nothing, gnet discards everything. It fails only beyond the end.
		_, _ = s.conn.Discard(used)
	}
	l.sayAck(s)
	l.flushOne(s)
}

// heard notes that a whole frame came: the bytes of one that never ends do not
// keep a session [W-3.4].
func (l *loop) heard(s *session) { l.slots.at(s.n).seen = l.g.now.Load() }

// consume handles the whole frames in b, up to so many, and says how many bytes
// they are. It stops while the device is being proven: what it sent after HELLO is
// held. What is left over waits for a turn of the loop.
func (l *loop) consume(s *session, b []byte, frames int) (used int) {
	rest, start := b, len(l.arena)
	for !s.closed {
		switch s.stage {
		case stageClosing:
			return len(b)
		case stageProving:
			if len(rest) > mostHeld && !l.g.cfg.without.heldLimit {
				l.closeWith(s, wire.CodeOverCredit, "more than 4 KiB before WELCOME")
				return len(b)
			}
			return len(b) - len(rest)
		case stageNew, stageOpen, stageHail, stageShake:
		}
		if frames == 0 || len(l.arena)-start > answerBytes {
			if len(rest) > 0 {
				l.wait(s)
			}
			return len(b) - len(rest)
		}
		frames--
		most := l.g.limits.Load().Frame
		if s.stage == stageNew && !l.g.cfg.without.helloLimit {
			most = wire.MaxHello
		}
		if l.g.cfg.without.frameLimit {
			most = math.MaxInt
		}
		t, body, tail, err := wire.Next(rest, most)
		if errors.Is(err, wire.ErrShort) {
			return len(b) - len(rest)
		}
		if err == nil {
			err = l.g.cfg.without.pass(l.frame(s, t, body, len(rest)-len(tail)))
		}
		if errors.Is(err, errLater) {
			l.heard(s) // it is whole: that it has to wait is not the device's doing
			l.stall(s)
			return len(b) - len(rest)
		}
		if err != nil {
			l.refuseFrame(s, t, err)
			return len(b)
		}
		if t.Base() == wire.TypeSubscribe && l.g.rules.Load().policy != nil && !l.g.cfg.without.weighedSubscribe {
			frames = max(0, frames-subscribeFrames)
		}
		rest = tail
	}
	return len(b)
}

// errLater leaves a frame, and what follows it, until the walk that is under way
// is done.
var errLater = errors.New("gateway: a walk is under way")

// refuseFrame ends a session for a frame that breaks the protocol: ERROR names
// the frame, CLOSE the code [W-7.2].
func (l *loop) refuseFrame(s *session, t wire.Type, err error) {
	code := wire.CodeOf(err)
	l.counters.refused(code)
	l.auditFrame(s, t, code, err)
	l.sayAck(s) // what came before it is done
	text := []byte(wire.CutText(err.Error(), 96))
	l.say(s, wire.Refusal{Code: code, Type: t, Text: text}.Append(l.enc[:0]))
	l.closeWith(s, code, "")
}

// frame acts on one frame. An error ends the connection.
func (l *loop) frame(s *session, t wire.Type, body []byte, frameLen int) error {
	v, err := s.stage.next(t)
	if err != nil {
		return err
	}
	l.counters.frames.Add(1)
	switch v {
	case verbPublish:
		p, err := wire.ParsePublish(t, body)
		if err != nil {
			return err
		}
		return l.publish(s, p, frameLen)
	case verbHello:
		h, err := wire.ParseHello(body)
		if err != nil {
			return err
		}
		return l.hello(s, h)
	case verbSubscribe:
		q, err := wire.ParseSubscribe(body)
		if err != nil {
			return err
		}
		return l.subscribe(s, q)
	case verbUnsubscribe:
		u, err := wire.ParseUnsubscribe(body)
		if err != nil {
			return err
		}
		l.unsubscribe(s, u.Sub)
	case verbPing:
		if err := wire.CheckPing(t, body); err != nil {
			return err
		}
		l.say(s, wire.AppendPong(nil, body))
	case verbPong:
		return wire.CheckPing(t, body)
	case verbClose:
		return l.closeFrame(s, body)
	case verbAuth:
		a, err := wire.ParseAuth(body)
		if err != nil {
			return err
		}
		l.renew(s, a)
	case verbRefuse:
		return l.refuseLater(s, t, body)
	case verbIgnore:
	}
	return nil
}

// closeFrame answers CLOSE [W-3.6].
func (l *loop) closeFrame(s *session, body []byte) error {
	c, err := wire.ParseClose(body)
	if err != nil {
		return err
	}
	if c.Handle != 0 {
		l.say(s, wire.Refusal{Code: wire.CodeNotSupported, Type: wire.TypeClose, Number: uint64(c.Handle)}.Append(l.enc[:0]))
		return nil
	}
	l.sayAck(s) // what came before it is done
	l.closeWith(s, wire.CodeOK, "")
	return nil
}

// refuseLater answers what later versions offer: the request fails, the
// connection stays [W-10.1].
func (l *loop) refuseLater(s *session, t wire.Type, body []byte) error {
	var number uint64
	if t.Base() != wire.TypeAuth {
		n, used := wire.ConsumeVarint(body)
		if used <= 0 {
			return &wire.Error{Code: wire.CodeMalformed, Type: t, Field: "handle is not a whole varint"}
		}
		number = n
	}
	l.counters.refused(wire.CodeNotSupported)
	l.say(s, wire.Refusal{Code: wire.CodeNotSupported, Type: t, Number: number, Text: []byte("not supported by this version")}.Append(l.enc[:0]))
	return nil
}

// closeHandle ends the session of a handle, if it is still there.
func (g *Gateway) closeHandle(h handle, code wire.Code) {
	g.loops[h.loop].mail.post(entry{call: func(l *loop) {
		if s := l.slots.get(h); s != nil {
			l.closeWith(s, code, "")
		}
	}})
}

func addrOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
