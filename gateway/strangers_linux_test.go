//go:build linux

package gateway_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// clientHello is what a TLS client says first.
func clientHello(t *testing.T, cfg *tls.Config) []byte {
	t.Helper()
	mine, its := net.Pipe()
	defer mine.Close()
	go func() { _ = tls.Client(its, cfg).Handshake(); _ = its.Close() }()
	b := make([]byte, 1<<14)
	n, err := mine.Read(b)
	require.NoError(t, err)
	return b[:n]
}

// strangerKinds are the ways not to prove who one is.
func strangerKinds(t *testing.T, s *gatewaytest.Site) map[string]struct {
	secure bool
	send   []byte
	drip   bool
} {
	hello := clientHello(t, s.Config())
	return map[string]struct {
		secure bool
		send   []byte
		drip   bool
	}{
		"idle":             {false, nil, false},
		"part of a HELLO":  {false, gatewaytest.Hello("name").Append(nil)[:5], false},
		"byte by byte":     {false, gatewaytest.Hello("some-name").Append(nil), true},
		"idle, TLS":        {true, nil, false},
		"part of a hello":  {true, hello[:len(hello)/2], false},
		"bytes of a hello": {true, hello, true},
		"whole hello":      {true, hello, false},
	}
}

// BC-12: whoever has not proven who it is has six seconds, whatever it does.
func TestStrangersEnd(t *testing.T) {
	t.Parallel()
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{Loops: 2})
	check := func() { gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/good")), "").Ping() }
	ended := make(chan error)
	kinds := strangerKinds(t, s)
	for name, kind := range kinds {
		addr := g.Addr()
		if kind.secure {
			addr = g.TLSAddr()
		}
		c, err := net.Dial("tcp", addr.String())
		require.NoError(t, err)
		began := time.Now()
		if kind.drip {
			go func() {
				for _, b := range kind.send {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
		} else {
			_, err = c.Write(kind.send)
			require.NoError(t, err)
		}
		go func() {
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
			_, _ = io.Copy(io.Discard, c)
			if took := time.Since(began); took > 6500*time.Millisecond || took < 4*time.Second {
				ended <- fmt.Errorf("%s took %s", name, took)
				return
			}
			ended <- nil
		}()
	}
	// Between its handshake and HELLO: told why.
	shaken := gatewaytest.Shake(t, g.TLSAddr(), s.Config())
	check()
	for range kinds {
		require.NoError(t, <-ended)
	}
	shaken.ExpectClosed(wire.CodeKeepaliveMissed)
	check()
}

// cost is what each of many connections of a kind has the process hold: heap and
// stacks, and goroutines. The other ends are bare descriptors, which cost nothing.
func cost(t *testing.T, g *gateway.Gateway, addr net.Addr, n int, send []byte, settled func() bool) (bytes, goroutines float64) {
	t.Helper()
	now := func() (heap, stack uint64, goroutines int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, m.StackInuse, runtime.NumGoroutine()
	}
	heap, stack, running := now()
	to := &unix.SockaddrInet4{Port: addr.(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	fds := make([]int, n)
	for i := range fds {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		fds[i] = fd
		require.NoError(t, unix.Connect(fd, to))
		if len(send) > 0 {
			_, err = unix.Write(fd, send)
			require.NoError(t, err)
		}
	}
	eventually(t, settled)
	time.Sleep(200 * time.Millisecond) // until they all wait
	heap2, stack2, running2 := now()
	for _, fd := range fds {
		require.NoError(t, unix.Close(fd))
	}
	eventually(t, func() bool { return askJSON[map[string]any](t, g, "/v1/gateway")["connections"] == 0.0 })
	return float64(int64(heap2-heap)+int64(stack2-stack)) / float64(n), float64(running2-running) / float64(n)
}

// BC-12: a stranger costs at most 4 KiB and no goroutine, and 32 KiB and one in its
// handshake. The longest hello that is taken costs more, and few send it: see
// maxHello of package secure.
func TestCostOfStrangers(t *testing.T) {
	if memoryFactor > 1 {
		t.Skip("not exact with the race detector")
	}
	const n = 1000
	s := gatewaytest.NewSite(t)
	for name, kind := range strangerKinds(t, s) {
		if kind.drip {
			continue
		}
		t.Run(name, func(t *testing.T) {
			g := s.Start(gateway.Config{Loops: 2, Limits: gateway.Limits{AuthenticateWithin: time.Minute}})
			addr, most, goroutines := g.Addr(), 4.0*1024, 0.0
			if kind.secure {
				addr = g.TLSAddr()
			}
			if name == "whole hello" {
				most, goroutines = 32*1024, 1
			}
			cost(t, g, addr, 50, kind.send, func() bool { return askJSON[map[string]any](t, g, "/v1/gateway")["connections"] == 50.0 }) // what is made once
			bytes, running := cost(t, g, addr, n, kind.send, func() bool {
				st := askJSON[map[string]any](t, g, "/v1/gateway")
				return st["connections"] == float64(n) && (goroutines == 0 || st["handshakes"] == float64(n))
			})
			t.Logf("%.0f bytes, %.2f goroutines", bytes, running)
			require.LessOrEqual(t, bytes, most)
			require.InDelta(t, goroutines, running, 0.05)
		})
	}
}

// When too many shake hands, it is the oldest that goes, which has had the most time.
func TestOldestHandshakeIsShed(t *testing.T) {
	var log ledger
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{Loops: 2, Limits: gateway.Limits{Handshakes: 4}, Audit: log.Logger()})
	hello := clientHello(t, s.Config())
	var all []net.Conn
	for i := range 6 {
		c, err := net.Dial("tcp", g.TLSAddr().String())
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Write(hello)
		require.NoError(t, err)
		all = append(all, c)
		want := float64(min(i+1, 4))
		eventually(t, func() bool { return askJSON[map[string]any](t, g, "/v1/gateway")["handshakes"] == want })
		// Its answer has come: it is the next one's turn.
		_, err = io.ReadFull(c, make([]byte, 100))
		require.NoError(t, err)
	}
	for i, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := io.Copy(io.Discard, c)
		var timeout net.Error
		if i < 2 {
			require.NotErrorAs(t, err, &timeout)
		} else {
			require.ErrorAs(t, err, &timeout, "%d", i)
		}
	}
	lines := log.Lines(t, g)
	require.Len(t, lines, 2)
	for i, line := range lines {
		require.Equal(t, []any{"handshake", "40", "shed for a newer connection", all[i].LocalAddr().String()},
			[]any{line["event"], line["code"], line["reason"], line["from"]})
	}
	// A good device comes in meanwhile.
	gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/good")), "").Ping()
}

// A stranger that has shaken hands, which anyone can, is not given room for long
// records.
func TestLongRecordsOfStrangers(t *testing.T) {
	bothWays(t, "heldLimit", "still open", func(t *testing.T, guard string) error {
		var log ledger
		s := gatewaytest.NewSite(t)
		g := s.Start(gateway.Config{Audit: log.Logger()}.Without(guard))
		d := gatewaytest.Connect(t, g.TLSAddr())
		slow := &held{Conn: d.Conn}
		client := tls.Client(slow, s.Config())
		d.Conn = client
		require.NoError(t, client.Handshake())
		slow.hold = true
		_, err := client.Write(make([]byte, 1<<14))
		require.NoError(t, err)
		_, err = client.Write(make([]byte, 1<<14))
		require.NoError(t, err)
		// No whole record, so no frame at which to refuse it. The first ones of Go's
		// client are short.
		long := []byte{23, 3, 3, 0x40, 0x11}
		_, err = slow.Conn.Write(append(long, make([]byte, 9<<10)...))
		require.NoError(t, err)
		if err := wantCode(d, 2*time.Second, wire.CodeOverCredit); err != nil {
			return err
		}
		line := log.one(t, g)
		require.Equal(t, []any{"frame", fmt.Sprintf("%02x", uint8(wire.CodeOverCredit))}, []any{line["event"], line["code"]})
		return nil
	})
}
