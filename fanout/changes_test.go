package fanout_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// A filter that comes or goes makes few topics match anew besides those that it matches, though all topics have their
// first two levels in common.
func TestFiltersTouchFewTopics(t *testing.T) {
	t.Parallel()
	const topics, rounds = 2000, 30
	x := newIndex(t, fanout.Config{Topics: 100_000})
	for i := range topics {
		ensure(t, x, fmt.Sprintf("broadcast/eu/%d/%d", i%200, i))
	}
	for filter, most := range map[string]float64{ // most: part of all topics, on average
		"plant/%d/+":           0.01,
		"broadcast/us%d/#":     0.01,
		"broadcast/eu/%d/+/y":  0.01,
		"broadcast/+/new%d/#":  0.01,
		"+/+/new%d":            0.01,
		"+/new%d/#":            0.01,
		"broadcast/eu/+/new%d": 0.01,
		"+/+/+/+/+/+/new%d":    1,
	} {
		stale := 0
		for round := range rounds {
			x.Each(func(topic *fanout.Topic) bool { return topic.Loops() == 0 })
			g := x.Join(0, fmt.Sprintf(filter, round), 1, false)
			if round%2 == 0 {
				x.Leave(g, 1, false)
			}
			x.Each(func(topic *fanout.Topic) bool {
				if topic.Stale() {
					stale++
				}
				if want := round%2 == 1 && matches(g.Filter(), topic.Name()); want != (topic.Loops() != 0) {
					t.Errorf("%s: %t", topic.Name(), want)
				}
				return true
			})
			if round%2 == 1 {
				x.Leave(g, 1, false)
			}
		}
		require.LessOrEqual(t, float64(stale)/topics/rounds, most, filter)
		t.Logf("%-22s %.4f", filter, float64(stale)/topics/rounds)
	}
}
