package secure

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Pair is a certificate and its private key, each as the content of a PEM file.
// Key is a secret.
type Pair struct{ Certificate, Key []byte }

// Period is how long something is valid. It begins an hour before From: devices
// have bad clocks.
type Period struct {
	From time.Time
	For  time.Duration
}

const backdated = time.Hour

func (p Period) begin() time.Time { return p.From.Add(-backdated).UTC().Truncate(time.Second) }
func (p Period) end() time.Time   { return p.From.Add(p.For).UTC().Truncate(time.Second) }

func (p Period) check() error {
	if p.For < time.Minute {
		return fmt.Errorf("valid for %s: want a minute at least", p.For)
	}
	if year := p.end().Year(); year > 9999 {
		return fmt.Errorf("valid until the year %d, which no certificate can say", year)
	}
	return nil
}

// Authority issues certificates and revokes them. It is immutable and safe for
// concurrent use.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes a CA with a key of its own (ECDSA P-256, as all keys made
// here). It signs certificates of gateways and devices, not those of other CAs. A
// part of its key is added to the name, so that no two CAs have the same.
func NewAuthority(name string, p Period) (*Authority, Pair, error) {
	if err := checkSubject(name); err != nil {
		return nil, Pair{}, err
	}
	key, err := newKey()
	if err != nil {
		return nil, Pair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, Pair{}, err
	}
	hash := sha256.Sum256(public)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name + " " + hex.EncodeToString(hash[:4])}, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	pair, err := sign(template, p, nil, key, key)
	if err != nil {
		return nil, Pair{}, err
	}
	a, err := ReadAuthority(pair)
	return a, pair, err
}

// checkSubject leaves room for what NewAuthority adds: names have 64 bytes at most.
func checkSubject(name string) error {
	if name == "" || len(name) > 48 || strings.ContainsFunc(name, func(r rune) bool { return !visible(r) }) {
		return fmt.Errorf("name %q: want 1 to 48 bytes of text", name)
	}
	return nil
}

// ReadAuthority is the CA of a certificate and its key.
func ReadAuthority(p Pair) (*Authority, error) {
	certificates, err := ParseCertificates(p.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := parsePrivateKey(p.Key)
	if err != nil {
		return nil, err
	}
	a := &Authority{certificates[0], key}
	switch {
	case !isKeyOf(key, a.certificate):
		return nil, errors.New("the key is not that of the certificate")
	case !a.certificate.IsCA:
		return nil, errors.New("the certificate is not that of a CA")
	}
	return a, nil
}

// Certificate is the CA's own.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Gateway makes a certificate for a gateway that devices reach by these DNS names
// and IP addresses.
func (a *Authority) Gateway(names []string, p Period) (Pair, error) {
	if len(names) == 0 {
		return Pair{}, errors.New("name the addresses that devices connect to: a DNS name or an IP address")
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: commonName(names[0])}, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if err := reachedAt(template, names); err != nil {
		return Pair{}, err
	}
	return a.issue(template, p)
}

// reachedAt adds the DNS names and IP addresses of a server.
func reachedAt(template *x509.Certificate, names []string) error {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		if err := checkDNSName(name); err != nil {
			return err
		}
		template.DNSNames = append(template.DNSNames, strings.ToLower(name))
	}
	return nil
}

// checkDNSName checks what TLS clients compare with; *. may stand for the first label.
func checkDNSName(name string) error {
	wrong := fmt.Errorf("%q is neither a DNS name nor an IP address: write it without port, such as gw.example or 192.0.2.1", name)
	if len(name) > 253 {
		return wrong
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(name, "*."), ".") {
		good := func(r rune) bool {
			return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
		}
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool { return !good(r) }) {
			return wrong
		}
	}
	return nil
}

// Device makes a certificate for a device, named as DefaultMapping reads it. The
// name of a tenant in it has no capitals, no @ and no colon: there it is a host.
func (a *Authority) Device(id wire.Identity, p Period) (Pair, error) {
	if err := id.Check(); err != nil {
		return Pair{}, err
	}
	naming, err := parseMapping(DefaultMapping)
	if err != nil {
		return Pair{}, err
	}
	name := naming.render(id)
	if _, ok := naming.match(name); !ok {
		return Pair{}, fmt.Errorf("tenant %q cannot stand in a certificate, where it is the host of %s: want lower case, no @ and no colon; or give the device a token",
			id.Tenant, name)
	}
	uri, err := url.Parse(name)
	if err != nil {
		return Pair{}, err
	}
	pair, err := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: commonName(id.Device), Organization: []string{id.Tenant}}, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{uri},
	}, p)
	if err != nil {
		return Pair{}, fmt.Errorf("%s: %w", name, err)
	}
	return pair, nil
}

// commonName is for people, in a place that has 64 bytes.
func commonName(name string) string { return name[:min(len(name), 64)] }

// issue signs a certificate for a new key.
func (a *Authority) issue(template *x509.Certificate, p Period) (Pair, error) {
	if end := a.certificate.NotAfter; p.end().After(end) {
		return Pair{}, fmt.Errorf("valid until %s, and the CA only until %s: choose a shorter time, or make a new CA", date(p.end()), date(end))
	}
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	return sign(template, p, a.certificate, key, a.key)
}

// sign makes the pair of a new key; without an issuer it signs itself.
func sign(template *x509.Certificate, p Period, issuer *x509.Certificate, key, signer crypto.Signer) (Pair, error) {
	if err := p.check(); err != nil {
		return Pair{}, err
	}
	template.NotBefore, template.NotAfter = p.begin(), p.end()
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return Pair{}, err
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return Pair{}, err // nobody could read it
	}
	private, err := encodePrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Certificate: encodePEM(pemCertificate, der), Key: private}, nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// Revoke makes the revocation list that follows before, which may be nil, with
// more serial numbers in it; it is due to be replaced at the end of p. The result
// is the content of a PEM file.
func (a *Authority) Revoke(before *x509.RevocationList, serials []*big.Int, p Period) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: p.From.UTC().Truncate(time.Second), NextUpdate: p.end()}
	if before != nil {
		if err := before.CheckSignatureFrom(a.certificate); err != nil {
			return nil, errors.New("the list so far is not of this CA")
		}
		template.RevokedCertificateEntries = slices.Clone(before.RevokedCertificateEntries)
		if before.Number != nil {
			template.Number = new(big.Int).Add(before.Number, big.NewInt(1))
		}
	}
	for _, serial := range serials {
		known := func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 }
		if !slices.ContainsFunc(template.RevokedCertificateEntries, known) {
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
				x509.RevocationListEntry{SerialNumber: serial, RevocationTime: template.ThisUpdate})
		}
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.certificate, a.key)
	if err != nil {
		return nil, err
	}
	return encodePEM(pemList, der), nil
}
