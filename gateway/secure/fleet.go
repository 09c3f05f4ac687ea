package secure

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

// FleetGateway makes a certificate with which a gateway proves itself to the
// other gateways of its fleet, for both ends of a link. name is the URI that says
// which gateway of which fleet it is: bellwire://CLUSTER/gateway/NAME. The
// authority is to be one of gateways alone, not that of devices.
func (a *Authority) FleetGateway(name *url.URL, p Period) (Pair, error) {
	if name.Scheme != "bellwire" || name.Host == "" || name.Path == "" {
		return Pair{}, fmt.Errorf("%q does not name a gateway: want bellwire://CLUSTER/gateway/NAME", name)
	}
	return a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: commonName(name.Path[1:]), Organization: []string{name.Host}}, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: fleetUsages, URIs: []*url.URL{name},
	}, p)
}

// FleetMember makes a certificate for what belongs to the central service of a fleet
// and is no gateway: a NATS server, with the DNS names and IP addresses at which it is
// reached, or a backend, without any. name is for people. No gateway takes it for
// another gateway, since it does not name one.
func (a *Authority) FleetMember(name string, reached []string, p Period) (Pair, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: commonName(name)}, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: fleetUsages,
	}
	if err := reachedAt(template, reached); err != nil {
		return Pair{}, err
	}
	return a.issue(template, p)
}

// fleetUsages are what a certificate of the fleet is for: who has it dials others,
// and they dial it.
var fleetUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}

// Fleet is how a gateway proves itself to the others of its fleet, and whom it
// believes. What it is made of can be renewed while links stand. It is safe for
// concurrent use.
//
// It speaks TLS 1.3 and believes a certificate that the CA has issued for both ends
// of a link and that is valid now, whatever host it is shown at, since gateways have
// names and not hosts. WHICH gateway it is, it does not check: whoever links has to
// compare the URI in the other's certificate (ConnectionState.PeerCertificates[0].URIs)
// with the fleet and the name that the other one gives.
type Fleet struct {
	proof atomic.Pointer[fleetProof]
}

// fleetProof is what a Fleet is made of at a time. It does not change.
type fleetProof struct {
	own     tls.Certificate
	chain   []*x509.Certificate // of own
	issuers []*x509.Certificate
	roots   *x509.CertPool // of issuers
}

// NewFleet makes a Fleet of the contents of PEM files: the certificate of the
// fleet's CA, or several, this gateway's own and its key.
//
// A certificate of another CA is an error, since nobody could ever believe it. One
// that has expired is not: a gateway can serve its devices without the others.
func NewFleet(ca, cert, key []byte) (*Fleet, error) {
	issuers, err := ParseCertificates(ca)
	if err != nil {
		return nil, fmt.Errorf("the CA: %w", err)
	}
	roots := x509.NewCertPool()
	for _, issuer := range issuers {
		if !issuer.IsCA {
			return nil, errors.New("the CA: is the certificate of somebody else: want that of the CA which issued those of the gateways")
		}
		roots.AddCert(issuer)
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return nil, errors.New("the key is encrypted, and nobody is there to type a password: decrypt it with `openssl pkey`")
	}
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	chain, err := ParseCertificates(cert)
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	// Now, or if it is not valid now, at its end: either may be outside the time of a CA that was renewed.
	if verifyFleet(roots, chain, time.Now()) != nil {
		if err := verifyFleet(roots, chain, chain[0].NotAfter); err != nil {
			return nil, fmt.Errorf("the certificate: %w", err)
		}
	}
	f := new(Fleet)
	f.proof.Store(&fleetProof{own: own, chain: chain, issuers: issuers, roots: roots})
	return f, nil
}

// Certificate is this gateway's own.
func (f *Fleet) Certificate() *x509.Certificate { return f.proof.Load().own.Leaf }

// Check says why next may not take f's place: it is the certificate of another
// gateway, or one that is not valid now where that of f is.
func (f *Fleet) Check(next *Fleet) error {
	proof, was, now := next.proof.Load(), f.proof.Load(), time.Now()
	if have, want := fmt.Sprint(proof.own.Leaf.URIs), fmt.Sprint(was.own.Leaf.URIs); have != want {
		return fmt.Errorf("the certificate is that of %s, and until a restart this gateway is %s", have, want)
	}
	if err := proof.valid(now); err != nil && was.valid(now) == nil {
		return fmt.Errorf("the certificate, in the place of one that is valid: %w", err)
	}
	return nil
}

// Renew has f prove itself and believe as next does, at all handshakes from now on.
// Connections that stand are not looked at, and Check is the caller's.
func (f *Fleet) Renew(next *Fleet) { f.proof.Store(next.proof.Load()) }

// Believes reports whether f believes every CA that other does.
func (f *Fleet) Believes(other *Fleet) bool {
	mine := f.proof.Load().issuers
	return !slices.ContainsFunc(other.proof.Load().issuers, func(c *x509.Certificate) bool { return !slices.ContainsFunc(mine, c.Equal) })
}

// TLS is the configuration for both ends of links between gateways. It follows Renew.
func (f *Fleet) TLS() *tls.Config {
	c := f.proof.Load().config()
	c.VerifyConnection = func(s tls.ConnectionState) error { return f.proof.Load().verify(s) }
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &f.proof.Load().own, nil }
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.proof.Load().config(), nil }
	return c
}

func (p *fleetProof) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.own},
		RootCAs: p.roots, ClientCAs: p.roots, ClientAuth: tls.RequireAndVerifyClientCert,
		InsecureSkipVerify:     true, //nolint:gosec // VerifyConnection verifies all but the host name
		VerifyConnection:       p.verify,
		SessionTicketsDisabled: true, // a link lives for days, and each one proves itself
	}
}

// valid says what is wrong with the own certificate at a time.
func (p *fleetProof) valid(at time.Time) error { return verifyFleet(p.roots, p.chain, at) }

func (p *fleetProof) verify(s tls.ConnectionState) error {
	return verifyFleet(p.roots, s.PeerCertificates, time.Now())
}

// verifyFleet: the roots have issued a certificate for both ends of a link.
func verifyFleet(roots *x509.CertPool, chain []*x509.Certificate, at time.Time) error {
	if len(chain) == 0 {
		return errors.New("no certificate was shown")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	for _, usage := range fleetUsages {
		if _, err := chain[0].Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
		}); err != nil {
			return fmt.Errorf("is not one of this fleet's gateways: %w", err)
		}
	}
	return nil
}
