package secure

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// someday is the clock of these tests, in the middle of a ticket period.
var someday = time.Date(2027, 3, 4, 6, 0, 0, 0, time.UTC)

// testCA issues certificates like those of a small fleet.
type testCA struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newTestCA(t testing.TB) *testCA {
	a := &testCA{t: t}
	issued := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Acme device CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.cert, a.key = issued.Leaf, issued.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *testCA) issue(template *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(a.t, err)
	template.NotBefore, template.NotAfter = someday.AddDate(-1, 0, 0), someday.AddDate(1, 0, 0)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *testCA) server() tls.Certificate {
	return a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "gw1.example"}, DNSNames: []string{"gw1.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func (a *testCA) device(name string) tls.Certificate {
	return a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: []string{"Acme"}}, URIs: []*url.URL{{Scheme: "bellwire", Host: "acme", Path: "/" + name}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// site is a gateway's side: a config and what was asked of its verdict.
type site struct {
	tickets *tickets
	verdict func(tls.ConnectionState) (*Proof, error)
	now     time.Time
}

func newSite(t testing.TB, secrets ...[]byte) *site {
	s := &site{now: someday}
	base := serverConfig([]tls.Certificate{newTestCA(t).server()}, nil, func() time.Time { return s.now })
	s.tickets = newTickets(base, secrets)
	s.verdict = func(tls.ConnectionState) (*Proof, error) { return nil, nil }
	return s
}

func (s *site) conn() *Conn { return newConn(s.tickets.config(s.now), s.verdict) }

// clientConfig is a device's; the server is proven elsewhere.
func clientConfig() *tls.Config {
	return &tls.Config{ServerName: "gw1.example", InsecureSkipVerify: true, Time: at(someday), MinVersion: tls.VersionTLS12}
}

func x25519() *tls.Config {
	cfg := clientConfig()
	cfg.CurvePreferences = []tls.CurveID{tls.X25519}
	return cfg
}

// wireEnd is the net.Conn of a real tls.Client: what it writes goes to toServer,
// it reads what deliver brought and waits for more unless it is not to wait.
type wireEnd struct {
	net.Conn // nil: what is not here is not called
	toServer func([]byte)

	mu     sync.Mutex
	grown  *sync.Cond
	inbox  []byte
	noWait bool
	closed bool
}

func newWireEnd(toServer func([]byte)) *wireEnd {
	w := &wireEnd{toServer: toServer}
	w.grown = sync.NewCond(&w.mu)
	return w
}

func (w *wireEnd) deliver(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox = append(w.inbox, b...)
	w.grown.Broadcast()
}

func (w *wireEnd) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.grown.Broadcast()
}

func (w *wireEnd) Read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.inbox) == 0 {
		if w.closed {
			return 0, io.EOF
		}
		if w.noWait {
			return 0, errEmpty
		}
		w.grown.Wait()
	}
	n := copy(b, w.inbox)
	w.inbox = w.inbox[n:]
	return n, nil
}

func (w *wireEnd) Write(b []byte) (int, error) {
	w.toServer(b)
	return len(b), nil
}

func (w *wireEnd) Close() error                     { return nil }
func (w *wireEnd) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wireEnd) SetDeadline(time.Time) error      { return nil }
func (w *wireEnd) SetWriteDeadline(time.Time) error { return nil }

// device is a real tls.Client on a Conn whose handshake is over: its writes
// collect in sent.
type device struct {
	t      testing.TB
	end    *wireEnd
	client *tls.Conn
	conn   *Conn
	proof  *Proof
	sent   []byte
}

// connect shakes hands, and fails the test if either side fails.
func connect(t testing.TB, conn *Conn, cfg *tls.Config) *device {
	t.Helper()
	d, clientErr, serverErr := tryConnect(t, conn, cfg, nil)
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	return d
}

func tryConnect(t testing.TB, conn *Conn, cfg *tls.Config, gate Gate) (d *device, clientErr, serverErr error) {
	t.Helper()
	d = &device{t: t, conn: conn}
	d.end = newWireEnd(conn.Feed)
	d.client = tls.Client(d.end, cfg)
	done := make(chan error, 1)
	go func() {
		var err error
		d.proof, err = conn.Handshake(context.Background(), gate, d.end.deliver)
		if err != nil {
			d.end.close()
		}
		done <- err
	}()
	clientErr = d.client.Handshake()
	serverErr = <-done // also after a client that failed, which sends an alert
	d.end.noWait = true
	d.end.toServer = func(b []byte) { d.sent = append(d.sent, b...) }
	return d, clientErr, serverErr
}

// write is what the device sends for plain.
func (d *device) write(plain []byte) []byte {
	_, err := d.client.Write(plain)
	require.NoError(d.t, err)
	return d.take()
}

func (d *device) take() []byte {
	sent := d.sent
	d.sent = nil
	return sent
}

// read is what the device reads of records, and the error behind it, nil if
// there is simply nothing more.
func (d *device) read(records []byte) ([]byte, error) {
	d.end.deliver(records)
	var plain bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := d.client.Read(buf)
		plain.Write(buf[:n])
		if err == nil {
			continue
		}
		if errors.Is(err, errEmpty) {
			err = nil
		}
		return plain.Bytes(), err
	}
}
