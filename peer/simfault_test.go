package peer

import (
	"math"
	"time"

	judge "github.com/bellwire/bellwire/peer/history"

	"github.com/bellwire/bellwire/fanout"
)

// simPlan is what a history is made from.
type simPlan struct {
	seed    uint64
	fleets  []int         // gateways of each
	span    time.Duration // of load and faults
	quiet   time.Duration // afterwards, until all has come
	longest time.Duration // of any fault
	warm    time.Duration // before
	tick    time.Duration
	traced  bool

	delay     time.Duration // the longest of any line, one way
	bandwidth float64       // bytes per second
	slowest   float64       // of a slow line
	retain    int
	plain     bool // batches are not compressed
	ring      fanout.RingLimits
	rings     int64 // bytes of all rings of a gateway

	topics  int           // of each fleet
	devices int           // per gateway
	pace    time.Duration // between two messages of a gateway, in the mean
	burst   time.Duration // between two bursts of a fleet, in the mean; 0: there are none
	bursts  int           // messages of one at most
	mixed   float64       // how often one of them is of another topic than the one before

	faults   simFaults
	floor    judge.Floor
	without  guards
	trusting bool // gateways deliver whatever offset a peer says comes next
	hasty    bool // gateways take devices before they have met the others
}

// simFaults is how long it is in the mean between two faults of a sort in one fleet; 0: there are none.
type simFaults struct {
	// What a fleet has to bear without a trace: the checker is told nothing of it.
	reset, blip, slow time.Duration
	// What it may show.
	cut, oneWay, flap, split, kill, unplug, leave, pause, move, twin time.Duration
}

func (p *simPlan) rules() judge.Rules {
	return judge.Rules{
		Late: int64(3 * time.Second), EndWithin: int64(6 * time.Second), Settle: int64(6 * time.Second),
		Linking: int64(4 * time.Second), Joining: int64(time.Second), Prompt: int64(250 * time.Millisecond), Floor: p.floor,
	}
}

// play runs the whole history and returns what the checker says.
func (s *sim) play() judge.Report {
	for _, slot := range s.slots {
		s.boot(slot)
	}
	s.run(s.plan.warm)
	for f, fleet := range s.fleets {
		for _, slot := range fleet {
			for range s.plan.devices {
				s.join(f, slot)
			}
			s.publishes(slot)
		}
		s.burstsOf(f)
	}
	s.loaded = true
	for _, fleet := range s.fleets {
		s.afflict(fleet)
	}
	s.run(s.plan.warm + s.plan.span)
	s.loaded = false
	s.run(s.plan.warm + s.plan.span + s.plan.quiet)
	for _, slot := range s.slots {
		if g := slot.gate; !g.dead {
			for _, m := range g.core.members {
				g.count(m)
			}
			if g.credit != 0 {
				s.problem("%s has not got back the credit of %d messages", g.origin, g.credit)
			}
		}
	}
	for name, g := range s.gauges {
		if g.most > g.limit {
			s.problem("%s: %d, want at most %d", name, g.most, g.limit)
		}
	}
	return s.checker.Close()
}

// topic is a name of a fleet.
func (s *sim) topic(f, i int) string {
	return "broadcast/f" + string(rune('a'+f)) + "/" + string(rune('a'+i))
}

// join makes a device with one topic or two.
func (s *sim) join(f int, slot *simSlot) {
	d := &simDevice{sim: s, name: "d" + slot.name + string(rune('a'+len(s.devices)%26)) + string(rune('a'+len(s.devices)/26%26)), fleet: f, resumes: s.chance(0.8)}
	first := s.rng.IntN(s.plan.topics)
	d.topics = append(d.topics, s.topic(f, first))
	if s.plan.topics > 1 && s.chance(0.5) {
		d.topics = append(d.topics, s.topic(f, (first+1)%s.plan.topics))
	}
	s.devices = append(s.devices, d)
	s.after(s.between(0, time.Second), func() {
		if g := slot.gate; g.ready() {
			d.connect(g)
			return
		}
		d.comeBack()
	})
}

// soon draws the time to the next one of things that happen at random.
func (s *sim) soon(mean time.Duration) time.Duration {
	return time.Duration(s.rng.ExpFloat64() * float64(mean))
}

// publishes has messages enter at a gateway all the time. The topics differ much in how often they are used: with those
// that are used seldom, the last message is one of which nothing reminds.
func (s *sim) publishes(slot *simSlot) {
	s.after(s.soon(s.plan.pace), func() {
		if !s.loaded {
			return
		}
		if g := slot.gate; g.alive() && s.now >= g.until {
			i := int(math.Pow(s.rng.Float64(), 2.5) * float64(s.plan.topics))
			g.publish(s.topic(slot.fleet, i), 16+s.rng.IntN(200))
		}
		s.publishes(slot)
	})
}

