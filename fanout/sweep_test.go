package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// After a whole sweep topics hold links of filters that somebody has, and of no others; who matches is what it was. The
// oracle asks every filter about every topic.
func TestSweepDropsWhatIsGone(t *testing.T) {
	t.Parallel()
	filters := []string{"#", "a/+", "a/#", "+/1", "b/+", "b/3", "+/+"}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 21))
		x := newIndex(t, fanout.Config{})
		var topics []*fanout.Topic
		for i := range 10 {
			topics = append(topics, ensure(t, x, fmt.Sprintf("%c/%d", 'a'+i%2, i/2)))
		}
		groups := map[string]*fanout.Group{}
		for range 60 {
			filter := filters[rng.IntN(len(filters))]
			switch g := groups[filter]; {
			case rng.IntN(3) == 0:
				publish(topics[rng.IntN(len(topics))], 0, nil)
			case rng.IntN(4) == 0:
				x.Sweep(1 + rng.IntN(12))
			case g == nil:
				groups[filter] = x.Join(len(filter)%2, filter, 1, false)
			default:
				x.Leave(g, 1, false)
				delete(groups, filter)
			}
		}
		for range 2 { // the first call may end a pass that began earlier
			x.Sweep(1000)
		}
		for _, topic := range topics {
			for _, filter := range topic.Links() {
				require.Contains(t, groups, filter, "seed %d: %s", seed, topic.Name())
			}
			want := uint64(0)
			for filter := range groups {
				if matches(filter, topic.Name()) {
					want |= 1 << (len(filter) % 2)
				}
			}
			require.Equal(t, want, topic.Loops(), "seed %d: %s", seed, topic.Name())
		}
	}
}

// A sweep goes on where it stopped, ends, and rests until another group has gone.
func TestSweepInSlices(t *testing.T) {
	t.Parallel()
	const topics = 100
	x := newIndex(t, fanout.Config{})
	g := x.Join(0, "#", 1, false)
	for i := range topics {
		publish(ensure(t, x, fmt.Sprint(i)), 0, nil)
	}
	require.Zero(t, x.Sweep(1000), "nobody has gone")
	x.Leave(g, 1, false)
	total, calls := 0, 0
	for dropped := x.Sweep(10); dropped > 0; dropped = x.Sweep(10) {
		require.LessOrEqual(t, dropped, 10)
		total += dropped
		calls++
	}
	require.Equal(t, topics, total)
	require.GreaterOrEqual(t, calls, topics/10)
	require.Zero(t, x.Sweep(1000))
}

// A group that lives keeps its link: it is not told again, and gets what is in mailboxes.
func TestSweepKeepsTheLiving(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic := ensure(t, x, "a/b")
	x.Join(0, "a/+", 1, true)
	gone := x.Join(0, "#", 2, false)
	offset, _ := publish(topic, 0, nil)
	w := topic.WalkFor(0, offset)
	_, link := w.Next(1)
	link.SetTold()
	x.Leave(gone, 2, false)
	require.Equal(t, 1, x.Sweep(100))
	require.Equal(t, []string{"a/+"}, topic.Links())
	w = topic.WalkFor(0, offset)
	subs, again := w.Next(1)
	require.Equal(t, []fanout.Sub{1}, subs)
	require.Same(t, link, again)
	require.True(t, again.Told())
}
