package gateway

import (
	"net/netip"
	"time"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// proof is what is known of how a session came to be who it is.
type proof struct {
	*secure.Proof                // nil: it was not by this gateway's trust
	from          netip.AddrPort // what a proxy said; invalid: the connection's own
	expires       uint32         // second at which it ends; 0: never
	remind        uint32         // second at which the device is told; 0: it was
	certificate   *secure.Proof  // that a token stands beside; nil: none
	renewing      bool           // a new token is with the verifier
	asked         uint32         // second at which the last one was
}

// proofOrNew is the session's proof, made if there is none.
func (s *session) proofOrNew() *proof {
	if s.proof == nil {
		s.proof = &proof{}
	}
	return s.proof
}

// addressOf is where the device is, as far as is known.
func addressOf(s *session) netip.AddrPort {
	if s.proof != nil && s.proof.from.IsValid() {
		return s.proof.from
	}
	return addrOf(s.conn.RemoteAddr())
}

// viaOf is the proxy that a session came through; invalid: none.
func viaOf(s *session) netip.AddrPort {
	if s.proof != nil && s.proof.from.IsValid() {
		return addrOf(s.conn.RemoteAddr())
	}
	return netip.AddrPort{}
}

// mostReminder is the longest time before the end of a token that the device is
// told; it is never more than a third of what it had left when it was shown [W-3.3].
const mostReminder = 5 * time.Minute

// believe takes over what was proven, and when it ends.
func (l *loop) believe(s *session, p *secure.Proof) {
	if p == nil {
		return
	}
	pr := s.proofOrNew()
	if pr.Proof != nil && pr.Proof.ByCertificate() {
		pr.certificate = pr.Proof
	}
	pr.Proof, pr.expires, pr.remind = p, 0, 0
	if pr.ends().IsZero() {
		return
	}
	now, left := l.g.now.Load(), pr.left()
	pr.expires = now + seconds(left)
	pr.remind = pr.expires - uint32(min(left/3, mostReminder)/time.Second)
}

// left is how long the proof still holds, by the clock on the wall, at most mostLife.
func (p *proof) left() time.Duration { return min(max(time.Until(p.ends()), 0), mostLife) }

// ends is when the first of what proves the session does; zero: never.
func (p *proof) ends() time.Time {
	if c := p.certificate; c != nil && !c.Expires.IsZero() && (p.Expires.IsZero() || c.Expires.Before(p.Expires)) {
		return c.Expires
	}
	return p.Expires
}

// mostLife is how far ahead the loop's clock looks.
const mostLife = 20 * 365 * 24 * time.Hour

// due is when the proof wants to be looked at, or end if that is earlier.
func (p *proof) due(end uint32) uint32 {
	switch {
	case p == nil || p.expires == 0:
	case p.remind != 0:
		return min(end, p.remind)
	default:
		return min(end, p.expires)
	}
	return end
}

// notice is an AUTH that says how long the proof is still good for; of one that does
// not end it says nothing [W-3.3].
func (p *proof) notice(now uint32) wire.Auth {
	if p.expires == 0 {
		return wire.Auth{Method: wire.AuthToken}
	}
	return wire.AuthLeft(p.expires - now)
}

// ends acts on the end of a proof that comes, or is there; false if the session is
// over [W-3.3].
func (l *loop) ends(s *session, now uint32) bool {
	p := s.proof
	if p == nil || p.expires == 0 {
		return true
	}
	// Asked anew: the clock may have been set, or have run on while the machine slept.
	// That never makes it later.
	p.expires = min(p.expires, now+seconds(p.left()))
	switch {
	case now >= p.expires:
		l.refusedAt(s, auditAuthenticate, wire.CodeTokenExpired, "what proved the device has expired")
		l.closeWith(s, wire.CodeTokenExpired, "what proved the device has expired")
		return false
	case p.remind != 0 && now >= p.remind:
		p.remind = 0
		l.say(s, p.notice(now).Append(l.enc[:0]))
	}
	return !s.closed
}

// subject is the session as permissions see it.
func (s *session) subject() access.Subject {
	sub := access.Subject{ID: s.identity()}
	if s.proof != nil && s.proof.Proof != nil {
		p := s.proof.Proof
		sub.Limited, sub.Publish, sub.Subscribe = p.Limited, p.Publish, p.Subscribe
	}
	return sub
}
