package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

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
	id, err := caught(l, func() (wire.Identity, error) { return l.g.cfg.Authenticate(ctx, h, from) })
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

// caught runs off the loop what proves one device. Hooks are called in there, and
// what strangers send is parsed, so a panic costs the one connection, as it does on
// the loop.
func caught[T any](l *loop, fn func() (T, error)) (proven T, err error) {
	if !l.g.cfg.without.recover {
		defer func() {
			if p := recover(); p != nil {
				l.counters.panics.Add(1)
				l.log.Error("proving a device panicked; it is refused", "panic", p, "stack", stack())
				err = errPanicked
			}
		}()
	}
	return fn()
}

// errPanicked is what a panic is for the one device that it happened for: nothing is
// known about it, so it may come again.
var errPanicked = &wire.Error{Code: wire.CodeOverload, Type: wire.TypeHello, Field: "authentication failed"}

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
