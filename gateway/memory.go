package gateway

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// step is how much is given up so that the process stays within its memory.
// Control frames and the admin API are never given up.
type step int32

const (
	stepNone   step = iota
	stepRefuse      // new connections are refused, with a delay
	stepShrink      // queues and rings shrink to a quarter; what waits beyond becomes gaps
	stepDrop        // nothing is queued for who is behind, nothing is kept, devices do not publish
)

// String says what the step does, for the log.
func (s step) String() string {
	return [...]string{
		stepNone: "nothing is given up", stepRefuse: "new connections are refused", stepShrink: "queues and rings shrink to a quarter",
		stepDrop: "who is behind gets gaps, devices do not publish",
	}[s]
}

// stepAt is the part of the budget, in percent, from which on a step is taken;
// it is left stepSlack below that, so that a figure that trembles changes nothing.
var stepAt = [...]int64{stepRefuse: 75, stepShrink: 85, stepDrop: 95}

const stepSlack = 5

// pressure turns figures of memory in use into steps. It knows no clock.
type pressure struct {
	budget int64
	step   step
}

// see takes a figure; true if it changed the step.
func (p *pressure) see(used int64) bool {
	before := p.step
	for p.step < stepDrop && used >= p.at(stepAt[p.step+1]) {
		p.step++
	}
	for p.step > stepNone && used < p.at(stepAt[p.step]-stepSlack) {
		p.step--
	}
	return p.step != before
}

// at is a part of the budget. It divides first: a budget may be near the end of
// int64.
func (p *pressure) at(percent int64) int64 { return p.budget / 100 * percent }

const (
	// leastBudget is the smallest budget that is taken: a gateway that does
	// nothing has a quarter of it.
	leastBudget = 64 * mib
	// lookEvery is how often memory is looked at while ticks come, which is when
	// somebody is behind, and lookSoon the same when a step is taken: a look costs
	// some 15 µs, and what devices send in 100 ms may be all that is left.
	lookEvery = 100 * time.Millisecond
	lookSoon  = tickEvery / 2
	// relieveEvery is how often garbage is collected while queues are short, and
	// relieveSoon while there are none and devices wait to publish.
	relieveEvery = 5 * time.Second
	relieveSoon  = time.Second
)

// memory holds the gateway to its budget. It is fed by the tick, so that an idle
// gateway stays idle.
type memory struct {
	// Static after New.
	budget int64                // bytes; 0: none
	used   func() (int64, bool) // resident bytes of the process; false: unknown

	step    atomic.Int32
	changes atomic.Uint64

	// Of the tick.
	pressure pressure
	looked   time.Time
	relieved time.Time

	relieving atomic.Bool
	relief    sync.WaitGroup // who relieves
	rings     atomic.Int32   // the step that the rings are sized for
}

// budgetOf is the budget that a configuration asks for; 0: none.
func budgetOf(wanted int64) (int64, error) {
	switch {
	case wanted < 0:
		return 0, nil
	case wanted == 0:
		return groupMemory(), nil
	case wanted < leastBudget:
		return 0, fmt.Errorf("memory: %d: want at least %d bytes, 0 (the cgroup's limit) or less (no budget)", wanted, int64(leastBudget))
	}
	return wanted, nil
}

func newMemory(budget int64) *memory {
	return &memory{budget: budget, used: residentBytes, pressure: pressure{budget: budget}}
}

// at is the step that is taken now; for any goroutine.
func (m *memory) at() step { return step(m.step.Load()) }

// resident is the memory of the process now, 0 if that is not known.
func (m *memory) resident() int64 {
	n, _ := m.used()
	return n
}

// room is what may wait for one session that is behind.
func (m *memory) room(lim *Limits) (bytes, messages int) {
	switch m.at() {
	case stepShrink:
		return lim.PendingBytes / 4, lim.PendingMessages / 4
	case stepDrop:
		return 0, 0
	case stepNone, stepRefuse:
	}
	return lim.PendingBytes, lim.PendingMessages
}

// items is the most that waits for one session; gaps of very many topics count.
func (m *memory) items(lim *Limits) int {
	if m.at() >= stepShrink {
		return max(1, lim.pendingItems()/4)
	}
	return lim.pendingItems()
}

// watchMemory looks at the memory in use, if it is time to. The tick calls it.
func (g *Gateway) watchMemory(now time.Time) {
	m := g.memory
	every := lookEvery
	if m.at() > stepNone {
		every = lookSoon
	}
	if m.budget == 0 || g.cfg.without.memory || now.Sub(m.looked) < every {
		return
	}
	m.looked = now
	used, ok := m.used()
	if !ok {
		return // nothing is known: what holds goes on to
	}
	before := m.at()
	if m.pressure.see(used) {
		m.step.Store(int32(m.pressure.step))
		m.changes.Add(1)
		g.tellStep(before, used)
	}
	collect := m.at() > before
	switch m.at() {
	case stepShrink:
		collect = collect || now.Sub(m.relieved) >= relieveEvery
	case stepDrop:
		collect = collect || now.Sub(m.relieved) >= relieveSoon
	case stepNone, stepRefuse:
	}
	if !collect && m.rings.Load() == m.step.Load() {
		return
	}
	if m.relieving.CompareAndSwap(false, true) {
		m.relieved = now
		m.relief.Go(func() { g.relieve(collect) })
	}
}

func (g *Gateway) tellStep(before step, used int64) {
	m := g.memory
	args := []any{"step", int(m.at()), "means", m.at().String(), "memory", used, "budget", m.budget}
	if m.at() > before {
		g.log.Warn("memory runs short", args...)
	} else {
		g.log.Info("memory has eased", args...)
	}
}

// relieve sizes the rings for the step, and gives what is free then back to the
// system, because that is what the kernel counts. It runs off the loops and off
// the tick: both would wait for it.
func (g *Gateway) relieve(collect bool) {
	defer g.memory.relieving.Store(false)
	at := g.memory.at()
	total := int64(g.limits.Load().RingTotal)
	switch at {
	case stepShrink:
		total /= 4
	case stepDrop:
		total = 0
	case stepNone, stepRefuse:
	}
	g.rings.Resize(total, total/2)
	g.memory.rings.Store(int32(at))
	if collect {
		debug.FreeOSMemory()
	}
}

// shed makes what waits for a session fit the step. What does not becomes gaps.
func (l *loop) shed(out *outbound, lim *Limits) {
	if l.g.memory.at() < stepShrink {
		return
	}
	l.counters.droppedSlow(out.shrink(l.g.memory.room(lim)))
}

// shrink drops the oldest messages until the rest is within bounds, and gives the
// memory of their places back. It returns how many it dropped.
func (o *outbound) shrink(bytes, messages int) (dropped int) {
	for o.messages > 0 && (o.bytes > bytes || o.messages > messages) {
		o.dropOldest()
		dropped++
	}
	if dropped > 0 {
		if o.squeeze(); cap(o.items) > 2*len(o.items)+mergeReach {
			o.items = append([]item(nil), o.items...)
		}
	}
	return dropped
}
