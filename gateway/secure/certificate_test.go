package secure

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestCertificateProvesADevice(t *testing.T) {
	ca := newAuthority(t, "devices")
	p, err := prove(trusting(t, nil, ca), deviceCertificate(t, ca))
	require.NoError(t, err)
	require.Equal(t, kitchen, p.Identity)
	require.Equal(t, year.end(), p.Expires)
	require.False(t, p.Limited)
	require.Contains(t, p.String(), "acme/kitchen by certificate ")
}

func TestNoCertificateIsNoVerdict(t *testing.T) {
	p, err := trusting(t, nil, newAuthority(t, "devices")).verdict(tls.ConnectionState{})
	require.NoError(t, err)
	require.Nil(t, p)
}

// TestBadCertificates is MS-17's "no/unknown/expired device certificate", and
// every other way in which one can be bad.
func TestBadCertificates(t *testing.T) {
	ca, other := newAuthority(t, "devices"), newAuthority(t, "devices")
	root := rootAuthority(t)
	changed := func(change func(*x509.Certificate)) []*x509.Certificate {
		c := template(t, kitchenURI)
		change(c)
		return []*x509.Certificate{forge(t, ca, c)}
	}
	long := []*x509.Certificate{nil}
	last := root
	for range maxChain {
		last = subAuthority(t, last, nil)
		long = append(long, last.certificate)
	}
	long[0] = deviceCertificate(t, last)

	for _, test := range []struct {
		name string
		sent []*x509.Certificate
		code wire.Code
		text string
	}{
		{"expired", changed(func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Second) }), wire.CodeNotAuthenticated, "expired on 2026-06-15T11:59:59Z"},
		{"not yet valid", changed(func(c *x509.Certificate) { c.NotBefore = today.Add(time.Second) }), wire.CodeNotAuthenticated, "not valid before 2026-06-15T12:00:01Z"},
		{"another CA of the same name", []*x509.Certificate{deviceCertificate(t, other)}, wire.CodeNotAuthenticated, "unknown issuer"},
		{"that CA sent along", []*x509.Certificate{deviceCertificate(t, other), other.certificate}, wire.CodeNotAuthenticated, "unknown issuer"},
		{"signed by itself", []*x509.Certificate{forge(t, nil, template(t, kitchenURI))}, wire.CodeNotAuthenticated, "unknown issuer"},
		{"signed by a device", []*x509.Certificate{
			forge(t, fakeAuthority(t, ca), template(t, kitchenURI)),
		}, wire.CodeNotAuthenticated, "unknown issuer"},
		{"for servers only", changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), wire.CodeNotAuthenticated, "not for client authentication"},
		{"for code signing only", changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), wire.CodeNotAuthenticated, "not for client authentication"},
		{"for key exchange only", changed(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), wire.CodeNotAuthenticated, "not for signatures"},
		{"a CA's", []*x509.Certificate{forge(t, root, caWithName(t))}, wire.CodeNotAuthenticated, "that of a CA"},
		{"the root itself", []*x509.Certificate{root.certificate}, wire.CodeNotAuthenticated, "that of a CA"},
		{"no SAN", changed(func(c *x509.Certificate) { c.URIs = nil }), wire.CodeNotAuthenticated, "names no device"},
		{"only a common name", changed(func(c *x509.Certificate) { c.URIs, c.Subject.CommonName = nil, kitchenURI }), wire.CodeNotAuthenticated, "names no device"},
		{"the name as DNS", changed(func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"kitchen.acme"} }), wire.CodeNotAuthenticated, "names no device"},
		{"two names", []*x509.Certificate{forge(t, ca, template(t, kitchenURI, "bellwire://acme/hall"))}, wire.CodeNotAuthenticated, "more than one"},
		{"the same name twice", []*x509.Certificate{forge(t, ca, template(t, kitchenURI, kitchenURI))}, wire.CodeNotAuthenticated, "more than one"},
		{"a name and one that is nearly one", []*x509.Certificate{forge(t, ca, template(t, kitchenURI, "bellwire://acme/"))}, wire.CodeNotAuthenticated, "more than one"},
		{"critical extension", changed(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
		}), wire.CodeNotAuthenticated, "critical extension"},
		{"too many others", long, wire.CodeNotAuthenticated, "more than 4 others"},
		{"an intermediate that is missing", []*x509.Certificate{deviceCertificate(t, subAuthority(t, root, nil))}, wire.CodeNotAuthenticated, "unknown issuer"},
		{"a serial number of any length", changed(func(c *x509.Certificate) {
			c.NotAfter, c.SerialNumber = today.Add(-time.Hour), new(big.Int).Lsh(big.NewInt(1), 158)
		}), wire.CodeNotAuthenticated, "expired"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := prove(trusting(t, nil, ca, root), test.sent...)
			require.Nil(t, p)
			refused(t, err, test.code, test.text)
			require.NotContains(t, err.Error(), "kitchen", "it quotes what the stranger wrote")
		})
	}
}

