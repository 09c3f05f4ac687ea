package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// handshakes notes what a gateway sees of each TLS session.
type handshakes struct {
	mu  sync.Mutex
	all []tls.ConnectionState
}

func (h *handshakes) note(s tls.ConnectionState) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, s)
	return nil
}

func (h *handshakes) last() tls.ConnectionState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[len(h.all)-1]
}

// secured is a gateway behind TLS as names say, and what it sees.
func secured(a *authority, life wire.Life, names ...string) (*gateway, *handshakes) {
	g, seen := newGateway(life), &handshakes{}
	g.tls = a.gateway(names...)
	g.tls.NextProtos = []string{"bellwire/1"}
	g.tls.VerifyConnection = seen.note
	return g, seen
}

// The session is the same inside TLS: messages, a loss, and a resume without gap. The
// second handshake resumes the first [W-1.1].
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		g, seen := secured(a, 0xA1, "gw.example")
		f := &fleet{}
		f.put("gw.example:7315", g)
		config := a.trusting()
		config.Certificates = []tls.Certificate{a.device("bellwire://acme/kitchen")}
		c, err := client.Dial(t.Context(), "gw.example:7315", client.WithDialer(f.dial), client.WithTLS(config))
		require.NoError(t, err)
		defer c.Close()
		s := subscribe(t, c, "broadcast/eu")
		require.NoError(t, c.Publish(t.Context(), "broadcast/eu", []byte("hello")))
		require.Equal(t, "hello", string(next(t, s).(client.Message).Payload))
		first := seen.last()
		require.Equal(t, uint16(tls.VersionTLS13), first.Version)
		require.Equal(t, "gw.example", first.ServerName)
		require.Equal(t, "bellwire/1", first.NegotiatedProtocol)
		require.False(t, first.DidResume)
		require.Equal(t, "bellwire://acme/kitchen", first.PeerCertificates[0].URIs[0].String())
		require.Equal(t, wire.AuthCertificate, g.peers[0].hello.Method)
		require.Empty(t, g.peers[0].hello.Auth)

		g.kick()
		g.Publish("broadcast/eu", "while away")
		require.Equal(t, client.Message{Topic: "broadcast/eu", Payload: []byte("while away"), Life: 0xA1, Offset: 2, Replayed: true}, next(t, s))
		require.True(t, seen.last().DidResume)
		require.Len(t, seen.last().PeerCertificates, 1, "the ticket carries who the device is")
		require.Empty(t, config.NextProtos, "the configuration stays the application's")
		require.Nil(t, config.ClientSessionCache)
		require.NoError(t, c.Shutdown(t.Context()))
	})
}

// Control: without tickets nothing resumes, so the test above would notice.
func TestTLSWithoutTickets(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		g, seen := secured(a, 1, "gw")
		config := a.trusting()
		config.SessionTicketsDisabled = true
		start(t, g, client.WithTLS(config))
		g.kick()
		pass(time.Minute)
		require.Len(t, seen.all, 2)
		require.False(t, seen.last().DidResume)
	})
}

// A ticket of one gateway resumes at another one of the fleet that has the same keys,
// if one name is set for all; without, each has to be met once.
func TestTLSResumesAcrossTheFleet(t *testing.T) {
	a := newAuthority(t)
	for name, resumes := range map[string]bool{"fleet.example": true, "": false} {
		synctest.Test(t, func(t *testing.T) {
			one, _ := secured(a, 1, "fleet.example", "a")
			two, seen := secured(a, 2, "fleet.example", "b")
			one.tls.SetSessionTicketKeys([][32]byte{{1}})
			two.tls.SetSessionTicketKeys([][32]byte{{1}})
			f := &fleet{}
			f.put("a:1", one)
			f.put("b:1", two)
			config := a.trusting()
			config.ServerName = name
			c, err := client.Dial(t.Context(), "a:1", client.WithServers("b:1"), client.WithDialer(f.dial), client.WithTLS(config))
			require.NoError(t, err)
			defer c.Close()
			synctest.Wait()
			one.say(wire.Close{Code: wire.CodeMoved}.Append(nil))
			pass(5 * time.Second)
			require.Equal(t, "b:1", c.Server())
			require.Equal(t, resumes, seen.last().DidResume)
		})
	}
}

