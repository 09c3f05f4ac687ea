package fanout_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// What every message does costs no allocation. (The frame and the growth of a ring are not in it.)
func TestNoAllocations(t *testing.T) { // not parallel: others' allocations would count
	x := newIndex(t, fanout.Config{Budget: fanout.NewBudget(1<<20, 0)})
	topic := ensure(t, x, "broadcast/eu/kitchen")
	for s := range fanout.Sub(100) {
		topic.Add(0, s)
	}
	topic.Add(1, 1)
	x.Join(0, "broadcast/#", 200, true)
	x.Join(1, "broadcast/+/kitchen", 200, true)
	attic := x.Join(1, "broadcast/+/attic", 7, false) // does not match, but makes the topic look again when it changes
	name, unknown, frame := []byte("broadcast/eu/kitchen"), []byte("broadcast/eu/garage"), make([]byte, 64)
	publish(topic, 0, frame)
	for range fanout.DefaultRingMessages {
		publish(topic, 0, frame)
	}
	s := topic.Stream()
	r := s.Reader(0)
	copied := topic.CopyOf(fanout.NewOrigin(1, 2))
	for o := uint64(1); o <= fanout.DefaultRingMessages+1; o++ {
		accept(copied, o, 0, frame)
	}
	var sum uint64
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"look-up", func() { sum += uint64(x.Lookup(name).ID()) }},
		{"look-up of an unknown name", func() {
			if x.Lookup(unknown) != nil {
				sum++
			}
		}},
		{"by id", func() { sum += uint64(len(x.ByID(1).Name())) }},
		{"ensure of a known name", func() {
			known, err := x.Ensure(name)
			require.NoError(t, err)
			sum += uint64(known.ID())
		}},
		{"loops", func() { sum += topic.Loops() }},
		{"publish", func() {
			var loops uint64
			sum += s.Publish(0,
				func(offset uint64, tracked bool) fanout.Entry { return fanout.Entry{Frame: frame, From: sum} },
				func(to, _ uint64, e fanout.Entry) { loops |= to })
			sum += loops
		}},
		{"accept", func() {
			var loops uint64
			sum += uint64(copied.Accept(copied.Next(), 0,
				func(offset uint64, tracked bool) fanout.Entry { return fanout.Entry{Frame: frame, From: sum} },
				func(to, _, _ uint64) { loops |= to },
				func(to, _ uint64, e fanout.Entry) { loops |= to }))
			sum += loops
		}},
		{"the copy of an origin", func() { sum += topic.CopyOf(copied.Origin()).Life() }},
		{"mark of all streams", func() { topic.Mark(func(_ *fanout.Stream, next uint64, _ bool) { sum += next }) }},
		{"mark", func() { s.Mark(func(next uint64) { sum += next }) }},
		{"read", func() {
			_, missed, _ := r.Next(0)
			sum += missed
		}},
		{"walk", func() {
			for w := topic.WalkFor(0, s.Next()); ; {
				subs, _ := w.Next(16)
				if len(subs) == 0 {
					break
				}
				sum += uint64(len(subs))
			}
		}},
		{"walk of one", func() {
			w := topic.Walk(1)
			subs, _ := w.Next(16)
			sum += uint64(len(subs))
		}},
		{"match again without a difference", func() {
			x.Join(1, "broadcast/+/attic", 8, true)
			sum += topic.Loops()
			x.Leave(attic, 8, true)
			sum += topic.Loops()
		}},
	} {
		require.Zero(t, testing.AllocsPerRun(100, c.do), c.what)
	}
	require.NotZero(t, sum)
}
