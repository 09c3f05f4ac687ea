package gateway

import (
	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/gateway/secure"
)

// rules are what a reload changes together: whom the gateway believes, and who may
// what. They are never changed, only replaced.
type rules struct {
	trust  *secure.Trust // never nil
	policy *access.Policy
	quotas map[string]Quota

	classes *classes // which topics are broadcasts; never nil, and not from a configuration
}

// rulesOf are those of a configuration that was checked, but for classes.
func rulesOf(cfg *Config) (*rules, error) {
	r := &rules{trust: cfg.Trust, policy: cfg.Policy, quotas: cfg.Quotas}
	if r.trust == nil {
		var err error
		if r.trust, err = secure.NewTrust(secure.Config{}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// check asks about a proof again: what vouched for it may be gone by now. Whoever
// believes a proof that was made off the loop asks, since a reload may have come
// between.
func (g *Gateway) check(p *secure.Proof) error {
	if g.cfg.without.check {
		return nil
	}
	return g.rules.Load().trust.Check(p)
}

// checkSession is check for a session. One that named itself is asked for proof as
// soon as devices have to prove who they are; those of an embedder's authenticator
// are the embedder's to end.
func (g *Gateway) checkSession(s *session) error {
	switch {
	case s.proof != nil && s.proof.Proof != nil:
		if c := s.proof.certificate; c != nil {
			if err := g.check(c); err != nil {
				return err
			}
		}
		return g.check(s.proof.Proof)
	case g.cfg.Authenticate == nil:
		return g.check(nil)
	}
	return nil
}
