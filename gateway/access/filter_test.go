package access_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

func TestMeet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want string }{ // no want: they share nothing
		{"a", "a", "a"},
		{"a", "b", ""},
		{"a/#", "a", "a"},
		{"a/#", "a/b/c", "a/b/c"},
		{"a/#", "+", "a"},
		{"a/#", "+/b", "a/b"},
		{"a/#", "+/b/#", "a/b/#"},
		{"a/+", "+/b", "a/b"},
		{"a/+", "a", ""},
		{"a/+/#", "a", ""},
		{"a/+/#", "a/#", "a/+/#"},
		{"#", "#", "#"},
		{"#", "+", "+"},
		{"#", "a/+", "a/+"},
		{"+/a", "b/+", "b/a"},
		{"+/a/#", "+/b/#", ""},
		{"a//b", "a/+/b", "a//b"},
		{"/#", "+", ""}, // only the topic of no bytes
		{"/#", "#", "/#"},
		{"/#", "+/+", "/+"},
		{"A", "a", ""},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got, some := access.Meet(pair[0], pair[1])
			require.Equal(t, c.want != "", some, "%q and %q", pair[0], pair[1])
			require.Equal(t, c.want, got, "%q and %q", pair[0], pair[1])
		}
	}
}

// sets are topics as bits, so that filters can be compared by what they match.
type sets struct {
	topics  []string
	filters []string
	of      map[string][]bool
}

func newSets(topics, filters []string) sets {
	s := sets{topics, filters, map[string][]bool{}}
	for _, f := range filters {
		s.of[f] = make([]bool, len(topics))
		for i, topic := range topics {
			s.of[f][i] = wire.Match(f, topic)
		}
	}
	return s
}

// Every pair of filters of up to three levels, against every topic of up to four.
func TestOverlapAndCoverOfAllPairs(t *testing.T) {
	t.Parallel()
	world := newSets(topicsOf([]string{"a", "", "z"}, 4), filtersOf([]string{"a", "", "+", "#"}, 3))
	overlaps, covers := 0, 0
	for _, f := range world.filters {
		for _, g := range world.filters {
			overlap, covered := false, true
			both, some := access.Meet(f, g)
			for i, inF := range world.of[f] {
				inG := world.of[g][i]
				overlap = overlap || inF && inG
				covered = covered && (!inF || inG)
				if some && wire.Match(both, world.topics[i]) != (inF && inG) {
					require.Fail(t, "not what both match", "%q and %q: %q on %q", f, g, both, world.topics[i])
				}
			}
			if some != overlap || access.Overlap(f, g) != overlap || access.Covered(f, g) != covered {
				require.Fail(t, "differs from the oracle", "%q and %q: overlap %v, covered %v", f, g, overlap, covered)
			}
			if overlap {
				overlaps++
			}
			if covered {
				covers++
			}
		}
	}
	t.Logf("%d filters, %d topics, %d pairs overlap, %d cover", len(world.filters), len(world.topics), overlaps, covers)
	require.Greater(t, overlaps, covers)
	require.Greater(t, covers, len(world.filters))
}

// A filter against several that may cover it only together.
func TestCoveredTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter string
		by     []string
		want   bool
	}{
		{"a/#", []string{"a", "a/+/#"}, true},
		{"a/#", []string{"a", "a/+", "a/+/+/#"}, true},
		{"a/#", []string{"a/+", "a/+/+/#"}, false},
		{"a/#", []string{"a", "a/+/+/#"}, false},
		{"#", []string{"+", "+/+/#"}, true},
		{"#", []string{"+/+/#"}, false},
		{"/#", []string{"/+/#"}, true}, // there is no topic of no bytes
		{"a/+", []string{"a/b", "a/c"}, false},
		{"a/+", []string{"+/b", "a/+"}, true},
		{"a/b", []string{"+/b"}, true},
		{"a", nil, false},
		{"1/2/3/4/5/6/7/8/9/10/11/12/13/14/#", []string{ // 16 levels are all that there are
			"1/2/3/4/5/6/7/8/9/10/11/12/13/14", "1/2/3/4/5/6/7/8/9/10/11/12/13/14/+", "+/2/3/4/5/6/7/8/9/10/11/12/13/14/+/+",
		}, true},
	} {
		require.Equal(t, c.want, access.Covered(c.filter, c.by...), "%q by %q", c.filter, c.by)
	}

	rng := dice(t)
	world := newSets(topicsOf([]string{"a", "", "z"}, 4), filtersOf([]string{"a", "", "+", "#"}, 3))
	together := 0
	for range 20_000 {
		f, by := pick(rng, world.filters), some(rng, world.filters, 5)
		want, alone := true, false
		for i, in := range world.of[f] {
			covered := false
			for _, g := range by {
				covered = covered || world.of[g][i]
			}
			want = want && (!in || covered)
		}
		for _, g := range by {
			alone = alone || access.Covered(f, g)
		}
		require.Equal(t, want, access.Covered(f, by...), "%q by %q", f, by)
		if want && !alone {
			together++
		}
	}
	require.NotZero(t, together, "no filter was covered by several together")
}
