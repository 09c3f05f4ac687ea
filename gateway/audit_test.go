package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// plain are the lines without what all have.
func plain(t *testing.T, log *AuditLog, g *Gateway) []map[string]any {
	t.Helper()
	lines := log.Lines(t, g)
	for _, line := range lines {
		require.Equal(t, "audit", line["msg"])
		delete(line, "time")
		delete(line, "msg")
	}
	return lines
}

// canary is what no line may hold.
const canary = "canary-eyJhbGciOiJFZERTQSJ9"

// Each refusal has its line, with who, from where, what about and why; none holds
// what the device proves itself by, or a payload.
func TestAuditLines(t *testing.T) {
	var log AuditLog
	believed := true
	m := newSim(t, Config{
		Audit: log.Logger(),
		Authorize: func(_ wire.Identity, _ Action, topic string) error {
			if strings.HasSuffix(topic, "secret") {
				return errors.New(canary)
			}
			return nil
		},
	})
	m.g.cfg.Authenticate = func(context.Context, wire.Hello, netip.AddrPort) (wire.Identity, error) {
		if !believed {
			return wire.Identity{}, &wire.Error{Code: wire.CodeRevoked, Field: "withdrawn yesterday"}
		}
		return wire.Identity{Tenant: "acme", Device: "d1"}, nil
	}
	join := func() *simConn {
		c := m.connect(0)
		h := hello(canary)
		c.write(h.Append(nil))
		for range 1000 { // the authenticator has a goroutine of its own
			if m.drain(); c.s.stage != stageProving {
				break
			}
			time.Sleep(time.Millisecond)
		}
		c.frames()
		return c
	}
	const level, from = "WARN", "127.0.0.1:1"
	d := join()
	who := func(more map[string]any) map[string]any {
		out := map[string]any{"level": level, "from": from, "tenant": "acme", "device": "d1"}
		for k, v := range more {
			out[k] = v
		}
		return out
	}

	d.write(wire.Publish{Ack: true, Seq: 1, Name: []byte("broadcast/secret"), Payload: []byte(canary)}.Append(nil))
	d.write(wire.Publish{Ack: true, Seq: 2, Name: []byte("broadcast/\x1b[31m#"), Payload: []byte(canary)}.Append(nil)) // bad, but nothing to audit
	d.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/+/secret")}.Append(nil))
	d.write(wire.Subscribe{Sub: 2, Filter: []byte("a\u202e" + strings.Repeat("b", 200))}.Append(nil))
	d.write([]byte{0x7F, byte(len(canary))})
	d.write([]byte(canary))
	d2, d3 := join(), join()
	m.drain()
	believed = false
	join()
	require.Equal(t, []map[string]any{
		who(map[string]any{"event": "publish", "code": "83", "means": "not granted", "topic": "broadcast/secret"}),
		who(map[string]any{"event": "subscribe", "code": "83", "means": "not granted", "topic": "broadcast/+/secret"}),
		who(map[string]any{"event": "subscribe", "code": "c9", "means": "no central here", "topic": `"a\u202e` + strings.Repeat("b", 128-4) + `"...`}),
		who(map[string]any{"event": "frame", "code": "a2", "means": "unknown type", "reason": "wire: TYPE_0x7f: not known in version 1 (unknown type)"}),
		who(map[string]any{"level": "INFO", "event": "replace", "code": "82", "means": "replaced by a newer connection", "by": from}),
		{"level": level, "event": "authenticate", "code": "81", "means": "revoked", "from": from, "reason": "withdrawn yesterday"},
	}, plain(t, &log, m.g))
	require.True(t, d2.closed || d2.s.stage == stageClosing)
	require.Equal(t, stageOpen, d3.s.stage)
}

// Whatever is wrong with what a device proves itself by, it is not shown: neither a
// token that a gateway without an authenticator takes for a name, nor one that an
// error quotes. A device that only names itself is marked as such.
func TestAuditHoldsNoSecrets(t *testing.T) {
	var log AuditLog
	m := newSim(t, Config{Audit: log.Logger()})
	c := m.connect(0)
	h := hello("bad name " + canary)
	c.write(h.Append(nil))
	cut := m.connect(0)
	b := hello(canary).Append(nil)
	b[4] ^= 0xFF // no version in common, or not a HELLO at all
	cut.write(b)
	named := m.join(0, hello("self-named"))
	named.write(wire.Subscribe{Sub: 1, Filter: []byte("orders/1")}.Append(nil))

	for _, err := range []error{
		&wire.Error{Code: wire.CodeNotAuthenticated, Field: "signature of " + canary},
		errors.New("cannot read " + canary),
		fmt.Errorf("hook: %w", &wire.Error{Code: wire.CodeTokenExpired, Field: canary}),
	} {
		s := m.connect(0)
		s.s.stage = stageProving
		m.g.loops[0].proven(s.s, hello(canary), wire.Identity{}, nil, err)
	}
	lines := plain(t, &log, m.g)
	require.Len(t, lines, 6)
	require.NotContains(t, fmt.Sprint(lines), canary)
	for i, code := range []string{"80", "a", "c9", "80", "80", "25"} {
		require.Contains(t, lines[i]["code"], code)
	}
	require.Equal(t, "default/self-named", lines[2]["claimed"])
	require.NotContains(t, lines[2], "device")
}

