package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Certificates are valid from before to after what a bubble takes for now.
var (
	notBefore = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	made := a.issue(x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue signs what is asked for; the first one signs itself.
func (a *authority) issue(want x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	want.SerialNumber, want.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	if want.NotBefore.IsZero() {
		want.NotBefore = notBefore
	}
	if want.NotAfter.IsZero() {
		want.NotAfter = notAfter
	}
	by, with := a.cert, a.key
	if by == nil {
		by, with = &want, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &want, by, &key.PublicKey, with)
	require.NoError(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// gateway is the configuration of a gateway of these names and addresses.
func (a *authority) gateway(names ...string) *tls.Config {
	want := x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			want.IPAddresses = append(want.IPAddresses, ip)
		} else {
			want.DNSNames = append(want.DNSNames, name)
		}
	}
	return &tls.Config{Certificates: []tls.Certificate{a.issue(want)}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert}
}

// device is a certificate of a device.
func (a *authority) device(uri string) tls.Certificate {
	u, err := url.Parse(uri)
	require.NoError(a.t, err)
	return a.issue(x509.Certificate{URIs: []*url.URL{u}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// trusting is the configuration of a device that believes the authority.
func (a *authority) trusting() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool}
}
