package client

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// positions against a plain list, newest last.
func TestPositionsAgainstOracle(t *testing.T) {
	type entry struct {
		topic string
		lives []wire.Position
	}
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := newPositions()
		var oracle []entry
		find := func(topic string) int {
			return slices.IndexFunc(oracle, func(e entry) bool { return e.topic == topic })
		}
		for range 3 * maxTopics {
			topic, life := fmt.Sprint(r.IntN(maxTopics+maxTopics/4)), wire.Life(1+r.IntN(70))
			switch i := find(topic); r.IntN(10) {
			case 0:
				p.drop(topic, life)
				if i >= 0 {
					oracle[i].lives = slices.DeleteFunc(oracle[i].lives, func(q wire.Position) bool { return q.Life == life })
					if len(oracle[i].lives) == 0 {
						oracle = slices.Delete(oracle, i, i+1)
					}
				}
			default:
				at := wire.Position{Life: life, Offset: r.Uint64N(1000)}
				p.set(topic, life, at.Offset)
				e := entry{topic: topic}
				if i >= 0 {
					e = oracle[i]
					oracle = slices.Delete(oracle, i, i+1)
				} else if len(oracle) == maxTopics {
					oracle = slices.Delete(oracle, 0, 1)
				}
				if j := slices.IndexFunc(e.lives, func(q wire.Position) bool { return q.Life == life }); j >= 0 {
					e.lives[j] = at
				} else {
					if len(e.lives) == wire.MaxCursor {
						e.lives = e.lives[1:]
					}
					e.lives = append(slices.Clone(e.lives), at)
				}
				oracle = append(oracle, e)
			}
		}
		var want []TopicPosition
		for _, e := range oracle {
			for _, q := range e.lives {
				want = append(want, TopicPosition{e.topic, q})
			}
		}
		require.Equal(t, want, p.list())
		for _, w := range want {
			off, known := p.at(w.Topic, w.Life)
			require.True(t, known)
			require.Equal(t, w.Offset, off)
		}
	}
}

// A cursor never makes a SUBSCRIBE larger than the gateway takes: the newest
// lives stay.
func TestCursorFitsTheFrame(t *testing.T) {
	p := newPositions()
	for i := range wire.MaxCursor + 10 {
		p.set("t", wire.Life(i+1), wire.MaxVarint)
	}
	require.Equal(t, wire.MaxCursor, p.cursor("t", 1<<20).Len())
	c := p.cursor("t", 100)
	require.Equal(t, 5, c.Len())
	_, newest := c.Find(wire.MaxCursor + 10)
	require.True(t, newest)
	require.Empty(t, p.cursor("t", -1))
	require.Empty(t, p.cursor("unknown", 100))
}

// Where not all lives have room those that are over go first, however new they are.
func TestLivesThatAreOverGoFirst(t *testing.T) {
	p := newPositions()
	for i := range wire.MaxCursor {
		p.set("t", wire.Life(i+1), wire.MaxVarint)
	}
	for _, life := range []wire.Life{7, wire.MaxCursor} {
		p.find("t", life).over = true
	}
	p.set("t", 1000, wire.MaxVarint)
	for life, kept := range map[wire.Life]bool{1: true, 7: false, wire.MaxCursor: true, 1000: true} {
		_, known := p.at("t", life)
		require.Equal(t, kept, known, "life %d", life)
	}
	c := p.cursor("t", len(p.cursor("t", 1<<20))-1)
	require.Equal(t, wire.MaxCursor-1, c.Len())
	_, over := c.Find(wire.MaxCursor)
	require.False(t, over)
	_, oldest := c.Find(1)
	require.True(t, oldest)
	p.set("t", 1001, 1)
	p.set("t", 1002, 1)
	_, known := p.at("t", 1)
	require.False(t, known, "none is over any more: the oldest goes")
}

// queue against a slice, with both bounds.
func TestQueueAgainstOracle(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		q := newQueue(1 + r.IntN(8))
		var oracle []item
		for n := range uint64(5000) {
			it := item{offset: n + 1}
			switch r.IntN(5) {
			case 0, 1:
				if took := q.push(it, false); took {
					oracle = append(oracle, it)
				} else {
					require.GreaterOrEqual(t, len(oracle), q.size)
				}
			case 2:
				if q.push(it, true) {
					oracle = append(oracle, it)
				}
			default:
				head, some := q.peek()
				got, ok := q.pop()
				require.Equal(t, some, ok)
				require.Equal(t, head, got)
				require.Equal(t, len(oracle) > 0, ok)
				if ok {
					require.Equal(t, oracle[0], got)
					oracle = oracle[1:]
				}
			}
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue(10)
	n := 0
	for q.push(item{}, false) {
		n++
	}
	require.Equal(t, 10, n)
	for q.push(item{}, true) {
		n++
	}
	require.Equal(t, 10+spareItems, n)

	q = newQueue(2)
	large := item{event: Message{Payload: make([]byte, 1<<20)}}
	for n = 0; q.push(large, true); n++ {
	}
	require.Equal(t, spareBytes>>20, n)
	for range n {
		q.pop()
	}
	require.Zero(t, q.bytes)
}

// A cursor with more topics than can be resumed keeps the last ones.
func TestOnlySoManyTopics(t *testing.T) {
	p := newPositions()
	for i := range maxTopics {
		p.set(fmt.Sprint(i), 1, 1)
	}
	p.set("0", 1, 2) // heard of again
	p.set("one more", 1, 1)
	_, known := p.at("1", 1)
	require.False(t, known, "the one not heard of for the longest time went")
	require.Equal(t, []string{"one more", "0"}, p.topics()[:2])
}
