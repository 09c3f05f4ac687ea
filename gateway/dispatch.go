package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"

	"github.com/bellwire/bellwire/gateway/secure"
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

// hello has the device proven: at once by its certificate or without anybody who
// would ask for more, else off the loop [W-3.1].
func (l *loop) hello(s *session, h wire.Hello) error {
	l.slots.at(s.n).recv = h.Recv
	if l.g.draining.Load() {
		// Who was sent on three times is not sent on again (WIRE rule 10).
		code := wire.CodeDraining
		if h.Hops >= mostHops {
			code = wire.CodeOverload
		}
		l.closeWith(s, code, "")
		return nil
	}
	r := l.g.rules.Load()
	certified := s.proof != nil && s.proof.Proof != nil
	switch {
	case certified && h.Method == wire.AuthCertificate:
		return l.welcome(s, h, s.proof.Identity)
	case l.g.cfg.Authenticate != nil:
		return l.ask(s, h)
	case r.trust.ProvesDevices() && h.Method == wire.AuthToken:
		return l.verify(s, h, r.trust)
	case r.trust.ProvesDevices():
		return &wire.Error{Code: wire.CodeNotAuthenticated, Type: wire.TypeHello, Field: "neither a certificate nor a token"}
	}
	id, err := ownName(h)
	if err != nil {
		return err
	}
	return l.welcome(s, h, id)
}

// ownName is the identity of a device that names itself.
func ownName(h wire.Hello) (wire.Identity, error) {
	id := wire.Identity{Tenant: DefaultTenant, Device: string(h.Auth)}
	if h.Method != wire.AuthToken || id.Device == "" {
		id.Device = randomDevice() // without a token auth is no name, whatever it holds [W-3.1]
	}
	if err := id.Check(); err != nil {
		return id, &wire.Error{Code: wire.CodeNotAuthenticated, Type: wire.TypeHello, Field: err.Error()}
	}
	return id, nil
}

// ask has the embedder's authenticator prove a device.
func (l *loop) ask(s *session, h wire.Hello) error {
	if !l.g.beginProving() {
		return tooMany()
	}
	s.stage = stageProving
	h.Auth = append([]byte(nil), h.Auth...)
	go l.prove(l.handle(s), h, addressOf(s))
	return nil
}

// beginProving counts a device in that is being proven, if there is room.
func (g *Gateway) beginProving() bool {
	if g.proving.Add(1) > int64(g.limits.Load().Authenticating) {
		g.proving.Add(-1)
		return false
	}
	return true
}

func tooMany() error {
	return &wire.Error{Code: wire.CodeOverload, Type: wire.TypeHello, Field: "too many are being authenticated"}
}

// mostHops is how often a device is sent elsewhere before it was served.
const mostHops = 3

// randomDevice names a device that did not name itself.
func randomDevice() string { return fmt.Sprintf("anon-%016x", rand.Uint64()) }

// prove asks the authenticator, off the loop, and posts its answer.
func (l *loop) prove(of handle, h wire.Hello, from netip.AddrPort) {
	ctx, cancel := context.WithTimeout(l.g.ctx, l.g.limits.Load().AuthenticateWithin)
	defer cancel()
	id, err := l.authenticate(ctx, h, from)
	l.g.proving.Add(-1) // before the answer: whoever has seen that finds a free place
	if err == nil {
		if err = id.Check(); err != nil {
			l.log.Error("the authenticator returned an identity that cannot be used", "error", err)
		}
	}
	l.mail.post(entry{call: func(l *loop) {
		s := l.slots.get(of)
		if s == nil || s.stage != stageProving {
			return
		}
		l.guard(s, func() { l.proven(s, h, id, nil, err) })
	}})
}

// authenticate turns a panic of the hook into a refusal of this one device.
func (l *loop) authenticate(ctx context.Context, h wire.Hello, from netip.AddrPort) (id wire.Identity, err error) {
	if !l.g.cfg.without.recover {
		defer func() {
			if p := recover(); p != nil {
				l.counters.panics.Add(1)
				l.log.Error("Authenticate panicked; the device is refused", "panic", p, "stack", stack())
				err = &wire.Error{Code: wire.CodeOverload, Type: wire.TypeHello, Field: "authentication failed"}
			}
		}()
	}
	return l.g.cfg.Authenticate(ctx, h, from)
}

// proven goes on with a session after the authenticator's answer, or that of this
// gateway's own trust, which is p then.
func (l *loop) proven(s *session, h wire.Hello, id wire.Identity, p *secure.Proof, err error) {
	if err == nil {
		l.believe(s, p)
		err = l.welcome(s, h, id)
	}
	if err != nil {
		var e *wire.Error
		code, text := wire.CodeNotAuthenticated, ""
		if errors.As(err, &e) {
			code = e.Code
		}
		if p != nil || l.g.cfg.Authenticate == nil {
			text = textOf(err) // ours; what a hook has to say is not for devices
		}
		s.stage = stageNew // so that CLOSE is said
		l.counters.refused(code)
		l.auditIdentity(s, h, code, e)
		l.closeWith(s, code, text)
		return
	}
	l.traffic(s) // what was held
}

// welcome makes the session an open one [W-3.2].
func (l *loop) welcome(s *session, h wire.Hello, id wire.Identity) error {
	g := l.g
	if err := g.checkSession(s); err != nil {
		return err
	}
	ten, err := g.tenants.get(id.Tenant)
	if err != nil {
		return &wire.Error{Code: wire.CodeOverload, Type: wire.TypeHello, Field: err.Error()}
	}
	lim := g.limits.Load()
	keepalive := seconds(lim.Keepalive)
	if h.Keepalive != 0 {
		keepalive = min(max(h.Keepalive, seconds(lim.KeepaliveMin)), seconds(lim.KeepaliveMax))
	}
	_, here := g.identities.find(id)
	if !ten.usage.connect(here && !g.cfg.without.replacesInQuota) {
		return throttled("the tenant has as many connections as it may")
	}
	l.uncount(s)
	s.tenant, s.device = ten, id.Device
	s.stage = stageOpen
	sl := l.slots.at(s.n)
	if h.Names == 0 {
		sl.flags |= flagNamed
	}
	s.silence = uint16(keepalive + (keepalive+1)/2 + 1)
	l.wheelFor(s, g.now.Load())
	l.counters.sessions.Add(1)
	if old, had := g.identities.claim(l.tag(s), l.handle(s)); had {
		g.replace(old, addressOf(s))
	}
	l.say(s, wire.Welcome{
		Version: wire.Version, Recv: logOf(lim.Frame), Flags: wire.WelcomeResumes, Keepalive: keepalive,
		Credit: uint64(lim.PublishCredit), MaxSubs: uint32(lim.Subscriptions), Life: g.life,
	}.Append(l.enc[:0]))
	if l.departed {
		l.say(s, g.goaway())
	}
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
