package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	server "github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// line is the network between a client and a gateway: its first connection goes
// through a proxy that fails, those after it do not.
type line struct {
	proxy  *gatewaytest.Proxy
	direct net.Addr

	mu       sync.Mutex
	dials    int
	down, up []byte // what went through the first one
}

func newLine(t *testing.T, g *server.Gateway) *line {
	return &line{proxy: gatewaytest.NewProxy(t, g.Addr()), direct: g.Addr()}
}

func (l *line) dial(ctx context.Context, _ string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := l.direct
	if l.dials++; l.dials == 1 {
		addr = l.proxy.Addr()
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr.String())
	if err != nil || l.dials > 1 {
		return c, err
	}
	return &recorded{c, l}, nil
}

// recorded is the first connection of a line.
type recorded struct {
	net.Conn
	line *line
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.line.mu.Lock()
	defer r.line.mu.Unlock()
	r.line.down = append(r.line.down, b[:n]...)
	return n, err
}

func (r *recorded) Write(b []byte) (int, error) {
	r.line.mu.Lock()
	r.line.up = append(r.line.up, b...)
	r.line.mu.Unlock()
	return r.Conn.Write(b)
}

// boundaries are the ends of the frames of a recorded session, and its beginning.
func boundaries(t *testing.T, b []byte) (ends []int) {
	t.Helper()
	for rest := b; ; {
		ends = append(ends, len(b)-len(rest))
		_, _, tail, err := wire.Next(rest, 1<<wire.MaxFrameLog)
		if err != nil {
			require.ErrorIs(t, err, wire.ErrShort)
			return ends
		}
		rest = tail
	}
}

// outcome is what an application saw of one session.
type outcome struct {
	lost, doubled, gaps int
	unknown             int // publishes whose outcome was not told
}

// live has a client resume a topic from its beginning and publish there, one by one
// with its ACK, while others publish as well, until it gets what is published last.
func live(t *testing.T, g *server.Gateway, l *line, topic string, opts ...client.Option) (o outcome) {
	t.Helper()
	sent := map[string]int{} // how often it must come at least
	inside := func(text string) {
		_, err := g.Publish(t.Context(), server.DefaultTenant, topic, []byte(text))
		require.NoError(t, err)
		sent[text] = 1
	}
	for i := range 3 {
		inside(fmt.Sprint("before ", i))
	}
	opts = append([]client.Option{client.WithDialer(l.dial), client.WithBackoff(time.Millisecond, 10*time.Millisecond)}, opts...)
	c, err := client.Dial(t.Context(), "gateway", opts...)
	if err != nil { // it was cut before WELCOME
		c, err = client.Dial(t.Context(), "gateway", opts...)
	}
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	s, err := c.Subscribe(ctx, topic, client.WithCursor())
	require.NoError(t, err)
	for i := range 4 {
		text := fmt.Sprint("mine ", i)
		err := c.Publish(ctx, topic, []byte(text))
		if sent[text] = 1; errors.Is(err, client.ErrUnknownOutcome) {
			sent[text] = 0
			o.unknown++
		} else {
			require.NoError(t, err)
		}
		inside(fmt.Sprint("other ", i))
	}
	// Its end is published again if it is lost, which it is without a cursor only.
	came, last := map[string]int{}, uint64(0)
	for n, ended := 0, false; !ended; n++ {
		require.NoError(t, ctx.Err(), "after %v", came)
		_, err := g.Publish(ctx, server.DefaultTenant, topic, fmt.Append(nil, "end ", n))
		require.NoError(t, err)
		for !ended {
			soon, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			e, err := s.Next(soon)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			require.NoError(t, err)
			switch e := e.(type) {
			case client.Message:
				require.Greater(t, e.Offset, last, "%s is out of order", e.Payload)
				last = e.Offset
				came[string(e.Payload)]++
				ended = strings.HasPrefix(string(e.Payload), "end")
			case client.Gap:
				o.gaps++
			}
		}
	}
	for text, least := range sent {
		o.lost += max(0, least-came[text])
		o.doubled += max(0, came[text]-1)
	}
	return o
}

