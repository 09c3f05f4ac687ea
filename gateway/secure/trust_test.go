package secure

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestConfigIsChecked(t *testing.T) {
	ca := newAuthority(t, "devices")
	own := gatewayCertificate(t, ca)
	device, err := ca.Device(kitchen, year)
	require.NoError(t, err)
	forDevices, err := tls.X509KeyPair(device.Certificate, device.Key)
	require.NoError(t, err)
	crossed := own
	crossed.PrivateKey = forDevices.PrivateKey
	keyless := own
	keyless.PrivateKey = nil
	key := publicOf(seeded(1))
	noSigner := *ca.certificate
	noSigner.KeyUsage = x509.KeyUsageCRLSign

	for name, test := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"empty certificate":       {func(c *Config) { c.Certificates = append(c.Certificates, tls.Certificate{}) }, "Certificates[1]"},
		"torn certificate":        {func(c *Config) { c.Certificates[0].Certificate = [][]byte{{1, 2}} }, "Certificates[0]"},
		"key of another":          {func(c *Config) { c.Certificates[0] = crossed }, "Certificates[0]"},
		"no key":                  {func(c *Config) { c.Certificates[0] = keyless }, "Certificates[0]"},
		"certificate of a device": {func(c *Config) { c.Certificates[0] = forDevices }, "Certificates[0]"},
		"mapping":                 {func(c *Config) { c.Mapping = "x" }, "Mapping"},
		"mapping without tenant":  {func(c *Config) { c.Mapping = "cn:{device}" }, "DeviceCAs[0].Tenant"},
		"CA without TLS":          {func(c *Config) { c.Certificates = nil }, "DeviceCAs"},
		"CA without roots":        {func(c *Config) { c.DeviceCAs[0].Roots = nil }, "DeviceCAs[0].Roots"},
		"CA nil":                  {func(c *Config) { c.DeviceCAs[0].Roots = []*x509.Certificate{nil} }, "DeviceCAs[0].Roots[0]"},
		"CA that is none":         {func(c *Config) { c.DeviceCAs[0].Roots = []*x509.Certificate{ca.certificate, parsed(t, device)} }, "DeviceCAs[0].Roots[1]"},
		"CA that may not sign":    {func(c *Config) { c.DeviceCAs[0].Roots = []*x509.Certificate{&noSigner} }, "DeviceCAs[0].Roots[0]"},
		"CA of no tenant's name":  {func(c *Config) { c.DeviceCAs[0].Tenant = "a b" }, "DeviceCAs[0].Tenant"},
		"short ticket secret":     {func(c *Config) { c.TicketSecrets = [][]byte{make([]byte, 32), make([]byte, 31)} }, "TicketSecrets[1]"},
		"short key":               {func(c *Config) { c.TokenKeys = []TokenKey{{Key: key[:31]}} }, "TokenKeys[0].Key"},
		"no key at all":           {func(c *Config) { c.TokenKeys = []TokenKey{{ID: "x"}} }, "TokenKeys[0].Key"},
		"two keys of one ID":      {func(c *Config) { c.TokenKeys = []TokenKey{{Key: key}, {Key: publicOf(seeded(2))}} }, "TokenKeys[1].ID"},
		"key of no tenant's name": {func(c *Config) { c.TokenKeys = []TokenKey{{Key: key, Tenant: "+"}} }, "TokenKeys[0].Tenant"},
		"static key without hash": {func(c *Config) { c.StaticKeys = []StaticKey{{Identity: kitchen}} }, "StaticKeys[0].Hash"},
		"static key of nobody":    {func(c *Config) { c.StaticKeys = []StaticKey{{Hash: [32]byte{1}}} }, "StaticKeys[0]"},
		"static key of two": {func(c *Config) {
			c.StaticKeys = []StaticKey{{Identity: kitchen, Hash: [32]byte{1}}, {Identity: kitchen, Hash: [32]byte{1}}}
		}, "StaticKeys[1].Hash"},
		"static key, a bad filter": {func(c *Config) {
			c.StaticKeys = []StaticKey{{Identity: kitchen, Hash: [32]byte{1}, Limited: true, Publish: []string{"#/a"}}}
		}, "StaticKeys[0]"},
		"revoked device": {func(c *Config) { c.Revoked.Devices = []wire.Identity{kitchen, {Tenant: "a"}} }, "Revoked.Devices[1]"},
		"revoked token":  {func(c *Config) { c.Revoked.Tokens = []string{""} }, "Revoked.Tokens[0]"},
		"revoked serial": {func(c *Config) { c.Revoked.Serials = []string{"x"} }, "Revoked.Serials[0]"},
		"a list and no CA": {func(c *Config) {
			c.CRLs = []*x509.RevocationList{revoking(t, ca, nil)}
			c.DeviceCAs = nil
		}, "CRLs[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Certificates: []tls.Certificate{own}, DeviceCAs: []CA{{Roots: []*x509.Certificate{ca.certificate}}}}
			_, err := NewTrust(cfg)
			require.NoError(t, err)
			test.change(&cfg)
			trust, err := NewTrust(cfg)
			require.Nil(t, trust)
			configError(t, err, test.field)
			require.ErrorContains(t, err, "secure: "+test.field+": ")
		})
	}
}

