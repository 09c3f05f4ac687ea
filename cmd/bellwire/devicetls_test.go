package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// pki has files as a person would name them: ca.pem, gateway.pem for 127.0.0.1, device.pem and device.key,
// both.pem with the two in one, other.pem of another CA, and some that are none of that.
type pki struct {
	dir     string
	gateway tls.Certificate
}

func (p pki) file(name string) string { return filepath.Join(p.dir, name) }

func newPKI(t *testing.T) pki {
	t.Helper()
	p := pki{dir: t.TempDir()}
	write := func(name string, blocks ...*pem.Block) {
		var text bytes.Buffer
		for _, b := range blocks {
			require.NoError(t, pem.Encode(&text, b))
		}
		require.NoError(t, os.WriteFile(p.file(name), text.Bytes(), 0o600))
	}
	issue := func(name string, want *x509.Certificate, by *tls.Certificate) (made tls.Certificate, cert, key *pem.Block) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		want.SerialNumber, want.Subject = big.NewInt(1), pkix.Name{CommonName: name}
		want.NotBefore, want.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		issuer, signer := want, any(private)
		if by != nil {
			issuer, signer = by.Leaf, by.PrivateKey
		}
		der, err := x509.CreateCertificate(rand.Reader, want, issuer, &private.PublicKey, signer)
		require.NoError(t, err)
		leaf, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
		require.NoError(t, err)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf},
			&pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}
	}
	ca := func() *x509.Certificate { return &x509.Certificate{IsCA: true, BasicConstraintsValid: true} }
	root, cert, _ := issue("ca", ca(), nil)
	write("ca.pem", cert)
	_, other, otherKey := issue("other", ca(), nil)
	write("other.pem", other)
	p.gateway, _, _ = issue("gateway", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, &root)
	_, cert, key := issue("device", &x509.Certificate{URIs: []*url.URL{{Scheme: "bellwire", Host: "acme", Path: "/kitchen"}}}, &root)
	write("device.pem", cert)
	write("device.key", key)
	write("both.pem", key, cert)
	write("other.key", otherKey)
	write("torn.pem", &pem.Block{Type: "CERTIFICATE", Bytes: cert.Bytes[:40]})
	require.NoError(t, os.WriteFile(p.file("words"), []byte("no PEM\n"), 0o600))
	return p
}

// oneMessage is a gateway at a port of its own for devices that publish once. It tells what it saw of each.
type oneMessage struct {
	address string
	saw     chan seenDevice
}

type seenDevice struct {
	hello wire.Hello
	tls   tls.ConnectionState
}

// newOneMessage speaks TLS if config is set, and says answer to HELLO if that is set.
func newOneMessage(t *testing.T, config *tls.Config, answer []byte) *oneMessage {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &oneMessage{address: listener.Addr().String(), saw: make(chan seenDevice, 16)}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			go g.serve(nc, answer)
		}
	}()
	return g
}

func (g *oneMessage) serve(nc net.Conn, answer []byte) {
	defer nc.Close()
	var buf []byte
	for chunk := make([]byte, 4096); ; {
		n, err := nc.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		for {
			ft, body, rest, err := wire.Next(buf, 1<<16)
			if err != nil {
				break
			}
			buf = rest
			var out []byte
			switch ft.Base() {
			case wire.TypeHello:
				seen := seenDevice{}
				seen.hello, _ = wire.ParseHello(body)
				seen.hello.Auth = bytes.Clone(seen.hello.Auth)
				if secured, ok := nc.(*tls.Conn); ok {
					seen.tls = secured.ConnectionState()
				}
				g.saw <- seen
				if out = answer; out == nil {
					out = wire.Welcome{Version: wire.Version, Recv: 12, Keepalive: 60, Credit: 4096, MaxSubs: 1}.Append(nil)
				}
			case wire.TypePublish:
				f, _ := wire.ParsePublish(ft, body)
				out = wire.Ack{Seq: f.Seq}.Append(nil)
			case wire.TypeClose:
				return
			}
			_, _ = nc.Write(out)
		}
	}
}

