package secure

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// The usual life of a connection, with each side's close_notify.
func TestConversation(t *testing.T) {
	for name, cfg := range map[string]*tls.Config{"X25519": x25519(), "ML-KEM": clientConfig()} {
		t.Run(name, func(t *testing.T) {
			d := connect(t, newSite(t).conn(), cfg)
			require.Nil(t, d.proof)
			plain, err := d.conn.Open(nil, nil)
			require.NoError(t, err)
			require.Empty(t, plain)

			plain, err = d.conn.Open([]byte("kept "), d.write([]byte("up")))
			require.NoError(t, err)
			require.Equal(t, "kept up", string(plain))
			require.Empty(t, d.conn.Answer(nil))

			sealed := d.conn.Seal([]byte("kept "), []byte("down"))
			require.Equal(t, "kept ", string(sealed[:5]))
			got, err := d.read(sealed[5:])
			require.NoError(t, err)
			require.Equal(t, "down", string(got))
			require.Empty(t, d.conn.Seal(nil, nil))

			// The gateway is done; the device may still send.
			got, err = d.read(d.conn.CloseNotify(d.conn.Seal(nil, []byte("last"))))
			require.Equal(t, io.EOF, err)
			require.Equal(t, "last", string(got))
			require.Empty(t, d.conn.CloseNotify(nil))
			require.Empty(t, d.conn.Seal(nil, []byte("too late")))
			cipher := d.write([]byte("also last"))
			require.NoError(t, d.client.CloseWrite())
			plain, err = d.conn.Open(nil, append(cipher, d.take()...))
			require.Equal(t, io.EOF, err)
			require.Equal(t, "also last", string(plain))
			plain, err = d.conn.Open(nil, []byte("whatever"))
			require.Equal(t, io.EOF, err)
			require.Empty(t, plain)
			require.Empty(t, d.conn.Answer(nil))
		})
	}
}

func TestSixteenKiBAreOneRecord(t *testing.T) {
	d := connect(t, newSite(t).conn(), x25519())
	for size, records := range map[int]int{1: 1, 1300: 1, 1 << 14: 1, 1<<14 + 1: 2, 100_000: 7} {
		plain := bytes.Repeat([]byte{'x'}, size)
		sealed := d.conn.Seal(nil, plain)
		n := 0
		for rest := sealed; len(rest) > 0; n++ {
			rest = rest[recordSize(rest):]
		}
		require.Equal(t, records, n, "%d bytes", size)
		got, err := d.read(sealed)
		require.NoError(t, err)
		require.Equal(t, plain, got)
	}
}

// Whatever came with the end of the handshake, or before the loop took over, is
// what Open(nil) returns, in whatever order the two sides got there.
func TestWhatComesBehindTheHandshakeIsKept(t *testing.T) {
	for round := range 20 {
		conn := newSite(t).conn()
		end := newWireEnd(conn.Feed)
		client := tls.Client(end, x25519())
		done := make(chan error, 1)
		go func() {
			_, err := conn.Handshake(context.Background(), nil, end.deliver)
			done <- err
		}()
		require.NoError(t, client.Handshake())
		_, err := client.Write([]byte("with it, "))
		require.NoError(t, err)
		require.NoError(t, <-done)
		_, err = client.Write(bytes.Repeat([]byte("x"), 3000))
		require.NoError(t, err)
		end.toServer = func(b []byte) { conn.Feed(b[:7]); conn.Feed(b[7:]) }
		_, err = client.Write([]byte(" later"))
		require.NoError(t, err)
		if round%2 == 0 {
			conn.Seal(nil, []byte("the loop may speak first"))
		}
		plain, err := conn.Open(nil, nil)
		require.NoError(t, err)
		require.Len(t, plain, 9+3000+6)
		require.Nil(t, conn.rest)
	}
}