// A flood of one kind costs that kind its lines, says how many, and hides no other.
func TestAuditFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log AuditLog
		a := newAudit(log.Logger())
		flood := func(n int) {
			for range n {
				a.refused(auditPublish, denial{code: wire.CodeNotGranted})
			}
			synctest.Wait()
		}
		flood(1000)
		a.refused(auditConnect, denial{code: wire.CodeOverload})
		lines := plain(t, &log, &Gateway{audit: a})
		require.Len(t, lines, auditBurst+1)
		require.Equal(t, "connect", lines[auditBurst]["event"])
		require.NotContains(t, lines[auditBurst], "suppressed", "that is of the other kind")
		require.EqualValues(t, 1000, a.kinds[auditPublish].seen.Load())
		require.EqualValues(t, 900, a.kinds[auditPublish].suppressed.Load())

		time.Sleep(time.Second)
		flood(1000)
		lines = plain(t, &log, &Gateway{audit: a})
		require.Len(t, lines, auditPerSecond)
		require.EqualValues(t, 900, lines[0]["suppressed"])
		require.NotContains(t, lines[1], "suppressed", "it is said once")
	})
}

// blocked is a log that does not take anything until it is let.
type blocked struct{ let chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	<-b.let
	return len(p), nil
}

// A log that blocks holds nobody up, and holds no more than its queue.
func TestAuditThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		a := newAudit(slog.New(slog.NewTextHandler(blocked{let}, nil)))
		for range auditKinds * 2 {
			for k := range auditKinds {
				for range auditBurst {
					a.refused(k, denial{})
				}
			}
			time.Sleep(auditBurst / auditPerSecond * time.Second)
		}
		require.Len(t, a.queue, auditQueue)
		began := time.Now()
		a.flush(time.Second)
		require.Equal(t, time.Second, time.Since(began))
		close(let)
		a.flush(time.Minute)
		require.Empty(t, a.queue)
		require.Nil(t, a.written, "nobody stays")
	})
}

// A refusal without a line of its own allocates nothing, nor does one that nobody
// wants to know of.
func TestAuditCostsNothing(t *testing.T) {
	for name, log := range map[string]*slog.Logger{"flooded": slog.New(slog.NewTextHandler(io.Discard, nil)), "off": slog.New(slog.DiscardHandler)} {
		m := newSim(t, Config{Audit: log})
		c := m.join(0, hello("d"))
		l, topic := m.g.loops[0], []byte("broadcast/x")
		for range 2 * auditBurst {
			l.audited(c.s, auditSubscribe, wire.CodeNotGranted, topic, "why")
		}
		m.g.audit.flush(time.Minute)
		m.g.audit.kinds[auditSubscribe].rate.SetLimit(0)
		require.Zero(t, testing.AllocsPerRun(100, func() { l.audited(c.s, auditSubscribe, wire.CodeNotGranted, topic, "why") }), name)
	}
}

func TestAuditKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range auditKinds {
		require.NotEmpty(t, k.String())
		require.False(t, seen[k.String()])
		seen[k.String()] = true
	}
}

// Whatever a device calls things, a line stays one, of plain letters, and short; two
// texts never look the same unless they were cut.
func TestQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"a/b +#$":                "a/b +#$",
		"tür":                    `"t\u00fcr"`,
		"a\nlevel=ERROR":         `"a\nlevel=ERROR"`,
		"\x1b[2J":                `"\x1b[2J"`,
		"\u202edrowssap":         `"\u202edrowssap"`,
		`"a"`:                    `"\"a\""`,
		"a\xff":                  `"a\xff"`,
		strings.Repeat("x", 128): strings.Repeat("x", 128),
		strings.Repeat("x", 129): `"` + strings.Repeat("x", 128) + `"...`,
	} {
		require.Equal(t, want, quoted(text))
	}
}