// burstsOf has much enter at once.
func (s *sim) burstsOf(f int) {
	if s.plan.burst == 0 {
		return
	}
	s.after(s.soon(s.plan.burst), func() {
		if !s.loaded {
			return
		}
		slot := s.anyOf(f)
		if g := slot.gate; g.alive() && s.now >= g.until {
			topic := s.rng.IntN(s.plan.topics)
			for range s.rng.IntN(s.plan.bursts) {
				if s.chance(s.plan.mixed) {
					topic = s.rng.IntN(s.plan.topics)
				}
				g.publish(s.topic(f, topic), 100+s.rng.IntN(900))
			}
		}
		s.burstsOf(f)
	})
}

func (s *sim) anyOf(f int) *simSlot { return s.fleets[f][s.rng.IntN(len(s.fleets[f]))] }

// afflict begins the faults of a fleet.
func (s *sim) afflict(fleet []*simSlot) {
	f := &s.plan.faults
	for _, fault := range []struct {
		mean time.Duration
		do   func([]*simSlot)
	}{
		{f.reset, s.resetOne},
		{f.blip, s.blip},
		{f.slow, s.slow},
		{f.cut, s.cutTwo},
		{f.oneWay, s.cutOneWay},
		{f.flap, s.flap},
		{f.split, s.split},
		{f.kill, s.killOne},
		{f.unplug, s.unplugOne},
		{f.leave, s.leaveOne},
		{f.pause, s.pauseOne},
		{f.move, s.moveOne},
		{f.twin, s.twin},
	} {
		if fault.mean > 0 {
			s.again(fleet, fault.mean, fault.do)
		}
	}
}

func (s *sim) again(fleet []*simSlot, mean time.Duration, do func([]*simSlot)) {
	s.after(s.soon(mean), func() {
		if s.loaded {
			do(fleet)
			s.again(fleet, mean, do)
		}
	})
}

// two are different gateways.
func (s *sim) two(fleet []*simSlot) (a, b *simSlot) {
	i := s.rng.IntN(len(fleet))
	j := (i + 1 + s.rng.IntN(len(fleet)-1)) % len(fleet)
	return fleet[i], fleet[j]
}

// resetOne breaks a connection.
func (s *sim) resetOne(fleet []*simSlot) {
	a, _ := s.two(fleet)
	g := a.gate
	if g.dead || s.now < g.until || len(g.ends) == 0 {
		return
	}
	e := g.ends[s.rng.IntN(len(g.ends))]
	s.proven("reset")
	s.after(s.between(0, 2*s.plan.delay), e.to.resetIfReached)
	e.reset()
}

// blip holds everything between two gateways up for less than a second, as a route that changes does. TCP sends it again.
func (s *sim) blip(fleet []*simSlot) {
	a, b := s.two(fleet)
	if !s.whole(a, b) || s.now < s.way(a, b).calm {
		return
	}
	both, lasts := s.chance(0.5), s.between(20*time.Millisecond, 900*time.Millisecond)
	s.way(a, b).calm, s.way(b, a).calm = s.now+8*time.Second, s.now+8*time.Second
	s.proven("blip")
	s.obstruct(a, b)
	if both {
		s.obstruct(b, a)
	}
	s.after(lasts, func() {
		s.clear(a, b)
		if both {
			s.clear(b, a)
		}
	})
}

// slow makes a line slow, but not slower than what there is to send for long.
func (s *sim) slow(fleet []*simSlot) {
	a, b := s.two(fleet)
	w := s.way(a, b)
	if w.rate != s.plan.bandwidth {
		return
	}
	w.rate = max(s.plan.slowest, 40_000) + float64(s.rng.IntN(100_000))
	s.proven("slow")
	s.after(s.lasts(time.Second, 8*time.Second), func() { w.rate = s.plan.bandwidth })
}

// lasts is how long a fault does.
func (s *sim) lasts(least, most time.Duration) time.Duration {
	return s.between(least, max(least, min(most, s.plan.longest)))
}

// cutTwo is a cut both ways, which the checker is told of.
func (s *sim) cutTwo(fleet []*simSlot) {
	a, b := s.two(fleet)
	s.sever(a, b, true, s.lasts(time.Second, 9*time.Second))
}

