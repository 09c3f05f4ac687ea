package central

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestConfig(t *testing.T) {
	ca := newCA(t)
	fleet := ca.issue(t, "127.0.0.1")
	for _, c := range []struct {
		name string
		cfg  Config
		want string // empty: it is right
	}{
		{"nothing", Config{}, ""},
		{"a port on loopback", Config{Embedded: Embedded{Listen: "127.0.0.1:0"}}, ""},
		{"a port by name", Config{Embedded: Embedded{Listen: "localhost:0"}}, ""},
		{"a port on IPv6 loopback", Config{Embedded: Embedded{Listen: "[::1]:0"}}, ""},
		{"a port beyond", Config{Embedded: Embedded{Listen: "10.0.0.1:7314"}}, "10.0.0.1:7314 is not loopback"},
		{"a port everywhere", Config{Embedded: Embedded{Listen: ":7314"}}, "not loopback"},
		{"a port beyond, with certificates", Config{Embedded: Embedded{Listen: ":7314"}, TLS: fleet}, ""},
		{"a port beyond, without a CA", Config{Embedded: Embedded{Listen: ":7314"}, TLS: &tls.Config{Certificates: fleet.Certificates}}, "not loopback"},
		{"a port beyond, allowed", Config{Embedded: Embedded{Listen: ":7314"}, Insecure: true}, ""},
		{"no port", Config{Embedded: Embedded{Listen: "127.0.0.1"}}, "want host:port"},
		{"elsewhere", Config{URLs: []string{"nats://127.0.0.1:7314", "nats://localhost"}}, ""},
		{"elsewhere, beyond", Config{URLs: []string{"nats://127.0.0.1:7314", "nats://u:secret@db:4222"}}, "urls[1]: db:4222 is not loopback"},
		{"elsewhere, beyond, with certificates", Config{URLs: []string{"nats://db:4222"}, TLS: fleet}, ""},
		{"elsewhere, beyond, with TLS", Config{URLs: []string{"tls://db:4222"}}, ""},
		{"elsewhere, beyond, allowed", Config{URLs: []string{"nats://db:4222"}, Insecure: true}, ""},
		{"elsewhere and here", Config{URLs: []string{"nats://127.0.0.1"}, Embedded: Embedded{Dir: "x"}}, "are of an embedded one"},
		{"no URL", Config{URLs: []string{"127.0.0.1:4222"}}, "urls[0]: want nats://"},
		{"not NATS", Config{URLs: []string{"http://127.0.0.1:4222"}}, "urls[0]: want nats://"},
		{"a prefix that is no token", Config{Prefix: "a.b"}, "want letters"},
		{"too many replicas", Config{Replicas: 6}, "want 1 to 5"},
		{"an inbox that holds nothing", Config{Inbox: 1}, "inbox: 1: want 1048576 at least"},
		{"an outbox that holds nothing", Config{Pending: 1}, "pending: 1"},
		{"a lease of nothing", Config{Lease: time.Millisecond}, "lease: 1ms"},
		{"no memory", Config{Embedded: Embedded{MaxMemory: 1}}, "1 MiB of memory at least"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.cfg)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// A data directory is of one process, and free again when that is gone.
func TestDataDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	first, _ := start(t, Config{Embedded: Embedded{Dir: dir}})
	second, err := New((&sink{}).config(Config{Embedded: Embedded{Dir: dir}}))
	require.NoError(t, err)
	err = second.Run(t.Context())
	require.ErrorContains(t, err, "another process uses the data directory: "+dir)
	require.NoError(t, first.Close())
	start(t, Config{Embedded: Embedded{Dir: dir}})
}

// Control: without the lock two servers write to one directory.
func TestDataDirectoryInUseWithoutTheLock(t *testing.T) {
	dir := t.TempDir()
	start(t, Config{Embedded: Embedded{Dir: dir}})
	start(t, Config{Embedded: Embedded{Dir: dir}, without: guards{lock: true}})
}

func TestListenInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	c, err := New((&sink{}).config(Config{Embedded: Embedded{Listen: l.Addr().String()}}))
	require.NoError(t, err)
	require.ErrorContains(t, c.Run(t.Context()), "address already in use")
}

