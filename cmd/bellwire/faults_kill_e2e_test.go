//go:build e2e && linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/peer/history"
)

// faultKill kills one gateway after the other under load, and starts it again. To devices of those that live nothing of those that
// live is lost or doubled; nothing is lost anywhere without a word; and soon after each kill all have settled again
// (BC-D3, BC-D5, X-4).
func faultKill(t *testing.T, out *bench.Result) {
	l := load{
		gateways: 3, devices: sized(60, 500), each: 2, topics: sized(30, 100), rate: sized(200, 2000), payload: 64,
	}
	kills, every, down := sized(2, 20), sized(6*time.Second, 15*time.Second), sized(2*time.Second, 4*time.Second)
	rules := faultRules()
	rules.Floor = l.floor(time.Duration(kills)*every, map[string]uint64{"kill": uint64(kills)})
	tr := newTrial(t, setup{
		load: l, rules: rules, args: centralOffArgs, controls: []*control{withoutProof(), withoutEnd(), withoutDedupe(), withoutReplay()},
	})
	tr.publish()
	for i := range kills {
		rest(t.Context(), every/2)
		m := tr.members[i%len(tr.members)]
		m.kill()
		rest(t.Context(), down)
		m.start()
		rest(t.Context(), every/2-down)
	}
	report := tr.finish(8 * time.Second)
	took := report.Took(history.Died)
	t.Logf("settled after a kill: p50 %s, p99 %s, most %s", time.Duration(took.Quantile(0.5)), time.Duration(took.Quantile(0.99)), time.Duration(took.Most()))
	for _, s := range report.Settled {
		t.Logf("%s at %s: settled p50 %s, p99 %s, most %s", s.Fault, time.Duration(s.At).Round(time.Millisecond),
			time.Duration(s.Took.Quantile(0.5)), time.Duration(s.Took.Quantile(0.99)), time.Duration(s.Took.Most()))
	}
	tr.passed(report)
	require.Zero(t, report.Counts.Unexplained)
	// In CI others have the processors as well.
	require.LessOrEqual(t, time.Duration(took.Quantile(0.99)), sized(5*time.Second, 3*time.Second), "99 %% of all devices have settled that soon after a kill")
	out.Set("kills", kills)
	tr.results(out, "kill", report)
	longest := int64(0)
	for _, s := range report.Settled {
		took := s.Took.Quantile(0.99)
		if s.Fault != history.Died {
			out.Add("kill: until 99 % of all devices had settled after it was started again", "s", seconds(took))
			longest = max(longest, took)
			continue
		}
		out.Add("kill: until 99 % of all devices had settled", "s", seconds(took))
	}
	out.Add("kill: longest until 99 % of all devices had settled after it was started again", "s", seconds(longest))
}

// centralOffArgs are gateways that broadcast and nothing else.
func centralOffArgs(*member) []string { return []string{"--central", "off"} }
