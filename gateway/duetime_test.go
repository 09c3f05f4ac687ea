package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A thousand strangers whose time is over in the same second are not closed in one
// turn of the loop, and all are within a second: a device beside them is answered in
// between. Without the slices one turn closes them all.
func TestManyDueAtOnce(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		cfg := Config{}
		cfg.without.dueSlices = !guarded
		m := newSim(t, cfg)
		l := m.g.loops[0]
		var strangers []*simConn
		for range 1000 {
			strangers = append(strangers, m.connect(0))
		}
		gone := func() (n int) {
			for _, c := range strangers {
				if c.closed || c.s.stage == stageClosing {
					n++
				}
			}
			return n
		}
		m.late = func() bool { return true } // each look at the clock is a quarter of a millisecond later
		m.g.now.Add(seconds(m.g.limits.Load().AuthenticateWithin) + 1)
		l.wheel.turned = m.g.now.Load() - 1
		l.tick()
		if !guarded {
			require.Equal(t, 1000, gone())
			continue
		}
		require.Positive(t, gone())
		require.Less(t, gone(), 100)
		require.True(t, l.busy.Load(), "it goes on at the next tick")
		m.late = nil
		l.tick()
		require.Equal(t, 1000, gone())
	}
}
