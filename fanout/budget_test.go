package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// costs is the oracle of budgets: rings as plain lists, sums made anew each time.
type costs struct {
	rings []*costRing
}

type costRing struct {
	tenant    int
	published uint32
	frames    []int
	places    int // grows by doubling, shrinks by halves
	next      uint64
}

func (r *costRing) cost() (n int64) {
	for _, size := range r.frames {
		n += int64(size)
	}
	return n + int64(r.places)*int64(fanout.EntrySize)
}

func (r *costRing) push(size int) {
	if len(r.frames) == r.places {
		r.places = max(1, 2*r.places)
	}
	r.frames = append(r.frames, size)
}

func (r *costRing) drop() {
	r.frames = r.frames[1:]
	if len(r.frames) == 0 {
		r.places = 0
	} else if 4*len(r.frames) <= r.places {
		r.places /= 2
	}
}

// used sums one tenant's rings, or all if tenant is below 0, and finds the least recently published.
func (c *costs) used(tenant int) (n int64, least *costRing) {
	for _, r := range c.rings {
		if tenant >= 0 && r.tenant != tenant || len(r.frames) == 0 {
			continue
		}
		n += r.cost()
		if least == nil || r.published < least.published {
			least = r
		}
	}
	return n, least
}

func (c *costs) trim(tenant int, limit int64) {
	for {
		used, least := c.used(tenant)
		if used <= limit {
			return
		}
		for freed := least.cost(); len(least.frames) > 0 && freed-least.cost() < used-limit; {
			least.drop()
		}
	}
}

func TestBudgetAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		const tenants, topics = 3, 8
		bytes, share := int64(3000+rng.IntN(5000)), int64(1500+rng.IntN(2000))
		budget := fanout.NewBudget(bytes, share)
		c := &costs{}
		var all []*fanout.Topic
		for tenant := range tenants {
			x := newIndex(t, fanout.Config{Budget: budget, Ring: fanout.RingLimits{Age: 1 << 30}})
			for n := range topics {
				all = append(all, ensure(t, x, fmt.Sprint(n)))
				c.rings = append(c.rings, &costRing{tenant: tenant, next: 1})
			}
		}
		for now := uint32(1); now < 600; now++ { // a second each: the order of publishes is then exact
			i := rng.IntN(len(all))
			size := rng.IntN(300)
			if rng.IntN(50) == 0 {
				size = 4000 // above any share
			}
			publish(all[i], now, make([]byte, size))
			r := c.rings[i]
			r.published = now
			r.next++
			if int64(size)+int64(fanout.EntrySize) <= share {
				r.push(size)
			}
			c.trim(r.tenant, share)
			c.trim(-1, bytes)
			used, _ := c.used(-1)
			require.Equal(t, used, budget.Used())
			j := rng.IntN(len(all))
			oldest, next := all[j].Stream().Kept(now)
			require.Equal(t, c.rings[j].next, next)
			require.GreaterOrEqual(t, next-oldest, uint64(len(c.rings[j].frames)))
			require.Equal(t, len(c.rings[j].frames), held(all[j].Stream(), now))
		}
	}
}

// held counts the messages that a ring holds.
func held(s *fanout.Stream, now uint32) (n int) {
	r := s.Reader(0)
	for {
		if _, _, ok := r.Next(now); !ok {
			return n
		}
		n++
	}
}

func TestBudgetTakesFromTheLeastRecentlyPublished(t *testing.T) {
	t.Parallel()
	entry := int64(fanout.EntrySize)
	budget := fanout.NewBudget(3*(100+entry), 0)
	x := newIndex(t, fanout.Config{Budget: budget})
	a, b, c, d := ensure(t, x, "a"), ensure(t, x, "b"), ensure(t, x, "c"), ensure(t, x, "d")
	frame := make([]byte, 100)
	publish(a, 1, frame)
	publish(b, 2, frame)
	publish(c, 3, frame)
	s := a.Stream()
	require.Equal(t, 1, held(s, 3))
	require.Equal(t, 3*(100+entry), budget.Used())
	publish(a, 4, nil) // the ring of a doubles: a second entry, so b goes, which is now the oldest
	require.Equal(t, 0, held(b.Stream(), 4))
	require.Equal(t, 2, held(a.Stream(), 4))
	require.Equal(t, 1, held(c.Stream(), 4))
	publish(d, 5, make([]byte, 500)) // does not fit at all: costs nobody anything
	require.Equal(t, 0, held(d.Stream(), 5))
	require.EqualValues(t, 2, d.Stream().Next())
	require.Equal(t, 1, held(c.Stream(), 5))
}

