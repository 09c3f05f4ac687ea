package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each step of a change takes whatever the steps beside it send (BC-D4).
func TestStepsTakeBothWays(t *testing.T) {
	old, next := []string{"broadcast/#"}, []string{"broadcast/b/#", "x/#"}
	steps := []*classes{newClasses(old, nil), newClasses(old, next), newClasses(next, old), newClasses(next, nil)}
	for i, here := range steps {
		for _, sender := range steps[max(0, i-1):min(len(steps), i+2)] {
			for _, topic := range []string{"broadcast/a", "broadcast/b/c", "x/a", "z"} {
				if sender.broadcast(topic) {
					require.True(t, here.relays(topic), "step %d, %s", i, topic)
				} else {
					require.True(t, here.brings(topic), "step %d, %s", i, topic)
				}
			}
		}
		if i > 0 {
			require.True(t, steps[i-1].leadsTo(here), "step %d", i)
			require.True(t, here.leadsTo(steps[i-1]), "back from step %d", i)
		}
	}
	require.False(t, steps[0].leadsTo(steps[3]))
	require.False(t, steps[0].leadsTo(steps[2]))
	require.False(t, steps[1].leadsTo(steps[3]), "others may not have changed")
	require.False(t, steps[0].relays("x/a"))
	require.False(t, steps[0].brings("broadcast/a"))
	late := *steps[3]
	late.before = steps[2]
	require.True(t, late.relays("broadcast/a"), "what is under way")
	require.True(t, late.brings("x/a"), "what is under way")

	for filter, want := range map[string][4]bool{
		"broadcast/#": {true, false, false, false}, "broadcast/b/c": {true, true, true, true}, "x/+": {false, false, false, true}, "#": {},
	} {
		for i, c := range steps {
			require.Equal(t, want[i], c.allBroadcast(filter), "%s step %d", filter, i)
		}
	}
	// Nothing at all is broadcast: that is not the same as no second set.
	none := newClasses([]string{}, old)
	require.True(t, none.both("broadcast/a"))
	require.True(t, newClasses(old, []string{}).both("broadcast/a"))
	require.False(t, newClasses(old, []string{}).is(newClasses(old, nil)))
	require.True(t, newClasses([]string{"a", "b"}, nil).is(newClasses([]string{"b", "a", "a"}, nil)))
}