// What the certificate has to name is the host of the address, of a target of GOAWAY
// as well.
func TestTLSChecksTheName(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		addr, name, set string
		trusted         bool
	}{
		{"gw.example:7315", "gw.example", "", true},
		{"gw.example:7315", "other.example", "", false},
		{"gw.example:7315", "other.example", "other.example", true},
		{"gw.example:7315", "gw.example", "other.example", false},
		{"127.0.0.1:7315", "127.0.0.1", "", true},
		{"[::1]:7315", "::1", "", true},
		{"[fe80::1%eth0]:7315", "fe80::1", "", true},
		{"127.0.0.2:7315", "127.0.0.1", "", false},
		{"gw.example", "gw.example", "", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, _ := secured(a, 1, c.name)
			f := &fleet{}
			f.put(c.addr, g)
			config := a.trusting()
			config.ServerName = c.set
			d, err := client.Dial(t.Context(), c.addr, client.WithDialer(f.dial), client.WithTLS(config))
			if c.trusted {
				require.NoError(t, err, "%+v", c)
				require.NoError(t, d.Close())
				return
			}
			require.ErrorIs(t, err, client.ErrUntrusted)
			var host x509.HostnameError
			require.ErrorAs(t, err, &host)
			require.ErrorContains(t, err, c.name, "it says what the certificate names")
			require.Len(t, f.dialed(), 1)
		})
	}
}

// What goes wrong before a session says what it is, at the first connect.
func TestTLSDialErrors(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	plain := newGateway(1)
	plain.onFrame = func(p *peer, ft wire.Type, _ []byte) bool { // as a gateway answers what is no HELLO
		if ft != wire.TypeHello {
			p.send(wire.Refusal{Code: wire.CodeOutOfOrder, Type: ft}.Append(nil), wire.Close{Code: wire.CodeOutOfOrder}.Append(nil), nil)
		}
		return ft != wire.TypeHello
	}
	expired := newGateway(1)
	expired.tls = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{
		a.issue(x509.Certificate{DNSNames: []string{"gw"}, NotAfter: notBefore.Add(time.Hour)}),
	}}
	old := newGateway(1)
	old.tls = a.gateway("gw")
	old.tls.MinVersion, old.tls.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	picky, _ := secured(a, 1, "gw")
	picky.tls.NextProtos = []string{"mqtt"}
	behind, _ := secured(a, 1, "gw")
	with, without := []client.Option{client.WithTLS(a.trusting())}, []client.Option{}
	for name, c := range map[string]struct {
		g    *gateway
		opts []client.Option
		is   error
		says string
	}{
		"nobody whom it trusts":          {behind, []client.Option{client.WithTLS(stranger.trusting())}, client.ErrUntrusted, "unknown authority"},
		"expired":                        {expired, with, client.ErrUntrusted, "expired"},
		"a plain gateway":                {plain, with, client.ErrNoTLS, "the gateway's plain port"},
		"TLS 1.2":                        {old, with, nil, "protocol version"},
		"ALPN of others":                 {picky, with, nil, "application protocol"},
		"a client without TLS":           {behind, without, client.ErrWantsTLS, "connecting to gw: it seems that TLS is spoken there"},
		"a client without TLS, an alert": {answering([]byte{0x15, 3, 1, 0, 2, 2, 70}), without, client.ErrWantsTLS, "TLS"},
		"a web server":                   {answering([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), with, client.ErrNoTLS, "does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fleet{}
				f.put("gw", c.g)
				_, err := client.Dial(t.Context(), "gw", append(c.opts, client.WithDialer(f.dial))...)
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "client: connecting to gw")
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				require.Len(t, f.dialed(), 1)
			})
		})
	}
}

// answering is something that is no gateway: it says this to whatever comes.
func answering(b []byte) *gateway {
	g := newGateway(1)
	g.raw = b
	return g
}

