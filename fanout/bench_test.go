package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/bellwire/bellwire/fanout"
)

// The figures that the index has to reach: run with
//
//	go test -run '^$' -bench . -benchmem ./fanout
const (
	manyTopics = 1_000_000
	hotTopics  = 1000
)

func topicNames(n int) [][]byte {
	names := make([][]byte, n)
	for i := range names {
		names[i] = fmt.Appendf(nil, "broadcast/eu/%05d/%06d", i%5000, i) // 25 bytes
	}
	return names
}

// shuffled returns copies of the names in random order, in memory in that order: looked up are bytes that were just read
// from a socket, so getting at the key is not part of the figure.
func shuffled(names [][]byte) [][]byte {
	rng := rand.New(rand.NewPCG(13, 14))
	order := make([][]byte, len(names))
	memory := make([]byte, 0, len(names)*len(names[0]))
	for i, j := range rng.Perm(len(names)) {
		start := len(memory)
		memory = append(memory, names[j]...)
		order[i] = memory[start:len(memory):len(memory)]
	}
	return order
}

func newBenchIndex(b *testing.B, loops int, names [][]byte) *fanout.Index {
	b.Helper()
	x := newIndex(b, fanout.Config{Loops: loops, Topics: manyTopics})
	for _, name := range names {
		if _, err := x.Ensure(name); err != nil {
			b.Fatal(err)
		}
	}
	return x
}

// BenchmarkIndex looks names up among 1,000,000 topics, 1,000 hot ones and all in random order, in turn with a plain map.
// "loops" also asks who is interested, as a publish does.
func BenchmarkIndex(b *testing.B) {
	names := topicNames(manyTopics)
	all := shuffled(names)
	hot := shuffled(all[:hotTopics])
	plain := map[string]*fanout.Topic{}
	x := newBenchIndex(b, 2, names)
	x.Each(func(t *fanout.Topic) bool { plain[string([]byte(t.Name()))] = t; return true })

	inMap := func(k []byte) uint64 { return missing(plain[string(k)]) }
	lookup := func(k []byte) uint64 { return missing(x.Lookup(k)) }
	loops := func(k []byte) uint64 { return x.Lookup(k).Loops() }
	b.Run("hot", func(b *testing.B) { inTurn(b, hot, "map", inMap, "index", lookup) })
	b.Run("random", func(b *testing.B) { inTurn(b, all, "map", inMap, "index", lookup) })
	b.Run("loops/hot", func(b *testing.B) { inTurn(b, hot, "map", inMap, "index", loops) })
	b.Run("loops/random", func(b *testing.B) { inTurn(b, all, "map", inMap, "index", loops) })
}

// missing is 0 for a topic and 1 for none, without a branch that the processor could guess.
func missing(t *fanout.Topic) uint64 { return (uint64(uintptr(unsafe.Pointer(t))) - 1) >> 63 }

