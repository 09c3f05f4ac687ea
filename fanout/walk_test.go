package fanout_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// While a walk is suspended subscribers leave. Whoever stayed must have been shown, nobody who had left may be shown, and
// the exact subscribers come before the groups (BC-6, BC-7).
func TestWalkWithRemovals(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 5))
		x := newIndex(t, fanout.Config{})
		require.Empty(t, hidden(t, x, rng))
	}
}

// The direction of walks is what keeps subscribers from being hidden.
func TestWalkUpwardsHides(t *testing.T) {
	t.Parallel()
	hid := 0
	for seed := range uint64(300) {
		x := newIndex(t, fanout.Config{})
		x.Without(fanout.WalkDownwards)
		hid += len(hidden(t, x, rand.New(rand.NewPCG(seed, 5))))
	}
	require.Positive(t, hid)
}

// hidden runs a random walk with removals and returns who stayed and was not shown.
func hidden(t testing.TB, x *fanout.Index, rng *rand.Rand) (hidden []fanout.Sub) {
	topic := ensure(t, x, "a/b")
	filters := []string{"a/+", "#", "+/b"}
	present := map[fanout.Sub]int{} // filter, or -1
	groups := make([]*fanout.Group, len(filters))
	for s := range fanout.Sub(1 + rng.IntN(200)) {
		by := rng.IntN(len(filters)+1) - 1
		if present[s] = by; by < 0 {
			topic.Add(1, s)
		} else {
			groups[by] = x.Join(1, filters[by], s, false)
		}
	}
	shown := map[fanout.Sub]bool{}
	inGroups := false
	most := 1 + rng.IntN(20)
	for w := topic.Walk(1); ; {
		subs, link := w.Next(most)
		if len(subs) == 0 {
			break
		}
		require.LessOrEqual(t, len(subs), most)
		require.False(t, inGroups && link == nil)
		inGroups = link != nil
		for _, s := range subs {
			by, ok := present[s]
			require.True(t, ok, "%d has left", s)
			require.Equal(t, by < 0, link == nil)
			if link != nil {
				require.Equal(t, filters[by], link.Group().Filter())
			}
			shown[s] = true
		}
		for range rng.IntN(most) {
			s := fanout.Sub(rng.IntN(200))
			by, ok := present[s]
			if !ok {
				continue
			}
			delete(present, s)
			if by < 0 {
				require.True(t, topic.Remove(1, s))
			} else {
				x.Leave(groups[by], s, false)
			}
		}
	}
	for s := range present {
		if !shown[s] {
			hidden = append(hidden, s)
		}
	}
	return hidden
}

// A walk does not fall over what it held when everybody is gone and others have come.
func TestWalkOutlivesItsLists(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic, other := ensure(t, x, "a"), ensure(t, x, "b")
	for s := range fanout.Sub(10) {
		topic.Add(0, s)
	}
	g := x.Join(0, "#", 10, false)
	w := topic.Walk(0)
	subs, _ := w.Next(3)
	require.Equal(t, []fanout.Sub{7, 8, 9}, subs)
	for s := range fanout.Sub(10) {
		require.True(t, topic.Remove(0, s))
	}
	x.Leave(g, 10, false)
	for s := range fanout.Sub(10) {
		other.Add(0, 100+s) // takes the place of the list that is gone
	}
	x.Join(0, "#", 11, false)
	subs, _ = w.Next(3)
	require.Empty(t, subs)
	subs, _ = w.Next(3)
	require.Empty(t, subs)
}

func TestWalkShowsAtLeastOne(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic := ensure(t, x, "a")
	topic.Add(0, 1)
	topic.Add(0, 2)
	for _, most := range []int{0, -5} {
		w := topic.Walk(0)
		subs, _ := w.Next(most)
		require.Equal(t, []fanout.Sub{2}, subs)
	}
}

func TestLinkForgetsWhenAnyoneJoins(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic := ensure(t, x, "a/b")
	link := func() *fanout.Link {
		w := topic.Walk(0)
		_, link := w.Next(10)
		require.NotNil(t, link)
		return link
	}
	g := x.Join(0, "a/#", 1, false)
	require.False(t, link().Told())
	link().SetTold()
	require.True(t, link().Told())
	publish(topic, 0, nil)
	require.True(t, link().Told())

	first := link()
	x.Join(0, "a/+", 2, false) // another filter: the topic matches anew and keeps what it knew
	w := topic.Walk(0)
	told := map[string]bool{}
	for subs, l := w.Next(10); len(subs) > 0; subs, l = w.Next(10) {
		told[l.Group().Filter()] = l.Told()
	}
	require.Equal(t, map[string]bool{"a/#": true, "a/+": false}, told)
	require.Same(t, first, link())

	x.Join(0, "a/#", 3, false)
	require.False(t, link().Told())
	link().SetTold()
	x.Leave(g, 1, false)
	require.True(t, link().Told(), "those who stay have been told")
	x.Leave(g, 3, false)

	again := x.Join(0, "a/#", 1, false)
	require.NotSame(t, g, again)
	w = topic.Walk(0)
	for subs, l := w.Next(10); len(subs) > 0; subs, l = w.Next(10) {
		require.False(t, l.Told(), l.Group().Filter())
	}
	x.Leave(g, 1, false) // a group that has ended: nothing happens
	require.Equal(t, 1, again.Len())
}