// fakeAuthority is a device that acts as a CA.
func fakeAuthority(t *testing.T, ca *Authority) *Authority {
	t.Helper()
	c, key := forgeKey(t, ca, template(t, "bellwire://acme/evil"))
	return &Authority{c, key}
}

func caWithName(t *testing.T) *x509.Certificate {
	t.Helper()
	c := template(t, kitchenURI)
	c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	return c
}

// TestADeviceIsNoCA: with the device's certificate sent along as an issuer, too.
func TestADeviceIsNoCA(t *testing.T) {
	ca := newAuthority(t, "devices")
	evil := fakeAuthority(t, ca)
	_, err := prove(trusting(t, nil, ca), forge(t, evil, template(t, kitchenURI)), evil.certificate)
	refused(t, err, wire.CodeNotAuthenticated, "unknown issuer")
}

func TestIntermediates(t *testing.T) {
	root := rootAuthority(t)
	below := subAuthority(t, root, nil)
	further := subAuthority(t, below, func(c *x509.Certificate) { c.Subject.CommonName, c.MaxPathLenZero = "further", true })
	beyond := subAuthority(t, further, func(c *x509.Certificate) { c.Subject.CommonName = "beyond" })
	old := subAuthority(t, root, func(c *x509.Certificate) { c.Subject.CommonName, c.NotAfter = "old", today.Add(-time.Hour) })
	servers := subAuthority(t, root, func(c *x509.Certificate) {
		c.Subject.CommonName, c.ExtKeyUsage = "servers", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	trust := trusting(t, nil, root)
	for _, test := range []struct {
		name string
		sent []*x509.Certificate
		text string // empty: believed
	}{
		{"one", []*x509.Certificate{deviceCertificate(t, below), below.certificate}, ""},
		{"one, and the root", []*x509.Certificate{deviceCertificate(t, below), below.certificate, root.certificate}, ""},
		{"two, in no order", []*x509.Certificate{deviceCertificate(t, further), below.certificate, further.certificate}, ""},
		{"two, one missing", []*x509.Certificate{deviceCertificate(t, further), further.certificate}, "unknown issuer"},
		{"longer than one allows", []*x509.Certificate{deviceCertificate(t, beyond), beyond.certificate, further.certificate, below.certificate}, "not so deep"},
		{"one that has expired", []*x509.Certificate{forge(t, old, template(t, kitchenURI)), old.certificate}, "of an issuer is not valid now"},
		{"one for servers", []*x509.Certificate{deviceCertificate(t, servers), servers.certificate}, "not for client authentication"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := prove(trust, test.sent...)
			if test.text == "" {
				require.NoError(t, err)
				require.Equal(t, kitchen, p.Identity)
				return
			}
			refused(t, err, wire.CodeNotAuthenticated, test.text)
		})
	}
	_, err := prove(trusting(t, nil, below), deviceCertificate(t, below))
	require.NoError(t, err, "an intermediate may be all that is believed")
}

// TestProofEndsWithTheFirstOfItsChain: not when the device's own certificate does.
func TestProofEndsWithTheFirstOfItsChain(t *testing.T) {
	root := rootAuthority(t)
	end := today.Add(time.Hour)
	short := subAuthority(t, root, func(c *x509.Certificate) { c.NotAfter = end })
	leaf := forge(t, short, template(t, kitchenURI))
	p, err := prove(trusting(t, nil, root), leaf, short.certificate)
	require.NoError(t, err)
	require.Equal(t, end, p.Expires)
	long, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: short.certificate.Subject, NotBefore: year.begin(), NotAfter: year.end(), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: short.certificate.SubjectKeyId,
	}, root.certificate, short.key.Public(), root.key)
	require.NoError(t, err)
	renewed, err := x509.ParseCertificate(long)
	require.NoError(t, err)
	p, err = prove(trusting(t, nil, root), leaf, short.certificate, renewed)
	require.NoError(t, err)
	require.Equal(t, year.end(), p.Expires, "there is a longer chain in time")
}

// TestNameConstraints: a CA of one tenant by its own certificate. To it hosts are
// the same in any case of letters, and tenants are not.
func TestNameConstraints(t *testing.T) {
	root := rootAuthority(t)
	acme := subAuthority(t, root, func(c *x509.Certificate) {
		c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{"acme"}, true
	})
	trust := trusting(t, nil, root)
	for uri, text := range map[string]string{
		kitchenURI:                "",
		"bellwire://beta/kitchen": "may not issue for this name",
		"bellwire://ACME/kitchen": "not that of a device",
		"bellwire://x.acme/k":     "may not issue for this name",
	} {
		p, err := prove(trust, forge(t, acme, template(t, uri)), acme.certificate)
		if text == "" {
			require.NoError(t, err, uri)
			require.Equal(t, kitchen, p.Identity)
			continue
		}
		refused(t, err, wire.CodeNotAuthenticated, text)
	}
}