// The flags of a device make a session: what the gateway sees of it.
func TestSecureDevice(t *testing.T) {
	p := newPKI(t)
	g := newOneMessage(t, &tls.Config{Certificates: []tls.Certificate{p.gateway}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}, nil)
	token := p.file("token")
	require.NoError(t, os.WriteFile(token, []byte("  from.a.file\n"), 0o600))
	for _, test := range []struct {
		name   string
		env    map[string]string
		args   []string
		uri    string
		auth   string
		x25519 bool
	}{
		{name: "CA alone implies TLS", args: []string{"--ca", p.file("ca.pem")}},
		{name: "a name", args: []string{"--tls", "--ca", p.file("ca.pem"), "--device", "kitchen"}, auth: "kitchen"},
		{name: "certificate and key", args: []string{"--ca", p.file("ca.pem"), "--cert", p.file("device.pem"), "--key", p.file("device.key")}, uri: "bellwire://acme/kitchen"},
		{name: "both in one file", args: []string{"--ca", p.file("ca.pem"), "--cert", p.file("both.pem")}, uri: "bellwire://acme/kitchen"},
		{name: "X25519", args: []string{"--ca", p.file("ca.pem"), "--curves", "x25519"}, x25519: true},
		{name: "token", args: []string{"--ca", p.file("ca.pem"), "--token", "on.the.line"}, auth: "on.the.line"},
		{name: "token of the environment", env: map[string]string{"BELLWIRE_TOKEN": "of.the.environment\n"}, args: []string{"--ca", p.file("ca.pem")}, auth: "of.the.environment"},
		{name: "token of a file", args: []string{"--ca", p.file("ca.pem"), "--token-file", token}, auth: "from.a.file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := ran(test.env, append([]string{"pub", "broadcast/a", "x", "--server", g.address}, test.args...)...)
			require.Equal(t, exitDone, code, stderr)
			require.Empty(t, stdout+stderr)
			seen := <-g.saw
			require.Equal(t, test.auth, string(seen.hello.Auth))
			require.Equal(t, uint16(tls.VersionTLS13), seen.tls.Version)
			require.Equal(t, test.x25519, seen.tls.CurveID == tls.X25519)
			if test.uri == "" {
				require.Empty(t, seen.tls.PeerCertificates)
			} else {
				require.Equal(t, test.uri, seen.tls.PeerCertificates[0].URIs[0].String())
			}
		})
	}
}

// What goes wrong names the flag, the file and the way out.
func TestSecureDeviceErrors(t *testing.T) {
	p := newPKI(t)
	secure := newOneMessage(t, &tls.Config{Certificates: []tls.Certificate{p.gateway}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}, nil)
	plain := newOneMessage(t, nil, wire.Refusal{Code: wire.CodeOutOfOrder}.Append(nil))
	strict := newOneMessage(t, &tls.Config{Certificates: []tls.Certificate{p.gateway}, MinVersion: tls.VersionTLS13},
		wire.Close{Code: wire.CodeNotAuthenticated, Text: []byte("no certificate, no token")}.Append(nil))
	empty := p.file("empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	for _, test := range []struct {
		args string // %s is the directory of the files
		to   *oneMessage
		code exitCode
		says []string
	}{
		{"--device=kitchen --token=t", secure, exitUsage, []string{"--device: the token names the device", "leave --device out"}},
		{"--token=t --token-file=%s/empty", secure, exitUsage, []string{"--token and --token-file", "leave one of the two out"}},
		{"--key=%s/device.key", secure, exitUsage, []string{"--key", "--cert FILE"}},
		{"--curves=p256", secure, exitUsage, []string{"--curves must be one of", "x25519"}},
		{"--ca=%s/none.pem", secure, exitFailed, []string{"--ca: open", "none.pem"}},
		{"--ca=%s/words", secure, exitFailed, []string{"--ca", "words: no certificate in it", "-----BEGIN CERTIFICATE-----"}},
		{"--ca=%s/both.pem", secure, exitFailed, []string{"--ca", "both.pem holds a PRIVATE KEY"}},
		{"--ca=%s/torn.pem", secure, exitFailed, []string{"--ca", "torn.pem: x509"}},
		{"--cert=%s/none.pem", secure, exitFailed, []string{"--cert: open", "none.pem"}},
		{"--cert=%s/device.pem", secure, exitFailed, []string{"--cert", "device.pem has no private key", "--key FILE"}},
		{"--cert=%s/words --key=%s/device.key", secure, exitFailed, []string{"--cert", "words: no certificate in it"}},
		{"--cert=%s/device.pem --key=%s/words", secure, exitFailed, []string{"--key", "words: no private key in it"}},
		{"--cert=%s/device.pem --key=%s/none.key", secure, exitFailed, []string{"--key: open", "none.key"}},
		{"--cert=%s/device.pem --key=%s/other.key", secure, exitFailed, []string{"--key", "other.key", "does not match"}},
		{"--tls --token-file=%s/none", secure, exitFailed, []string{"--token-file: open", "none"}},
		{"--tls --token-file=%s/empty", secure, exitFailed, []string{"--token-file", "empty: no token in it"}},
		{"--tls --token-file=%s/device.key", secure, exitFailed, []string{"--token-file", "device.key: not a token"}},
		{"--tls", secure, exitFailed, []string{"not trusted", "unknown authority", "--ca FILE names whom to believe"}},
		{"--ca=%s/other.pem", secure, exitFailed, []string{"not trusted", "its issuer is not in", "other.pem (--ca)"}},
		{"--ca=%s/ca.pem --server-name=gw.example", secure, exitFailed, []string{"not trusted", "gw.example", "--server-name"}},
		{"--ca=%s/ca.pem", plain, exitFailed, []string{"no TLS is spoken there", "plain port", "7315"}},
		{"", secure, exitFailed, []string{"it seems that TLS is spoken there", "--tls speaks it"}},
		{"--ca=%s/ca.pem", strict, exitFailed, []string{"not authenticated (no certificate, no token)", "--cert and --key, or with --token-file"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			args := []string{"pub", "broadcast/a", "x", "--server", test.to.address}
			for _, arg := range bytes.Fields([]byte(test.args)) {
				args = append(args, string(bytes.ReplaceAll(arg, []byte("%s"), []byte(p.dir))))
			}
			code, stdout, stderr := ran(nil, args...)
			require.Equal(t, test.code, code, stderr)
			require.Empty(t, stdout)
			for _, words := range test.says {
				require.Contains(t, stderr, words)
			}
		})
	}
}

