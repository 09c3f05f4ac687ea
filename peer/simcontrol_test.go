package peer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	judge "github.com/bellwire/bellwire/peer/history"
)

// simControl is a guard that is taken away, and what has to be found then.
type simControl struct {
	name   string
	seed   uint64 // that is tried first
	take   func(*simPlan)
	change func(*simPlan) // of the storm, so that few seeds are needed; nil: nothing
	want   func(*sim, judge.Report) bool
}

// found has a finding of one of the rules.
func found(rules ...judge.Rule) func(*sim, judge.Report) bool {
	return func(_ *sim, r judge.Report) bool {
		for _, rule := range rules {
			if r.PerRule[rule] > 0 {
				return true
			}
		}
		return false
	}
}

// simControls are all guards that a fleet of honest gateways needs. Those against liars (foreign, bomb, certificateName)
// have their tests beside the core. answerOrder is not here: an answer that overtakes live batches is of the ring, and what
// comes live afterwards is dropped by its offset. It takes more messages of one stream under way than its ring holds, and
// no live one of them before the answer, for a message to be announced as missing and come after all; no seed had that.
var simControls = []simControl{
	// Rings hold what a slow line made the log give up, so nothing may be missing; without FETCH it is.
	{name: "fetch", seed: 1, take: func(p *simPlan) { p.without.fetch = true }, change: overflow, want: found(judge.Honest)},
	{name: "tops", seed: 3, take: func(p *simPlan) { p.without.tops = true }, change: overflow, want: found(judge.Honest)},
	{name: "whole", seed: 1, take: func(p *simPlan) { p.without.whole = true }, want: found(judge.Honest)},
	{name: "silence", seed: 2, take: func(p *simPlan) { p.without.silence = true }, want: found(judge.Honest, judge.Timely)},
	{name: "hold", seed: 1, take: func(p *simPlan) { p.without.hold = true }, want: found(judge.Honest)},
	{name: "restarted", seed: 2, take: func(p *simPlan) { p.without.restarted = true }, want: found(judge.Honest)},
	// Rings help out, unless they are small.
	{name: "resend", seed: 12, take: func(p *simPlan) { p.without.resend = true }, change: smallRings, want: found(judge.Honest)},
	{name: "bound", seed: 3, take: func(p *simPlan) { p.without.bound = true }, change: overflow, want: found(judge.Bounded)},
	{name: "nameInUse", seed: 1, take: func(p *simPlan) { p.without.nameInUse = true }, change: twins, want: found(judge.Honest)},
	// A batch that comes twice brings offsets that were there: without either guard the device finds out.
	{name: "oldBatch", seed: 1, take: func(p *simPlan) { p.without.oldBatch = true }, change: trusting, want: astray},
	// A gateway that takes devices before it has met the others cannot tell them what they miss.
	{name: "ready", seed: 3, take: func(p *simPlan) { p.hasty = true }, change: restless, want: found(judge.Honest)},
}

// overflow has batches given up that rings still hold.
func overflow(p *simPlan) {
	p.retain, p.plain, p.bursts = 4<<10, true, 100
	p.faults = simFaults{slow: 500 * time.Millisecond, split: 15 * time.Second, reset: 2 * time.Second}
}

func smallRings(p *simPlan) {
	p.ring.Messages, p.bursts = 3, 3
	p.faults = simFaults{reset: 500 * time.Millisecond, blip: time.Second}
	p.retain = 1 << 20
}

// twins has nothing else, because no guard helps then: a twin that is there while a link is reset gets in.
func twins(p *simPlan) { p.faults = simFaults{twin: time.Second} }

// trusting has resets and restarts only, where nothing has to be asked for.
func trusting(p *simPlan) {
	p.trusting, p.burst, p.pace = true, 0, 20*time.Millisecond
	p.faults = simFaults{reset: 300 * time.Millisecond, blip: time.Second}
}

// restless has gateways come back into a fleet that is cut into parts, and devices come to them at once.
func restless(p *simPlan) {
	p.span, p.quiet = 15*time.Second, 16*time.Second
	p.faults = simFaults{kill: 2 * time.Second, split: 4 * time.Second, move: 300 * time.Millisecond}
}

// astray has devices that were given what they did not expect.
func astray(s *sim, _ judge.Report) bool { return len(s.problems) > 0 }

// TestSimControls takes one guard after the other away: some seed goes red that is green with it.
func TestSimControls(t *testing.T) {
	t.Parallel()
	for _, control := range simControls {
		t.Run(control.name, func(t *testing.T) {
			for i := range uint64(20) {
				seed := (control.seed+i-1)%20 + 1
				s := newSim(control.plan(seed, true))
				r := s.play()
				if !control.want(s, r) {
					continue
				}
				with := newSim(control.plan(seed, false))
				with.require(t, with.play())
				t.Logf("seed %d: %v %v %v", seed, r.PerRule, r.Findings, s.problems)
				return
			}
			require.Fail(t, "no seed needs it")
		})
	}
}

func (c *simControl) plan(seed uint64, without bool) simPlan {
	p := storm(seed, 10*time.Second)
	p.floor, p.quiet = judge.Floor{}, 12*time.Second
	if c.change != nil {
		c.change(&p)
	}
	if without {
		c.take(&p)
	}
	return p
}
