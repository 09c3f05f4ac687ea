package fanout_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"#", "a", true},
		{"#", "a/b/c", true},
		{"#", "", true},
		{"#", "$sys", false},
		{"#", "$sys/a", false},
		{"+", "a", true},
		{"+", "", true},
		{"+", "a/b", false},
		{"+", "$sys", false},
		{"+/a", "$sys/a", false},
		{"+/#", "$sys/a", false},
		{"$sys/#", "$sys", true},
		{"$sys/+", "$sys/a", true},
		{"$sys/#", "$sys/a/b", true},
		{"a/$sys", "a/$sys", true},
		{"a/+", "a/$sys", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"a/+", "a", false},
		{"a/+", "a/", true},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a/b/d", false},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"+/+", "/a", true},
		{"/+", "/a", true},
		{"+", "/a", false},
		{"+/b/#", "a/b", true},
		{"+/b/#", "a/c", false},
		{"a/b", "a/b", true},
		{"a/b", "a", false},
		{"a/b", "a/b/c", false},
		{"a/#/b", "a/x/b", false}, // not a wildcard there: stands for itself
		{"a/#/b", "a/#/b", true},
		{"a+", "ab", false},
		{"a+", "a+", true},
		{"", "", true},
		{"", "a", false},
		{"A", "a", false},
	} {
		require.Equal(t, c.want, matches(c.filter, c.topic), "oracle: %q on %q", c.filter, c.topic)
		require.Equal(t, c.want, joins(t, c.filter, c.topic, true), "%q, then %q", c.topic, c.filter)
		require.Equal(t, c.want, joins(t, c.filter, c.topic, false), "%q, then %q", c.filter, c.topic)
	}
}

// joins says whether a publish to the topic reaches someone who joined with the filter. The topic comes first (and is
// published to before) or the filter.
func joins(t testing.TB, filter, name string, topicFirst bool) bool {
	x := newIndex(t, fanout.Config{})
	if topicFirst {
		_, loops := publish(ensure(t, x, name), 0, nil)
		require.Zero(t, loops)
	}
	g := x.Join(1, filter, 4, false)
	topic := ensure(t, x, name)
	_, loops := publish(topic, 0, nil)
	exact, groups := listed(topic, 1, 1)
	require.Empty(t, exact)
	require.Equal(t, loops == 0b10, len(groups) == 1)
	x.Leave(g, 4, false)
	_, after := publish(topic, 0, nil)
	require.Zero(t, after)
	require.Zero(t, x.Filters(), "no branch is left")
	return loops != 0
}

// randomLevels makes topics and filters out of few levels, so that they often match.
func randomLevels(rng *rand.Rand, levels ...string) string {
	parts := make([]string, 1+rng.IntN(4))
	for i := range parts {
		parts[i] = levels[rng.IntN(len(levels))]
	}
	return strings.Join(parts, "/")
}

func TestIndexAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		runHistory(t, rand.New(rand.NewPCG(seed, 4)), 400)
	}
}

// member is one subscription of the oracle.
type member struct {
	loop   int
	filter string // of a group
	topic  string // of an exact subscription
	sub    fanout.Sub
	tracks bool
}

// runHistory lets subscribers come and go and compares the index with a list of subscriptions and the slow matcher.
func runHistory(t testing.TB, rng *rand.Rand, steps int) {
	const loops = 3
	x := newIndex(t, fanout.Config{Loops: loops})
	groups := map[member]*fanout.Group{}
	exact := map[member]bool{}
	var names []string
	for range steps {
		switch rng.IntN(5) {
		case 0:
			names = append(names, ensure(t, x, randomLevels(rng, "a", "b", "c", "", "$s")).Name())
		case 1, 2:
			m := member{loop: rng.IntN(loops), filter: randomLevels(rng, "a", "b", "+", "+", "#", "$s"), sub: fanout.Sub(rng.IntN(4))}
			m.tracks = m.sub == 0
			if g := groups[m]; g != nil {
				x.Leave(g, m.sub, m.tracks)
				delete(groups, m)
			} else {
				groups[m] = x.Join(m.loop, m.filter, m.sub, m.tracks)
			}
		default:
			if len(names) == 0 {
				continue
			}
			m := member{loop: rng.IntN(loops), topic: names[rng.IntN(len(names))], sub: fanout.Sub(rng.IntN(5))}
			topic := x.Lookup([]byte(m.topic))
			if exact[m] {
				require.True(t, topic.Remove(m.loop, m.sub))
				delete(exact, m)
			} else {
				topic.Add(m.loop, m.sub)
				topic.Add(m.loop, m.sub) // twice is once
				exact[m] = true
			}
		}
		if len(names) > 0 {
			compare(t, x.Lookup([]byte(names[rng.IntN(len(names))])), groups, exact, loops, 1+rng.IntN(3))
		}
	}
	for m, g := range groups {
		x.Leave(g, m.sub, m.tracks)
	}
	require.Zero(t, x.Filters())
}

func sorted(subs map[fanout.Sub]bool) []fanout.Sub { return slices.Sorted(maps.Keys(subs)) }

func compare(t testing.TB, topic *fanout.Topic, groups map[member]*fanout.Group, exact map[member]bool, loops, most int) {
	tracked, mask := false, uint64(0)
	want := make([]map[fanout.Sub]bool, loops)
	wantGroups := make([]map[string]map[fanout.Sub]bool, loops)
	for loop := range loops {
		want[loop], wantGroups[loop] = map[fanout.Sub]bool{}, map[string]map[fanout.Sub]bool{}
	}
	for m := range exact {
		if m.topic == topic.Name() {
			want[m.loop][m.sub] = true
			mask |= 1 << m.loop
		}
	}
	for m := range groups {
		if matches(m.filter, topic.Name()) {
			if wantGroups[m.loop][m.filter] == nil {
				wantGroups[m.loop][m.filter] = map[fanout.Sub]bool{}
			}
			wantGroups[m.loop][m.filter][m.sub] = true
			mask |= 1 << m.loop
			tracked = tracked || m.tracks
		}
	}
	require.Equal(t, mask, topic.Loops())
	require.Equal(t, tracked, topic.Tracked())
	for loop := range loops {
		gotExact, gotGroups := listed(topic, loop, most)
		require.Equal(t, len(want[loop]), topic.Subscribers(loop))
		require.Equal(t, fmt.Sprint(sorted(want[loop])), fmt.Sprint(gotExact))
		require.Len(t, gotGroups, len(wantGroups[loop]))
		for filter, subs := range wantGroups[loop] {
			require.Equal(t, sorted(subs), gotGroups[filter])
		}
	}
}
