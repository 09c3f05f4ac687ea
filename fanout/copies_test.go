package fanout_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bellwire/bellwire/fanout"
)

// sent is what is posted to a loop with copies: a message of a stream, its beginning, a gap, or a start.
type sent struct {
	stream        *fanout.Stream
	offset, count uint64 // count 0: the stream begins at offset
	number        uint64
	start         *copyReader
	end           *fanout.Origin
}

// copyReader is a subscriber that counts each stream that it was told.
type copyReader struct {
	slot  fanout.Sub
	group *fanout.Group // nil: by name
	next  map[*fanout.Stream]uint64
}

// A topic that is published to here and by two origins, which end and come back, while subscribers come and go on two
// loops and others read the rings: everybody gets each position of each stream once, in order, from where it was told on.
// To be run with the race detector.
func TestCopiesWhileSubscribing(t *testing.T) {
	t.Parallel()
	const loops, messages = 2, 3000
	budget := fanout.NewBudget(4000, 0)
	x := newIndex(t, fanout.Config{Loops: loops, Budget: budget})
	topic := ensure(t, x, "t/a")
	boxes := make([]box[sent], loops)
	post := func(to uint64, it sent) { postTo(boxes, to, it) }
	var publishing atomic.Int32
	var wg sync.WaitGroup
	publishing.Add(3)
	wg.Go(func() {
		defer publishing.Add(-1)
		s := topic.Stream()
		for range messages {
			s.Publish(0, func(uint64, bool) fanout.Entry { return fanout.Entry{Frame: []byte("x")} },
				func(to, number uint64, e fanout.Entry) {
					post(to, sent{stream: s, offset: e.Offset, count: 1, number: number})
				})
		}
	})
	origins := []*fanout.Origin{fanout.NewOrigin(1, 2), fanout.NewOrigin(2, 3)}
	for i, o := range origins {
		wg.Go(func() {
			defer publishing.Add(-1)
			rng := rand.New(rand.NewPCG(17, uint64(i)))
			s := topic.CopyOf(o)
			begins := func(to, number, next uint64) { post(to, sent{stream: s, offset: next, number: number}) }
			for offset := uint64(1); offset < messages; {
				switch rng.IntN(50) {
				case 0:
					o.End()
					for loop := range boxes {
						boxes[loop].post(sent{end: o})
					}
					x.Forget(o)
				case 1:
					offset += 3
					s.Miss(offset, begins, func(to, number, first, count uint64) {
						post(to, sent{stream: s, offset: first, count: count, number: number})
					})
				case 2:
					s.Backfill(0, []fanout.Entry{{Offset: offset / 2, Frame: []byte("y")}})
				default:
					v := s.Accept(offset, 0, func(uint64, bool) fanout.Entry { return fanout.Entry{Frame: []byte("x")} }, begins,
						func(to, number uint64, e fanout.Entry) {
							post(to, sent{stream: s, offset: e.Offset, count: 1, number: number})
						})
					if v != fanout.Taken {
						t.Errorf("origin %d at %d: %d", i, offset, v)
					}
					offset++
				}
			}
		})
	}
	wg.Go(func() {
		for publishing.Load() > 0 {
			topic.Streams(func(s *fanout.Stream) {
				last := uint64(0)
				for r := s.Reader(0); ; {
					e, _, ok := r.Next(0)
					if !ok {
						return
					}
					if e.Offset <= last {
						t.Errorf("%d is kept behind %d", e.Offset, last)
					}
					last = e.Offset
				}
			})
		}
	})
	for n := range boxes {
		wg.Go(func() {
			l := &copyLoop{t: t, x: x, topic: topic, n: n, box: &boxes[n], rng: rand.New(rand.NewPCG(18, uint64(n))), readers: map[fanout.Sub]*copyReader{}, eras: map[*fanout.Origin]uint32{}}
			for publishing.Load() > 0 {
				l.turn()
			}
			l.drain()
			for _, r := range l.readers {
				for s, next := range r.next {
					if next != s.Next() {
						t.Errorf("loop %d: %d is at %d of %d", n, r.slot, next, s.Next())
					}
				}
			}
		})
	}
	wg.Wait()
	for _, o := range origins {
		x.Forget(o)
	}
	if topic.Own().Kept(1000); budget.Used() != 0 {
		t.Errorf("the budget is left with %d", budget.Used())
	}
}

// copyLoop is an event loop.
type copyLoop struct {
	t       *testing.T
	x       *fanout.Index
	topic   *fanout.Topic
	n       int
	box     *box[sent]
	rng     *rand.Rand
	slot    fanout.Sub
	readers map[fanout.Sub]*copyReader
	eras    map[*fanout.Origin]uint32
}

func (l *copyLoop) turn() {
	r := &copyReader{slot: l.slot, next: map[*fanout.Stream]uint64{}}
	l.slot++
	switch l.rng.IntN(3) {
	case 0:
		r.group = l.x.Join(l.n, []string{"t/+", "#"}[l.rng.IntN(2)], r.slot, true)
		l.readers[r.slot] = r
	case 1:
		l.topic.Hold(l.n)
		l.topic.Mark(func(s *fanout.Stream, next uint64, _ bool) {
			if len(r.next) == 0 {
				l.box.post(sent{start: r})
			}
			r.next[s] = next
		})
	default:
		for slot, gone := range l.readers {
			if len(l.readers) <= 8 {
				break
			}
			if delete(l.readers, slot); gone.group != nil {
				l.x.Leave(gone.group, slot, true)
			} else {
				l.topic.Remove(l.n, slot)
			}
		}
	}
	l.drain()
}

func (l *copyLoop) drain() {
	for _, it := range l.box.take() {
		switch {
		case it.start != nil:
			l.topic.Add(l.n, it.start.slot)
			l.topic.Release(l.n)
			l.readers[it.start.slot] = it.start
			continue
		case it.end != nil:
			l.eras[it.end]++
			continue
		}
		for w := l.topic.WalkFor(l.n, it.number); ; {
			subs, link := w.Next(3)
			if len(subs) == 0 || link != nil && it.count == 0 {
				break // groups are told before the first that they get
			}
			if link != nil && !l.told(link, it.stream) {
				for _, r := range l.readers {
					if r.group == link.Group() {
						l.tell(r, it)
					}
				}
			}
			for _, slot := range subs {
				l.count(slot, it)
			}
		}
	}
}

func (l *copyLoop) told(link *fanout.Link, s *fanout.Stream) bool {
	if o := s.Origin(); o != nil {
		defer link.SetToldOf(o.Number(), l.eras[o])
		return link.ToldOf(o.Number(), l.eras[o])
	}
	defer link.SetTold()
	return link.Told()
}

// tell gives a subscriber the position of what comes next, which is what it has counted, if it has.
func (l *copyLoop) tell(r *copyReader, it sent) {
	if next, known := r.next[it.stream]; known && next != it.offset {
		l.t.Errorf("loop %d: %d has counted to %d and is told %d", l.n, r.slot, next, it.offset)
	}
	r.next[it.stream] = it.offset
}

func (l *copyLoop) count(slot fanout.Sub, it sent) {
	r := l.readers[slot]
	switch {
	case r == nil:
		l.t.Errorf("loop %d: %d is not subscribed", l.n, slot)
		return
	case it.count == 0:
		l.tell(r, it)
	case r.next[it.stream] != it.offset:
		l.t.Errorf("loop %d: %d expects %d and gets %d", l.n, slot, r.next[it.stream], it.offset)
	}
	r.next[it.stream] = it.offset + it.count
}
