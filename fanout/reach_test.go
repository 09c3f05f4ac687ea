package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// Whatever comes and goes, there are never more links than the limit, and what is counted is at least what there is: the
// oracle asks every filter about every topic. When all groups have gone nothing is counted.
func TestLinksAreBounded(t *testing.T) {
	t.Parallel()
	filters := []string{"#", "a/+", "a/#", "+/1", "b/+", "b/3", "+/+", "a/+/x/#", "+/+/+"}
	type key struct {
		loop   int
		filter string
	}
	refused := map[string]int{}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 22))
		limit := 1 + rng.IntN(60)
		x := newIndex(t, fanout.Config{Links: limit})
		groups := map[key]*fanout.Group{}
		members := map[key]int{}
		for step := range 150 {
			k := key{rng.IntN(2), filters[rng.IntN(len(filters))]}
			switch rng.IntN(4) {
			case 0:
				name := fmt.Sprintf("%c/%d%s", 'a'+rng.IntN(2), rng.IntN(20), []string{"", "/x"}[rng.IntN(2)])
				topic, err := x.Ensure([]byte(name))
				if err != nil {
					require.ErrorIs(t, err, fanout.ErrTooManyLinks)
					require.Nil(t, x.Lookup([]byte(name)))
					refused["topic"]++
					continue
				}
				publish(topic, 0, nil)
			case 1, 2:
				if !x.Fits(k.loop, k.filter) {
					require.Nil(t, groups[k], "a group that exists costs no link")
					refused["filter"]++
					continue
				}
				members[k]++
				groups[k] = x.Join(k.loop, k.filter, fanout.Sub(members[k]), false)
			default:
				if groups[k] != nil {
					x.Leave(groups[k], fanout.Sub(members[k]), false)
					if members[k]--; members[k] == 0 {
						delete(groups, k)
					}
				}
			}
			links := 0
			x.Each(func(topic *fanout.Topic) bool {
				for k := range groups {
					if matches(k.filter, topic.Name()) {
						links++
					}
				}
				return true
			})
			require.LessOrEqual(t, links, x.Reach(), "seed %d, step %d", seed, step)
			require.LessOrEqual(t, x.Reach(), limit, "seed %d, step %d", seed, step)
		}
		for k, g := range groups {
			for s := range members[k] {
				x.Leave(g, fanout.Sub(s+1), false)
			}
		}
		require.Zero(t, x.Reach(), "seed %d", seed)
		_, err := x.Ensure([]byte("another/topic"))
		require.NoError(t, err)
	}
	require.Greater(t, refused["topic"], 100)
	require.Greater(t, refused["filter"], 100)
}
