package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// Guards that a fault test can take out, by name.
var takeOut = map[string]func(*guards){
	"connectionCap":   func(g *guards) { g.connectionCap = true },
	"authDeadline":    func(g *guards) { g.authDeadline = true },
	"helloLimit":      func(g *guards) { g.helloLimit = true },
	"slowPolicy":      func(g *guards) { g.slowPolicy = true },
	"stuckClose":      func(g *guards) { g.stuckClose = true },
	"recover":         func(g *guards) { g.recover = true },
	"bindProbe":       func(g *guards) { g.bindProbe = true },
	"keepalive":       func(g *guards) { g.keepalive = true },
	"wholeFrames":     func(g *guards) { g.wholeFrames = true },
	"heldLimit":       func(g *guards) { g.heldLimit = true },
	"adminConns":      func(g *guards) { g.adminConns = true },
	"tooBig":          func(g *guards) { g.gapOf = wire.ReasonTooBig },
	"frameLimit":      func(g *guards) { g.frameLimit = true },
	"topicCheck":      func(g *guards) { g.topicCheck = true },
	"keepPart":        func(g *guards) { g.keepPart = true },
	"lostOnce":        func(g *guards) { g.lostOnce = true },
	"unlist":          func(g *guards) { g.unlist = true },
	"rest":            func(g *guards) { g.rest = true },
	"lastFrames":      func(g *guards) { g.lastFrames = true },
	"sources":         func(g *guards) { g.sources = true },
	"spread":          func(g *guards) { g.spread = true },
	"cursor":          func(g *guards) { g.cursor = true },
	"userTimeout":     func(g *guards) { g.userTimeout = true },
	"adminWrite":      func(g *guards) { g.adminWrite = true },
	"hostCheck":       func(g *guards) { g.hostCheck = true },
	"memory":          func(g *guards) { g.memory = true },
	"heldDescriptors": func(g *guards) { g.heldDescriptors = true },
}

// Without takes a guard out; "refusal a0" is that of one code.
func (c Config) Without(guard string) Config {
	if guard == "" {
		return c
	}
	if n, _ := fmt.Sscanf(guard, "refusal %x", &c.without.refusal); n == 1 {
		return c
	}
	takeOut[guard](&c.without)
	return c
}

// MostHeld is what may follow HELLO before the device is proven.
const MostHeld = mostHeld

// FlushAudit waits until the audit log is written.
func FlushAudit(g *Gateway) { g.audit.flush(time.Minute) }

// AuditLog keeps what an audit log is given.
type AuditLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *AuditLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// Logger is what Config.Audit takes.
func (l *AuditLog) Logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// Lines are those since the last call, once all of a gateway are written.
func (l *AuditLog) Lines(t *testing.T, g *Gateway) (out []map[string]any) {
	t.Helper()
	FlushAudit(g)
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		var v map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &v))
		out = append(out, v)
	}
	l.buf.Reset()
	return out
}
