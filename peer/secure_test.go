package peer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// authority issues certificates of gateways.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{t, cert, key, pool}
}

func (a *authority) config(cluster, name string, change func(*x509.Certificate)) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	require.NoError(a.t, err)
	uri, err := CertificateName(cluster, name)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{uri}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(crand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: a.pool, ClientCAs: a.pool,
	}
}

// TestTLS links gateways by certificate, and broadcasts over it.
func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	hosts, _ := fleet(t, 2, func(i int, c *Config) { c.TLS = ca.config("test", string(rune('a'+i)), nil) })
	const n = 3000
	for i := 1; i <= n; i++ {
		hosts[0].publish("broadcast/x", fmt.Sprint(i), nil)
	}
	eventually(t, "all have come", func() bool { return len(hosts[1].saw(hosts[0].life)) >= n })
	require.Equal(t, numbers(1, n), hosts[1].saw(hosts[0].life))
}

// TestWrongCertificate refuses gateways that do not prove who they say they are (BC-D9). Without the guard one gets in
// under another's name.
func TestWrongCertificate(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	for _, test := range []struct {
		name    string
		tls     *tls.Config
		cluster string
		why     Why // that a counts
		in      bool
		without bool
	}{
		{name: "good", tls: ca.config("test", "b", nil), in: true},
		{name: "of another CA", tls: stranger.config("test", "b", nil), why: Failed},
		{name: "of another fleet", tls: ca.config("other", "b", nil), why: OtherFleet},
		{name: "of another fleet, which says so", tls: ca.config("other", "b", nil), cluster: "other", why: OtherFleet},
		{name: "of another gateway", tls: ca.config("test", "c", nil), why: WrongName},
		{name: "of another gateway, without the guard", tls: ca.config("test", "c", nil), in: true, without: true},
		{name: "expired", tls: ca.config("test", "b", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), why: Failed},
		{name: "of a device", tls: ca.config("test", "b", func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "bellwire", Host: "test", Path: "/b"}}
		}), why: WrongName},
		{name: "with two names", tls: ca.config("test", "b", func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "bellwire", Host: "test", Path: "/gateway/c"})
		}), why: WrongName},
		{name: "not for clients", tls: ca.config("test", "b", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), why: Failed},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t, 1)
			m := start(t, h, "a", func(c *Config) {
				c.TLS = ca.config("test", "a", nil)
				c.without.certificateName = test.without
			})
			said := hello{kind: kindBatches, min: 1, max: 1, cluster: cmp.Or(test.cluster, "test"), name: "b", life: 9 << 24}
			client := test.tls.Clone()
			client.RootCAs, client.InsecureSkipVerify = nil, true
			conn, err := tls.Dial("tcp", m.Addr().String(), client)
			if err == nil {
				defer func() { _ = conn.Close() }()
				_, _ = conn.Write(appendSeq(said.frame(), typeAck, 0))
			}
			if test.in {
				eventually(t, "it is linked", func() bool { return linked(m, "b") })
				return
			}
			eventually(t, "it is refused and counted", func() bool { return m.Totals().Refused[test.why] > 0 })
			require.Empty(t, m.Links())
			require.Empty(t, h.told())
		})
	}
}

// TestPlainRefused wants TLS beyond loopback, at both ends, and says so.
func TestPlainRefused(t *testing.T) {
	h := newHost(t, 1)
	good := Config{Cluster: "test", Name: "a", Life: h.life, Streams: h, Source: h}
	_, err := New(good)
	require.NoError(t, err)
	for name, change := range map[string]func(*Config){
		"is not on loopback":     func(c *Config) { c.Listen = "0.0.0.0:7313" },
		"192.0.2.1:7313 is not":  func(c *Config) { c.Peers = []string{"192.0.2.1:7313"} },
		"missing port":           func(c *Config) { c.Peers = []string{"localhost"} },
		"at most 32 peers":       func(c *Config) { c.Most = 33 },
		"cluster name":           func(c *Config) { c.Cluster = "" },
		"gateway name":           func(c *Config) { c.Name = "a b" },
		"a run of 0":             func(c *Config) { c.Life++ },
		"Streams and Source":     func(c *Config) { c.Source = nil },
		"TLS has no certificate": func(c *Config) { c.TLS = &tls.Config{} },
		"want VerifyConnection":  func(c *Config) { c.TLS = newAuthority(t).config("test", "a", nil); c.TLS.InsecureSkipVerify = true },
		"and this is a of test":  func(c *Config) { c.TLS = newAuthority(t).config("test", "b", nil) },
		"cannot be negative":     func(c *Config) { c.Hold = -1 },
		"want at least 1s":       func(c *Config) { c.Silence = 300 * time.Millisecond },
	} {
		cfg := good
		change(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, name)
	}
}