func TestWhoProvesWhat(t *testing.T) {
	nobody, err := NewTrust(Config{})
	require.NoError(t, err)
	require.False(t, nobody.ProvesDevices())
	require.False(t, nobody.HasTLS())
	require.Nil(t, nobody.tickets)
	_, err = nobody.Token([]byte("x"))
	refused(t, err, wire.CodeNotAuthenticated, "")
	_, err = nobody.Token([]byte(signedText(seeded(1), goodHead, goodPayload(""))))
	refused(t, err, wire.CodeNotAuthenticated, "not known here")

	onlyTLS := trusting(t, nil)
	require.True(t, onlyTLS.HasTLS())
	require.False(t, onlyTLS.ProvesDevices())
	require.Equal(t, tls.NoClientCert, onlyTLS.tickets.base.ClientAuth)
	require.EqualValues(t, tls.VersionTLS13, onlyTLS.tickets.base.MinVersion)
	require.Nil(t, onlyTLS.tickets.base.CurvePreferences)

	mutual := trusting(t, func(c *Config) { c.Curves = []tls.CurveID{tls.X25519} }, newAuthority(t, "devices"))
	require.True(t, mutual.ProvesDevices())
	require.Equal(t, tls.RequestClientCert, mutual.tickets.base.ClientAuth)
	require.Equal(t, []tls.CurveID{tls.X25519}, mutual.tickets.base.CurvePreferences)
	require.True(t, tokenTrust(t, nil).ProvesDevices())
}

// TestTrustKeepsCopies: whoever made the Config may go on with it.
func TestTrustKeepsCopies(t *testing.T) {
	key := append(ed25519.PublicKey(nil), publicOf(seeded(1))...)
	secret := bytes.Repeat([]byte{7}, 32)
	text, static, err := NewStaticKey(StaticKey{Identity: kitchen, Limited: true, Publish: []string{"a"}})
	require.NoError(t, err)
	trust, err := NewTrust(Config{
		Now: at(today), TokenKeys: []TokenKey{{ID: "k1", Key: key}}, TicketSecrets: [][]byte{secret}, StaticKeys: []StaticKey{static},
		Certificates: []tls.Certificate{gatewayCertificate(t, newAuthority(t, "gateways"))},
	})
	require.NoError(t, err)
	key[0]++
	secret[0]++
	static.Publish[0] = "b"
	_, err = trust.Token([]byte(signedText(seeded(1), goodHead, goodPayload(""))))
	require.NoError(t, err)
	require.EqualValues(t, 7, trust.tickets.secrets[0][0])
	p, err := trust.Token([]byte(text))
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, p.Publish)
}

func TestWarnings(t *testing.T) {
	ca := newAuthority(t, "devices")
	require.Empty(t, trusting(t, nil, ca).Warnings())
	soonOver := trusting(t, func(c *Config) { c.Now = at(year.end().AddDate(0, 0, -29)) }, ca).Warnings()
	require.Len(t, soonOver, 2)
	require.Contains(t, soonOver[0], "the gateway's certificate")
	require.Contains(t, soonOver[0], "expires on 2027-05-15")
	require.Contains(t, soonOver[1], "the device CA CN=devices ")
	over := trusting(t, func(c *Config) { c.Now = at(year.end().AddDate(0, 0, 1)) }, ca).Warnings()
	require.Contains(t, over[0], "has expired on 2027-05-15")
}

