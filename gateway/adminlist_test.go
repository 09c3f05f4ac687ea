package gateway

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// In whatever order rows come, the first of them are kept, and all are counted.
func TestFirstRowsAgainstOracle(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 5))
		f := firstRows[int]{most: 1 + rng.IntN(20), compare: func(a, b *int) int { return cmp.Compare(*a, *b) }}
		all := []int{}
		for range rng.IntN(200) {
			row := rng.IntN(100)
			all = append(all, row)
			if f.counts(&row) {
				f.add(row)
			}
			require.Less(t, len(f.rows), 2*f.most)
		}
		slices.Sort(all)
		require.Equal(t, all[:min(f.most, len(all))], f.sorted())
		require.Equal(t, len(all), f.total)
	}
}
