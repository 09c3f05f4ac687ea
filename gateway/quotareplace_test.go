package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A tenant that has all the connections it may have can replace each of them: after
// an outage nobody noticed that they are dead. Another device still has no room.
func TestQuotaLetsADeviceComeAgain(t *testing.T) {
	for _, without := range []bool{false, true} {
		cfg := Config{Quotas: map[string]Quota{AnyTenant: {Connections: 2}}}
		cfg.without.replacesInQuota = without
		m := newSim(t, cfg)
		first := m.join(0, hello("a"))
		m.join(0, hello("b"))
		again := m.connect(0)
		again.write(hello("a").Append(nil))
		m.drain()
		require.Equal(t, without, again.s.stage == stageClosing)
		require.Equal(t, !without, first.s.stage == stageClosing)
		other := m.connect(0)
		other.write(hello("c").Append(nil))
		m.drain()
		require.Equal(t, stageClosing, other.s.stage)
		m.pass(5) // who was closed is gone
		ten, err := m.g.tenants.get(DefaultTenant)
		require.NoError(t, err)
		require.EqualValues(t, 2, ten.usage.sessions.Load())
	}
}