// Of several addresses the certificate that is not trusted is told, whatever the last
// one said.
func TestTLSDialTellsOfTheCertificate(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		g, _ := secured(a, 1, "gw")
		f := &fleet{}
		f.put("gw", g)
		_, err := client.Dial(t.Context(), "gw", client.WithServers("away"), client.WithDialer(f.dial), client.WithTLS(stranger.trusting()))
		require.ErrorIs(t, err, client.ErrUntrusted)
		require.ErrorContains(t, err, "connecting to away: connection refused")

		g.greet = func(wire.Hello) []byte { return wire.Close{Code: wire.CodeRevoked}.Append(nil) }
		f.put("away", g)
		config := a.trusting()
		_, err = client.Dial(t.Context(), "away", client.WithServers("gw"), client.WithDialer(f.dial), client.WithTLS(config))
		require.Equal(t, &client.StoppedError{Code: wire.CodeRevoked}, err, "a gateway that was believed has the last word")
	})
}

// A gateway whose certificate goes wrong later is tried again, and told of: it may be
// renewed.
func TestTLSUntrustedLater(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		g, _ := secured(a, 1, "gw")
		wrong, _ := secured(stranger, 1, "gw")
		var st states
		c, f := start(t, g, client.WithTLS(a.trusting()), client.WithOnState(st.add))
		f.put("gw", wrong)
		g.kick()
		pass(time.Minute)
		require.Greater(t, len(f.dialed()), 2)
		require.ErrorIs(t, st.last().Err, client.ErrUntrusted)
		require.NoError(t, c.Err())
		f.put("gw", g)
		pass(5 * time.Minute)
		require.Equal(t, client.Connected, st.last().Phase)
	})
}

// The gateway refuses a certificate inside TLS, with a code that ends the client
// [W-3.1]; a code of any other class would bring it back.
func TestTLSRefusedCertificate(t *testing.T) {
	a := newAuthority(t)
	for _, code := range []wire.Code{wire.CodeNotAuthenticated, wire.CodeRevoked, wire.CodeOtherTenant, wire.CodeBanned} {
		synctest.Test(t, func(t *testing.T) {
			g, _ := secured(a, 1, "gw")
			g.greet = func(wire.Hello) []byte {
				refusal := wire.Refusal{Code: code, Type: wire.TypeHello, Text: []byte("expired")}.Append(nil)
				return wire.Close{Code: code, Text: []byte("expired")}.Append(refusal)
			}
			f := &fleet{}
			f.put("gw", g)
			_, err := client.Dial(t.Context(), "gw", client.WithDialer(f.dial), client.WithTLS(a.trusting()))
			require.Equal(t, &client.StoppedError{Code: code, Text: "expired"}, err)
			require.Len(t, f.dialed(), 1)
		})
	}
}

// A handshake that a gateway cuts off is a connect that failed: by back-off, not at
// once [W-8.2].
func TestTLSCutOff(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		g, _ := secured(a, 1, "gw")
		_, f := start(t, g, client.WithTLS(a.trusting()))
		f.put("gw", answering([]byte{}))
		g.kick()
		pass(time.Minute)
		require.Less(t, len(f.dialed()), 30)
		require.Greater(t, len(f.dialed()), 2)
		f.put("gw", g)
		pass(5 * time.Minute)
		require.Len(t, g.peers, 1)
	})
}

// A gateway that says nothing in the handshake is left after as long as one may take
// to dial.
func TestTLSHandshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.mute = true
		f := &fleet{}
		f.put("gw", g)
		began := time.Now()
		_, err := client.Dial(t.Context(), "gw", client.WithDialer(f.dial), client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13}))
		require.ErrorContains(t, err, "connecting to gw: TLS handshake: ")
		require.Equal(t, 10*time.Second, time.Since(began))
		require.False(t, errors.Is(err, net.ErrClosed), "it was not closed by this side's application")
	})
}

func TestTLSOptions(t *testing.T) {
	_, err := client.Dial(t.Context(), "gw", client.WithTLS(&tls.Config{MaxVersion: tls.VersionTLS12})) //nolint:gosec // it is refused
	require.ErrorContains(t, err, "MaxVersion is TLS 1.2")
	require.ErrorContains(t, err, "leave it out")
}
