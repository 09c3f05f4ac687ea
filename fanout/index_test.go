package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  fanout.Config
		want string
	}{
		{fanout.Config{Loops: 0, Topics: 1}, "loops: 0 is not within 1 to 64"},
		{fanout.Config{Loops: -1, Topics: 1}, "loops: -1 is not within 1 to 64"},
		{fanout.Config{Loops: 65, Topics: 1}, "loops: 65 is not within 1 to 64"},
		{fanout.Config{Loops: 1, Topics: 0}, "topics: 0 is not within 1 to 16777216"},
		{fanout.Config{Loops: 1, Topics: 1<<24 + 1}, "topics: 16777217 is not within 1 to 16777216"},
		{fanout.Config{Loops: 1, Topics: 1, Ring: fanout.RingLimits{Messages: -1}}, "ring messages: -1 is not within 1 to 1048576 (0: default)"},
		{fanout.Config{Loops: 1, Topics: 1, Ring: fanout.RingLimits{Messages: 1<<20 + 1}}, "ring messages: 1048577 is not within 1 to 1048576 (0: default)"},
		{fanout.Config{Loops: 1, Topics: 1, Ring: fanout.RingLimits{Bytes: -1}}, "ring bytes: -1 is negative (0: default)"},
		{fanout.Config{Loops: 1, Topics: 1}, ""},
		{fanout.Config{Loops: 64, Topics: 1 << 24}, ""},
	} {
		_, err := fanout.NewIndex(c.cfg)
		if c.want == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.want)
		}
	}
}

func TestTopicsAgainstMap(t *testing.T) {
	t.Parallel()
	const limit = 5000
	x := newIndex(t, fanout.Config{Topics: limit})
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]uint32{}
	var names []string
	for range 4 * limit {
		name := randomName(rng)
		topic, err := x.Ensure([]byte(name))
		id, known := want[name]
		switch {
		case known:
			require.NoError(t, err)
			require.Equal(t, id, topic.ID())
		case len(names) == limit:
			require.ErrorIs(t, err, fanout.ErrTooManyTopics)
			require.Nil(t, x.Lookup([]byte(name)))
		default:
			require.NoError(t, err)
			names = append(names, name)
			want[name] = uint32(len(names)) // ids are dense, from 1
			require.Equal(t, want[name], topic.ID())
			require.Equal(t, name, topic.Name())
		}
		require.Equal(t, len(names), x.Len())
	}
	require.Len(t, names, limit)
	for i, name := range names {
		topic := x.Lookup([]byte(name))
		require.NotNil(t, topic)
		require.Equal(t, name, topic.Name())
		require.Same(t, topic, x.ByID(uint32(i+1)))
		require.Nil(t, x.Lookup([]byte(name+"?")))
	}
	require.Nil(t, x.ByID(0))
	require.Nil(t, x.ByID(limit+1))
	require.Nil(t, x.ByID(1<<32-1))
	var seen []string
	x.Each(func(topic *fanout.Topic) bool {
		seen = append(seen, topic.Name())
		return len(seen) < 300
	})
	require.Equal(t, names[:300], seen)
}

// randomName makes names of any bytes and of lengths on both sides of what a topic holds itself.
func randomName(rng *rand.Rand) string {
	switch rng.IntN(4) {
	case 0:
		return fmt.Sprintf("broadcast/%d", rng.IntN(3000))
	case 1:
		return strings.Repeat("x", rng.IntN(2*fanout.InlineName))
	case 2:
		return fmt.Sprintf("%0*d", fanout.InlineName-1+rng.IntN(3), rng.IntN(2000))
	default:
		b := make([]byte, rng.IntN(300))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
}

func TestEnsureCopiesTheName(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	for _, n := range []int{1, fanout.InlineName, fanout.InlineName + 1, 255} {
		name := []byte(strings.Repeat("n", n))
		topic, err := x.Ensure(name)
		require.NoError(t, err)
		name[0] = 'm'
		require.Equal(t, strings.Repeat("n", n), topic.Name())
		require.Nil(t, x.Lookup(name))
	}
}

// A topic is two cache lines and a shard one: a field more would cost every look-up.
func TestSizes(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 128, fanout.TopicSize)
	require.EqualValues(t, 64, fanout.ShardSize)
	require.EqualValues(t, 56, fanout.EntrySize)
}

func TestHoldsPostWithoutListing(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{Loops: 64})
	topic := ensure(t, x, "a")
	for loop := range 64 {
		require.Zero(t, topic.Loops()>>loop&1)
		topic.Release(loop) // without a hold
		require.Zero(t, topic.Loops()>>loop&1)
		topic.Hold(loop)
		topic.Hold(loop)
		require.EqualValues(t, 1, topic.Loops()>>loop&1)
		_, loops := publish(topic, 0, nil)
		require.EqualValues(t, 1, loops>>loop&1)
		exact, groups := listed(topic, loop, 10)
		require.Empty(t, exact)
		require.Empty(t, groups)
		topic.Release(loop)
		require.EqualValues(t, 1, topic.Loops()>>loop&1)
		topic.Add(loop, 5)
		topic.Release(loop)
		require.EqualValues(t, 1, topic.Loops()>>loop&1)
		require.True(t, topic.Remove(loop, 5))
		require.False(t, topic.Remove(loop, 5))
		require.Zero(t, topic.Loops()>>loop&1)
	}
}

func TestTracked(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic := ensure(t, x, "a/b")
	require.False(t, topic.Tracked())
	topic.Track(1)
	topic.Track(1)
	require.True(t, topic.Tracked())
	topic.Track(-2)
	require.False(t, topic.Tracked())

	g := x.Join(0, "a/+", 1, false)
	require.False(t, topic.Tracked())
	require.Same(t, g, x.Join(0, "a/+", 2, true)) // the filter stays, but it now tracks
	require.True(t, topic.Tracked())
	require.Equal(t, 1, g.Trackers())
	x.Leave(g, 2, true)
	require.False(t, topic.Tracked())
	require.Equal(t, 1, g.Len())

	tracked := false
	x.Join(0, "a/+", 3, true)
	topic.Stream().Publish(0, func(_ uint64, is bool) fanout.Entry { tracked = is; return fanout.Entry{} }, func(_, _ uint64, _ fanout.Entry) {})
	require.True(t, tracked)
}
