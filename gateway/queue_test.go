package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// place is one that waits, as the oracle knows it.
type place struct {
	w       *waiter
	network uint64
	resumes bool
}

// slowQueue is the queue as a dumb list: it says who is next by looking at all.
type slowQueue struct {
	all   []place
	turns [2][]uint64 // networks in the order of their turns
	taken int
}

func kindOf(resumes bool) int {
	if resumes {
		return 0
	}
	return 1
}

func (q *slowQueue) waits(kind int, network uint64) bool {
	return slices.ContainsFunc(q.all, func(p place) bool { return kindOf(p.resumes) == kind && p.network == network })
}

func (q *slowQueue) push(p place) {
	kind := kindOf(p.resumes)
	if !q.waits(kind, p.network) {
		q.turns[kind] = append(q.turns[kind], p.network)
	}
	q.all = append(q.all, p)
}

func (q *slowQueue) drop(w *waiter) {
	at := slices.IndexFunc(q.all, func(p place) bool { return p.w == w })
	p := q.all[at]
	q.all = slices.Delete(q.all, at, at+1)
	q.leave(p)
}

// leave ends the turns of a network that has nobody left.
func (q *slowQueue) leave(p place) {
	kind := kindOf(p.resumes)
	if !q.waits(kind, p.network) {
		q.turns[kind] = slices.DeleteFunc(q.turns[kind], func(n uint64) bool { return n == p.network })
	}
}

func (q *slowQueue) pop() *waiter {
	if len(q.all) == 0 {
		return nil
	}
	q.taken++
	kind := 0
	if q.taken%4 == 0 {
		kind = 1
	}
	if len(q.turns[kind]) == 0 {
		kind = 1 - kind
	}
	network := q.turns[kind][0]
	q.turns[kind] = append(q.turns[kind][1:], network)
	at := slices.IndexFunc(q.all, func(p place) bool { return kindOf(p.resumes) == kind && p.network == network })
	p := q.all[at]
	q.all = slices.Delete(q.all, at, at+1)
	q.leave(p)
	return p.w
}

// Random comings, turns and givings up: the queue does what the dumb list does, and
// what it says of the wait is never too little.
func TestQueueAgainstOracle(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var q queue
		var slow slowQueue
		most := 1 + rng.IntN(6)
		for range 400 {
			switch n := rng.IntN(10); {
			case n < 5:
				p := place{&waiter{}, uint64(rng.IntN(most)), rng.IntN(3) == 0}
				q.push(p.w, p.network, p.resumes)
				slow.push(p)
			case n < 7 && len(slow.all) > 0:
				w := slow.all[rng.IntN(len(slow.all))].w
				q.drop(w)
				slow.drop(w)
			default:
				require.Same(t, slow.pop(), q.pop(), "seed %d", seed)
			}
			require.Equal(t, len(slow.all), q.n)
			network, resumes := uint64(rng.IntN(most+1)), rng.IntN(2) == 0
			require.GreaterOrEqual(t, q.ahead(network, resumes), slow.ahead(network, resumes), "seed %d", seed)
			require.LessOrEqual(t, q.ahead(network, resumes), q.n)
		}
		for range slow.all {
			require.Same(t, slow.pop(), q.pop())
		}
		require.Nil(t, q.pop())
		require.Empty(t, q.lines[0].by)
		require.Empty(t, q.lines[1].by)
	}
}

// ahead counts by doing it: how many come before one that comes now.
func (q *slowQueue) ahead(network uint64, resumes bool) (n int) {
	c := slowQueue{all: slices.Clone(q.all), taken: q.taken}
	c.turns = [2][]uint64{slices.Clone(q.turns[0]), slices.Clone(q.turns[1])}
	me := place{&waiter{}, network, resumes}
	c.push(me)
	for c.pop() != me.w {
		n++
	}
	return n
}

// Who is next, by hand: r resumes, the letter is the network.
func TestQueueOrder(t *testing.T) {
	for _, c := range []struct{ name, come, turns string }{
		{"one network is served in order", "a1 a2 a3", "a1 a2 a3"},
		{"networks take turns", "a1 a2 a3 b1 b2 c1", "a1 b1 c1 a2 b2 a3"},
		{"who resumes goes first, each fourth place is for the others", "a1 a2 a3 rb1 rb2 rb3 rb4 rb5", "rb1 rb2 rb3 a1 rb4 rb5 a2 a3"},
		{"a claim that all make keeps nobody out", "a1 rb1 rb2 rb3 rb4 rb5 rb6", "rb1 rb2 rb3 a1 rb4 rb5 rb6"},
		{"those who resume take turns as well", "ra1 ra2 ra3 rb1", "ra1 rb1 ra2 ra3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q queue
			names := map[*waiter]string{}
			var name string
			for rest := c.come; ; {
				n, _ := fmt.Sscan(rest, &name)
				if n == 0 {
					break
				}
				rest = rest[min(len(rest), len(name)+1):]
				w := &waiter{}
				names[w] = name
				if name[0] == 'r' {
					q.push(w, uint64(name[1]), true)
				} else {
					q.push(w, uint64(name[0]), false)
				}
			}
			got := ""
			for w := q.pop(); w != nil; w = q.pop() {
				got += names[w] + " "
			}
			require.Equal(t, c.turns+" ", got)
		})
	}
}

