package peer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHistories has a few gateways publish while links are cut, blocked one way and made again, at random. Every stream
// is unique, ordered and honest at every other gateway: each offset from where it began is there or announced. In the
// end, when all are linked and quiet, nobody lacks a last message.
func TestHistories(t *testing.T) {
	seeds := 24
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) { runHistory(t, uint64(seed)) })
	}
}

type historian struct {
	*world
	rand *rand.Rand
	open map[[2]int]*wireOf
}

func runHistory(t *testing.T, seed uint64) {
	h := &historian{world: newWorld(t), rand: rand.New(rand.NewPCG(seed, 1)), open: make(map[[2]int]*wireOf)}
	retain := []int{500, 5000, 1 << 20}[h.rand.IntN(3)]
	for i := range 4 {
		host := newHost(t, uint64(i)+1)
		host.ring = []int{5, 50, 256}[h.rand.IntN(3)]
		h.add(string(rune('a'+i)), host, func(c *Config) { c.Retain = retain })
	}
	for range 400 {
		h.step()
	}
	h.heal()
	for _, n := range h.nodes[:4] {
		h.check(n)
	}
}

// step does one thing at random.
func (h *historian) step() {
	i, j := h.rand.IntN(4), h.rand.IntN(4)
	a, b := h.nodes[i], h.nodes[j]
	pair := [2]int{min(i, j), max(i, j)}
	switch what := h.rand.IntN(20); {
	case what < 10:
		topic := "broadcast/" + strconv.Itoa(h.rand.IntN(3))
		for range 1 + h.rand.IntN(5) {
			a.host.publish(topic, "", nil)
		}
	case what < 12 && i != j:
		h.connectPair(pair, a, b)
	case what < 14 && i != j && h.open[pair] != nil:
		if h.rand.IntN(2) == 0 {
			h.cut(h.open[pair])
		} else {
			h.open[pair].ends[h.rand.IntN(2)].blocked = true
		}
	case what < 19:
		if h.rand.IntN(3) > 0 {
			h.settle()
		}
	default:
		h.pass(time.Duration(1+h.rand.IntN(1000)) * time.Millisecond)
	}
}

func (h *historian) connectPair(pair [2]int, a, b *node) {
	h.open[pair] = h.connect(a, b)
	if h.rand.IntN(2) == 0 {
		h.settle()
	}
}

// heal links all and lets them find out what they lack.
func (h *historian) heal() {
	for _, c := range h.wires {
		h.cut(c)
	}
	h.pass(3 * time.Second)
	for i := range 4 {
		for j := range i {
			h.link(h.nodes[i], h.nodes[j])
		}
	}
	h.pass(5 * time.Second)
}

func (h *historian) check(n *node) {
	for _, origin := range h.nodes[:4] {
		for topic, own := range origin.host.own {
			c := n.host.copies[origin.host.life.String()+" acme "+topic]
			if origin == n {
				require.Nil(h.t, c)
				continue
			}
			require.NotNil(h.t, c, "%s does not know %s of %s", n.name, topic, origin.name)
			require.Equal(h.t, own.next, c.next, "%s lacks the last of %s of %s: %v", n.name, topic, origin.name, c.log)
			honest(h.t, c.log)
		}
	}
}

// honest wants offsets to rise by one, messages and announced gaps together.
func honest(t testing.TB, log []string) {
	next := uint64(0)
	for _, s := range log {
		from, to := uint64(0), uint64(0)
		if gap, ok := strings.CutPrefix(s, "miss "); ok {
			_, err := fmt.Sscanf(gap, "%d-%d", &from, &to)
			require.NoError(t, err)
		} else {
			n, _, _ := strings.Cut(s, "=")
			v, err := strconv.ParseUint(n, 10, 64)
			require.NoError(t, err)
			from, to = v, v
		}
		require.True(t, next == 0 || from == next, "%s after %d: %v", s, next-1, log)
		next = to + 1
	}
}

// TestLogOracle compares the log with one that keeps everything: each link gets each batch from where it began, in
// order, once; what it does not get is skipped and was not among what had to be kept.
func TestLogOracle(t *testing.T) {
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := newLog(2000, compressor{off: true})
		type reader struct {
			c    *cursor
			name string
			last uint64
		}
		var readers []*reader
		held := make(map[string]uint64)
		start := make(map[string]uint64) // the first batch that is for it
		now := time.Second
		credit, lent := 0, 0
		attach := func() {
			name := string(rune('a' + r.IntN(4)))
			if slices.ContainsFunc(readers, func(x *reader) bool { return x.name == name }) {
				return
			}
			c, err := l.attach(name, 7, held[name], now, func() {})
			require.NoError(t, err)
			if start[name] == 0 {
				start[name] = l.last + 1
			}
			readers = append(readers, &reader{c, name, held[name]})
		}
		for i := range 3000 {
			switch what := r.IntN(20); {
			case what < 8:
				lent++
				m := Message{Key: 1, Tenant: "acme", Topic: "x", Offset: uint64(i + 1), Payload: make([]byte, r.IntN(50)), Held: release(func() { credit++ })}
				l.add(&m)
			case what < 10:
				l.seal(now)
			case what < 11:
				attach()
			case what < 12 && len(readers) > 0:
				k := r.IntN(len(readers))
				l.detach(readers[k].c, now)
				readers = slices.Delete(readers, k, k+1)
			case what < 18 && len(readers) > 0:
				x := readers[r.IntN(len(readers))]
				t1, frames := l.take(x.c, now, nil)
				if t1.skipFrom != 0 {
					require.Equal(t, x.last+1, t1.skipFrom)
					require.Less(t, t1.skipTo, max(start[x.name], l.first()), "what is kept is not skipped")
					x.last = t1.skipTo
				}
				for _, f := range frames {
					seq, _, _, err := parseBatch(f[1+wireLen(f):])
					require.NoError(t, err)
					require.Equal(t, x.last+1, seq)
					x.last = seq
				}
				require.Equal(t, x.last, t1.last)
				held[x.name] = max(held[x.name], x.last)
				if r.IntN(2) == 0 {
					require.True(t, l.ack(x.c, x.last, now))
				}
			case what < 19:
				now += time.Duration(r.IntN(300)) * time.Millisecond
				l.tick(now)
				l.overdue(now)
			}
			require.LessOrEqual(t, credit, lent)
			busy := 0
			for _, x := range readers {
				if x.c.writing && !x.c.slow {
					busy++
				}
			}
			require.Equal(t, busy, l.busy)
			size := 0
			for i := range l.kept {
				size += l.kept[i].size()
			}
			require.Equal(t, size, l.bytes)
		}
		now += creditHeld
		l.seal(now)
		now += creditHeld
		l.tick(now)
		require.Equal(t, lent, credit, "all credit comes back")
		require.LessOrEqual(t, l.bytes, l.retain)
		l.close()
		require.Equal(t, lent, credit, "once")
	}
}

func wireLen(frame []byte) int {
	n := 1
	for frame[n]&0x80 != 0 {
		n++
	}
	return n
}

type release func()

func (r release) Release() { r() }
