package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// Many goroutines create the same names: each gets one id, and a look-up finds it complete.
func TestEnsureConcurrently(t *testing.T) {
	t.Parallel()
	const names = 3000
	x := newIndex(t, fanout.Config{Topics: names})
	ids := make([][names]uint32, 4)
	var wg sync.WaitGroup
	for worker := range ids {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(10, uint64(worker)))
			for _, i := range rng.Perm(names) {
				name := fmt.Sprintf("broadcast/%d", i)
				topic, err := x.Ensure([]byte(name))
				if err != nil || topic.Name() != name || x.ByID(topic.ID()) != topic {
					t.Errorf("%s: %v, %v", name, topic, err)
					return
				}
				ids[worker][i] = topic.ID()
				if other := x.Lookup(fmt.Appendf(nil, "broadcast/%d", rng.IntN(names))); other != nil && other.Name() == "" {
					t.Error("a topic without a name")
					return
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, names, x.Len())
	for _, other := range ids[1:] {
		require.Equal(t, ids[0], other)
	}
}

type boxed struct {
	topic  *fanout.Topic
	offset uint64
	start  *counter
	next   uint64
}

// counter is a subscriber that counts what it gets of each topic.
type counter struct {
	slot  fanout.Sub
	topic *fanout.Topic // exact
	group *fanout.Group
	track bool
	next  map[*fanout.Topic]uint64
}

// Publishers on many goroutines, loops on which subscribers come and go: each gets everything from its start on, once
// and in order, by name and by wildcard. To be run with the race detector.
func TestPublishWhileSubscribing(t *testing.T) {
	t.Parallel()
	const loops, topics, publishers, messages = 3, 20, 3, 4000
	x := newIndex(t, fanout.Config{Loops: loops, Budget: fanout.NewBudget(5000, 0)})
	all := make([]*fanout.Topic, topics)
	for i := range all {
		all[i] = ensure(t, x, fmt.Sprintf("t/%d/%c", i, 'a'+i%3))
	}
	boxes := make([]box[boxed], loops)
	var publishing atomic.Int32
	publishing.Store(publishers)
	var wg sync.WaitGroup
	for p := range uint64(publishers) {
		wg.Go(func() {
			defer publishing.Add(-1)
			rng := rand.New(rand.NewPCG(11, p))
			for range messages {
				topic := all[rng.IntN(topics)]
				topic.Stream().Publish(0,
					func(uint64, bool) fanout.Entry { return fanout.Entry{} },
					func(to, _ uint64, e fanout.Entry) {
						postTo(boxes, to, boxed{topic: topic, offset: e.Offset})
					})
			}
		})
	}
	for loop := range boxes {
		wg.Go(func() {
			l := &testLoop{
				t: t, x: x, number: loop, box: &boxes[loop], topics: all,
				rng: rand.New(rand.NewPCG(12, uint64(loop))), subscribers: map[fanout.Sub]*counter{},
			}
			for publishing.Load() > 0 {
				l.turn()
			}
			l.drain()
			l.check()
		})
	}
	wg.Wait()
}

type testLoop struct {
	t           *testing.T
	x           *fanout.Index
	rng         *rand.Rand
	number      int
	box         *box[boxed]
	topics      []*fanout.Topic
	slot        fanout.Sub
	starting    int
	subscribers map[fanout.Sub]*counter
}

func (l *testLoop) turn() {
	c := &counter{slot: l.slot, next: map[*fanout.Topic]uint64{}}
	l.slot++
	switch l.rng.IntN(3) {
	case 0:
		filters := []string{"#", "t/+/a", "t/1/#", "t/+/+", "+/2/c"}
		c.track = l.rng.IntN(2) == 0
		c.group = l.x.Join(l.number, filters[l.rng.IntN(len(filters))], c.slot, c.track)
		l.subscribers[c.slot] = c
	case 1:
		c.topic = l.topics[l.rng.IntN(len(l.topics))]
		c.topic.Hold(l.number)
		l.starting++
		c.topic.Stream().Mark(func(next uint64) { l.box.post(boxed{topic: c.topic, start: c, next: next}) })
	default:
		for len(l.subscribers) > 20 {
			l.leaveAny()
		}
	}
	l.drain()
}

func (l *testLoop) leaveAny() {
	for slot, c := range l.subscribers {
		delete(l.subscribers, slot)
		if c.group != nil {
			l.x.Leave(c.group, slot, c.track)
		} else if !c.topic.Remove(l.number, slot) {
			l.t.Errorf("%d is not listed", slot)
		}
		return
	}
}

func (l *testLoop) drain() {
	for _, it := range l.box.take() {
		if c := it.start; c != nil {
			c.next[it.topic] = it.next
			it.topic.Add(l.number, c.slot)
			it.topic.Release(l.number)
			l.subscribers[c.slot] = c
			l.starting--
			continue
		}
		for w := it.topic.WalkFor(l.number, it.offset); ; {
			subs, link := w.Next(3)
			if len(subs) == 0 {
				break
			}
			for _, s := range subs {
				l.count(s, link, it)
			}
		}
	}
}

func (l *testLoop) count(s fanout.Sub, link *fanout.Link, it boxed) {
	c := l.subscribers[s]
	if c == nil {
		l.t.Errorf("loop %d: %d is not subscribed", l.number, s)
		return
	}
	want := c.next[it.topic]
	if want != 0 && it.offset != want || want == 0 && link == nil {
		l.t.Errorf("loop %d: %d expects %d of %s and gets %d", l.number, s, want, it.topic.Name(), it.offset)
	}
	c.next[it.topic] = it.offset + 1
}

func (l *testLoop) check() {
	if l.starting != 0 {
		l.t.Errorf("loop %d: %d starts are missing", l.number, l.starting)
	}
	for s, c := range l.subscribers {
		for topic, next := range c.next {
			if top := topic.Stream().Next(); next != top {
				l.t.Errorf("loop %d: %d is at %d of %d of %s", l.number, s, next, top, topic.Name())
			}
		}
	}
}
