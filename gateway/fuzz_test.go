package gateway

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// fuzzSession plays bytes to a session in pieces whose lengths are those of cuts,
// again and again, and returns what the device gets. A second device is
// subscribed to everything and must notice nothing.
func fuzzSession(t *testing.T, input []byte, cuts []byte) []string {
	cfg := Config{}
	cfg.Limits.TopicRate = 1 << 30
	m := newSim(t, cfg)
	m.g.life = 0x0102030405_000000
	for _, ten := range []string{DefaultTenant} {
		_, err := m.g.tenants.get(ten)
		require.NoError(t, err)
	}
	healthy := m.join(0, hello("healthy"))
	healthy.write(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/#")}.Append(nil))
	c := m.connect(0)
	for i := 0; len(input) > 0; i++ {
		n := len(input)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		c.write(input[:n])
		input = input[n:]
	}
	m.drain()
	got := c.frames()
	require.Zero(t, m.g.loops[0].counters.panics.Load())
	if c.s != nil && !c.closed {
		require.LessOrEqual(t, len(c.s.subs), m.g.limits.Load().Subscriptions)
		require.LessOrEqual(t, len(c.in), m.g.limits.Load().Frame)
	}
	healthy.frames()
	healthy.write(wire.AppendPing(nil, []byte("well?")))
	m.drain()
	require.Equal(t, []string{`PONG "well?"`}, healthy.frames())
	require.False(t, healthy.closed)
	require.Zero(t, m.g.credit.used.Load(), "credit is lost")
	return got
}

// FuzzSession: arbitrary bytes in arbitrary pieces never panic, never disturb
// another device, and the pieces make no difference.
func FuzzSession(f *testing.F) {
	open := hello("fuzz").Append(nil)
	sub := wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")}.Append(nil)
	wild := wire.Subscribe{Sub: 2, NoEcho: true, Filter: []byte("broadcast/+")}.Append(nil)
	pub := wire.Publish{Ack: true, Seq: 1, Name: []byte("broadcast/a"), Payload: []byte("x")}.Append(nil)
	byID := wire.Publish{Topic: 1, Payload: []byte("y")}.Append(nil)
	kept := wire.Subscribe{Sub: 3, Start: wire.StartKept, Filter: []byte("broadcast/a")}.Append(nil)
	end := wire.Close{}.Append(nil)
	join := func(parts ...[]byte) []byte {
		all := []byte(strings.Clone(string(open)))
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	f.Add([]byte{}, []byte{})
	f.Add(join(), []byte{0})
	f.Add(join(sub, pub, byID), []byte{0})
	f.Add(join(wild, pub, sub, pub, kept, byID, wire.Unsubscribe{Sub: 1}.Append(nil), pub, end, pub), []byte{7, 2})
	f.Add(join([]byte{0x41, 0xFF, 0xFF, 0x7F}), []byte{0, 3})
	f.Add([]byte("GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"), []byte{1})
	f.Fuzz(func(t *testing.T, input, cuts []byte) {
		if len(input) > 1<<14 {
			return
		}
		whole := fuzzSession(t, input, nil)
		pieces := fuzzSession(t, input, cuts)
		require.Equal(t, answers(whole), answers(pieces))
		require.Equal(t, deliveries(whole), deliveries(pieces))
	})
}

// answers are the frames whose order the pieces cannot change: acknowledgements
// and credit may be fewer when frames come together.
func answers(frames []string) (out []string) {
	for _, f := range frames {
		switch kind, _, _ := strings.Cut(f, " "); kind {
		case "ACK", "CREDIT", "MESSAGE", "GAP", "TOPIC", "STREAM", "LIVE":
		default:
			out = append(out, f)
		}
	}
	return out
}

func deliveries(frames []string) (out []string) {
	for _, f := range frames {
		if strings.HasPrefix(f, "MESSAGE") || strings.HasPrefix(f, "GAP") {
			out = append(out, f)
		}
	}
	return out
}
