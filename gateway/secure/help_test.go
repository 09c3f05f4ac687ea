package secure

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// today is the clock of these tests.
var today = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

func at(when time.Time) func() time.Time { return func() time.Time { return when } }

// year is a Period around today.
var year = Period{From: today.AddDate(0, -1, 0), For: 365 * 24 * time.Hour}

var kitchen = wire.Identity{Tenant: "acme", Device: "kitchen"}

func newAuthority(t *testing.T, name string) *Authority {
	t.Helper()
	a, _, err := NewAuthority(name, year)
	require.NoError(t, err)
	return a
}

// parsed is the certificate of a pair.
func parsed(t *testing.T, p Pair) *x509.Certificate {
	t.Helper()
	all, err := ParseCertificates(p.Certificate)
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

// deviceCertificate is one of kitchen's, without its key.
func deviceCertificate(t *testing.T, a *Authority) *x509.Certificate {
	t.Helper()
	p, err := a.Device(kitchen, year)
	require.NoError(t, err)
	return parsed(t, p)
}

// gatewayCertificate is one for 127.0.0.1, ready to be served.
func gatewayCertificate(t *testing.T, a *Authority) tls.Certificate {
	t.Helper()
	p, err := a.Gateway([]string{"127.0.0.1", "gw.example"}, year)
	require.NoError(t, err)
	c, err := tls.X509KeyPair(p.Certificate, p.Key)
	require.NoError(t, err)
	return c
}

// trusting is a Trust of today that believes these CAs; change may alter more.
func trusting(t *testing.T, change func(*Config), authorities ...*Authority) *Trust {
	t.Helper()
	cfg := Config{Now: at(today), Certificates: []tls.Certificate{gatewayCertificate(t, newAuthority(t, "gateways"))}}
	for _, a := range authorities {
		cfg.DeviceCAs = append(cfg.DeviceCAs, CA{Roots: []*x509.Certificate{a.Certificate()}})
	}
	if change != nil {
		change(&cfg)
	}
	trust, err := NewTrust(cfg)
	require.NoError(t, err)
	return trust
}

// prove is what a connection with these certificates gets.
func prove(trust *Trust, sent ...*x509.Certificate) (*Proof, error) {
	return trust.verdict(tls.ConnectionState{PeerCertificates: sent})
}

// refused checks a refusal: its code, and a part of its text, which must fit the
// frame that it goes into.
func refused(t *testing.T, err error, code wire.Code, text string) {
	t.Helper()
	var e *wire.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, e.Field)
	require.Contains(t, e.Field, text)
	require.LessOrEqual(t, len(e.Field), wire.MaxRefusalText)
	require.Equal(t, wire.TypeHello, e.Type)
}

// template is a device's certificate to be made wrong in one place.
func template(t *testing.T, uris ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kitchen"}, NotBefore: year.begin(), NotAfter: year.end(), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, text := range uris {
		u, err := url.Parse(text)
		require.NoError(t, err)
		c.URIs = append(c.URIs, u)
	}
	return c
}

const kitchenURI = "bellwire://acme/kitchen"

// forge signs a template as it is, with a new key.
func forge(t *testing.T, a *Authority, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	forged, _ := forgeKey(t, a, c)
	return forged
}

func forgeKey(t *testing.T, a *Authority, c *x509.Certificate) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	issuer, signer := c, crypto.Signer(key)
	if a != nil {
		issuer, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), signer)
	require.NoError(t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return made, key
}

// subAuthority is a CA below another.
func subAuthority(t *testing.T, a *Authority, change func(*x509.Certificate)) *Authority {
	t.Helper()
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "between"}, NotBefore: year.begin(), NotAfter: year.end(), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if change != nil {
		change(c)
	}
	made, key := forgeKey(t, a, c)
	return &Authority{made, key}
}

// rootAuthority is one that may have CAs below it.
func rootAuthority(t *testing.T) *Authority {
	t.Helper()
	return subAuthority(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "root" })
}

func configError(t *testing.T, err error, field string) {
	t.Helper()
	var e *ConfigError
	require.True(t, errors.As(err, &e), "%v", err)
	require.Equal(t, field, e.Field, e.Reason)
	require.NotEmpty(t, e.Reason)
}

// selfSign makes another certificate of a CA for its own key.
func selfSign(t *testing.T, a *Authority, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, c, a.key.Public(), a.key)
	require.NoError(t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return made
}
