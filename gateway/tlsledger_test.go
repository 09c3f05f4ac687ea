package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
)

// ledger is an audit log.
type ledger struct{ gateway.AuditLog }

// one is the only line since the last call, once it is there.
func (l *ledger) one(t *testing.T, g *gateway.Gateway) map[string]any {
	t.Helper()
	var all []map[string]any
	eventually(t, func() bool {
		all = append(all, l.Lines(t, g)...)
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
