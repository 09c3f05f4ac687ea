package secure

import (
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func fleetName(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

// fleetAuthority is a CA whose certificates are valid now.
func fleetAuthority(t *testing.T) (*Authority, Pair) {
	t.Helper()
	a, pair, err := NewAuthority("fleet", Period{From: time.Now(), For: 24 * time.Hour})
	require.NoError(t, err)
	return a, pair
}

func hourFrom(at time.Time) Period { return Period{From: at, For: time.Hour} }

func TestIssuedForTheFleet(t *testing.T) {
	a, _ := fleetAuthority(t)
	pair, err := a.FleetGateway(fleetName(t, "bellwire://north/gateway/gw-1:7311"), hourFrom(time.Now()))
	require.NoError(t, err)
	c := parsed(t, pair)
	require.Equal(t, "bellwire://north/gateway/gw-1:7311", c.URIs[0].String())
	require.Equal(t, fleetUsages, c.ExtKeyUsage)
	require.Empty(t, c.DNSNames)
	require.False(t, c.IsCA)
	for _, name := range []string{"https://north/gateway/gw", "bellwire:///gateway/gw", "bellwire://north", "gw-1"} {
		_, err := a.FleetGateway(fleetName(t, name), hourFrom(time.Now()))
		require.ErrorContains(t, err, "does not name a gateway", name)
	}
}

// linked has a gateway with one configuration dial another; each end's error.
func linked(t *testing.T, dials, listens *tls.Config) (dialing, listening error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(far, listens)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		far.Close()
		done <- err
	}()
	c := tls.Client(near, dials)
	if dialing = c.Handshake(); dialing == nil {
		// In TLS 1.3 the dialling end is done before the other one has looked at its certificate.
		_, dialing = c.Read(make([]byte, 1))
	}
	near.Close()
	return dialing, <-done
}

// TestFleet [BC-D9]: only gateways of the fleet link, at either end, whatever host they are at.
func TestFleet(t *testing.T) {
	a, ca := fleetAuthority(t)
	other, _ := fleetAuthority(t)
	config := func(p Period) *tls.Config {
		pair, err := a.FleetGateway(fleetName(t, "bellwire://north/gateway/gw"), p)
		require.NoError(t, err)
		f, err := NewFleet(ca.Certificate, pair.Certificate, pair.Key)
		require.NoError(t, err)
		return f.TLS()
	}
	good := config(hourFrom(time.Now()))
	dialing, listening := linked(t, good, config(hourFrom(time.Now())))
	require.NoError(t, dialing)
	require.NoError(t, listening)

	device, err := a.Device(kitchen, hourFrom(time.Now()))
	require.NoError(t, err)
	server, err := a.Gateway([]string{"gw.example"}, hourFrom(time.Now()))
	require.NoError(t, err)
	changed := func() *tls.Config {
		c := good.Clone()
		c.GetClientCertificate, c.GetConfigForClient = nil, nil // they would give what it is a clone of
		return c
	}
	with := func(p Pair) *tls.Config {
		c := changed()
		own, err := tls.X509KeyPair(p.Certificate, p.Key)
		require.NoError(t, err)
		c.Certificates = []tls.Certificate{own}
		// Shown also to an end that asks for those of another CA.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		return c
	}
	strange, err := other.FleetGateway(fleetName(t, "bellwire://north/gateway/gw"), hourFrom(time.Now()))
	require.NoError(t, err)
	nobody := changed()
	nobody.Certificates = nil
	old := changed()
	old.MaxVersion, old.MinVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, stranger := range map[string]*tls.Config{
		"of another CA":                    with(strange),
		"expired":                          config(hourFrom(time.Now().Add(-2 * time.Hour))),
		"not valid yet":                    config(hourFrom(time.Now().Add(2 * time.Hour))),
		"a device of the same CA":          with(device),
		"a certificate for devices to see": with(server),
		"without a certificate":            nobody,
		"of an older version of TLS":       old,
	} {
		_, listening := linked(t, stranger, good)
		require.Error(t, listening, "dials: %s", name)
		if len(stranger.Certificates) > 0 {
			dialing, _ := linked(t, good, stranger)
			require.Error(t, dialing, "listens: %s", name)
		}
	}

	// The control: without its own check this end would believe the stranger.
	blind := changed()
	blind.VerifyConnection = nil
	dialing, _ = linked(t, blind, with(device))
	require.NoError(t, dialing)
}

// TestFleetRenewed rolls the CA of a fleet over, one gateway after the other, with configurations that were made before:
// at each step all link. In the end a certificate of the old CA is not believed any more.
func TestFleetRenewed(t *testing.T) {
	old, oldCA := fleetAuthority(t)
	next, nextCA := fleetAuthority(t)
	both := append(append([]byte(nil), oldCA.Certificate...), nextCA.Certificate...)
	made := func(ca []byte, by *Authority, name string) *Fleet {
		pair, err := by.FleetGateway(fleetName(t, "bellwire://north/gateway/"+name), hourFrom(time.Now()))
		require.NoError(t, err)
		f, err := NewFleet(ca, pair.Certificate, pair.Key)
		require.NoError(t, err)
		return f
	}
	gateways := []*Fleet{made(oldCA.Certificate, old, "a"), made(oldCA.Certificate, old, "b")}
	config := []*tls.Config{gateways[0].TLS(), gateways[1].TLS()}
	link := func(step string) {
		for i := range config {
			dialing, listening := linked(t, config[i], config[1-i].Clone())
			require.NoError(t, dialing, step)
			require.NoError(t, listening, step)
		}
	}
	renew := func(f, next *Fleet) {
		require.NoError(t, f.Check(next))
		f.Renew(next)
	}
	link("before")
	for i, f := range gateways {
		renew(f, made(both, old, string(rune('a'+i))))
		link("believes both")
	}
	for i, f := range gateways {
		renew(f, made(both, next, string(rune('a'+i))))
		link("of the new CA")
	}
	stale := made(both, old, "c").TLS()
	dialing, listening := linked(t, stale, config[0])
	require.NoError(t, dialing)
	require.NoError(t, listening, "the old CA is still believed")
	require.True(t, gateways[0].Believes(gateways[1]))
	alone := made(nextCA.Certificate, next, "a")
	require.False(t, alone.Believes(gateways[0]))
	require.True(t, gateways[0].Believes(alone))
	renew(gateways[0], alone)
	link("without the old CA")
	_, listening = linked(t, stale, config[0])
	require.Error(t, listening)
	dialing, _ = linked(t, config[0], stale)
	require.Error(t, dialing)

	require.EqualError(t, gateways[0].Check(made(nextCA.Certificate, next, "b")), "the certificate is that of [bellwire://north/gateway/b], and until a restart this gateway is [bellwire://north/gateway/a]")
	pair, err := next.FleetGateway(fleetName(t, "bellwire://north/gateway/a"), hourFrom(time.Now().Add(-2*time.Hour)))
	require.NoError(t, err)
	expired, err := NewFleet(nextCA.Certificate, pair.Certificate, pair.Key)
	require.NoError(t, err)
	require.ErrorContains(t, gateways[0].Check(expired), "the certificate, in the place of one that is valid: ")
	link("it has stayed")
	require.NoError(t, expired.Check(expired), "there is nothing to lose")
	renew(gateways[0], made(both, next, "a"))
	_, listening = linked(t, stale, config[0])
	require.NoError(t, listening, "it is as before")
}

func TestFleetThatCannotBe(t *testing.T) {
	a, ca := fleetAuthority(t)
	pair, err := a.FleetGateway(fleetName(t, "bellwire://north/gateway/gw"), hourFrom(time.Now()))
	require.NoError(t, err)
	another, err := a.FleetGateway(fleetName(t, "bellwire://north/gateway/gw"), hourFrom(time.Now()))
	require.NoError(t, err)
	device, err := a.Device(kitchen, hourFrom(time.Now()))
	require.NoError(t, err)
	_, otherCA := fleetAuthority(t)
	for _, test := range []struct {
		ca, cert, key []byte
		want          string
	}{
		{nil, pair.Certificate, pair.Key, "the CA: no certificate in it"},
		{pair.Certificate, pair.Certificate, pair.Key, "the CA: is the certificate of somebody else"},
		{otherCA.Certificate, pair.Certificate, pair.Key, "the certificate: is not one of this fleet's gateways: x509: certificate signed by unknown authority"},
		{ca.Certificate, device.Certificate, device.Key, "the certificate: is not one of this fleet's gateways: x509: certificate specifies an incompatible key usage"},
		{ca.Certificate, pair.Certificate, another.Key, "private key does not match"},
		{ca.Certificate, pair.Key, pair.Key, "failed to find"},
		{ca.Certificate, pair.Certificate, encodePEM("ENCRYPTED PRIVATE KEY", []byte{1}), "is encrypted"},
	} {
		_, err := NewFleet(test.ca, test.cert, test.key)
		require.ErrorContains(t, err, test.want)
	}
	expired, err := a.FleetGateway(fleetName(t, "bellwire://north/gateway/gw"), hourFrom(time.Now().Add(-2*time.Hour)))
	require.NoError(t, err)
	_, err = NewFleet(ca.Certificate, expired.Certificate, expired.Key)
	require.NoError(t, err, "it cannot link, and serves its devices")
	longer, err := sign(&x509.Certificate{
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: fleetUsages, SerialNumber: big.NewInt(7),
	}, Period{From: time.Now(), For: 48 * time.Hour}, a.certificate, a.key, a.key)
	require.NoError(t, err)
	_, err = NewFleet(ca.Certificate, longer.Certificate, longer.Key)
	require.NoError(t, err, "it is valid now, and outlives its CA")
	require.Error(t, verifyFleet(x509.NewCertPool(), nil, time.Now()))
}
