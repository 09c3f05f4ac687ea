package secure

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// maxChain is a device's certificate and four issuers. Each one more is a
// signature that a stranger makes the gateway check.
const maxChain = 5

// verdict says what the certificate of a connection proves: nil without an error
// if there is none. It asks only what this Trust believes now, whatever an earlier
// handshake found, so it holds for resumed sessions too, which bring their
// certificates along.
func (t *Trust) verdict(state tls.ConnectionState) (*Proof, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, nil
	}
	return t.certificate(state.PeerCertificates)
}

// certificate proves a device by the certificates that it sent, its own first.
func (t *Trust) certificate(sent []*x509.Certificate) (*Proof, error) {
	leaf := sent[0]
	chains, err := t.chains(sent)
	if err != nil {
		return nil, err
	}
	named, err := t.naming.identity(leaf)
	if err != nil {
		return nil, refuseCertificate(leaf, wire.CodeNotAuthenticated, err.Error())
	}
	p := &Proof{by: &byCertificate{sent: sent, chains: chains}}
	if p.Identity, p.Expires, err = t.speaksFor(named, chains); err != nil {
		return nil, err
	}
	if t.revoked.device(p.Identity) {
		return nil, refuse(wire.CodeRevoked, "device revoked: "+p.Identity.String())
	}
	return p, nil
}

// The largest RSA key of an issuer that a device may bring along.
const (
	maxRSABits     = 4096
	maxRSAExponent = 65537
)

// isCostly reports a key that takes much longer to check a signature with than all
// the rest of a handshake: a tenth of a second with 32768 bits. A stranger makes up
// both key and signature for nothing, and names one issuer as often as maxChain lets.
func isCostly(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && (key.N.BitLen() > maxRSABits || key.E > maxRSAExponent)
}

// chains are all ways from the device's certificate to a root of DeviceCAs.
func (t *Trust) chains(sent []*x509.Certificate) ([][]*x509.Certificate, error) {
	leaf, now := sent[0], t.now()
	no := func(text string) error { return refuseCertificate(leaf, wire.CodeNotAuthenticated, text) }
	switch {
	case len(sent) > maxChain:
		return nil, no(fmt.Sprintf("came with more than %d others", maxChain-1))
	case leaf.IsCA:
		return nil, no("is that of a CA, not of a device")
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, no("is not for signatures, which TLS needs")
	case now.Before(leaf.NotBefore):
		return nil, no("not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return nil, no("expired on " + leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	between := x509.NewCertPool()
	for _, c := range sent[1:] {
		if isCostly(c) {
			return nil, no("an issuer's key is larger than RSA with 4096 bits and the exponent 65537")
		}
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, no(why(err))
	}
	chains = slices.DeleteFunc(chains, exceeds)
	if len(chains) == 0 {
		return nil, no(notForThisName)
	}
	return chains, nil
}

const notForThisName = "its issuer may not issue for this name"

// exceeds reports whether a URI of the device's certificate is beyond what a CA of
// the chain may name. For crypto/x509 a permitted host "acme" covers "x.acme" as
// well; RFC 5280, 4.2.1.10, and openssl mean that one host, as a tenant is one.
func exceeds(chain []*x509.Certificate) bool {
	for _, ca := range chain[1:] {
		for _, uri := range chain[0].URIs {
			permits := func(host string) bool {
				if strings.HasPrefix(host, ".") {
					return strings.HasSuffix(strings.ToLower(uri.Host), strings.ToLower(host))
				}
				return strings.EqualFold(uri.Host, host)
			}
			if len(ca.PermittedURIDomains) > 0 && !slices.ContainsFunc(ca.PermittedURIDomains, permits) {
				return true
			}
		}
	}
	return false
}

// why is an error of crypto/x509 in a few words; its own quote names that the
// stranger chose.
func why(err error) string {
	var invalid x509.CertificateInvalidError
	var stranger x509.UnknownAuthorityError
	var critical x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &stranger):
		return "unknown issuer"
	case errors.As(err, &critical):
		return "has a critical extension that is not known"
	case !errors.As(err, &invalid):
		return "not valid"
	}
	switch invalid.Reason { //nolint:exhaustive // the rest is rare, and "not valid" says enough
	case x509.Expired: // the device's own has been looked at
		return "the certificate of an issuer is not valid now"
	case x509.NotAuthorizedToSign, x509.TooManyIntermediates:
		return "an issuer may not issue it, or not so deep"
	case x509.IncompatibleUsage:
		return "is not for client authentication"
	case x509.CANotAuthorizedForThisName, x509.NameConstraintsWithoutSANs, x509.UnconstrainedName:
		return notForThisName
	}
	return "not valid"
}

