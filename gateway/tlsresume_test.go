package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// ticketed is a device's configuration that keeps tickets.
func ticketed(cfg *tls.Config) *tls.Config {
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	return cfg
}

// visit joins, so that a ticket comes, and leaves; it says whether TLS was resumed.
func visit(t *testing.T, g *gateway.Gateway, cfg *tls.Config) bool {
	t.Helper()
	d := gatewaytest.JoinTLS(t, g.TLSAddr(), cfg, "")
	d.Send(wire.Close{}.Append(nil))
	d.ExpectClosed(wire.CodeOK)
	return d.TLS().ConnectionState().DidResume
}

// A ticket is good at each gateway with the same secret, and nowhere else; without
// one the device shakes hands in full.
func TestTicketsOfAFleet(t *testing.T) {
	s := gatewaytest.NewSite(t)
	own := func(c *secure.Config) { c.TicketSecrets = [][]byte{[]byte("another secret, of 32 bytes at the least")} }
	one, two := s.Start(gateway.Config{}), s.Start(gateway.Config{})
	stranger := s.Start(gateway.Config{Trust: s.Trust(own)})
	cfg := ticketed(s.Config(s.Device("acme/kitchen")))
	require.False(t, visit(t, one, cfg))
	require.True(t, visit(t, one, cfg))
	require.True(t, visit(t, two, cfg))
	require.False(t, visit(t, stranger, cfg))
	require.False(t, visit(t, one, cfg), "the ticket is the stranger's by now")
	require.NoError(t, one.Reload(gateway.Config{Trust: s.Trust(nil)}))
	require.True(t, visit(t, one, cfg), "a reload keeps tickets good")
}

// A session that resumes is asked everything that a new one is (MS-17): crypto/tls
// itself would not ask again.
func TestResumedIsAskedAgain(t *testing.T) {
	s := gatewaytest.NewSite(t)
	kitchen := s.Device("acme/kitchen")
	list, err := s.Devices.Revoke(nil, []*big.Int{kitchen.Leaf.SerialNumber}, gatewaytest.Days(1))
	require.NoError(t, err)
	crls, err := secure.ParseRevocationLists(list)
	require.NoError(t, err)
	other := gatewaytest.NewAuthority(t, "other")
	for name, c := range map[string]struct {
		trust func(*secure.Config)
		code  wire.Code
	}{
		"control": {nil, wire.CodeOK},
		"device":  {func(c *secure.Config) { c.Revoked.Devices = []wire.Identity{{Tenant: "acme", Device: "kitchen"}} }, wire.CodeRevoked},
		"serial":  {func(c *secure.Config) { c.Revoked.Serials = []string{kitchen.Leaf.SerialNumber.Text(16)} }, wire.CodeRevoked},
		"CRL":     {func(c *secure.Config) { c.CRLs = crls }, wire.CodeRevoked},
		"CA":      {func(c *secure.Config) { c.DeviceCAs = []secure.CA{{Roots: []*x509.Certificate{other.Certificate()}}} }, wire.CodeNotAuthenticated},
		"tenant":  {func(c *secure.Config) { c.DeviceCAs[0].Tenant = "other" }, wire.CodeOtherTenant},
		"expired": {func(c *secure.Config) { c.Now = func() time.Time { return time.Now().Add(11 * time.Hour) } }, wire.CodeNotAuthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log ledger
			g := s.Start(gateway.Config{Audit: log.Logger()})
			cert := kitchen
			if name == "expired" {
				cert = s.DeviceOf(s.Devices, "acme/kitchen", secure.Period{From: time.Now(), For: 10 * time.Hour})
			}
			cfg := ticketed(s.Config(cert))
			require.False(t, visit(t, g, cfg))
			require.NoError(t, g.Reload(gateway.Config{Trust: s.Trust(c.trust)}))
			if c.code == wire.CodeOK {
				require.True(t, visit(t, g, cfg))
				return
			}
			d := gatewaytest.Shake(t, g.TLSAddr(), cfg)
			_, _ = d.Conn.Write(gatewaytest.ByCertificate().Append(nil))
			d.ExpectClosed(c.code)
			if name != "expired" { // crypto/tls itself takes no ticket of an expired certificate
				require.True(t, d.TLS().ConnectionState().DidResume)
			}
			line := log.one(t, g)
			require.Equal(t, []any{"authenticate", fmt.Sprintf("%02x", uint8(c.code))}, []any{line["event"], line["code"]})
			sessionRows(t, g, 0)
		})
	}
}