// The plain bytes do not depend on how the cipher is cut, in the handshake
// neither.
func TestAnyPieces(t *testing.T) {
	s := newSite(t)
	cfg := clientConfig()
	cfg.Certificates = []tls.Certificate{newTestCA(t).device("kitchen-1")}
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		most := 1 + rng.IntN(2000)
		conn := s.conn()
		end := newWireEnd(func(b []byte) {
			for len(b) > 0 {
				n := min(1+rng.IntN(most), len(b))
				conn.Feed(b[:n])
				b = b[n:]
			}
		})
		client := tls.Client(end, cfg)
		done := make(chan error, 1)
		go func() {
			_, err := conn.Handshake(context.Background(), nil, end.deliver)
			done <- err
		}()
		require.NoError(t, client.Handshake())
		require.NoError(t, <-done)

		var cipher, want []byte
		end.toServer = func(b []byte) { cipher = append(cipher, b...) }
		for range 1 + rng.IntN(10) {
			plain := bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(40_000))
			want = append(want, plain...)
			_, err := client.Write(plain)
			require.NoError(t, err)
		}
		closes := rng.IntN(2) == 0
		if closes {
			require.NoError(t, client.CloseWrite())
		}
		var got []byte
		var err error
		for len(cipher) > 0 {
			require.NoError(t, err)
			n := min(rng.IntN(1+most*20), len(cipher))
			got, err = conn.Open(got, cipher[:n])
			cipher = cipher[n:]
		}
		require.True(t, bytes.Equal(want, got), "seed %d", seed)
		require.Nil(t, conn.rest)
		if closes {
			require.Equal(t, io.EOF, err)
		}
	}
}

// Half a record is nothing yet, and no error.
func TestEveryTruncationOfARecord(t *testing.T) {
	s := newSite(t)
	for n := 0; ; n++ {
		d := connect(t, s.conn(), x25519())
		record := d.write([]byte("payload"))
		if n == len(record) {
			return
		}
		plain, err := d.conn.Open(nil, record[:n])
		require.NoError(t, err)
		require.Empty(t, plain)
		plain, err = d.conn.Open(nil, record[n:])
		require.NoError(t, err)
		require.Equal(t, "payload", string(plain))
	}
}

// The second hello, after a HelloRetryRequest, is cut as the first one is.
func TestHelloRetry(t *testing.T) {
	s := newSite(t)
	s.tickets.base.CurvePreferences = []tls.CurveID{tls.CurveP521}
	cfg := clientConfig()
	cfg.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.CurveP521}
	d := connect(t, s.conn(), cfg)
	require.True(t, d.client.ConnectionState().HelloRetryRequest)
}

// MS-17: the verdict is asked about resumed connections too, and about what
// certificate the device showed; a refusal leaves TLS standing, to say so.
func TestVerdict(t *testing.T) {
	s := newSite(t, make([]byte, 32))
	proof := &Proof{}
	var asked []tls.ConnectionState
	refusal := error(nil)
	s.verdict = func(state tls.ConnectionState) (*Proof, error) {
		asked = append(asked, state)
		return proof, refusal
	}
	cfg := x25519()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	cfg.Certificates = []tls.Certificate{newTestCA(t).device("kitchen-1")}
	for i, resumed := range []bool{false, true, true} {
		d := connect(t, s.conn(), cfg)
		require.Same(t, proof, d.proof)
		require.Len(t, asked, i+1)
		require.Equal(t, resumed, asked[i].DidResume)
		require.Equal(t, "bellwire://acme/kitchen-1", asked[i].PeerCertificates[0].URIs[0].String())
		_, err := d.read(nil) // the ticket
		require.NoError(t, err)
	}

	proof, refusal = nil, &wire.Error{Code: wire.CodeNotAuthenticated, Type: wire.TypeHello, Field: "certificate is expired"}
	d, clientErr, err := tryConnect(t, s.conn(), cfg, nil)
	require.NoError(t, clientErr)
	require.Equal(t, wire.CodeNotAuthenticated, wire.CodeOf(err))
	plain, err := d.conn.Open(nil, nil)
	require.NoError(t, err)
	require.Empty(t, plain)
	got, err := d.read(d.conn.CloseNotify(d.conn.Seal(nil, []byte("certificate is expired"))))
	require.Equal(t, io.EOF, err)
	require.Equal(t, "certificate is expired", string(got))
}