// raw dials a mesh as a stranger.
func raw(t testing.TB, m *Mesh) net.Conn {
	conn, err := net.Dial("tcp", m.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// rawLinked is raw, linked as a gateway of that name.
func rawLinked(t testing.TB, m *Mesh, name string) net.Conn {
	conn := raw(t, m)
	said := hello{kind: kindBatches, min: 1, max: 1, cluster: "test", name: name, life: 9 << 24}
	_, err := conn.Write(appendSeq(said.frame(), typeAck, 0))
	require.NoError(t, err)
	eventually(t, "linked", func() bool { return linked(m, name) })
	return conn
}

// lastFrame reads until the other side closes, and returns its CLOSE.
func lastFrame(t testing.TB, conn net.Conn) *CloseError {
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	for {
		ty, body, rest, err := nextFrame(all, maxFrame)
		if err != nil {
			return nil
		}
		all = rest
		if ty == typeClose {
			e, err := parseClose(body)
			require.NoError(t, err)
			return e
		}
	}
}

// TestStrangers sends everything but a HELLO as the first frame: it is refused within that frame, and said why.
func TestStrangers(t *testing.T) {
	m := start(t, newHost(t, 1), "a", nil)
	for ty := range 256 {
		if frameType(ty) == typeHello || frameType(ty) == typeClose {
			continue
		}
		conn := raw(t, m)
		_, err := conn.Write([]byte{byte(ty), 2, 1, 0})
		require.NoError(t, err)
		e := lastFrame(t, conn)
		require.NotNil(t, e, "%02x", ty)
		require.Equal(t, Broken, e.Why)
		_ = conn.Close()
	}
	for _, first := range [][]byte{
		append([]byte{byte(typeHello)}, wire.AppendVarint(nil, 2000)...), // longer than a HELLO may be
		{byte(typeHello), 3, 'B', 'W', 'X'},
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		{0x01, 0x11, 0x42, 0x57, 1, 1, 7, 1}, // a device
	} {
		conn := raw(t, m)
		_, err := conn.Write(first)
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		if e := lastFrame(t, conn); e != nil {
			require.Equal(t, Broken, e.Why)
		}
	}
	eventually(t, "all are counted", func() bool { return m.Totals().Refused[Broken] >= 256 })
	require.Empty(t, m.Links())
}

// TestSilentStrangers hold no place: the ones that have waited longest go when there are too many, and a gateway gets in
// among them.
func TestSilentStrangers(t *testing.T) {
	hosts, meshes := fleet(t, 2, nil)
	var conns []net.Conn
	for range 2 * maxStrangers {
		conns = append(conns, raw(t, meshes[0]))
	}
	require.NoError(t, conns[0].SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := conns[0].Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	cut(meshes[1])
	eventually(t, "linked again among them", func() bool { return linked(meshes[0], "b") && linked(meshes[1], "a") })
	hosts[0].publish("broadcast/x", "1", nil)
	eventually(t, "it comes", func() bool { return len(hosts[1].saw(hosts[0].life)) == 1 })
}

// TestOtherFleet says to a gateway of another fleet why it is refused; both go on.
func TestOtherFleet(t *testing.T) {
	h := newHost(t, 1)
	m := start(t, h, "a", nil)
	start(t, newHost(t, 2), "b", func(c *Config) { c.Cluster, c.Peers = "other", []string{m.Addr().String()} })
	eventually(t, "it is counted", func() bool { return m.Totals().Refused[OtherFleet] > 0 })
	require.Empty(t, m.Links())
}

// TestSelf has a gateway that is given its own address: it finds out, and does no harm.
func TestSelf(t *testing.T) {
	m := start(t, newHost(t, 1), "a", nil)
	m.SetPeers(map[string]string{"b": m.Addr().String()})
	eventually(t, "it is counted", func() bool { return m.Totals().Refused[Self] > 0 })
	for _, l := range m.Links() {
		require.Equal(t, "connecting", l.State)
	}
}

// TestReachedFromThere shows a gateway that could not be reached, and then linked by itself, once. Of two connections that
// of the smaller name stays.
func TestReachedFromThere(t *testing.T) {
	late, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := late.Addr().String()
	require.NoError(t, late.Close())
	z := start(t, newHost(t, 1), "z", func(c *Config) { c.Peers = []string{address} })
	eventually(t, "it is tried in vain", func() bool { l := z.Links(); return len(l) == 1 && l[0].State == "connecting" })
	b := start(t, newHost(t, 2), "b", func(c *Config) { c.Listen, c.Peers = address, []string{z.Addr().String()} })
	eventually(t, "it is linked, once", func() bool {
		near, far := z.Links(), b.Links()
		return len(near) == 1 && near[0].State == "linked" && len(far) == 1 && far[0].State == "linked"
	})
	require.NoError(t, b.Close())
	eventually(t, "it is tried in vain again", func() bool {
		z.mu.Lock()
		defer z.mu.Unlock()
		for _, d := range z.dialers {
			return d.failed.Load() != nil
		}
		return false
	})
	require.Len(t, z.Links(), 1, "it is listed as one that was linked")
}

// TestOwnCheck has the dialling end look at the chain, and then ask the check that its configuration has.
func TestOwnCheck(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	for name, test := range map[string]struct {
		of   *authority // that has issued a's
		own  error
		good bool
	}{
		"both": {ca, nil, true}, "of another CA": {stranger, nil, false}, "the check": {ca, errors.New("no"), false},
	} {
		listens := test.of.config("test", "a", nil)
		listens.ClientCAs = ca.pool
		a := start(t, newHost(t, 1), "a", func(c *Config) { c.TLS = listens })
		b := start(t, newHost(t, 2), "b", func(c *Config) {
			c.TLS = ca.config("test", "b", nil)
			c.TLS.VerifyConnection = func(tls.ConnectionState) error { return test.own }
			c.Listen, c.Peers = "", []string{a.Addr().String()}
		})
		if test.good {
			eventually(t, name, func() bool { return linked(b, "a") })
			continue
		}
		eventually(t, name, func() bool { return b.Totals().Refused[Failed] > 0 })
		require.False(t, linked(b, "a"), name)
	}
}

// TestWelcomeIsStrict has a configuration for each client that asks for less than links take.
func TestWelcomeIsStrict(t *testing.T) {
	ca := newAuthority(t)
	lax := ca.config("test", "a", nil)
	lax.ClientAuth, lax.MinVersion = tls.NoClientCert, tls.VersionTLS12
	m := start(t, newHost(t, 1), "a", func(c *Config) {
		c.TLS = ca.config("test", "a", nil)
		c.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return lax, nil }
	})
	for _, dials := range []*tls.Config{
		{RootCAs: ca.pool, InsecureSkipVerify: true},
		{RootCAs: ca.pool, InsecureSkipVerify: true, Certificates: ca.config("test", "b", nil).Certificates, MaxVersion: tls.VersionTLS12},
	} {
		before := m.Totals().Refused[Failed]
		conn, err := tls.Dial("tcp", m.Addr().String(), dials)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		require.Error(t, err)
		eventually(t, "it is refused", func() bool { return m.Totals().Refused[Failed] > before })
	}
}

// lines are those of a log, as many as fit.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

// TestStrangersAreLogged: the first of a minute where it is seen, the others where they are looked for.
func TestStrangersAreLogged(t *testing.T) {
	log := make(lines, 100)
	m := start(t, newHost(t, 1), "a", func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	const n = 3
	for range n {
		_, err := raw(t, m).Write([]byte{byte(typeHello), 1, 0xFF})
		require.NoError(t, err)
	}
	eventually(t, "all are counted", func() bool { return m.Totals().Refused[Broken] == n })
	require.NoError(t, m.Close())
	require.Len(t, log, 1)
	require.Contains(t, <-log, `level=WARN msg="a stranger was refused where gateways link; more within the minute are only counted" address=127.0.0.1:`)
}

// TestRecheck has what is believed change while links stand: those that are not believed any more are closed, and the
// others are not. Both sides say why.
func TestRecheck(t *testing.T) {
	ca := newAuthority(t)
	var doubted atomic.Pointer[string]
	told := make(lines, 100)
	_, meshes := fleet(t, 3, func(i int, c *Config) {
		c.TLS = ca.config("test", string(rune('a'+i)), nil)
		if i > 0 {
			c.Logger = slog.New(slog.NewTextHandler(told, nil))
			return
		}
		c.TLS.VerifyConnection = func(s tls.ConnectionState) error {
			if name := doubted.Load(); name != nil && s.PeerCertificates[0].URIs[0].Path == "/gateway/"+*name {
				return errors.New("it was lost in a taxi")
			}
			return nil
		}
	})
	a := meshes[0]
	a.Recheck()
	meshes[1].Recheck() // it has nothing to ask
	require.Zero(t, a.Totals().Refused[Disbelieved])
	lost, nobody := "b", "nobody"
	doubted.Store(&lost)
	require.True(t, linked(a, "b", "c"), "nobody has asked")
	a.Recheck()
	eventually(t, "it is closed", func() bool { return a.Totals().Refused[Disbelieved] == 1 && !linked(a, "b") })
	require.True(t, linked(a, "c"))
	for !strings.Contains(<-told, `"the other side says: certificate not believed any more: it was lost in a taxi"`) {
		continue
	}
	doubted.Store(&nobody)
	eventually(t, "it is believed again", func() bool { return linked(a, "b", "c") })
}

// TestLyingLength sends a frame that says it is longer than any may be.
func TestLyingLength(t *testing.T) {
	m := start(t, newHost(t, 1), "a", nil)
	conn := rawLinked(t, m, "b")
	_, err := conn.Write(append([]byte{byte(typeBatch)}, wire.AppendVarint(nil, maxFrame)...))
	require.NoError(t, err)
	e := lastFrame(t, conn)
	require.NotNil(t, e)
	require.Equal(t, Broken, e.Why)
}

// TestDeadPeer has a peer that takes nothing (BC-D5): neither the publisher nor another peer waits for it, and what is
// kept for it is bounded. That it is dropped in time is TestPipeSilence.
func TestDeadPeer(t *testing.T) {
	hosts, meshes := fleet(t, 2, func(_ int, c *Config) { c.Silence = time.Hour })
	rawLinked(t, meshes[0], "z")
	payload := string(bytes.Repeat([]byte("x"), 10<<10))
	const n = 2000 // 20 MB, more than sockets take
	for range n {
		hosts[0].publish("broadcast/x", payload, nil)
	}
	eventually(t, "the other one has all", func() bool { return len(hosts[1].saw(hosts[0].life)) == n })
	require.True(t, linked(meshes[0], "z"))
	require.LessOrEqual(t, meshes[0].Totals().Retained, mostKept*DefaultRetain)
}

// TestShutdown sends everything and says so.
func TestShutdown(t *testing.T) {
	hosts, meshes := fleet(t, 3, nil)
	const n = 5000
	for i := 1; i <= n; i++ {
		hosts[0].publish("broadcast/x", fmt.Sprint(i), nil)
	}
	require.NoError(t, meshes[0].Shutdown(t.Context()))
	for _, h := range hosts[1:] {
		require.Equal(t, numbers(1, n), h.saw(hosts[0].life))
		eventually(t, "it is told", func() bool {
			told := h.told()
			return told[len(told)-1] == changed{hosts[0].life, "a", Left}
		})
	}
	require.ErrorIs(t, meshes[0].Serve(t.Context()), ErrClosed)
	hosts[0].publish("broadcast/x", "late", nil)
}

// TestShutdownIsBounded does not wait for a peer that takes nothing.
func TestShutdownIsBounded(t *testing.T) {
	m := start(t, newHost(t, 1), "a", nil)
	rawLinked(t, m, "z")
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := errors.New("impatient")
	cancel(impatient)
	require.ErrorIs(t, m.Shutdown(ctx), impatient)
}

// TestCredit gives each message's credit back once, also when the mesh closes and when there is nobody.
func TestCredit(t *testing.T) {
	hosts, meshes := fleet(t, 2, nil)
	back := make(chan struct{}, 10_000)
	held := release(func() { back <- struct{}{} })
	for range 1000 {
		hosts[0].publish("broadcast/x", "x", held)
	}
	for range 1000 {
		<-back
	}
	none := make(chan struct{})
	hosts[1].credit.Store(&none) // nobody takes anything any more
	for range 1000 {
		hosts[0].publish("broadcast/x", "x", held)
	}
	require.NoError(t, meshes[0].Close())
	require.Len(t, back, 1000)
	hosts[0].publish("broadcast/x", "x", held)
	require.Len(t, back, 1001)
}

// TestJoinsAndLeaves has a gateway come while others run, and go (BC-13).
func TestJoinsAndLeaves(t *testing.T) {
	hosts, meshes := fleet(t, 2, nil)
	c := newHost(t, 3)
	third := start(t, c, "c", nil)
	found := map[string]string{"a": meshes[0].Addr().String(), "b": meshes[1].Addr().String(), "c": third.Addr().String()}
	for _, m := range meshes {
		m.SetPeers(found)
	}
	eventually(t, "it is linked", func() bool { return linked(third, "a", "b") && linked(meshes[0], "c") })
	hosts[0].publish("broadcast/x", "1", nil)
	eventually(t, "it comes", func() bool { return len(c.saw(hosts[0].life)) == 1 })
	require.NoError(t, third.Shutdown(t.Context()))
	delete(found, "c")
	meshes[0].SetPeers(found)
	hosts[0].publish("broadcast/x", "2", nil)
	eventually(t, "the others go on", func() bool { return len(hosts[1].saw(hosts[0].life)) == 2 })
}