// Records survive the process, those in memory do not, and leave nothing behind.
func TestOnDiskAndInMemory(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for _, dir := range []string{t.TempDir(), ""} {
		c, _ := start(t, Config{Embedded: Embedded{Dir: dir}})
		_, err := c.Records().Put(t.Context(), "k", []byte("v"))
		require.NoError(t, err)
		require.NoError(t, c.Shutdown(t.Context()))
		c, _ = start(t, Config{Embedded: Embedded{Dir: dir}})
		_, _, err = c.Records().Get(t.Context(), "k")
		if dir != "" {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrNotFound)
		}
		require.NoError(t, c.Close())
	}
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

// A directory that cannot be written is said, and tried again: nothing else waits for it.
func TestDataDirectoryCannotBeMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	c, _ := begin(t, Config{Embedded: Embedded{Dir: dir}})
	eventually(t, func() bool { return c.Problem() != nil }, "a problem")
	require.ErrorContains(t, c.Problem(), "data directory: mkdir")
	require.ErrorIs(t, c.Publish("acme", "a", nil), ErrAway)
	require.NoError(t, os.Remove(dir))
	eventually(t, c.Connected, "it goes on by itself")
	require.NoError(t, c.Problem())
}

// What Shutdown sends has arrived.
func TestShutdownSends(t *testing.T) {
	_, got, url := offered(t, Config{})
	a, _ := start(t, Config{URLs: []string{url}})
	back := backend(t, url)
	heard := make(chan *nats.Msg, 1000)
	_, err := back.ChanSubscribe("bw.t.acme.a", heard)
	require.NoError(t, err)
	require.NoError(t, back.Flush())
	for range 1000 {
		require.NoError(t, a.Publish("acme", "a", make([]byte, 100)))
	}
	require.NoError(t, a.Shutdown(t.Context()))
	require.NoError(t, back.Flush())
	eventually(t, func() bool { return len(heard) == 1000 }, "all")
	require.ErrorIs(t, a.Publish("acme", "a", nil), ErrAway)
	require.ErrorIs(t, a.Run(t.Context()), net.ErrClosed)
	require.Empty(t, got.payloads(""))
}

// Beyond loopback only who has a certificate of the fleet's CA gets in.
func TestMutualTLS(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	_, _, url := offered(t, Config{Name: "a", TLS: ca.issue(t, "127.0.0.1")})
	b, got := start(t, Config{Name: "b", URLs: []string{url}, TLS: ca.issue(t, "b")})
	_, err := b.Subscribe("acme", "a")
	require.NoError(t, err)
	settle(t, b, got, "acme", "a")
	for name, config := range map[string]*tls.Config{
		"of another fleet":      {Certificates: other.issue(t, "b").Certificates, RootCAs: ca.pool},
		"without a certificate": {RootCAs: ca.pool},
	} {
		_, err := nats.Connect(url, nats.Secure(config), nats.Timeout(5*time.Second))
		require.Error(t, err, name)
	}
	_, err = nats.Connect(url)
	require.Error(t, err, "plain")
	c, err := New((&sink{}).config(Config{URLs: []string{url}, TLS: &tls.Config{Certificates: ca.issue(t, "c").Certificates, RootCAs: other.pool}}))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.NoError(t, c.Run(ctx))
	select {
	case <-c.Ready():
		require.Fail(t, "a server of another fleet was believed")
	default:
	}
}

// Recheck has who is connected prove himself again: the port closes its connections, who dialled dials again, and all are
// back.
func TestRecheck(t *testing.T) {
	ca := newCA(t)
	a, _, url := offered(t, Config{Name: "a", TLS: ca.issue(t, "127.0.0.1")})
	b, got := start(t, Config{Name: "b", URLs: []string{url}, TLS: ca.issue(t, "b")})
	_, err := b.Subscribe("acme", "a")
	require.NoError(t, err)
	settle(t, b, got, "acme", "a")
	for i, c := range []*Central{a, b} {
		require.NoError(t, c.Recheck())
		eventually(t, func() bool {
			got.mu.Lock()
			defer got.mu.Unlock()
			return slices.Equal(got.away, slices.Concat([]bool{false}, slices.Repeat([]bool{true, false}, i+1)))
		}, "it is back")
	}
	require.True(t, a.Connected(), "what is in the process stays")
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newCA(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

func (a *authority) issue(t *testing.T, name string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: a.pool, ClientCAs: a.pool, MinVersion: tls.VersionTLS13,
	}
}
