package peer

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	judge "github.com/bellwire/bellwire/peer/history"
)

// sim is a fleet of gateways, or several, in one goroutine and in a time of its own: the production core with real
// streams as rings, connections in memory that are slow, cut and reset, devices that count, and a checker that is told
// all that they see. Everything comes from one seed, so a history can be repeated byte for byte.
//
// Gateways of different fleets never meet; they share the time and the checker. A mesh links every gateway to every
// other one and takes 33, so 200 gateways are several fleets, as they would be in the field. A full mesh of 200 is run as
// well, with the limit lifted, because it costs nothing to show that nothing else depends on it.
type sim struct {
	plan    simPlan
	rng     *rand.Rand
	now     time.Duration
	due     simEvents
	seq     uint64
	slots   []*simSlot // all gateways, by index
	fleets  [][]*simSlot
	ways    [][]simWay // by index, from and to
	devices []*simDevice
	checker *judge.Checker

	kicked []*simGate
	woken  []*simEnd
	ends   uint64 // ever made
	loaded bool   // publishers and faults are at work

	gauges   map[string]simGauge
	problems []string
	frames   uint64 // delivered
	links    uint64 // ever up
	skips    uint64 // frames SKIP
	repeated uint64 // batches that came twice
	holes    uint64
	fetched  uint64 // messages that closed them
	beyond   uint64 // positions that were announced as lost between gateways
	needless uint64 // of these: that came after all
	trace    hash.Hash64
}

// simGauge is the largest that was seen of something that has a limit.
type simGauge struct{ most, limit uint64 }

// simEvents is a heap of what is to happen, in the order of time and then of having been decided.
type simEvents []simEvent

type simEvent struct {
	at  time.Duration
	seq uint64
	do  func()
}

func (h simEvents) Len() int { return len(h) }
func (h simEvents) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h simEvents) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *simEvents) Push(e any) { *h = append(*h, e.(simEvent)) }

// Pop is for package heap.
func (h *simEvents) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = simEvent{}
	*h = (*h)[:last]
	return e
}

func newSim(plan simPlan) *sim {
	s := &sim{
		plan: plan, rng: rand.New(rand.NewPCG(plan.seed, 0xbe11)), checker: judge.New(plan.rules()),
		gauges: make(map[string]simGauge),
	}
	if plan.traced {
		s.trace = fnv.New64a()
	}
	for f, size := range plan.fleets {
		var fleet []*simSlot
		for i := range size {
			slot := &simSlot{sim: s, index: len(s.slots), fleet: f, name: fmt.Sprintf("g%d-%02d", f, i)}
			s.slots, fleet = append(s.slots, slot), append(fleet, slot)
		}
		s.fleets = append(s.fleets, fleet)
	}
	s.ways = make([][]simWay, len(s.slots))
	for i := range s.ways {
		s.ways[i] = make([]simWay, len(s.slots))
		for j := range s.ways[i] {
			s.ways[i][j] = simWay{delay: s.between(200*time.Microsecond, plan.delay), rate: plan.bandwidth}
		}
	}
	return s
}

// at has something happen; after does it in a while.
func (s *sim) at(when time.Duration, do func()) {
	s.seq++
	heap.Push(&s.due, simEvent{max(when, s.now), s.seq, do})
}

func (s *sim) after(d time.Duration, do func()) { s.at(s.now+d, do) }

// every does something again and again until it says no.
func (s *sim) every(d time.Duration, do func() bool) {
	s.after(d, func() {
		if do() {
			s.every(d, do)
		}
	})
}

// run goes on until a time.
func (s *sim) run(until time.Duration) {
	for len(s.due) > 0 && s.due[0].at <= until {
		e := heap.Pop(&s.due).(simEvent)
		s.now = e.at
		e.do()
		s.flush()
	}
	s.now = until
}

// flush does at once what cores have asked for. They may ask in the order of a map, so it is put in order first.
func (s *sim) flush() {
	for len(s.kicked) > 0 || len(s.woken) > 0 {
		kicked, woken := s.kicked, s.woken
		s.kicked, s.woken = nil, nil
		slices.SortFunc(kicked, func(a, b *simGate) int { return cmp.Compare(a.slot.index, b.slot.index) })
		for _, g := range kicked {
			g.seal()
		}
		slices.SortFunc(woken, func(a, b *simEnd) int { return cmp.Compare(a.id, b.id) })
		for _, e := range woken {
			e.pump()
		}
	}
}

// between is a random time.
func (s *sim) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rng.Int64N(int64(max(most-least, 0))+1))
}

func (s *sim) chance(p float64) bool { return s.rng.Float64() < p }

// tell tells the checker.
func (s *sim) tell(e judge.Event) {
	e.At = int64(s.now)
	s.checker.Add(e)
	if s.trace != nil {
		line, err := json.Marshal(e)
		_, _ = s.trace.Write(append(line, '\n')) // it has no error
		if err != nil {
			s.problem("an event is not JSON: %v", err)
		}
	}
}

// proven says that a fault had an effect.
func (s *sim) proven(name string) {
	s.tell(judge.Event{Kind: judge.Fault, Name: name, Count: 1})
}

// gauge tells what is larger than ever, or too large.
func (s *sim) gauge(name string, at, limit int) {
	g := s.gauges[name]
	if uint64(at) > g.most {
		g.most = uint64(at)
	}
	if at > limit && g.most > g.limit {
		s.tell(judge.Event{Kind: judge.Gauge, Name: name, Count: uint64(at), Offset: uint64(limit)})
	}
	g.limit = uint64(limit)
	s.gauges[name] = g
}

// problem is something that the checker cannot see.
func (s *sim) problem(format string, args ...any) {
	if len(s.problems) < 20 {
		s.problems = append(s.problems, fmt.Sprintf("at %v: ", s.now)+fmt.Sprintf(format, args...))
	}
}
