package gateway_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// A fleet that comes back at once over TLS, half of it with tickets: everyone is in,
// those who had to come again as well.
func TestStorm(t *testing.T) {
	for _, handshakes := range []int{4096, 32} { // with 32 most are shed, some several times
		t.Run(fmt.Sprintf("%d handshakes", handshakes), func(t *testing.T) {
			t.Parallel()
			storm(t, handshakes)
		})
	}
}

func storm(t *testing.T, handshakes int) {
	const fleet = 300
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{Loops: 2, Limits: gateway.Limits{Handshakes: handshakes}, Audit: slog.New(slog.DiscardHandler)})
	cert := make([]*tls.Config, fleet)
	for i := range cert {
		cert[i] = s.Config(s.Device(fmt.Sprintf("acme/d%d", i)))
		if i%2 == 0 {
			cert[i] = ticketed(cert[i])
			visit(t, g, cert[i])
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	var slowest time.Duration
	began := time.Now()
	for i := range cert {
		all.Go(func() {
			for {
				c, err := client.Dial(ctx, g.TLSAddr().String(), client.WithTLS(cert[i]), client.WithBackoff(100*time.Millisecond, time.Second))
				if err == nil {
					mu.Lock()
					slowest = max(slowest, time.Since(began))
					mu.Unlock()
					t.Cleanup(func() { _ = c.Close() })
					return
				}
				if ctx.Err() != nil {
					t.Errorf("device %d never came in: %v", i, err)
					return
				}
				time.Sleep(200*time.Millisecond + rand.N(2*time.Second)) // as WithBackoff would, once it was welcomed
			}
		})
	}
	all.Wait()
	sessionRows(t, g, fleet)
	t.Logf("all in after %s", slowest)
	require.Less(t, slowest, 45*time.Second)
}

// Who is told "later" is told when, each another time, and the SDK comes back then.
func TestDelaysAreSpreadAndObeyed(t *testing.T) {
	bothWays(t, "spread", "all come back at once", func(t *testing.T, guard string) error {
		const devices = 20
		s := gatewaytest.NewSite(t)
		g := s.Start(gateway.Config{Quotas: map[string]gateway.Quota{gateway.AnyTenant: {Connections: 1}}}.Without(guard))
		first := gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/first")), "")
		delays := map[uint32]bool{}
		for i := range devices {
			d := gatewaytest.Shake(t, g.TLSAddr(), s.Config(s.Device(fmt.Sprintf("acme/d%d", i))))
			d.Send(gatewaytest.ByCertificate().Append(nil))
			for {
				f, err := d.Next(gatewaytest.Patience)
				require.NoError(t, err)
				if f.Type != wire.TypeClose {
					continue
				}
				c, err := wire.ParseClose(f.Body)
				require.NoError(t, err)
				require.Equal(t, wire.ClassLater, c.Code.Class())
				require.GreaterOrEqual(t, c.Retry, uint32(2000))
				require.LessOrEqual(t, c.Retry, uint32(6000))
				delays[c.Retry] = true
				break
			}
		}
		if len(delays) < devices/2 {
			return fmt.Errorf("all come back at once: %d delays", len(delays))
		}
		// The SDK waits as long, and is in when there is room by then.
		began := time.Now()
		in := make(chan error, 1)
		go func() {
			c, err := client.Dial(t.Context(), g.TLSAddr().String(), client.WithTLS(s.Config(s.Device("acme/sdk"))))
			if err == nil {
				err = c.Close()
			}
			in <- err
		}()
		time.Sleep(300 * time.Millisecond)
		first.Send(wire.Close{}.Append(nil))
		first.ExpectClosed(wire.CodeOK)
		require.NoError(t, <-in)
		took := time.Since(began)
		require.GreaterOrEqual(t, took, 2*time.Second)
		require.Less(t, took, 8*time.Second)
		return nil
	})
}

// KeyUpdate by a device, with and without asking for the gateway's: openssl's client
// sends them, and frames go on both ways.
func TestKeyUpdate(t *testing.T) {
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{})
	out, say := openssl(t, "s_client", "-connect", g.TLSAddr().String(), "-tls1_3", "-quiet", "-no_ign_eof")
	say(gatewaytest.Hello(s.Token("acme/keys", nil)).Append(nil))
	await(t, out, string([]byte{byte(wire.TypeWelcome), 0x12}))
	sessionRows(t, g, 1)
	for i, key := range []string{"k\n", "K\n", "k\n", "K\n"} {
		say([]byte(key))
		await(t, out, "KEYUPDATE")
		name := fmt.Sprintf("ping-%d", i)
		say(wire.AppendPing(nil, []byte(name)))
		await(t, out, name)
	}
}

// await reads until a text has come.
func await(t *testing.T, out io.Reader, text string) {
	t.Helper()
	var seen []byte
	one := make([]byte, 1)
	for len(seen) < len(text) || string(seen[len(seen)-len(text):]) != text {
		_, err := out.Read(one)
		require.NoError(t, err, "waiting for %q: %s", text, seen)
		seen = append(seen, one...)
	}
}

// openssl runs the tool until the test ends: what it writes, and what to write to it,
// each time in one piece, because a piece that begins with k is a command.
func openssl(t *testing.T, args ...string) (out io.Reader, say func([]byte)) {
	t.Helper()
	tool, err := exec.LookPath("openssl")
	require.NoError(t, err, "install openssl to run this test")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	c := exec.CommandContext(ctx, tool, args...)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	c.Stdout, c.Stderr = write, write
	require.NoError(t, c.Start())
	require.NoError(t, write.Close())
	t.Cleanup(func() {
		cancel()
		_ = c.Wait() // it was killed
		_ = read.Close()
	})
	return read, func(b []byte) {
		t.Helper()
		_, err := in.Write(b)
		require.NoError(t, err)
	}
}
