package fanout_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

func newIndex(t testing.TB, cfg fanout.Config) *fanout.Index {
	t.Helper()
	if cfg.Loops == 0 {
		cfg.Loops = 2
	}
	if cfg.Topics == 0 {
		cfg.Topics = 1000
	}
	x, err := fanout.NewIndex(cfg)
	require.NoError(t, err)
	return x
}

func ensure(t testing.TB, x *fanout.Index, name string) *fanout.Topic {
	t.Helper()
	topic, err := x.Ensure([]byte(name))
	require.NoError(t, err)
	return topic
}

// publish publishes a frame and returns its offset and the loops that it was posted to.
func publish(topic *fanout.Topic, now uint32, frame []byte) (offset, loops uint64) {
	offset = topic.Stream().Publish(now,
		func(uint64, bool) fanout.Entry { return fanout.Entry{Frame: frame} },
		func(to, _ uint64, _ fanout.Entry) { loops = to })
	return offset, loops
}

// box is the mailbox of a loop, as a gateway would have it.
type box[T any] struct {
	mu    sync.Mutex
	items []T
}

func (b *box[T]) post(it T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append(b.items, it)
}

func (b *box[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items = nil
	return items
}

// postTo posts to the loops of a set.
func postTo[T any](boxes []box[T], loops uint64, it T) {
	for loop := range boxes {
		if loops>>loop&1 != 0 {
			boxes[loop].post(it)
		}
	}
}

// listed walks a topic on one loop in parts of that many and returns the exact subscribers and the members of groups
// by filter, in ascending order.
func listed(topic *fanout.Topic, loop, most int) (exact []fanout.Sub, groups map[string][]fanout.Sub) {
	groups = map[string][]fanout.Sub{}
	w := topic.Walk(loop)
	for subs, link := w.Next(most); len(subs) > 0; subs, link = w.Next(most) {
		if link == nil {
			exact = append(exact, subs...)
		} else {
			groups[link.Group().Filter()] = append(groups[link.Group().Filter()], subs...)
		}
	}
	slices.Sort(exact)
	for _, subs := range groups {
		slices.Sort(subs)
	}
	return exact, groups
}

// matches is the oracle of matching: the rules of MQTT 3.1.1, section 4.7, as they are written.
func matches(filter, topic string) bool {
	f, levels := strings.Split(filter, "/"), strings.Split(topic, "/")
	if strings.HasPrefix(topic, "$") && (f[0] == "+" || filter == "#") {
		return false
	}
	for i, level := range f {
		if level == "#" && i == len(f)-1 {
			return true
		}
		if i == len(levels) || level != "+" && level != levels[i] {
			return false
		}
	}
	return len(f) == len(levels)
}
