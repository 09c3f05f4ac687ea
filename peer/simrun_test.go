package peer

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	judge "github.com/bellwire/bellwire/peer/history"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

const simTail = 120 // lines of a history that are shown

var (
	simSeeds   = flag.Int("sim.seeds", 4, "how many histories the simulator plays")
	simFirst   = flag.Uint64("sim.seed", 1, "the first seed")
	simFull    = flag.Bool("sim.full", false, "have 200 gateways in fleets as large as they may be, and in one mesh")
	simMinutes = flag.Float64("sim.minutes", 0.35, "minutes of each history, in its own time")
)

// storm is a small fleet with everything that can happen to one.
func storm(seed uint64, span time.Duration) simPlan {
	return simPlan{
		seed: seed, fleets: []int{5}, span: span, quiet: 16 * time.Second, longest: 10 * time.Second, warm: 3 * time.Second, tick: tickEvery,
		delay: 20 * time.Millisecond, bandwidth: 20e6, retain: 48 << 10,
		ring: fanout.RingLimits{Messages: 256, Bytes: 128 << 10}, rings: 8 << 20,
		topics: 6, devices: 2, pace: 100 * time.Millisecond, burst: 2 * time.Second, bursts: 120, mixed: 1,
		faults: simFaults{
			reset: 2 * time.Second, blip: 2 * time.Second, slow: 6 * time.Second, cut: 6 * time.Second, oneWay: 6 * time.Second,
			flap: 10 * time.Second, split: 12 * time.Second, kill: 6 * time.Second, unplug: 10 * time.Second, leave: 8 * time.Second,
			pause: 10 * time.Second, move: 2 * time.Second,
		},
		floor: judge.Floor{
			Published: 25, Delivered: 50, Span: int64(span) * 9 / 10, Subscribers: 10,
			Faults: map[string]uint64{"reset": 2, "cut": 1, "restart": 1},
		},
	}
}

// require fails the test with all that is needed to see it again.
func (s *sim) require(t *testing.T, r judge.Report) {
	t.Helper()
	if r.Verdict() == judge.Passed && len(s.problems) == 0 {
		return
	}
	t.Errorf("seed %d (again by -run '%s$' -sim.seed=%d -sim.seeds=1 -sim.minutes=%v)\n%v", s.plan.seed, t.Name(), s.plan.seed,
		*simMinutes, r)
	for _, p := range s.problems {
		t.Log(p)
	}
	if len(r.Findings) > 0 {
		s.tail(t, r.Excerpt(r.Findings[0]).Events, r.Findings[0].Event.Life)
	}
}

// tail logs what the subscriber of a finding saw last, and what happened to gateways meanwhile.
func (s *sim) tail(t *testing.T, events []judge.Event, life wire.Life) {
	t.Helper()
	var lines []string
	for _, e := range events {
		if e.Kind == judge.Publish || e.Kind == judge.Accepted || e.Kind == judge.Gauge || e.Kind == judge.Message && e.Life != life {
			continue
		}
		line, err := e.MarshalJSON()
		require.NoError(t, err)
		lines = append(lines, string(line))
	}
	t.Log("\n" + strings.Join(lines[max(0, len(lines)-simTail):], "\n"))
}

func (s *sim) summary(r judge.Report) string {
	return fmt.Sprintf("seed %d: %+v, links %d, frames %d, skips %d, batches twice %d, holes %d, fetched %d, missed %d, needlessly %d, gauges %v",
		s.plan.seed, r.Counts, s.links, s.frames, s.skips, s.repeated, s.holes, s.fetched, s.beyond, s.needless, s.gauges)
}

// TestSim plays histories of a small fleet under everything that can happen to it.
func TestSim(t *testing.T) {
	t.Parallel()
	for i := range *simSeeds {
		s := newSim(storm(*simFirst+uint64(i), time.Duration(*simMinutes*float64(time.Minute))))
		r := s.play()
		t.Log(s.summary(r))
		s.require(t, r)
	}
}

// TestSimRepeats plays a seed twice: all that subscribers see and every frame of every link are the same, byte for byte.
func TestSimRepeats(t *testing.T) {
	t.Parallel()
	sum := func(seed uint64) uint64 {
		plan := storm(seed, 10*time.Second)
		plan.traced, plan.floor = true, judge.Floor{}
		s := newSim(plan)
		s.require(t, s.play())
		return s.trace.Sum64()
	}
	require.Equal(t, sum(1), sum(1))
	require.NotEqual(t, sum(1), sum(2), "a seed decides")
}

// TestSimFleets has 200 gateways in one history: in fleets of 10, and in the long form of 33, which is the most. The ticks
// are slower than in the field, because most of them find nothing to do.
func TestSimFleets(t *testing.T) {
	t.Parallel()
	plan := storm(*simFirst, 4*time.Second)
	plan.fleets, plan.warm = nil, 2*time.Second
	for range 20 {
		plan.fleets = append(plan.fleets, 10)
	}
	if *simFull {
		plan.fleets = []int{33, 33, 33, 33, 33, 33, 2}
	}
	plan.quiet, plan.longest, plan.devices, plan.topics = 6*time.Second, 1500*time.Millisecond, 1, 4
	plan.tick, plan.pace, plan.burst, plan.bursts = 8*tickEvery, 3*time.Second, 3*time.Second, 30
	f := &plan.faults
	f.reset, f.blip, f.slow, f.move = 500*time.Millisecond, time.Second, time.Second, time.Second
	f.cut, f.oneWay, f.flap, f.split = 2*time.Second, 2*time.Second, 4*time.Second, 8*time.Second
	f.kill, f.unplug, f.leave, f.pause = 3*time.Second, 4*time.Second, 4*time.Second, 4*time.Second
	plan.floor = judge.Floor{
		Published: 50, Delivered: 300, Span: int64(3 * time.Second), Subscribers: 200,
		Faults: map[string]uint64{"reset": 25, "cut": 20, "restart": 10},
	}
	s := newSim(plan)
	r := s.play()
	t.Log(s.summary(r))
	s.require(t, r)
	if *simFull {
		t.Run("one mesh", simMesh)
	}
}

// simMesh has all 200 gateways linked to each other: 19,900 connections. A mesh is limited to 33 because of what that
// costs; the limit is lifted here, and few messages are sent.
func simMesh(t *testing.T) {
	plan := storm(*simFirst, 2*time.Second)
	plan.fleets = []int{200}
	plan.warm, plan.quiet, plan.longest, plan.devices, plan.topics = 2*time.Second, 2500*time.Millisecond, 500*time.Millisecond, 1, 4
	plan.tick, plan.pace, plan.burst, plan.bursts = 10*tickEvery, 10*time.Second, time.Second, 20
	plan.faults = simFaults{
		reset: 50 * time.Millisecond, blip: 100 * time.Millisecond, cut: time.Second, oneWay: time.Second,
		kill: time.Second, leave: 2 * time.Second, move: 200 * time.Millisecond,
	}
	plan.floor = judge.Floor{
		Published: 10, Delivered: 500, Span: int64(time.Second), Subscribers: 200,
		Faults: map[string]uint64{"reset": 20, "kill": 1},
	}
	s := newSim(plan)
	r := s.play()
	require.GreaterOrEqual(t, s.links, uint64(2*19_900))
	t.Log(s.summary(r))
	s.require(t, r)
}