func (s *sim) cutOneWay(fleet []*simSlot) {
	a, b := s.two(fleet)
	s.sever(a, b, false, s.lasts(time.Second, 9*time.Second))
}

func (s *sim) sever(a, b *simSlot, both bool, lasts time.Duration) {
	s.cutTold(a, b)
	s.obstruct(a, b)
	if both {
		s.obstruct(b, a)
	}
	s.after(lasts, func() {
		s.clear(a, b)
		if both {
			s.clear(b, a)
		}
		s.healTold(a, b)
	})
}

// flap cuts and heals again and again.
func (s *sim) flap(fleet []*simSlot) {
	a, b := s.two(fleet)
	period, both := s.between(100*time.Millisecond, time.Second), s.chance(0.5)
	left := 3 + int(time.Duration(s.rng.IntN(10))*s.plan.longest/(10*time.Second))
	s.cutTold(a, b)
	s.proven("flap")
	down := false
	var turn func()
	turn = func() {
		do := s.obstruct
		if down {
			do = s.clear
		}
		do(a, b)
		if both {
			do(b, a)
		}
		down = !down
		if left--; left > 0 || down {
			s.after(period, turn)
			return
		}
		s.healTold(a, b)
	}
	turn()
}

// split cuts some gateways off from all others.
func (s *sim) split(fleet []*simSlot) {
	n := 1 + s.rng.IntN(max(1, min(len(fleet)/2, 6)))
	order := s.rng.Perm(len(fleet))
	lasts, both := s.lasts(2*time.Second, 10*time.Second), s.chance(0.7)
	s.proven("split")
	for _, i := range order[:n] {
		for _, j := range order[n:] {
			s.sever(fleet[i], fleet[j], both, lasts)
		}
	}
}

// victim is a gateway that the fleet can spare; nil: it cannot.
func (s *sim) victim(fleet []*simSlot) *simSlot {
	alive := 0
	for _, slot := range fleet {
		if slot.gate.alive() {
			alive++
		}
	}
	slot := fleet[s.rng.IntN(len(fleet))]
	if !slot.gate.alive() || s.now < slot.gate.until || alive <= (2*len(fleet)+2)/3 {
		return nil
	}
	return slot
}

// reboot has a gateway come back, as another life.
func (s *sim) reboot(slot *simSlot, least, most time.Duration) {
	s.after(s.lasts(least, most), func() {
		s.boot(slot)
		s.proven("restart")
	})
}

func (s *sim) killOne(fleet []*simSlot) {
	if slot := s.victim(fleet); slot != nil {
		slot.gate.kill(false)
		s.proven("kill")
		s.reboot(slot, 50*time.Millisecond, 7*time.Second)
	}
}

func (s *sim) unplugOne(fleet []*simSlot) {
	if slot := s.victim(fleet); slot != nil {
		slot.gate.kill(true)
		s.proven("unplug")
		s.reboot(slot, 200*time.Millisecond, 9*time.Second)
	}
}

func (s *sim) leaveOne(fleet []*simSlot) {
	if slot := s.victim(fleet); slot != nil {
		slot.gate.leave(3*time.Second, func() {
			s.proven("leave")
			s.reboot(slot, 50*time.Millisecond, 7*time.Second)
		})
	}
}

// pauseOne has a gateway stand still, as SIGSTOP does.
func (s *sim) pauseOne(fleet []*simSlot) {
	slot := s.victim(fleet)
	if slot == nil {
		return
	}
	g := slot.gate
	g.until = s.now + s.lasts(100*time.Millisecond, 7*time.Second)
	s.tell(judge.Event{Kind: judge.Paused, Gateway: slot.name})
	s.proven("pause")
	s.at(g.until, func() { s.tell(judge.Event{Kind: judge.Continued, Gateway: slot.name}) })
}

// moveOne has a device lose its connection for a reason of its own.
func (s *sim) moveOne(fleet []*simSlot) {
	slot := fleet[s.rng.IntN(len(fleet))]
	if g := slot.gate; g.alive() && s.now >= g.until && len(g.subs) > 0 {
		g.subs[s.rng.IntN(len(g.subs))].device.lostGateway()
		s.proven("move")
	}
}

// twin starts a second gateway under the name of one that is alive, as a copied configuration does. The fleet refuses it.
func (s *sim) twin(fleet []*simSlot) {
	slot := s.victim(fleet)
	if slot == nil {
		return
	}
	impostor := s.impostor(slot)
	s.proven("twin")
	s.after(s.between(time.Second, 3*time.Second), func() {
		impostor.end(false)
	})
}
