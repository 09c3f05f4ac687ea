package gateway_test

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// intruder is a device that must not get in, and what it and the audit log are told.
type intruder struct {
	trust  func(*secure.Config)
	cert   *tls.Certificate
	token  string
	code   wire.Code
	reason string // in the audit log, a part of it
}

func jwtOf(header, payload string, sign func(string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	return text + "." + b64(sign(text))
}

func intruders(t *testing.T, s *gatewaytest.Site) map[string]intruder {
	cert := func(a *secure.Authority, id string, p secure.Period) *tls.Certificate {
		c := s.DeviceOf(a, id, p)
		return &c
	}
	good := cert(s.Devices, "acme/kitchen", gatewaytest.Days(10))
	list, err := s.Devices.Revoke(nil, []*big.Int{good.Leaf.SerialNumber}, gatewaytest.Days(1))
	require.NoError(t, err)
	crls, err := secure.ParseRevocationLists(list)
	require.NoError(t, err)
	public := s.Key().Public().(ed25519.PublicKey)
	payload := fmt.Sprintf(`{"sub":"acme/kitchen","exp":%d}`, time.Now().Add(time.Hour).Unix())
	header := func(alg string) string {
		return fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q}`, alg, secure.TokenKeyID(public))
	}
	signed := func(text string) []byte { return ed25519.Sign(s.Key(), []byte(text)) }
	byPublic := func(text string) []byte {
		m := hmac.New(sha256.New, public)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	acmeOnly := func(c *secure.Config) { c.DeviceCAs[0].Tenant = "acme" }
	long := secure.Period{From: time.Now(), For: 2 * time.Hour}
	return map[string]intruder{
		"expired":         {cert: cert(s.Devices, "acme/kitchen", secure.Period{From: time.Now().Add(-2 * time.Hour), For: time.Hour}), code: wire.CodeNotAuthenticated, reason: "expired on"},
		"not yet valid":   {cert: cert(s.Devices, "acme/kitchen", secure.Period{From: time.Now().Add(3 * time.Hour), For: time.Hour}), code: wire.CodeNotAuthenticated, reason: "not valid before"},
		"wrong CA":        {cert: cert(gatewaytest.NewAuthority(t, "devices"), "acme/kitchen", long), code: wire.CodeNotAuthenticated, reason: "unknown issuer"},
		"wrong tenant":    {trust: acmeOnly, cert: cert(s.Devices, "other/kitchen", long), code: wire.CodeOtherTenant, reason: "tenant other"},
		"revoked by CRL":  {trust: func(c *secure.Config) { c.CRLs = crls }, cert: good, code: wire.CodeRevoked, reason: good.Leaf.SerialNumber.Text(16)},
		"revoked serial":  {trust: func(c *secure.Config) { c.Revoked.Serials = []string{good.Leaf.SerialNumber.Text(16)} }, cert: good, code: wire.CodeRevoked, reason: good.Leaf.SerialNumber.Text(16)},
		"revoked by name": {trust: func(c *secure.Config) { c.Revoked.Devices = []wire.Identity{gatewaytest.Identity(t, "acme/kitchen")} }, cert: good, code: wire.CodeRevoked, reason: "acme/kitchen"},
		"no certificate":  {code: wire.CodeNotAuthenticated},
		"token: none":     {token: jwtOf(header("none"), payload, func(string) []byte { return nil }), code: wire.CodeNotAuthenticated, reason: "token"},
		"token: HS256":    {token: jwtOf(header("HS256"), payload, byPublic), code: wire.CodeNotAuthenticated, reason: "token"},
		"token: as RS256": {token: jwtOf(header("RS256"), payload, signed), code: wire.CodeNotAuthenticated, reason: "token"},
		"token: signature": {token: jwtOf(header("EdDSA"), payload, func(text string) []byte {
			b := signed(text)
			b[3]++
			return b
		}), code: wire.CodeNotAuthenticated, reason: "bad signature"},
		"token: expired":       {token: s.Token("acme/kitchen", func(c *secure.Claims) { c.Expires = time.Now().Add(-time.Second) }), code: wire.CodeTokenExpired, reason: "expired"},
		"token: not yet valid": {token: s.Token("acme/kitchen", func(c *secure.Claims) { c.NotBefore = time.Now().Add(30 * time.Minute) }), code: wire.CodeNotAuthenticated, reason: "not valid before"},
		"token: revoked": {
			trust: func(c *secure.Config) { c.Revoked.Tokens = []string{"t1"} },
			token: s.Token("acme/kitchen", func(c *secure.Claims) { c.ID = "t1" }), code: wire.CodeRevoked, reason: "revoked",
		},
		"token: of another device": {cert: good, token: s.Token("acme/other", nil), code: wire.CodeOtherTenant, reason: "different devices"},
		"token: nonsense":          {token: "hello-I-am-acme/kitchen", code: wire.CodeNotAuthenticated},
	}
}

// MS-17: whoever must not get in is told why by its code and in an orderly way; the
// audit log has one line that says who connected from where and why not; and nothing
// of what came with its HELLO happened.
func TestIntruders(t *testing.T) {
	s := gatewaytest.NewSite(t)
	for name, in := range intruders(t, s) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log ledger
			g := s.Start(gateway.Config{Loops: 2, Trust: s.Trust(in.trust), Audit: log.Logger()})
			check := bystander(t, s, g)
			cfg := s.Config()
			if in.cert != nil {
				cfg = s.Config(*in.cert)
			}
			h := gatewaytest.ByCertificate()
			if in.token != "" {
				h = gatewaytest.Hello(in.token)
			}
			b := wire.Subscribe{Sub: 1, Filter: []byte("#")}.Append(h.Append(nil))
			b = wire.Publish{Name: []byte("broadcast/intruder"), Payload: []byte("hi")}.Append(b)
			d := gatewaytest.Shake(t, g.TLSAddr(), cfg)
			from := d.Conn.LocalAddr().String()
			_, _ = d.Conn.Write(b) // the gateway may have ended it before
			d.ExpectClosed(in.code)
			line := log.one(t, g)
			require.Equal(t, "audit", line["msg"])
			require.Equal(t, "WARN", line["level"])
			require.Equal(t, "authenticate", line["event"])
			require.Equal(t, fmt.Sprintf("%02x", uint8(in.code)), line["code"])
			require.Equal(t, from, line["from"])
			if in.reason != "" {
				require.Contains(t, line["reason"], in.reason)
			}
			if in.token != "" {
				require.NotContains(t, fmt.Sprint(line), in.token)
			}
			check()
			require.Empty(t, log.Lines(t, g))
		})
	}
}

// The control of TestIntruders: the same device with a good credential is in.
func TestIntruderWithGoodCredentials(t *testing.T) {
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{})
	gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/kitchen")), "").Ping()
	gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(), s.Token("acme/kitchen", nil)).Ping()
}

// bystander is a good device that is subscribed to everything; check says that
// nothing came, that nobody else is there, and that it still has its messages.
func bystander(t *testing.T, s *gatewaytest.Site, g *gateway.Gateway) (check func()) {
	d := gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(), s.Token("acme/bystander", nil))
	d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")})
	return func() {
		t.Helper()
		d.Ping()
		eventually(t, func() bool { return askJSON[map[string]any](t, g, "/v1/gateway")["connections"] == 1.0 })
		st := askJSON[map[string]any](t, g, "/v1/gateway")
		require.Equal(t, []any{1.0, 1.0, 0.0, 0.0}, []any{st["sessions"], st["subscriptions"], st["topics"], st["published"]})
		_, err := g.Publish(context.Background(), "acme", "broadcast/x", nil)
		require.NoError(t, err)
		require.Equal(t, wire.TypeTopic.String(), d.Expect(wire.TypeTopic).Type.String())
		d.Message()
	}
}

// What is not even a TLS device of ours: each gets what it can understand.
func TestWrongProtocols(t *testing.T) {
	s := gatewaytest.NewSite(t)
	proxied := proxyHeader(t, "192.0.2.7:4711", false)
	hello := gatewaytest.Hello("d").Append(nil)
	clientHello := []byte{22, 3, 1, 0, 4, 1, 0, 0, 0}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, c := range map[string]struct {
		secure    bool
		proxyFrom []netip.Prefix
		send      []byte
		code      wire.Code // 0: ended without a word
		event     string
		audited   wire.Code
		reason    string
	}{
		"plain HELLO to the TLS port":           {true, nil, hello, wire.CodeMalformed, "handshake", wire.CodeMalformed, "speaks TLS"},
		"TLS hello to the plain port":           {false, nil, clientHello, wire.CodeOutOfOrder, "frame", wire.CodeOutOfOrder, "HELLO must be first"},
		"neither":                               {true, nil, []byte("GET / HTTP/1.1\r\n\r\n"), 0, "connect", wire.CodeMalformed, "neither TLS"},
		"unlisted proxy on the TLS port":        {true, elsewhere, proxied, wire.CodeOverload, "proxy", wire.CodeOverload, "not listed"},
		"unlisted proxy on the plain port":      {false, elsewhere, proxied, wire.CodeOverload, "proxy", wire.CodeOverload, "not listed"},
		"proxy where none is":                   {false, nil, append(proxied, hello...), wire.CodeOverload, "proxy", wire.CodeOverload, "not listed"},
		"listed without header, TLS port":       {true, here, clientHello, wire.CodeOverload, "proxy", wire.CodeOverload, "no PROXY protocol v2"},
		"listed without header, plain port":     {false, here, hello, wire.CodeOverload, "proxy", wire.CodeOverload, "no PROXY protocol v2"},
		"listed with a header of the version 1": {false, here, []byte("PROXY TCP4 192.0.2.7 127.0.0.1 4711 7311\r\n"), wire.CodeOverload, "proxy", wire.CodeOverload, "no PROXY protocol v2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log ledger
			g := s.Start(gateway.Config{Loops: 1, ProxyFrom: c.proxyFrom, Audit: log.Logger()})
			addr := g.Addr()
			if c.secure {
				addr = g.TLSAddr()
			}
			d := gatewaytest.Connect(t, addr)
			d.Send(c.send)
			if c.code == 0 {
				_, err := d.Next(gatewaytest.Patience)
				require.Error(t, err)
			} else {
				d.ExpectClosed(c.code)
			}
			line := log.one(t, g)
			require.Equal(t, c.event, line["event"])
			require.Equal(t, fmt.Sprintf("%02x", uint8(c.audited)), line["code"])
			require.Equal(t, d.Conn.LocalAddr().String(), line["from"])
			require.Contains(t, line["reason"], c.reason)
			sessionRows(t, g, 0)
		})
	}
}

// A client that knows no TLS 1.3 gets TLS's own answer.
func TestOldTLS(t *testing.T) {
	s := gatewaytest.NewSite(t)
	var log ledger
	g := s.Start(gateway.Config{Audit: log.Logger()})
	cfg := s.Config(s.Device("acme/old"))
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	d, err := gatewaytest.TryShake(t, g.TLSAddr(), cfg)
	require.ErrorContains(t, err, "protocol version not supported")
	line := log.one(t, g)
	require.Equal(t, "handshake", line["event"])
	require.Equal(t, "80", line["code"])
	require.Equal(t, d.Conn.LocalAddr().String(), line["from"])
	require.Contains(t, line["reason"], "unsupported versions")
	_, err = io.Copy(io.Discard, d.TLS().NetConn())
	require.NoError(t, err)
	sessionRows(t, g, 0)
}

// proxyHeader is one of version 2, for TCP over IPv4.
func proxyHeader(t *testing.T, source string, local bool) []byte {
	t.Helper()
	from := netip.MustParseAddrPort(source)
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	if local {
		b[12], b[13], b[15] = 0x20, 0, 0
		return b
	}
	ip := from.Addr().As4()
	b = append(append(b, ip[:]...), 127, 0, 0, 1)
	return append(b, byte(from.Port()>>8), byte(from.Port()), 0x1c, 0x93)
}

// A Reload that revokes, or believes a CA no more, ends live sessions within a
// second, each with its code and its line, wherever they have come to; others stay.
// A new certificate of the gateway drops nobody, and those who come see it.
func TestReloadedTrust(t *testing.T) {
	s := gatewaytest.NewSite(t)
	second := gatewaytest.NewAuthority(t, "second")
	both := func(c *secure.Config) {
		c.DeviceCAs = append(c.DeviceCAs, secure.CA{Roots: []*x509.Certificate{second.Certificate()}})
	}
	kitchen := s.Device("acme/kitchen")
	for name, c := range map[string]struct {
		trust  func(*secure.Config)
		cert   tls.Certificate
		code   wire.Code
		reason string
	}{
		"device": {func(c *secure.Config) {
			both(c)
			c.Revoked.Devices = []wire.Identity{{Tenant: "acme", Device: "kitchen"}}
		}, kitchen, wire.CodeRevoked, "device revoked"},
		"certificate": {func(c *secure.Config) { both(c); c.Revoked.Serials = []string{kitchen.Leaf.SerialNumber.Text(16)} }, kitchen, wire.CodeRevoked, "revoked"},
		"CA":          {nil, s.DeviceOf(second, "acme/kitchen", gatewaytest.Days(5)), wire.CodeNotAuthenticated, "unknown issuer"},
	} {
		for _, stage := range []string{"open", "before HELLO", "in its handshake"} {
			t.Run(name+" "+stage, func(t *testing.T) {
				t.Parallel()
				var log ledger
				g := s.Start(gateway.Config{Loops: 2, Trust: s.Trust(both), Audit: log.Logger()})
				stays := gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/stays")), "")
				d, event := gatewaytest.Connect(t, g.TLSAddr()), "revoke"
				slow := &held{Conn: d.Conn}
				client := tls.Client(slow, s.Config(c.cert))
				switch stage {
				case "open":
					d.Conn = client
					d.Send(gatewaytest.ByCertificate().Append(nil))
					d.Expect(wire.TypeWelcome)
				case "before HELLO":
					d.Conn = client
					require.NoError(t, client.Handshake())
					eventually(t, func() bool { return askJSON[map[string]any](t, g, "/v1/gateway")["handshakes"] == 0.0 })
					// It ends on a goroutine; the loop hears of it a moment later.
					time.Sleep(20 * time.Millisecond)
				default:
					event = "authenticate"
					slow.after = 1 // only its hello leaves
					require.NoError(t, client.Handshake())
					d.Conn = client
				}
				began := time.Now()
				require.NoError(t, g.Reload(gateway.Config{Trust: s.Trust(c.trust)}))
				if event == "authenticate" {
					_, err := slow.Conn.Write(slow.b)
					require.NoError(t, err)
				}
				d.ExpectClosed(c.code)
				require.Less(t, time.Since(began), time.Second)
				line := log.one(t, g)
				require.Equal(t, event, line["event"])
				require.Equal(t, fmt.Sprintf("%02x", uint8(c.code)), line["code"])
				require.Contains(t, line["reason"], c.reason)
				require.Equal(t, client.LocalAddr().String(), line["from"])
				if event == "revoke" {
					require.Equal(t, []any{"acme", "kitchen"}, []any{line["tenant"], line["device"]})
				}
				stays.Ping()
				sessionRows(t, g, 1)
			})
		}
	}
}

// New certificates while devices come and go: whoever is there stays, and a new
// handshake sees the new one.
func TestChangedGatewayCertificate(t *testing.T) {
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{Loops: 2})
	cfg := s.Config(s.Device("acme/stays"))
	stays := gatewaytest.JoinTLS(t, g.TLSAddr(), cfg, "")
	stop, failed := make(chan struct{}), make(chan error, 4)
	for i := range 4 {
		own := s.Config(s.Device(fmt.Sprintf("acme/comes-%d", i)))
		go func() {
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				c, err := tls.Dial("tcp", g.TLSAddr().String(), own)
				if err == nil {
					_, err = c.Write(wire.Close{}.Append(gatewaytest.ByCertificate().Append(nil)))
				}
				b := make([]byte, 1)
				if err == nil {
					_, err = io.ReadFull(c, b)
				}
				if err == nil && wire.Type(b[0]) != wire.TypeWelcome {
					err = fmt.Errorf("%x came", b)
				}
				if err == nil {
					_, err = io.Copy(io.Discard, c)
				}
				if err != nil {
					failed <- err
					return
				}
				_ = c.Close()
			}
		}()
	}
	var last string
	for range 10 {
		own := s.Gateway()
		require.NoError(t, g.Reload(gateway.Config{Trust: s.Trust(func(c *secure.Config) { c.Certificates = []tls.Certificate{own} })}))
		fresh := gatewaytest.Shake(t, g.TLSAddr(), s.Config())
		got := fresh.TLS().ConnectionState().PeerCertificates[0].SerialNumber.String()
		require.Equal(t, own.Leaf.SerialNumber.String(), got)
		require.NotEqual(t, last, got)
		last = got
		stays.Ping()
		_ = fresh.Conn.Close()
	}
	close(stop)
	for range 4 {
		require.NoError(t, <-failed)
	}
}
