package gateway

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newTestGuesses() (*guesses, *time.Time) {
	now := time.Unix(1000, 0)
	g := newGuesses()
	g.now = func() time.Time { return now }
	return g, &now
}

// Against a bucket that is filled drop by drop, for each source.
func TestGuessesAgainstOracle(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		g, now := newTestGuesses()
		left := map[uint64]time.Duration{} // of guessBurst × guessEvery
		sources := []uint64{networkOf(netip.Addr{}), networkOf(netip.MustParseAddr("1.2.3.4")), networkOf(netip.MustParseAddr("2001:db8::1"))}
		for _, s := range sources {
			left[s] = guessBurst * guessEvery
		}
		for range 500 {
			step := time.Duration(rng.IntN(10)) * time.Second
			*now = now.Add(step)
			for _, s := range sources {
				left[s] = min(guessBurst*guessEvery, left[s]+step)
			}
			s := sources[rng.IntN(len(sources))]
			wait := g.blocked(s)
			require.Equal(t, max(0, guessEvery-left[s]), wait)
			if wait == 0 {
				g.failed(s)
				left[s] -= guessEvery
			}
		}
	}
}

// Sources without end neither take memory without end nor guess without end; who was
// here before keeps an account of its own, and what is full again is forgotten.
func TestGuessesFromEverywhere(t *testing.T) {
	g, now := newTestGuesses()
	address := func(i int) uint64 {
		return networkOf(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i)+1<<24))))
	}
	looked := 0
	for i := range 2 * guessSources {
		if g.blocked(address(i)) == 0 {
			g.failed(address(i))
			looked++
		}
	}
	require.Len(t, g.full, guessSources)
	require.Equal(t, guessSources+guessBurst, looked)
	require.Zero(t, g.blocked(address(0)))
	require.Positive(t, g.blocked(address(3*guessSources)))
	*now = now.Add(time.Minute)
	require.Zero(t, g.blocked(address(3*guessSources)))
	g.failed(address(3 * guessSources))
	require.Len(t, g.full, 1)
}