// everyBoundary lives a session once, and then once for each end of a frame in
// either direction, where TCP is cut.
func everyBoundary(t *testing.T, check func(at string, o outcome), opts ...client.Option) {
	g := gatewaytest.Start(t, server.Config{Loops: 2})
	n := 0
	run := func(at string, cut func(*gatewaytest.Proxy)) *line {
		l := newLine(t, g)
		cut(l.proxy)
		n++
		check(at, live(t, g, l, fmt.Sprintf("broadcast/%03d", n), opts...))
		return l
	}
	whole := run("nowhere", func(*gatewaytest.Proxy) {})
	down, up := boundaries(t, whole.down), boundaries(t, whole.up)
	require.Greater(t, len(down), 15)
	require.Greater(t, len(up), 6)
	for _, end := range down {
		run(fmt.Sprintf("after %d bytes from the gateway", end), func(p *gatewaytest.Proxy) { p.CutAfter(end) })
	}
	for _, end := range up {
		run(fmt.Sprintf("after %d bytes from the client", end), func(p *gatewaytest.Proxy) { p.CutUpAfter(end) })
	}
}

// With a real gateway, wherever TCP is cut, the application gets each message once
// and in order, and knows of each publish that it was done, or that nobody knows.
func TestCutFromAGateway(t *testing.T) {
	t.Parallel()
	unknown := 0
	everyBoundary(t, func(at string, o outcome) {
		unknown += o.unknown
		require.LessOrEqual(t, o.unknown, 1, at)
		o.unknown = 0
		require.Equal(t, outcome{}, o, at)
	})
	require.Positive(t, unknown, "no cut was between a PUBLISH and its ACK")
}

// The control of TestCutFromAGateway: a client that does not say where it was
// misses what came meanwhile, though it is told how much by a Gap. That doubles are dropped has none here, since
// a gateway repeats nothing that a cursor names: TestCutsWithoutAGuard has a fake
// one that does.
func TestCutFromAGatewayWithoutCursor(t *testing.T) {
	t.Parallel()
	lost := 0
	everyBoundary(t, func(at string, o outcome) {
		lost += o.lost
		require.True(t, o.lost == 0 || o.gaps > 0, "%s: lost without a word", at)
	}, client.WithoutCursor)
	require.Positive(t, lost, "it resumes without its cursor")
}

// A line that stalls without a word is noticed by the PONG that does not come; the
// client goes on elsewhere and has everything once. A client that waits for the PONG
// much longer gets nothing in that time.
func TestStalledFromAGateway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patience time.Duration
		came     bool
	}{{300 * time.Millisecond, true}, {time.Hour, false}} {
		t.Run(fmt.Sprint(c.patience), func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.Start(t, server.Config{Limits: server.Limits{KeepaliveMin: time.Second}})
			l := newLine(t, g)
			cl, err := client.Dial(t.Context(), "gateway", client.WithDialer(l.dial), client.WithBackoff(time.Millisecond, 10*time.Millisecond),
				client.WithKeepalive(time.Second), client.WithPongTimeout(c.patience))
			require.NoError(t, err)
			defer cl.Close()
			s, err := cl.Subscribe(t.Context(), "broadcast/a")
			require.NoError(t, err)
			require.NoError(t, cl.Publish(t.Context(), "broadcast/a", []byte("0")))
			_, err = s.Next(t.Context())
			require.NoError(t, err)
			l.proxy.Stall(true)
			published := make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			go func() { published <- cl.Publish(ctx, "broadcast/a", []byte("mine")) }()
			for n := range 3 {
				_, err := g.Publish(t.Context(), server.DefaultTenant, "broadcast/a", fmt.Append(nil, n+1))
				require.NoError(t, err)
			}
			var got []string
			for len(got) < 3 {
				e, err := s.Next(ctx)
				if err != nil {
					break
				}
				m, ok := e.(client.Message)
				require.True(t, ok, "%+v", e)
				got = append(got, string(m.Payload))
			}
			require.ErrorIs(t, <-published, client.ErrUnknownOutcome)
			if c.came {
				require.Equal(t, []string{"1", "2", "3"}, got)
			} else {
				require.Empty(t, got)
			}
		})
	}
}
