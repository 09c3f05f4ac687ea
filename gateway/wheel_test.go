package gateway

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// The wheel calls for exactly the slots that a plain list of deadlines would, also
// when seconds are skipped and when what is called sets timers again.
func TestWheelAgainstOracle(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s slots
		w := wheel{slots: &s}
		dues := map[fanout.Sub]uint32{}
		var all []fanout.Sub
		for range 40 {
			n, _ := s.alloc()
			all = append(all, n)
		}
		now := uint32(1)
		w.turned = now
		for range 300 {
			n := all[rng.IntN(len(all))]
			switch rng.IntN(4) {
			case 0, 1:
				due := now + 1 + uint32(rng.IntN(1500))
				w.set(n, due)
				dues[n] = due
			case 2:
				w.unset(n)
				delete(dues, n)
			case 3:
				now += uint32(1 + rng.IntN(700))
				called := map[fanout.Sub]bool{}
				due := func(n fanout.Sub) {
					require.False(t, called[n], "slot %d twice", n)
					called[n] = true
					require.Contains(t, dues, n)
					require.LessOrEqual(t, dues[n], now)
					delete(dues, n)
					if rng.IntN(3) == 0 {
						due := now + 1 + uint32(rng.IntN(1500))
						w.set(n, due)
						dues[n] = due
					}
				}
				for !w.turn(now, due, func() bool { return rng.IntN(4) == 0 }) {
				}
				for n, due := range dues {
					require.Greater(t, due, now, "slot %d was not called", n)
				}
			}
		}
	}
}