// MS-17: a device proves that it holds the key of the certificate, or there is no TLS.
func TestStolenCertificate(t *testing.T) {
	a := newTestCA(t)
	stolen := a.device("kitchen-1")
	stolen.PrivateKey = a.device("kitchen-2").PrivateKey
	cfg := x25519()
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stolen, nil }
	_, _, err := tryConnect(t, newSite(t).conn(), cfg, nil)
	require.ErrorContains(t, err, "invalid signature by the client certificate")
	require.NotErrorAs(t, err, new(*wire.Error))
}

// MS-17: a device does not talk to a gateway that is none of its own.
func TestWrongServer(t *testing.T) {
	cfg := x25519()
	cfg.InsecureSkipVerify, cfg.RootCAs = false, x509.NewCertPool()
	cfg.RootCAs.AddCert(newTestCA(t).cert)
	s := newSite(t)
	s.verdict = func(tls.ConnectionState) (*Proof, error) {
		t.Error("asked about a device that did not go on")
		return nil, nil
	}
	_, clientErr, serverErr := tryConnect(t, s.conn(), cfg, nil)
	require.ErrorAs(t, clientErr, new(x509.UnknownAuthorityError))
	require.ErrorContains(t, serverErr, "remote error: tls: bad certificate")
}

// What goes out when there will be no TLS: an alert where TLS has one, and
// nothing to who does not speak it.
func TestAlerts(t *testing.T) {
	old := clientConfig()
	old.MaxVersion = tls.VersionTLS12
	hello := helloOf(t, x25519())
	cut := bytes.Clone(hello)
	cut[recordHeader+4+2+32]++ // the session id is one longer
	for name, test := range map[string]struct {
		sent []byte
		want string
	}{
		"TLS 1.2 only":   {helloOf(t, old), "\x15\x03\x01\x00\x02\x02\x46"}, // protocol_version
		"wrong inside":   {cut, "\x15\x03\x01\x00\x02\x02\x32"},             // decode_error
		"not a hello":    {append([]byte{recordHandshake, 3, 1, 0, 36}, message(finished, make([]byte, 32)...)...), "\x15\x03\x01\x00\x02\x02\x0a"},
		"plain Bellwire": {wire.Hello{MinVersion: 1, MaxVersion: 1, Recv: 7}.Append(nil), ""},
		"HTTP":           {[]byte("GET / HTTP/1.1\r\n\r\n"), ""},
		"zeros":          {make([]byte, 100), ""},
		"SSL 2":          {append([]byte{0x80, 0x2e, 1, 0, 0}, make([]byte, 100)...), "\x15\x03\x01\x00\x02\x02\x46"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := newSite(t).conn()
			var sent []byte
			conn.Feed(test.sent)
			_, err := conn.Handshake(context.Background(), nil, func(b []byte) { sent = append(sent, b...) })
			require.Error(t, err)
			require.NotErrorAs(t, err, new(*wire.Error))
			require.Equal(t, test.want, string(sent), "%v", err)
		})
	}
}

// countingGate is who is inside, and how often somebody was.
type countingGate struct {
	inside, entered atomic.Int64
	enter           func(context.Context) error
}

func (g *countingGate) Enter(ctx context.Context) error {
	if g.enter != nil {
		if err := g.enter(ctx); err != nil {
			return err
		}
	}
	g.inside.Add(1)
	g.entered.Add(1)
	return nil
}

func (g *countingGate) Leave() { g.inside.Add(-1) }

