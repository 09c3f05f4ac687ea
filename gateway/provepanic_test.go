package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// brittle is a trust whose clock panics after so many looks, and a token of it. The
// first look is the loop's, when it makes a TLS connection; the next ones are those
// of the goroutine that computes.
func brittle(t *testing.T, looks int64) (trust *secure.Trust, roots *x509.CertPool, token string) {
	t.Helper()
	period := secure.Period{From: time.Now(), For: time.Hour}
	authority, _, err := secure.NewAuthority("test", period)
	require.NoError(t, err)
	pair, err := authority.Gateway([]string{"gw.example"}, period)
	require.NoError(t, err)
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	require.NoError(t, err)
	private, public, err := secure.NewTokenKey()
	require.NoError(t, err)
	key, err := secure.ParseTokenKey(public)
	require.NoError(t, err)
	signer, err := secure.ParseTokenPrivateKey(private)
	require.NoError(t, err)
	token, err = secure.IssueToken(signer, secure.Claims{Subject: "default/a", Expires: period.From.Add(time.Hour)})
	require.NoError(t, err)
	var looked, made atomic.Int64
	trust, err = secure.NewTrust(secure.Config{
		Certificates: []tls.Certificate{certificate},
		TokenKeys:    []secure.TokenKey{{ID: secure.TokenKeyID(key), Key: key}},
		Now: func() time.Time {
			if made.Load() != 0 && looked.Add(1) > looks {
				panic("brittle")
			}
			return time.Now()
		},
	})
	require.NoError(t, err)
	made.Store(1)
	roots = x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	return trust, roots, token
}

// A panic while a stranger's handshake is computed costs that connection, not the
// process (MS-17). The control would end the process: TestPanicCostsOneConnection
// shows it for hooks, which have the same guard.
func TestPanicInAHandshake(t *testing.T) {
	trust, roots, _ := brittle(t, 1)
	g := gatewaytest.Start(t, gateway.Config{Loops: 1, ListenTLS: "127.0.0.1:0", Trust: trust})
	_, err := tls.Dial("tcp", g.TLSAddr().String(), &tls.Config{RootCAs: roots, ServerName: "gw.example"})
	require.Error(t, err)
	require.Equal(t, "1", metrics(t, g)["bellwire_panics_total"])
	eventually(t, func() bool { return g.Status().Connections == 0 && g.Status().Handshakes == 0 })
}

// The same of a token, in HELLO and in AUTH.
func TestPanicInAToken(t *testing.T) {
	for _, looks := range []int64{0, 2} { // HELLO takes two: it is asked about again on the loop
		trust, _, token := brittle(t, looks)
		g := gatewaytest.Start(t, gateway.Config{Loops: 1, Trust: trust})
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(gatewaytest.Hello(token).Append(nil))
		if looks == 0 {
			d.ExpectClosed(wire.CodeOverload)
		} else {
			d.Expect(wire.TypeWelcome)
			d.Send(wire.Auth{Method: wire.AuthToken, Data: []byte(token)}.Append(nil))
			d.Expect(wire.TypeError)
			d.Ping() // the old one is in force
		}
		require.Equal(t, "1", metrics(t, g)["bellwire_panics_total"])
	}
}