// A network with one waiter is served when those before it had their turn, also
// while new networks come as fast as tickets do: they cost an attacker nothing.
func TestQueueNewNetworksDoNotStarveOld(t *testing.T) {
	var q queue
	first := []*waiter{{}, {}, {}}
	for _, w := range first {
		q.push(w, 1, false)
	}
	at := map[*waiter]int{}
	network := uint64(100)
	for n := range 100 {
		for range 2 {
			q.push(&waiter{}, network, false)
			network++
		}
		at[q.pop()] = n
	}
	require.Equal(t, 0, at[first[0]])
	require.Less(t, at[first[1]], 10)
	require.Contains(t, at, first[1])
	require.Contains(t, at, first[2])
}

// Waiters that give up leave nothing behind, whether anybody is served or not.
func TestQueueForgetsWhoGaveUp(t *testing.T) {
	var q queue
	q.push(&waiter{}, 1, false) // one that stays, before them all
	for n := range 100_000 {
		w := &waiter{}
		q.push(w, uint64(n%1000), n%2 == 0)
		q.drop(w)
	}
	require.Equal(t, 1, q.n)
	held := 0
	for i := range q.lines {
		held += len(q.lines[i].by) + q.lines[i].order.Len()
		for _, l := range q.lines[i].by {
			held += l.waiters.Len()
		}
	}
	require.Equal(t, 3, held)
}

// Any number of goroutines come, go and give up: never are more tickets out than
// there are, and in the end all are back.
func TestGateLosesNoTicket(t *testing.T) {
	const tickets, goroutines, times = 3, 64, 200
	g := newGate(tickets)
	var out, most, had atomic.Int64
	var all sync.WaitGroup
	for n := range goroutines {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 2))
			k := &ticket{gate: g, network: uint64(n % 5), resumes: n%3 == 0}
			for range times {
				ctx, cancel := context.WithCancel(t.Context())
				switch rng.IntN(4) {
				case 0:
					cancel()
				case 1:
					go cancel()
				}
				if err := k.Enter(ctx); err == nil {
					had.Add(1)
					now := out.Add(1)
					for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
					}
					runtime.Gosched()
					out.Add(-1)
					k.Leave()
				}
				cancel()
			}
		})
	}
	all.Wait()
	require.Equal(t, tickets, g.free)
	require.Zero(t, g.waiting.n)
	require.LessOrEqual(t, most.Load(), int64(tickets))
	require.Positive(t, had.Load())
	require.Zero(t, g.wait(1, true))
}

// One that was given a ticket at the moment at which it gave up hands it on.
func TestGateGivesUpWithATicket(t *testing.T) {
	g := newGate(1)
	require.Nil(t, g.enter(1, false))
	second, third := g.enter(1, false), g.enter(1, false)
	g.leave(0)
	<-second.ready
	g.giveUp(second)
	<-third.ready
	g.leave(0)
	require.Equal(t, 1, g.free)
}

// Who gives up is told why.
func TestGateSaysWhy(t *testing.T) {
	g := newGate(1)
	require.Nil(t, g.enter(1, false))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	require.ErrorIs(t, (&ticket{gate: g, network: 2}).Enter(ctx), why)
	require.Zero(t, g.waiting.n)
}

// The wait is what those before it hold tickets for; a network that has filled the
// queue waits for itself.
func TestGateWait(t *testing.T) {
	g := newGate(2)
	now := time.Unix(0, 0)
	g.clock = func() time.Time { return now }
	k := &ticket{gate: g, network: 1}
	require.Zero(t, g.wait(1, false), "nobody knows yet")
	for range 3 {
		require.NoError(t, k.Enter(t.Context()))
		now = now.Add(10 * time.Millisecond)
		k.Leave()
	}
	require.Equal(t, 10*time.Millisecond, g.held, "from the first one on")
	require.Zero(t, g.wait(1, false), "a ticket is free")
	for range 2 {
		require.Nil(t, g.enter(1, false))
	}
	for range 1000 {
		g.enter(1, false)
	}
	require.Equal(t, 5*time.Second, g.wait(1, false))
	require.Equal(t, 5*time.Millisecond, g.wait(2, false), "it is next")
	require.Equal(t, 5*time.Millisecond, g.wait(2, true), "a fourth place may be next")
	for range 100 {
		g.enter(3, true)
	}
	require.Equal(t, 35*time.Millisecond, g.wait(2, false), "one of those, and three more of each four places")
	require.Equal(t, 10*time.Millisecond, g.wait(2, true))
	g.held = 0
	g.leave(time.Second)
	for range 200 {
		g.leave(time.Millisecond)
	}
	require.Less(t, g.held, 10*time.Millisecond, "it follows")
}
