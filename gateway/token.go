package gateway

import (
	"context"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// verify has this gateway's own trust look at a token, off the loop because a
// signature takes a tenth of a millisecond, and when it is its turn.
func (l *loop) verify(s *session, h wire.Hello, trust *secure.Trust) error {
	g := l.g
	within, network := g.limits.Load().AuthenticateWithin, networkOf(addressOf(s).Addr())
	if g.gate.wait(network, false) > within/2 {
		return &wire.Error{Code: wire.CodeOverload, Type: wire.TypeHello, Field: "too many wait to be verified"}
	}
	if !g.beginProving() {
		return tooMany()
	}
	s.stage = stageProving
	of, token := l.handle(s), append([]byte(nil), h.Auth...)
	h.Auth = nil
	t := &ticket{gate: g.gate, network: network}
	go func() {
		ctx, cancel := context.WithTimeout(g.ctx, within)
		defer cancel()
		p, err := l.proveToken(ctx, t, trust, token)
		g.proving.Add(-1)
		l.mail.post(entry{call: func(l *loop) {
			if s := l.slots.get(of); s != nil && s.stage == stageProving {
				l.guard(s, func() { l.verified(s, h, p, err) })
			}
		}})
	}()
	return nil
}

// verified goes on with a session whose token was looked at. One that has shown a
// certificate as well has to be the same device by both.
func (l *loop) verified(s *session, h wire.Hello, p *secure.Proof, err error) {
	if err == nil && s.proof != nil && s.proof.Proof != nil && s.proof.Identity != p.Identity {
		err = &wire.Error{Code: wire.CodeOtherTenant, Field: "certificate and token name different devices"}
	}
	var id wire.Identity
	if err == nil {
		id = p.Identity
	}
	l.proven(s, h, id, p, err)
}

// renew takes a new token of a session that is open [W-3.3]. The old one stays in
// force until the new one is believed, whatever is wrong with it.
func (l *loop) renew(s *session, a wire.Auth) {
	trust := l.g.rules.Load().trust
	switch {
	case !trust.ProvesDevices() || a.Method != wire.AuthToken:
		l.refuseRenewal(s, wire.CodeNotSupported, "nothing to renew here")
		return
	case len(a.Data) > wire.MaxAuth:
		l.refuseRenewal(s, wire.CodeNotAuthenticated, "a token of more than 900 bytes")
		return
	}
	p := s.proofOrNew()
	now := l.g.now.Load()
	if p.renewing || p.asked == now {
		l.refuseRenewal(s, wire.CodeOverload, "one token a second is looked at")
		return
	}
	p.renewing, p.asked = true, now
	of, token := l.handle(s), append([]byte(nil), a.Data...)
	t := &ticket{gate: l.g.gate, network: networkOf(addressOf(s).Addr())}
	go func() {
		proof, err := l.proveToken(l.g.ctx, t, trust, token)
		l.mail.post(entry{call: func(l *loop) {
			if s := l.slots.get(of); s != nil && s.stage == stageOpen {
				l.guard(s, func() { l.renewed(s, proof, err) })
			}
		}})
	}()
}

// proveToken verifies a token when it is its turn.
func (l *loop) proveToken(ctx context.Context, t *ticket, trust *secure.Trust, token []byte) (*secure.Proof, error) {
	if err := t.Enter(ctx); err != nil {
		return nil, &wire.Error{Code: wire.CodeOverload, Field: "not verified in time"}
	}
	defer t.Leave()
	return caught(l, func() (*secure.Proof, error) { return trust.Token(token) })
}

func (l *loop) renewed(s *session, p *secure.Proof, err error) {
	s.proof.renewing = false
	if err == nil {
		err = l.g.check(p) // a reload may have come between
	}
	if err == nil && p.Identity != s.identity() {
		err = &wire.Error{Code: wire.CodeOtherTenant, Field: "the token is another device's"}
	}
	if err != nil {
		l.refuseRenewal(s, wire.CodeOf(err), textOf(err))
		return
	}
	l.believe(s, p)
	l.wheelFor(s, l.g.now.Load())
	l.say(s, s.proof.notice(l.g.now.Load()).Append(l.enc[:0]))
	l.recheck(s) // the new token may allow less
}

func (l *loop) refuseRenewal(s *session, code wire.Code, text string) {
	l.counters.refused(code)
	if code != wire.CodeNotSupported {
		l.audited(s, auditRenew, code, nil, text)
	}
	l.say(s, wire.Refusal{Code: code, Type: wire.TypeAuth, Text: []byte(wire.CutText(text, 96))}.Append(l.enc[:0]))
}
