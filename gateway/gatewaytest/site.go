package gatewaytest

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// Site is what makes the credentials of gateways and devices: a CA for each, and a
// key that signs tokens. It is safe for concurrent use.
type Site struct {
	t        testing.TB
	Devices  *secure.Authority // issues the certificates of devices
	gateways *secure.Authority
	key      ed25519.PrivateKey
	roots    *x509.CertPool
	secret   []byte // of session tickets
}

// NewSite makes one.
func NewSite(t testing.TB) *Site {
	t.Helper()
	s := &Site{t: t, Devices: NewAuthority(t, "devices"), gateways: NewAuthority(t, "gateways"), roots: x509.NewCertPool()}
	s.roots.AddCert(s.gateways.Certificate())
	private, _, err := secure.NewTokenKey()
	require.NoError(t, err)
	s.key, err = secure.ParseTokenPrivateKey(private)
	require.NoError(t, err)
	s.secret = []byte("a secret of this site, as long as it has to be")
	return s
}

// Days is a period of so many days around now.
func Days(n int) secure.Period {
	return secure.Period{From: time.Now(), For: time.Duration(n) * 24 * time.Hour}
}

// NewAuthority is a CA.
func NewAuthority(t testing.TB, name string) *secure.Authority {
	t.Helper()
	a, _, err := secure.NewAuthority(name, Days(100))
	require.NoError(t, err)
	return a
}

// Gateway is a new certificate for a gateway on 127.0.0.1, which devices of the site
// believe.
func (s *Site) Gateway() tls.Certificate {
	s.t.Helper()
	return s.pair(s.gateways.Gateway([]string{"127.0.0.1", "gw.example"}, Days(90)))
}

// Device is a new certificate of a device, such as acme/kitchen, valid for 10 days.
func (s *Site) Device(id string) tls.Certificate {
	s.t.Helper()
	return s.DeviceOf(s.Devices, id, Days(10))
}

// DeviceOf is one of another CA, or for another time.
func (s *Site) DeviceOf(a *secure.Authority, id string, p secure.Period) tls.Certificate {
	s.t.Helper()
	return s.pair(a.Device(Identity(s.t, id), p))
}

// Identity reads tenant/device.
func Identity(t testing.TB, text string) wire.Identity {
	t.Helper()
	id, err := wire.ParseIdentity(text)
	require.NoError(t, err)
	return id
}

func (s *Site) pair(p secure.Pair, err error) tls.Certificate {
	s.t.Helper()
	require.NoError(s.t, err)
	c, err := tls.X509KeyPair(p.Certificate, p.Key)
	require.NoError(s.t, err)
	return c
}

// Token is one of a device for an hour; edit may change it.
func (s *Site) Token(id string, edit func(*secure.Claims)) string {
	s.t.Helper()
	c := secure.Claims{Subject: id, Expires: time.Now().Add(time.Hour)}
	if edit != nil {
		edit(&c)
	}
	token, err := secure.IssueToken(s.key, c)
	require.NoError(s.t, err)
	return token
}

// Key is the key that signs the site's tokens.
func (s *Site) Key() ed25519.PrivateKey { return s.key }

// Trust is what a gateway of the site believes; edit may change it.
func (s *Site) Trust(edit func(*secure.Config)) *secure.Trust {
	s.t.Helper()
	public := s.key.Public().(ed25519.PublicKey)
	cfg := secure.Config{
		Certificates:  []tls.Certificate{s.Gateway()},
		DeviceCAs:     []secure.CA{{Roots: []*x509.Certificate{s.Devices.Certificate()}}},
		TokenKeys:     []secure.TokenKey{{ID: secure.TokenKeyID(public), Key: public}},
		TicketSecrets: [][]byte{s.secret},
	}
	if edit != nil {
		edit(&cfg)
	}
	trust, err := secure.NewTrust(cfg)
	require.NoError(s.t, err)
	return trust
}

// Config is what a device connects with. It shows the certificates, if there are any.
func (s *Site) Config(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, Certificates: certificates}
}

// Start serves a gateway of the site on free ports of 127.0.0.1 until the test ends.
// Its trust is the site's, unless cfg has one.
func (s *Site) Start(cfg gateway.Config) *gateway.Gateway {
	s.t.Helper()
	if cfg.ListenTLS == "" {
		cfg.ListenTLS = "127.0.0.1:0"
	}
	if cfg.Trust == nil {
		cfg.Trust = s.Trust(nil)
	}
	return Start(s.t, cfg)
}

// Shake connects by TLS and says nothing more.
func Shake(t testing.TB, addr net.Addr, cfg *tls.Config) *Device {
	t.Helper()
	d, err := TryShake(t, addr, cfg)
	require.NoError(t, err)
	return d
}

// TryShake is Shake where the handshake may fail.
func TryShake(t testing.TB, addr net.Addr, cfg *tls.Config) (*Device, error) {
	t.Helper()
	d := Connect(t, addr)
	return d, d.shake(cfg)
}

func (d *Device) shake(cfg *tls.Config) error {
	c := tls.Client(d.Conn, cfg)
	_ = c.SetDeadline(time.Now().Add(Patience))
	err := c.Handshake()
	_ = c.SetDeadline(time.Time{})
	d.Conn = c
	return err
}

// ByCertificate is a HELLO of a device that has shown who it is.
func ByCertificate() wire.Hello {
	h := Hello("")
	h.Method, h.Auth = wire.AuthCertificate, nil
	return h
}

// JoinTLS connects by TLS, says HELLO and awaits WELCOME. Without a token the
// certificate in cfg is what proves the device.
func JoinTLS(t testing.TB, addr net.Addr, cfg *tls.Config, token string) *Device {
	t.Helper()
	d := Shake(t, addr, cfg)
	h := ByCertificate()
	if token != "" {
		h = Hello(token)
	}
	d.Send(h.Append(nil))
	d.Expect(wire.TypeWelcome)
	return d
}

// TLS is the connection of a device that has shaken hands.
func (d *Device) TLS() *tls.Conn { return d.Conn.(*tls.Conn) }