func TestBudgetWithoutRoomKeepsNothing(t *testing.T) {
	t.Parallel()
	for _, bytes := range []int64{0, -1} {
		budget := fanout.NewBudget(bytes, 5)
		topic := ensure(t, newIndex(t, fanout.Config{Budget: budget}), "a")
		publish(topic, 0, []byte("x"))
		require.Zero(t, budget.Used())
		require.Zero(t, held(topic.Stream(), 0))
	}
}

// A budget that shrinks makes room at once, least recently published first; one of nothing empties every ring, keeps nothing,
// and what was kept is missed by those who read. Grown again, it keeps again.
func TestBudgetResize(t *testing.T) {
	t.Parallel()
	const streams, size = 400, 1000
	cost := size + int64(fanout.EntrySize)
	budget := fanout.NewBudget(streams*cost, 0)
	x := newIndex(t, fanout.Config{Budget: budget})
	var all []*fanout.Topic
	for i := range streams {
		all = append(all, ensure(t, x, fmt.Sprint(i)))
		publish(all[i], uint32(i/10), make([]byte, size))
	}
	require.Equal(t, streams*cost, budget.Used())
	keeps := func() (n int) {
		for _, topic := range all {
			n += held(topic.Stream(), streams/10)
		}
		return n
	}
	budget.Resize(streams/4*cost, 0)
	require.Equal(t, streams/4, keeps())
	require.Zero(t, held(all[0].Stream(), streams/10), "the oldest went first")
	require.Equal(t, 1, held(all[streams-1].Stream(), streams/10))

	budget.Resize(0, 0)
	require.Zero(t, budget.Used())
	reader := all[streams-1].Stream().Reader(1)
	_, missed, ok := reader.Next(streams / 10)
	require.False(t, ok)
	require.EqualValues(t, 1, missed)
	publish(all[0], streams, make([]byte, size))
	require.Zero(t, budget.Used())

	budget.Resize(2*cost, cost)
	for i := range 3 {
		publish(all[i], streams, make([]byte, size))
	}
	require.Equal(t, 1, keeps(), "one index has its share")
	budget.Resize(2*cost, 0)
	publish(all[0], streams, make([]byte, size))
	require.Equal(t, 2*cost, budget.Used())
}

func TestBudgetExpire(t *testing.T) {
	t.Parallel()
	budget := fanout.NewBudget(1<<20, 0)
	x := newIndex(t, fanout.Config{Budget: budget, Ring: fanout.RingLimits{Age: 10}})
	for i := range 6 {
		publish(ensure(t, x, fmt.Sprint(i)), uint32(i), []byte("x"))
	}
	publish(ensure(t, x, "0"), 9, []byte("x"))
	require.Equal(t, 0, budget.Expire(11, 100)) // 1 is ten seconds old
	require.Equal(t, 1, budget.Expire(12, 100))
	require.Equal(t, 2, budget.Expire(15, 2))
	require.Equal(t, 1, budget.Expire(15, 2))
	require.Equal(t, 2, budget.Expire(1000, 100))
	require.Equal(t, 0, budget.Expire(1000, 100))
	require.Zero(t, budget.Used())
}

// Streams that make room in each other at the same time neither wait for each other nor lose count.
func TestBudgetConcurrently(t *testing.T) {
	t.Parallel()
	budget := fanout.NewBudget(20_000, 8_000)
	var all []*fanout.Topic
	for range 4 {
		x := newIndex(t, fanout.Config{Budget: budget, Ring: fanout.RingLimits{Messages: 8, Age: 3}})
		for i := range 50 {
			all = append(all, ensure(t, x, fmt.Sprint(i)))
		}
	}
	var wg sync.WaitGroup
	for worker := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(8, worker))
			for i := range 3000 {
				now := uint32(i / 100)
				topic := all[rng.IntN(len(all))]
				switch rng.IntN(10) {
				case 0:
					topic.Stream().Kept(now)
				case 1:
					budget.Expire(now, 3)
				case 2:
					if i%50 == 0 {
						budget.Resize(int64(rng.IntN(20_000)), 8_000)
					}
				default:
					publish(topic, now, make([]byte, rng.IntN(300)))
				}
			}
		})
	}
	wg.Wait()
	budget.Resize(15_000, 8_000)
	require.LessOrEqual(t, budget.Used(), int64(15_000))
	for _, topic := range all {
		topic.Stream().Kept(1 << 20)
	}
	require.Zero(t, budget.Used())
}
