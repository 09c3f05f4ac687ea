package fanout_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

func TestListAgainstMap(t *testing.T) {
	t.Parallel()
	for _, most := range []int{3, 100, 20_000} { // below, around and far above the linear search
		rng := rand.New(rand.NewPCG(3, uint64(most)))
		var l fanout.List
		want := map[fanout.Sub]bool{}
		for grow := range 4 { // up, down, up, down
			for range 2 * most {
				s := fanout.Sub(rng.IntN(most))
				if rng.IntN(10) < 8 == (grow%2 == 0) {
					require.Equal(t, !want[s], l.Insert(s))
					want[s] = true
				} else {
					require.Equal(t, want[s], l.Delete(s))
					delete(want, s)
				}
				require.Len(t, l.Subs(), len(want))
			}
			got := map[fanout.Sub]bool{}
			for _, s := range l.Subs() {
				got[s] = true
			}
			require.Equal(t, want, got)
		}
		for s := range want {
			require.True(t, l.Delete(s))
		}
		require.Empty(t, l.Subs())
		require.LessOrEqual(t, l.Places(), 128, "the memory of those who left is given back")
	}
}