// inTurn compares two ways to look names up: 10,000 in one way, 10,000 in the other, and so on, so that whatever else
// the machine does hits both. Each look-up needs the answer of the one before, which is 0: else
// a processor runs several at a time, which no gateway does. It reports the medians, in nanoseconds for a name, and the median of the ratios.
func inTurn(b *testing.B, keys [][]byte, nameA string, a func([]byte) uint64, nameB string, other func([]byte) uint64) {
	const block = 10_000
	b.ReportAllocs()
	at := 0
	run := func(look func([]byte) uint64) float64 {
		start := time.Now()
		for range block {
			wrong := look(keys[at])
			if wrong != 0 {
				b.Fatal("a name is missing, or somebody is interested")
			}
			if at += 1 + int(wrong); at == len(keys) {
				at = 0
			}
		}
		return float64(time.Since(start).Nanoseconds()) / block
	}
	var first, second, ratios []float64
	for b.Loop() {
		m, n := run(a), run(other)
		first, second, ratios = append(first, m), append(second, n), append(ratios, n/m)
	}
	b.ReportMetric(median(first), nameA+"-ns")
	b.ReportMetric(median(second), nameB+"-ns")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkIndexWithFilters compares look-ups that also ask who is interested in an index without filters and in one with
// 100,000 filters of which none matches. In the latter besides 100 filters come and 100 go in each second of look-ups: below
// another prefix, below the same prefix, and with wildcards in front; the last ones say nothing about the first levels,
// which is the worst case: every topic has to match anew.
func BenchmarkIndexWithFilters(b *testing.B) {
	names := topicNames(manyTopics)
	all := shuffled(names)
	hot := shuffled(all[:hotTopics])
	plain, x := newBenchIndex(b, 2, names), newBenchIndex(b, 2, names)
	for i := range 100_000 {
		x.Join(i%2, fmt.Sprintf([]string{"broadcast/eu/%05d/+/x", "broadcast/us/%d/#", "plant/%d/+", "+/+/n%d"}[i%4], i), 1, false)
	}
	for _, name := range names { // each topic has seen them
		x.Lookup(name).Loops()
	}
	without := func(k []byte) uint64 { return plain.Lookup(k).Loops() }
	with := func(k []byte) uint64 { return x.Lookup(k).Loops() }
	b.Run("hot", func(b *testing.B) { inTurn(b, hot, "none", without, "100k", with) })
	b.Run("random", func(b *testing.B) { inTurn(b, all, "none", without, "100k", with) })
	for _, churn := range []struct{ name, filter string }{
		{"elsewhere", "plant/new%d/+"},
		{"nearby", "broadcast/eu/%05d/+/y"},
		{"behind-wildcard", "broadcast/+/new%d/#"},
		{"wildcards-first", "+/+/new%d"},
		{"worst", "+/+/+/+/+/new%d"},
	} {
		b.Run(churn.name+"/hot", func(b *testing.B) { inTurn(b, hot, "none", without, "100k", churned(x, churn.filter, 50_000, with)) })
		b.Run(churn.name+"/random", func(b *testing.B) { inTurn(b, all, "none", without, "100k", churned(x, churn.filter, 12_500, with)) })
	}
}

// churned lets a filter come or go every so many calls, so that 100 come and 100 go in a second when a hot look-up
// takes 100 ns and a random one 400 ns.
func churned(x *fanout.Index, filter string, calls int, do func([]byte) uint64) func([]byte) uint64 {
	n := 0
	var here *fanout.Group
	return func(k []byte) uint64 {
		if n++; n%calls == 0 {
			if here == nil {
				here = x.Join(0, fmt.Sprintf(filter, n/calls%5000), 9, false)
			} else {
				x.Leave(here, 9, false)
				here = nil
			}
		}
		return do(k)
	}
}

// BenchmarkJoinEverything subscribes to "#" over 1,000,000 topics and leaves again: no loop may be blocked for 1 ms. The
// first publish of each topic then finds the filter: "match".
func BenchmarkJoinEverything(b *testing.B) {
	names := topicNames(manyTopics)
	x := newBenchIndex(b, 2, names)
	b.Run("join", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.Leave(x.Join(0, "#", 1, false), 1, false)
		}
	})
	b.Run("match", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		g := x.Join(0, "#", 1, false)
		for b.Loop() {
			x.ByID(uint32(i + 1)).Loops()
			if i++; i == manyTopics {
				i = 0
				x.Leave(g, 1, false)
				g = x.Join(0, "#", 1, false)
			}
		}
	})
}