// speaksFor takes the best of the chains: one whose certificates are not revoked
// and whose CA may speak for the tenant. The time is when the last such chain
// ends.
func (t *Trust) speaksFor(named wire.Identity, chains [][]*x509.Certificate) (id wire.Identity, until time.Time, err error) {
	leaf := chains[0][0]
	for _, chain := range chains {
		if revoked := t.revokedIn(chain); revoked != nil {
			err = refuseCertificate(revoked, wire.CodeRevoked, "revoked")
			if revoked == leaf {
				return wire.Identity{}, time.Time{}, err
			}
			continue
		}
		for _, tenant := range t.tenants[string(chain[len(chain)-1].Raw)] {
			this := named
			if !t.naming.hasTenant {
				this.Tenant = tenant
			}
			switch {
			case tenant != "" && tenant != this.Tenant:
				err = refuseCertificate(leaf, wire.CodeOtherTenant, "its CA does not speak for tenant "+this.Tenant)
			case id != this && id != wire.Identity{}:
				return wire.Identity{}, time.Time{}, refuseCertificate(leaf, wire.CodeNotAuthenticated, "its CA speaks for more than one tenant")
			default:
				id = this
				if end := endOf(chain); end.After(until) {
					until = end
				}
			}
		}
	}
	switch {
	case id != wire.Identity{}:
		return id, until, nil
	case err == nil:
		err = refuseCertificate(leaf, wire.CodeNotAuthenticated, "unknown issuer")
	}
	return wire.Identity{}, time.Time{}, err
}

// revokedIn is the first revoked certificate of a chain, or nil.
func (t *Trust) revokedIn(chain []*x509.Certificate) *x509.Certificate {
	for i, c := range chain {
		if t.revoked.serial(c.SerialNumber) || i+1 < len(chain) && t.crls.revoked(chain[i+1], c.SerialNumber) {
			return c
		}
	}
	return nil
}

// endOf is when the first certificate of a chain expires.
func endOf(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// byCertificate is a proof by certificate. It shares its certificates with the
// TLS connection.
type byCertificate struct {
	sent   []*x509.Certificate
	chains [][]*x509.Certificate // as they were verified, each up to a root
}

// holds asks again. Signatures do not change, so as long as a root of old is
// still believed only what can change is asked; else everything is, for a CA
// whose certificate was renewed.
func (b *byCertificate) holds(t *Trust, p *Proof) error {
	leaf := b.sent[0]
	var kept [][]*x509.Certificate
	for _, chain := range b.chains {
		if _, known := t.tenants[string(chain[len(chain)-1].Raw)]; known && !t.now().After(endOf(chain)) {
			kept = append(kept, chain)
		}
	}
	if len(kept) == 0 {
		again, err := t.certificate(b.sent)
		if err == nil && again.Identity != p.Identity {
			err = refuseCertificate(leaf, wire.CodeNotAuthenticated, "names another device by now")
		}
		return err
	}
	named, err := t.naming.identity(leaf)
	if err != nil {
		return refuseCertificate(leaf, wire.CodeNotAuthenticated, err.Error())
	}
	id, _, err := t.speaksFor(named, kept)
	if err == nil && id != p.Identity {
		err = refuseCertificate(leaf, wire.CodeNotAuthenticated, "names another device by now")
	}
	return err
}

// String names the certificate.
func (b *byCertificate) String() string { return "certificate " + serialText(b.sent[0].SerialNumber) }

// refuseCertificate is a refusal that names a certificate by its serial number.
func refuseCertificate(c *x509.Certificate, code wire.Code, text string) error {
	return refuse(code, "certificate "+serialText(c.SerialNumber)+": "+text)
}

// serialText is a serial number as openssl shows it, cut to 20 bytes, which is as
// long as one may be.
func serialText(serial *big.Int) string {
	if serial == nil {
		return "without number"
	}
	text := serial.Text(16)
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return text
}