// The certificate is read again for each handshake, so a renewed one counts, and one that has gone is an error then.
func TestCertificateIsReadAgain(t *testing.T) {
	p := newPKI(t)
	f := tlsFlags{Cert: p.file("both.pem")}
	config, err := f.config()
	require.NoError(t, err)
	_, err = config.GetClientCertificate(nil)
	require.NoError(t, err)
	require.NoError(t, os.Remove(p.file("both.pem")))
	_, err = config.GetClientCertificate(nil)
	require.ErrorContains(t, err, "--cert")
}

func TestTokenFileIsReadAgain(t *testing.T) {
	f := tokenFlags{TokenFile: filepath.Join(t.TempDir(), "token")}
	for _, want := range []string{"one", "two"} {
		require.NoError(t, os.WriteFile(f.TokenFile, []byte(want+"\n"), 0o600))
		got, err := f.read(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.NoError(t, os.WriteFile(f.TokenFile, bytes.Repeat([]byte("x"), wire.MaxAuth+1), 0o600))
	_, err := f.read(t.Context())
	require.ErrorContains(t, err, "at most 900 bytes")
}

// A token over a network that everybody on the way can read is told of, but for this machine's own.
func TestTokenInTheClear(t *testing.T) {
	for _, test := range []struct {
		servers []string
		tls     bool
		told    int
	}{
		{nil, false, 0},
		{[]string{"localhost:7311", "[::1]:7311"}, false, 0},
		{[]string{"10.0.0.1:7311", "gw.example:7311"}, false, 2},
		{[]string{"10.0.0.1:7311"}, true, 0},
	} {
		var notes bytes.Buffer
		f := deviceFlags{Server: test.servers, tokenFlags: tokenFlags{Token: "t"}, tlsFlags: tlsFlags{TLS: test.tls}}
		_, err := f.options(&notes)
		require.NoError(t, err)
		require.Equal(t, test.told, bytes.Count(notes.Bytes(), []byte("in the clear")), notes.String())
	}
}

func TestServersOfThisMachine(t *testing.T) {
	require.Equal(t, []string{"127.0.0.1:7311"}, (&deviceFlags{}).servers())
	require.Equal(t, []string{"127.0.0.1:7315"}, (&deviceFlags{tlsFlags: tlsFlags{CA: "ca.pem"}}).servers())
	require.Equal(t, []string{"a:1"}, (&deviceFlags{Server: []string{"a:1"}, tlsFlags: tlsFlags{TLS: true}}).servers())
}

// Before the first connection a person is told once why nothing happens.
func TestWaitingIsTold(t *testing.T) {
	w, ctx, out := watching(0)
	w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: errCut, Wait: time.Second})
	require.Empty(t, out.String())
	for range 2 {
		w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: errCut, Wait: 12_345 * time.Millisecond})
	}
	require.Equal(t, "bellwire: cut; trying a:1 in 12.345s\n", out.String())
	require.NoError(t, ctx.Err())
}

// A certificate that goes wrong while a gateway is away is told once more: waiting does not help.
func TestDoubtsAreTold(t *testing.T) {
	w, _, out := watching(0)
	bad := fmt.Errorf("client: connecting to a:1: %w: expired", client.ErrUntrusted)
	w.state(client.State{Phase: client.Connected, Server: "a:1"})
	w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: errCut})
	for range 3 {
		w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: bad})
	}
	require.Equal(t, "bellwire: cut; trying a:1\nbellwire: connecting to a:1: the gateway's certificate is not trusted: expired; trying again\n", out.String())
}