// BenchmarkEnsure creates 1,000,000 topics and reports their memory.
func BenchmarkEnsure(b *testing.B) {
	names := topicNames(manyTopics)
	b.ResetTimer()
	for b.Loop() {
		before := heapBytes()
		x := newBenchIndex(b, 2, names)
		b.ReportMetric(float64(heapBytes()-before)/manyTopics, "B/topic")
		runtime.KeepAlive(x)
	}
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSubscriptionMemory reports what an exact subscription costs beyond the topic, for several shapes.
func BenchmarkSubscriptionMemory(b *testing.B) {
	for _, shape := range []struct{ topics, perLoop, loops int }{
		{1_000_000, 1, 1}, {500_000, 1, 2}, {200_000, 3, 2}, {50_000, 10, 2}, {5_000, 100, 2}, {25, 20_000, 2}, {10, 15_000, 2}, {65_000, 1, 16},
	} {
		b.Run(fmt.Sprintf("%dx%dx%d", shape.topics, shape.perLoop, shape.loops), func(b *testing.B) {
			names := topicNames(shape.topics)
			for b.Loop() {
				x := newBenchIndex(b, shape.loops, names)
				before := heapBytes()
				for s := range shape.perLoop {
					for id := range shape.topics {
						for loop := range shape.loops {
							x.ByID(uint32(id+1)).Add(loop, fanout.Sub(s))
						}
					}
				}
				subscriptions := float64(shape.topics * shape.perLoop * shape.loops)
				b.ReportMetric(float64(heapBytes()-before)/subscriptions, "B/subscription")
				runtime.KeepAlive(x)
			}
		})
	}
}

// BenchmarkWildcardMemory reports the memory of 15,000 sessions on one wildcard filter that matches 10,000 topics, on
// two loops: sessions + topics, not their product.
func BenchmarkWildcardMemory(b *testing.B) {
	const sessions, topics = 15_000, 10_000
	names := topicNames(topics)
	for b.Loop() {
		x := newBenchIndex(b, 2, names)
		before := heapBytes()
		for s := range sessions {
			x.Join(s%2, "broadcast/#", fanout.Sub(s/2), true)
		}
		joined := heapBytes()
		x.Each(func(t *fanout.Topic) bool { return t.Loops() == 0b11 })
		matched := heapBytes()
		b.ReportMetric(float64(joined-before)/sessions, "B/session")
		b.ReportMetric(float64(matched-joined)/topics, "B/match")
		b.ReportMetric(float64(matched-before), "B/total")
		runtime.KeepAlive(x)
	}
}

// BenchmarkPublish stamps and keeps a message and posts it to two loops.
func BenchmarkPublish(b *testing.B) {
	for _, common := range []string{"alone", "budget"} {
		b.Run(common, func(b *testing.B) {
			cfg := fanout.Config{}
			if common == "budget" {
				cfg.Budget = fanout.NewBudget(64<<20, 0)
			}
			x := newIndex(b, cfg)
			topic := ensure(b, x, "broadcast/eu/kitchen")
			topic.Add(0, 1)
			x.Join(1, "broadcast/#", 1, true)
			s := topic.Stream()
			frame := make([]byte, 64)
			var loops uint64
			b.ReportAllocs()
			for b.Loop() {
				s.Publish(0,
					func(uint64, bool) fanout.Entry { return fanout.Entry{Frame: frame} },
					func(to, _ uint64, e fanout.Entry) { loops |= to })
			}
		})
	}
}

// BenchmarkPublishOverBudget publishes to 300,000 topics in turn under a budget for about 100,000 of them, so that each
// message costs another its place.
func BenchmarkPublishOverBudget(b *testing.B) {
	const topics = 300_000
	budget := fanout.NewBudget(100_000*(100+int64(fanout.EntrySize)), 0)
	x := newIndex(b, fanout.Config{Topics: topics, Budget: budget})
	for _, name := range topicNames(topics) {
		ensure(b, x, string(name))
	}
	frame := make([]byte, 100)
	for i := range 2 * topics {
		publish(x.ByID(uint32(i%topics+1)), uint32(i/1000), frame)
	}
	b.ReportAllocs()
	b.ResetTimer()
	i := 2 * topics
	for b.Loop() {
		publish(x.ByID(uint32(i%topics+1)), uint32(i/1000), frame)
		i++
	}
	b.ReportMetric(float64(budget.Used()), "B/rings")
}

// BenchmarkWalk walks 1,000 exact subscribers, and as many members of a group, in parts of 64.
func BenchmarkWalk(b *testing.B) {
	for _, kind := range []string{"exact", "group"} {
		b.Run(kind, func(b *testing.B) {
			x := newIndex(b, fanout.Config{})
			topic := ensure(b, x, "broadcast/eu/kitchen")
			for s := range fanout.Sub(1000) {
				if kind == "exact" {
					topic.Add(0, s)
				} else {
					x.Join(0, "broadcast/#", s, false)
				}
			}
			publish(topic, 0, nil)
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for w := topic.WalkFor(0, 1); ; {
					subs, _ := w.Next(64)
					if len(subs) == 0 {
						break
					}
					n += len(subs)
				}
				if n != 1000 {
					b.Fatal(n)
				}
			}
		})
	}
}

// BenchmarkAddRemove takes a subscriber off a list of 20,000 and puts it back.
func BenchmarkAddRemove(b *testing.B) {
	topic := ensure(b, newIndex(b, fanout.Config{}), "a")
	const n = 20_000
	for s := range fanout.Sub(n) {
		topic.Add(0, s)
	}
	s := fanout.Sub(0)
	b.ReportAllocs()
	for b.Loop() {
		topic.Remove(0, s)
		topic.Add(0, s)
		s = (s*7 + 1) % n
	}
}
