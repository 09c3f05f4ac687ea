package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/wire"
)

// fakeGateway takes devices and delivers what is published, as deliver makes it,
// to each of them.
type fakeGateway struct {
	subscribed func() []byte // the answer to SUBSCRIBE
	deliver    func(device int, payload []byte) []byte
	chunk      int // bytes of one write; 0: all at once

	mu    sync.Mutex
	conns []net.Conn // of the subscribers
	names map[string]bool
}

const fakeTopic = 5

func accepted() []byte { return wire.Subscribed{Sub: 1, Topic: fakeTopic}.Append(nil) }

func delivery(payload []byte) []byte {
	return wire.Message{Topic: fakeTopic, Payload: payload}.Append(nil)
}

func (g *fakeGateway) serve(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	g.names = map[string]bool{}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { g.device(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		g.mu.Lock()
		for _, c := range g.conns {
			c.Close()
		}
		g.mu.Unlock()
		served.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// device serves one connection until it fails or says what is not understood.
func (g *fakeGateway) device(c net.Conn) {
	defer c.Close()
	var kept []byte
	for in := make([]byte, 4096); ; {
		n, err := c.Read(in)
		if err != nil {
			return
		}
		kept = append(kept, in[:n]...)
		for {
			typ, body, rest, err := wire.Next(kept, 1<<20)
			if err != nil {
				break
			}
			g.frame(c, typ, body)
			kept = append([]byte(nil), rest...)
		}
	}
}

func (g *fakeGateway) frame(c net.Conn, typ wire.Type, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case typ == wire.TypeHello:
		h, err := wire.ParseHello(body)
		if err != nil || g.names[string(h.Auth)] {
			c.Close()
			return
		}
		g.names[string(h.Auth)] = true
		g.write(c, wire.Welcome{Version: wire.Version, Recv: 12, Credit: 16384, Keepalive: 600}.Append(nil))
	case typ == wire.TypeSubscribe:
		s, err := wire.ParseSubscribe(body)
		if err != nil {
			c.Close()
			return
		}
		if !s.PublishOnly {
			g.conns = append(g.conns, c)
		}
		g.write(c, g.subscribed())
	case typ.Base() == wire.TypePublish:
		p, err := wire.ParsePublish(typ, body)
		if err != nil {
			c.Close()
			return
		}
		for i, to := range g.conns {
			g.write(to, g.deliver(i, p.Payload))
		}
	}
}

func (g *fakeGateway) write(c net.Conn, b []byte) {
	for len(b) > 0 {
		n := len(b)
		if g.chunk > 0 {
			n = min(n, g.chunk)
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// loaded runs a generator against a fake gateway and lets it publish some
// messages; it returns what the generator reported.
func loaded(t *testing.T, g *fakeGateway, devices, messages int) (arrived []arrivals, err error) {
	cfg := MillionLoadConfig{Connect: g.serve(t), Devices: devices, Sources: 3, Payload: 64, Topic: "broadcast/x"}
	commandsRead, commandsWrite, err := os.Pipe()
	require.NoError(t, err)
	defer commandsRead.Close()
	defer commandsWrite.Close()
	linesRead, linesWrite := io.Pipe()
	var ran sync.WaitGroup
	var failed error
	ran.Go(func() {
		failed = MillionLoad(t.Context(), cfg, commandsRead, linesWrite)
		linesWrite.Close()
	})
	order := func() {
		if messages == 0 {
			fmt.Fprintln(commandsWrite, "end")
			return
		}
		messages--
		var now unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
		fmt.Fprintf(commandsWrite, "publish %d\n", now.Nano()+5e6)
	}
	quiet := false
	for lines := bufio.NewScanner(linesRead); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case word == "subscribed" && rest == fmt.Sprint(devices) && len(arrived) == 0:
			order()
		case word == "arrivals":
			some, err := parseArrivals(rest)
			require.NoError(t, err)
			arrived = append(arrived, some)
			order()
		case word == "quiet":
			quiet = true
		}
	}
	ran.Wait()
	require.Equal(t, failed == nil, quiet, "quiet is the last word of a good run, and of no other")
	return arrived, failed
}

func TestGeneratorReceivesEachMessageOnce(t *testing.T) {
	for _, chunk := range []int{0, 1, 7} {
		g := &fakeGateway{subscribed: accepted, deliver: func(_ int, p []byte) []byte { return delivery(p) }, chunk: chunk}
		arrived, err := loaded(t, g, 40, 3)
		require.NoError(t, err)
		require.Len(t, arrived, 3)
		for _, a := range arrived {
			require.Len(t, a, 40)
			require.Positive(t, a[39], "it takes time")
		}
		require.Len(t, g.names, 41, "each device has a name of its own, and so has the publisher")
	}
}

func TestGeneratorFailsARun(t *testing.T) {
	good := func(_ int, p []byte) []byte { return delivery(p) }
	one := func(bad func(p []byte) []byte) func(int, []byte) []byte {
		return func(i int, p []byte) []byte {
			if i == 3 {
				return bad(p)
			}
			return delivery(p)
		}
	}
	for want, g := range map[string]*fakeGateway{
		"a message too many after 1": {subscribed: accepted, deliver: one(func(p []byte) []byte { return append(delivery(p), delivery(p)...) })},
		"message 1 arrived altered":  {subscribed: accepted, deliver: one(func(p []byte) []byte { return delivery(p[1:]) })},
		"a message of another topic": {subscribed: accepted, deliver: one(func(p []byte) []byte { return wire.Message{Topic: 6, Payload: p}.Append(nil) })},
		"left out 2 messages": {subscribed: accepted, deliver: one(func([]byte) []byte {
			return wire.Gap{Topic: fakeTopic, Reason: wire.ReasonSlow, Count: 2}.Append(nil)
		})},
		"closed the connection": {subscribed: accepted, deliver: one(func([]byte) []byte { return wire.Close{Code: wire.CodeSlow}.Append(nil) })},
		"refused a PUBLISH": {subscribed: accepted, deliver: one(func([]byte) []byte {
			return wire.Refusal{Code: wire.CodeMalformed, Type: wire.TypePublish}.Append(nil)
		})},
		"no device here expects": {subscribed: accepted, deliver: one(func([]byte) []byte { return wire.Hello{Auth: []byte("x")}.Append(nil) })},
		"was refused":            {subscribed: func() []byte { return wire.Subscribed{Sub: 1, Code: wire.CodeNotGranted}.Append(nil) }, deliver: good},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := loaded(t, g, 10, 1)
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "device ")
		})
	}
}

