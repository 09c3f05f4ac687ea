package client_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// transcript records a session in steps: what the device sent, what the gateway
// sent, and what the application saw. Each is in order; how the first two
// interleave is left to the scheduler.
type transcript struct {
	mu    sync.Mutex
	lines map[string][]string // of the step, by who
	b     strings.Builder
}

func (r *transcript) line(who, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines[who] = append(r.lines[who], who+" "+fmt.Sprintf(format, args...)+"\n")
}

// step ends a step and begins the next.
func (r *transcript) step(what string) {
	pass(time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, who := range []string{"D", "G", "state:", "exact:", "wildcard:"} {
		for _, l := range r.lines[who] {
			r.b.WriteString(l)
		}
	}
	clear(r.lines)
	r.b.WriteString("# " + what + "\n")
}

func (r *transcript) frame(from string, b []byte) {
	ft := wire.Type(b[0])
	b = bytes.Clone(b)
	if ft == wire.TypeHello {
		i := bytes.Index(b, []byte{'B', 'W'}) + 6
		for range 2 { // names and keepalive
			_, n := wire.ConsumeVarint(b[i:])
			i += n
		}
		copy(b[i:], []byte{0xde, 0xad, 0xbe, 0xef}) // the incarnation is drawn
	}
	r.line(from, "%-12v % x", ft, b)
}

// A whole session, byte by byte: what a device says when it connects, subscribes,
// publishes, is cut off, resumes, finds the gateway restarted, and leaves.
// Run with -update after a change that is meant, and read the difference.
func TestGoldenSession(t *testing.T) {
	rec := transcript{lines: make(map[string][]string)}
	synctest.Test(t, func(t *testing.T) {
		tap := func(g *gateway) *gateway {
			g.tap = rec.frame
			return g
		}
		g := tap(newGateway(0xa1a2a3a4a5a6a7a8))
		c, f := start(t, g, client.WithDevice("kitchen"), client.WithKeepalive(10*time.Minute), client.WithFrameLimit(4096),
			client.WithOnState(func(s client.State) { rec.line("state:", "%s", s.Phase) }))
		subs := make(map[string]*client.Subscription)
		drain := func() {
			pass(time.Minute)
			for _, name := range []string{"exact", "wildcard"} {
				for {
					e := try(t, subs[name])
					if e == nil {
						break
					}
					if m, is := e.(client.Message); is {
						rec.line(name+":", "%s %s %v/%d replayed=%v", m.Topic, m.Payload, m.Life, m.Offset, m.Replayed)
					} else {
						rec.line(name+":", "%T%+v", e, e)
					}
				}
			}
		}
		rec.step("connected; subscribe")
		subs["exact"] = subscribe(t, c, "broadcast/eu/kitchen")
		subs["wildcard"] = subscribe(t, c, "broadcast/eu/+", client.WithPolicy(wire.Lossless))
		rec.step("publish")
		require.NoError(t, c.Publish(t.Context(), "broadcast/eu/kitchen", []byte("temp=21.5")))
		require.NoError(t, c.Publish(t.Context(), "broadcast/eu/hall", []byte("temp=19.0")))
		drain()
		rec.step("the connection is lost, two messages are missed, both are replayed")
		g.kick()
		synctest.Wait()
		g.Publish("broadcast/eu/kitchen", "temp=21.6")
		g.Publish("broadcast/eu/hall", "temp=19.1")
		drain()
		rec.step("the gateway is killed and comes back without memory")
		f.put("gw", tap(newGateway(0xb1b2b3b4b5b6b7b8)))
		g.kick()
		synctest.Wait()
		f.gateway("gw").Publish("broadcast/eu/hall", "temp=18.9")
		drain()
		rec.step("leave")
		require.NoError(t, c.Shutdown(t.Context()))
		rec.step("end")
	})
	const file = "testdata/session.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(rec.b.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), rec.b.String())
}
