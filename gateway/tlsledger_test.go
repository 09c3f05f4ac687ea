package gateway_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
)

// ledger is what an audit log was given.
type ledger struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *ledger) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// lines are those since the last call.
func (l *ledger) lines(t *testing.T, g *gateway.Gateway) (out []map[string]any) {
	t.Helper()
	gateway.FlushAudit(g)
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

// one is the only line since the last call, once it is there.
func (l *ledger) one(t *testing.T, g *gateway.Gateway) map[string]any {
	t.Helper()
	var all []map[string]any
	eventually(t, func() bool {
		all = append(all, l.lines(t, g)...)
		return len(all) > 0
	})
	require.Len(t, all, 1)
	return all[0]
}

// sessionRows waits until there are so many, and returns them.
func sessionRows(t *testing.T, g *gateway.Gateway, n int) []gateway.SessionInfo {
	t.Helper()
	var list gateway.SessionList
	eventually(t, func() bool {
		list = askJSON[gateway.SessionList](t, g, "/v1/sessions")
		return list.Total == n
	})
	return list.Sessions
}