func quietCrowd(t *testing.T) (*crowd, *os.File) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	c, err := newCrowd(MillionLoadConfig{Connect: netip.MustParseAddrPort("127.0.0.1:1"), Devices: 2, Sources: 1, Payload: 16, Topic: "t"}, r, io.Discard)
	require.NoError(t, err)
	t.Cleanup(c.close)
	return c, w
}

// A lost message is noticed by its absence.
func TestGeneratorLosesPatience(t *testing.T) {
	c, _ := quietCrowd(t)
	c.moved = time.Now().Add(-2 * crowdPatience)
	require.ErrorContains(t, c.turn(t.Context(), 0), "nothing came for")
}

func TestGeneratorEndsWithTheHarness(t *testing.T) {
	c, commands := quietCrowd(t)
	commands.Close()
	require.ErrorContains(t, c.obey(t.Context()), "the harness is gone")

	c, commands = quietCrowd(t)
	fmt.Fprint(commands, "dance\n")
	require.ErrorContains(t, c.obey(t.Context()), `"dance"`)

	c, _ = quietCrowd(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.obey(cancelled), context.Canceled)

	_, err := newCrowd(MillionLoadConfig{}, os.Stdin, io.Discard)
	require.ErrorContains(t, err, "for the harness")
}

// Frames may be cut anywhere.
func TestGeneratorTakesBytesInAnyPieces(t *testing.T) {
	payload := pattern(16)
	clear(payload[:sequenceLen])
	stream := append(wire.Welcome{Version: wire.Version, Recv: 12}.Append(nil), accepted()...)
	stream = append(stream, delivery(payload)...)
	for first := range len(stream) + 1 {
		for second := first; second <= len(stream); second++ {
			c, _ := quietCrowd(t)
			c.number = 1
			copy(c.payload, payload)
			shared := make([]byte, len(stream)) // as the real one, it is everybody's
			for _, piece := range [][]byte{stream[:first], stream[first:second], stream[second:]} {
				n := copy(shared, piece)
				require.NoError(t, c.feed(0, shared[:n]))
				clear(shared)
			}
			require.Equal(t, 1, c.received)
			require.Equal(t, 1, c.ready)
			require.Empty(t, c.partial)
			c.close()
			c.epoll = -1
		}
	}
}

func TestLoaderSaysWhyItEnded(t *testing.T) {
	l, err := startLoader([]string{"sh", "-c", "echo subscribed 7; echo arrivals x; echo published 12; echo why >&2; exit 3"})
	require.NoError(t, err)
	defer l.kill()
	var late time.Duration
	rest, err := l.await(t.Context(), "arrivals", nil)
	require.NoError(t, err)
	require.Equal(t, "x", rest)
	require.Equal(t, 7, l.subscribed)
	_, err = l.await(t.Context(), "quiet", &late)
	require.EqualError(t, err, "a generator failed: why")
	require.Equal(t, 12*time.Nanosecond, late)
	require.Error(t, l.hear())
	require.Error(t, l.order("end"))
}

func TestLoaderIsKilledWhateverItSays(t *testing.T) {
	l, err := startLoader([]string{"sh", "-c", "while :; do echo subscribed 1; done"})
	require.NoError(t, err)
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = l.await(cancelled, "quiet", nil)
	for err == nil || !errors.Is(err, context.Canceled) { // both cases of a select may be ready
		_, err = l.await(cancelled, "quiet", nil)
	}
	l.kill()
	_, open := <-l.lines
	require.False(t, open)
}

// A turn may be asked for so late that its time is over: a wait for a negative
// time would never end.
func TestATurnWhoseTimeIsOverReturns(t *testing.T) {
	commands, harness, err := os.Pipe()
	require.NoError(t, err)
	defer commands.Close()
	defer harness.Close()
	c, err := newCrowd(MillionLoadConfig{
		Connect: netip.MustParseAddrPort("127.0.0.1:1"), Devices: 1, Sources: 1, Payload: sequenceLen, Topic: "broadcast/a",
	}, commands, io.Discard)
	require.NoError(t, err)
	defer c.close()
	require.NoError(t, c.turn(t.Context(), -time.Minute))
}