// TestHandshakes is MS-17 over real connections: the verdict is given on each,
// also where a session is resumed after what had proven it has ended, and the
// device refuses a gateway that is not its own.
func TestHandshakes(t *testing.T) {
	ca, gateways, strangers := newAuthority(t, "devices"), newAuthority(t, "gateways"), newAuthority(t, "strangers")
	device, err := ca.Device(kitchen, year)
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(device.Certificate, device.Key)
	require.NoError(t, err)
	serial := parsed(t, device).SerialNumber.Text(16)
	own := gatewayCertificate(t, gateways)
	believing := func(change func(*Config), all ...*Authority) *Trust {
		return trusting(t, func(c *Config) {
			c.Certificates = []tls.Certificate{own}
			if change != nil {
				change(c)
			}
		}, all...)
	}

	var now atomic.Pointer[Trust]
	now.Store(believing(nil, ca))
	type answer struct {
		proof *Proof
		err   error
	}
	answers := make(chan answer, 1)
	server := now.Load().tickets.base.Clone()
	server.VerifyConnection = func(state tls.ConnectionState) error {
		p, err := now.Load().verdict(state)
		answers <- answer{p, err}
		return nil // a refusal is told inside
	}
	cache := tls.NewLRUClientSessionCache(4)
	pool := x509.NewCertPool()
	pool.AddCert(gateways.certificate)
	client := func() *tls.Config {
		return &tls.Config{
			RootCAs: pool, ServerName: "gw.example", Certificates: []tls.Certificate{pair}, ClientSessionCache: cache, Time: at(today),
			MinVersion: tls.VersionTLS13,
		}
	}

	state, err := shakeHands(t, server, client())
	require.NoError(t, err)
	require.False(t, state.DidResume)
	a := <-answers
	require.NoError(t, a.err)
	require.Equal(t, kitchen, a.proof.Identity)

	for name, test := range map[string]struct {
		now  *Trust
		code wire.Code
	}{
		"nothing new":    {believing(nil, ca), wire.CodeOK},
		"serial revoked": {believing(func(c *Config) { c.Revoked.Serials = []string{serial} }, ca), wire.CodeRevoked},
		"CA gone":        {believing(nil, strangers), wire.CodeNotAuthenticated},
		"over":           {believing(func(c *Config) { c.Now = at(year.end().Add(time.Hour)) }, ca), wire.CodeNotAuthenticated},
	} {
		now.Store(test.now)
		state, err := shakeHands(t, server, client())
		require.NoError(t, err, name)
		require.True(t, state.DidResume, name)
		a := <-answers
		if test.code == wire.CodeOK {
			require.NoError(t, a.err, name)
			require.Equal(t, kitchen, a.proof.Identity)
			continue
		}
		require.Nil(t, a.proof, name)
		refused(t, a.err, test.code, "")
	}

	anonymous := client()
	anonymous.Certificates, anonymous.ClientSessionCache = nil, nil
	_, err = shakeHands(t, server, anonymous)
	require.NoError(t, err)
	a = <-answers
	require.NoError(t, a.err)
	require.Nil(t, a.proof, "no certificate, no verdict: a token may follow")

	deceived := client()
	deceived.RootCAs, deceived.ClientSessionCache = x509.NewCertPool(), nil
	deceived.RootCAs.AddCert(strangers.certificate)
	_, err = shakeHands(t, server, deceived)
	require.ErrorContains(t, err, "unknown authority", "the device does not believe this gateway")
	drain(answers)

	elsewhere := client()
	elsewhere.ServerName, elsewhere.ClientSessionCache = "other.example", nil
	_, err = shakeHands(t, server, elsewhere)
	require.ErrorContains(t, err, "other.example")
	drain(answers)

	old := client()
	old.MinVersion, old.MaxVersion, old.ClientSessionCache = tls.VersionTLS12, tls.VersionTLS12, nil
	_, err = shakeHands(t, server, old)
	require.ErrorContains(t, err, "protocol version")

	// A device is no gateway, though one CA may issue for both.
	posing := now.Load().tickets.base.Clone()
	posing.Certificates = []tls.Certificate{pair}
	toDevice := client()
	toDevice.RootCAs, toDevice.ClientSessionCache = x509.NewCertPool(), nil
	toDevice.RootCAs.AddCert(ca.certificate)
	_, err = shakeHands(t, posing, toDevice)
	require.Error(t, err)
}

func drain[T any](c chan T) {
	select {
	case <-c:
	default:
	}
}

// shakeHands connects both sides and passes one byte, so that tickets arrive.
func shakeHands(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := listener.Accept()
		if err != nil {
			return
		}
		conn := tls.Server(raw, server)
		defer conn.Close()
		if conn.Handshake() == nil {
			_, _ = conn.Write([]byte{1}) // the client may have gone
		}
	}()
	defer func() { <-done }()
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	return conn.ConnectionState(), err
}