// TestTenantBinding is BC-D8's at the door: the CA of one tenant makes no devices
// of another.
func TestTenantBinding(t *testing.T) {
	acme, beta, free := newAuthority(t, "acme"), newAuthority(t, "beta"), newAuthority(t, "free")
	bound := func(cas ...CA) *Trust {
		return trusting(t, func(c *Config) { c.DeviceCAs = cas })
	}
	of := func(tenant string, all ...*Authority) CA {
		ca := CA{Tenant: tenant}
		for _, a := range all {
			ca.Roots = append(ca.Roots, a.certificate)
		}
		return ca
	}
	for _, test := range []struct {
		name  string
		trust *Trust
		by    *Authority
		code  wire.Code // CodeOK: believed
	}{
		{"its own", bound(of("acme", acme), of("beta", beta)), acme, wire.CodeOK},
		{"another's", bound(of("acme", acme), of("beta", beta)), beta, wire.CodeOtherTenant},
		{"of any", bound(of("acme", acme), of("", free)), free, wire.CodeOK},
		{"two roots", bound(of("acme", beta, acme)), acme, wire.CodeOK},
		{"bound to two, one is right", bound(of("beta", acme), of("acme", acme)), acme, wire.CodeOK},
		{"bound to one and to any", bound(of("beta", acme), of("", acme)), acme, wire.CodeOK},
		{"bound to two others", bound(of("beta", acme), of("gamma", acme)), acme, wire.CodeOtherTenant},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := prove(test.trust, deviceCertificate(t, test.by))
			if test.code == wire.CodeOK {
				require.NoError(t, err)
				require.Equal(t, kitchen, p.Identity)
				return
			}
			refused(t, err, test.code, "does not speak for tenant acme")
		})
	}
}

// TestTenantFromTheCA: a mapping without tenant takes it from the CA.
func TestTenantFromTheCA(t *testing.T) {
	acme, beta := newAuthority(t, "acme"), newAuthority(t, "beta")
	change := func(also ...CA) func(*Config) {
		return func(c *Config) {
			c.Mapping = "cn:{device}"
			c.DeviceCAs = append([]CA{
				{Roots: []*x509.Certificate{acme.certificate}, Tenant: "acme"}, {Roots: []*x509.Certificate{beta.certificate}, Tenant: "beta"},
			}, also...)
		}
	}
	trust := trusting(t, change())
	p, err := prove(trust, deviceCertificate(t, acme))
	require.NoError(t, err)
	require.Equal(t, kitchen, p.Identity)
	p, err = prove(trust, deviceCertificate(t, beta))
	require.NoError(t, err)
	require.Equal(t, wire.Identity{Tenant: "beta", Device: "kitchen"}, p.Identity, "whatever the certificate's URI says")
	_, err = prove(trusting(t, change(CA{Roots: []*x509.Certificate{acme.certificate}, Tenant: "gamma"})), deviceCertificate(t, acme))
	refused(t, err, wire.CodeNotAuthenticated, "more than one tenant")
}

func TestRevokedByHand(t *testing.T) {
	root := rootAuthority(t)
	below := subAuthority(t, root, nil)
	leaf := deviceCertificate(t, below)
	for name, test := range map[string]struct {
		revoked Revoked
		text    string
	}{
		"device":           {Revoked{Devices: []wire.Identity{kitchen}}, "device revoked"},
		"serial":           {Revoked{Serials: []string{leaf.SerialNumber.Text(16)}}, "certificate " + leaf.SerialNumber.Text(16) + ": revoked"},
		"of the issuer":    {Revoked{Serials: []string{below.certificate.SerialNumber.Text(16)}}, "certificate " + below.certificate.SerialNumber.Text(16) + ": revoked"},
		"of the root":      {Revoked{Serials: []string{root.certificate.SerialNumber.Text(16)}}, "revoked"},
		"written as bytes": {Revoked{Serials: []string{colons(leaf.SerialNumber)}}, "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := prove(trusting(t, func(c *Config) { c.Revoked = test.revoked }, root), leaf, below.certificate)
			refused(t, err, wire.CodeRevoked, test.text)
		})
	}
	hall := wire.Identity{Tenant: "acme", Device: "hall"}
	_, err := prove(trusting(t, func(c *Config) {
		c.Revoked = Revoked{Devices: []wire.Identity{hall}, Serials: []string{"1"}, Tokens: []string{leaf.SerialNumber.Text(16)}}
	}, root), leaf, below.certificate)
	require.NoError(t, err, "others were revoked")
}

// colons is a serial number as some tools write it.
func colons(n *big.Int) string {
	text := ""
	for i, b := range n.Bytes() {
		if i > 0 {
			text += ":"
		}
		text += new(big.Int).SetBytes([]byte{b}).Text(16)
		if b < 16 {
			text = text[:len(text)-1] + "0" + text[len(text)-1:]
		}
	}
	return "0x" + text
}

func TestOtherKeysThanOurs(t *testing.T) {
	ca := newAuthority(t, "devices")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template(t, kitchenURI), ca.certificate, key.Public(), ca.key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	_, err = prove(trusting(t, nil, ca), leaf)
	require.NoError(t, err)
}
