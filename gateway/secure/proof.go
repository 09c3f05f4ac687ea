package secure

import (
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Proof is who a device has proven to be, and until when. It is immutable, and
// only a Trust makes one that Check agrees to.
type Proof struct {
	Identity wire.Identity
	// Expires is when it ends. Zero: never.
	Expires time.Time
	// Limited: the credential carries permissions of its own, and nothing else is
	// allowed. The lists are filters with {tenant} and {device} filled in.
	Limited            bool
	Publish, Subscribe []string

	by credential
}

// credential is what a proof rests on.
type credential interface {
	// holds says whether t still believes it, revoked devices and the proof's own
	// end apart.
	holds(t *Trust, p *Proof) error
	String() string
}

// String says who was proven and how, without a secret: for logs.
func (p *Proof) String() string {
	if p.by == nil {
		return p.Identity.String()
	}
	return p.Identity.String() + " by " + p.by.String()
}

// ByCertificate reports whether a certificate proves it, which TLS has shown for the
// whole of a connection; a token stands beside one, it does not replace it.
func (p *Proof) ByCertificate() bool {
	_, ok := p.by.(*byCertificate)
	return ok
}

// Check asks again for a live session, of whichever Trust has made p: t is the
// one of now. Anything that has ended gets CodeTokenExpired, which makes the
// device come back with what it has by then; CodeRevoked and
// CodeNotAuthenticated make it stop. A nil proof is fine as long as nobody proves
// anything. It costs some microseconds, and a full verification only if the root
// that a certificate was verified with is gone.
func (t *Trust) Check(p *Proof) error {
	switch {
	case p == nil && !t.ProvesDevices():
		return nil
	case p == nil || p.by == nil:
		return refuse(wire.CodeNotAuthenticated, "has proven nothing")
	case !p.Expires.IsZero() && !t.now().Before(p.Expires):
		return refuse(wire.CodeTokenExpired, p.by.String()+": expired on "+p.Expires.UTC().Format(time.RFC3339))
	}
	if err := p.by.holds(t, p); err != nil {
		return err
	}
	if t.revoked.device(p.Identity) {
		return refuse(wire.CodeRevoked, "device revoked: "+p.Identity.String())
	}
	return nil
}

// refuse is an answer to HELLO. A text that is too long is cut.
func refuse(code wire.Code, text string) error {
	if len(text) > wire.MaxRefusalText {
		text = text[:wire.MaxRefusalText]
		for text != "" && text[len(text)-1] >= 0x80 {
			text = text[:len(text)-1]
		}
	}
	return &wire.Error{Code: code, Type: wire.TypeHello, Field: text}
}