// A handshake that waits for its device holds nobody up.
func TestGateIsFreeWhileTheHandshakeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		gate := &countingGate{}
		s.verdict = func(tls.ConnectionState) (*Proof, error) {
			require.EqualValues(t, 1, gate.inside.Load())
			return nil, nil
		}
		conn := s.conn()
		toServer := make(chan []byte, 100)
		end := newWireEnd(func(b []byte) { toServer <- bytes.Clone(b) })
		client := tls.Client(end, x25519())
		clientDone, done := make(chan error, 1), make(chan error, 1)
		go func() { clientDone <- client.Handshake() }()
		go func() {
			_, err := conn.Handshake(t.Context(), gate, func(b []byte) {
				require.EqualValues(t, 1, gate.inside.Load())
				end.deliver(b)
			})
			done <- err
		}()
		flights := 0
		for synctest.Wait(); len(toServer) > 0; synctest.Wait() {
			var all []byte
			for len(toServer) > 0 {
				all = append(all, <-toServer...)
			}
			for i := range all {
				require.Zero(t, gate.inside.Load(), "inside with %d of %d bytes", i, len(all))
				conn.Feed(all[i : i+1])
				synctest.Wait()
			}
			flights++
		}
		require.NoError(t, <-clientDone)
		require.NoError(t, <-done)
		require.Zero(t, gate.inside.Load())
		require.Equal(t, 2, flights)
		require.LessOrEqual(t, gate.entered.Load(), int64(4)) // a record each: hello, CCS, certificate, finished
	})
}

// At the end of its context a handshake returns at once, wherever it is,
// leaves the gate and sends nothing more.
func TestHandshakeEndsWithItsContext(t *testing.T) {
	shed := errors.New("shed: older than any other")
	hello := helloOf(t, clientConfig())
	for name, test := range map[string]struct {
		feed []byte
		gate func(context.Context) error
		end  int // at which send the context ends; 0: when everything waits
		sent int
	}{
		"before any byte":     {},
		"with half a hello":   {feed: hello[:100]},
		"after its answer":    {feed: hello, sent: 1},
		"while it waits to":   {feed: hello, gate: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		"while it computes":   {feed: hello, end: 1, sent: 1},
		"refused by the gate": {feed: hello, gate: func(context.Context) error { return shed }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				gate := &countingGate{enter: test.gate}
				conn := s.conn()
				conn.Feed(test.feed)
				done := make(chan error, 1)
				sent := 0
				go func() {
					_, err := conn.Handshake(ctx, gate, func([]byte) {
						if sent++; sent == test.end {
							cancel(shed)
						}
					})
					done <- err
				}()
				synctest.Wait()
				cancel(shed)
				synctest.Wait()
				require.Len(t, done, 1, "it still waits")
				require.ErrorIs(t, <-done, shed)
				require.Zero(t, gate.inside.Load())
				require.Equal(t, test.sent, sent)
				conn.Feed(hello) // of no consequence
				require.Equal(t, test.sent, sent)
			})
		})
	}
}

// A handshake reads so much and no more, and so much waits and no more.
func TestHandshakeIsBounded(t *testing.T) {
	chain := clientConfig()
	device := newTestCA(t).device("kitchen-1")
	for range 100 {
		device.Certificate = append(device.Certificate, device.Certificate[0])
	}
	chain.Certificates = []tls.Certificate{device}
	_, _, err := tryConnect(t, newSite(t).conn(), chain, nil)
	require.ErrorIs(t, err, errFlood)

	t.Run("without the bound", func(t *testing.T) {
		conn := newSite(t).conn()
		conn.pipe.handshake.taken = -1 << 30
		end := newWireEnd(func(b []byte) {
			for len(b) > 0 { // a fast reader: nothing waits for long
				n := min(1000, len(b))
				for {
					conn.pipe.handshake.mu.Lock()
					waiting := len(conn.pipe.handshake.fed)
					conn.pipe.handshake.mu.Unlock()
					if waiting < maxHandshake/2 || recordSize(b) > waiting {
						break
					}
				}
				conn.Feed(b[:n])
				b = b[n:]
			}
		})
		done := make(chan error, 1)
		go func() {
			_, err := conn.Handshake(context.Background(), nil, end.deliver)
			done <- err
		}()
		require.NoError(t, tls.Client(end, chain).Handshake())
		require.NoError(t, <-done)
	})

	t.Run("bytes that wait", func(t *testing.T) {
		d := connect(t, newSite(t).conn(), x25519())
		for range 40 {
			d.conn.Feed(d.write(make([]byte, 1000)))
		}
		_, err := d.conn.Open(nil, nil)
		require.ErrorIs(t, err, errFlood)
	})
}
