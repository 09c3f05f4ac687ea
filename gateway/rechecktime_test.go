package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// A reload asks about all sessions again; what is due meanwhile does not wait for
// all of them, however long a policy takes, and each is asked (MS-17).
func TestRecheckLetsOthersHaveTheirTurn(t *testing.T) {
	const devices = 50
	for _, without := range []bool{false, true} {
		cfg := Config{}
		cfg.without.recheckSlices = without
		m := newSim(t, cfg)
		var all []*simConn
		for i := range devices {
			c := m.join(0, hello(fmt.Sprintf("d%d", i)))
			c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
			c.frames()
			all = append(all, c)
		}
		now := time.Unix(0, 0)
		l := m.g.loops[0]
		l.clock = func() time.Time { now = now.Add(recheckTime); return now }
		none, err := access.New(nil)
		require.NoError(t, err)
		m.g.rules.Store(&rules{trust: m.g.rules.Load().trust, policy: none})
		m.g.recheckAll()
		before := 0
		for range 3 {
			l.drain()
		}
		for _, c := range all {
			before += len(c.s.subs)
		}
		m.g.recheckAll() // another one while it is under way
		m.drain()
		require.Equal(t, without, before == 0)
		for _, c := range all {
			require.Empty(t, c.s.subs)
		}
		require.False(t, l.checking)
	}
}