// behindProxy connects by a proxy that speaks for a source.
func behindProxy(t *testing.T, addr net.Addr, source string) *gatewaytest.Device {
	t.Helper()
	d := gatewaytest.Connect(t, addr)
	d.Send(proxyHeader(t, source, false))
	return d
}

// The device's own address, as its proxy says it, is what the lists, the audit log
// and the limits know; the proxy's stands beside it.
func TestBehindProxy(t *testing.T) {
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := gatewaytest.NewSite(t)
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, "sources", "the third of a network came in", func(t *testing.T, guard string) error {
				var log ledger
				g := s.Start(gateway.Config{Loops: 1, ProxyFrom: here, Audit: log.Logger(), Limits: gateway.Limits{UnprovenPerNetwork: 2}}.Without(guard))
				addr := g.Addr()
				if name == "TLS" {
					addr = g.TLSAddr()
				}
				shake := func(d *gatewaytest.Device, c tls.Certificate) {
					if name == "TLS" {
						d.Conn = tls.Client(d.Conn, s.Config(c))
						require.NoError(t, d.TLS().Handshake())
					}
				}
				// Proven devices do not count, however many are behind one address.
				for i := range 4 {
					d := behindProxy(t, addr, "192.0.2.7:4711")
					shake(d, s.Device(fmt.Sprintf("acme/d%d", i)))
					h := gatewaytest.Hello(s.Token(fmt.Sprintf("acme/d%d", i), nil))
					d.Send(h.Append(nil))
					d.Expect(wire.TypeWelcome)
				}
				rows := sessionRows(t, g, 4)
				require.Equal(t, "192.0.2.7:4711", rows[0].Remote)
				// Health checks of the proxy itself do not either.
				check := gatewaytest.Connect(t, addr)
				check.Send(proxyHeader(t, "0.0.0.0:0", true))
				require.NoError(t, check.Conn.Close())
				for range 2 {
					behindProxy(t, addr, "192.0.2.7:4712")
				}
				eventually(t, func() bool { return askJSON[map[string]any](t, g, "/v1/gateway")["connections"] == 6.0 })
				// Both have to have been read.
				time.Sleep(50 * time.Millisecond)
				require.Empty(t, log.Lines(t, g))
				third := behindProxy(t, addr, "192.0.2.7:4713")
				got, err := code(third, time.Second)
				if err != nil {
					return fmt.Errorf("the third of a network came in: %w", err)
				}
				require.Equal(t, wire.CodeConnectRate, got)
				line := log.one(t, g)
				require.Equal(t, "connect", line["event"])
				require.Equal(t, "192.0.2.7:4713", line["from"])
				require.Equal(t, third.Conn.LocalAddr().String(), line["via"])
				// Another network is another matter.
				other := behindProxy(t, addr, "192.0.2.8:4711")
				shake(other, s.Device("acme/other"))
				other.Send(gatewaytest.Hello("nonsense").Append(nil))
				other.ExpectClosed(wire.CodeNotAuthenticated)
				line = log.one(t, g)
				require.Equal(t, []any{"authenticate", "192.0.2.8:4711"}, []any{line["event"], line["from"]})
				return nil
			})
		})
	}
}

// A proxy that asks whether the gateway is well gets as far as anybody.
func TestProxySpeaksForItself(t *testing.T) {
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	d := gatewaytest.Connect(t, g.TLSAddr())
	d.Send(proxyHeader(t, "0.0.0.0:0", true))
	d.Conn = tls.Client(d.Conn, s.Config(s.Device("acme/check")))
	d.Send(gatewaytest.ByCertificate().Append(nil))
	d.Expect(wire.TypeWelcome)
	require.Equal(t, d.Conn.LocalAddr().String(), sessionRows(t, g, 1)[0].Remote)
}
