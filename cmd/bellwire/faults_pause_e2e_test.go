//go:build e2e && linux

package main

import (
	"testing"
	"time"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/peer/history"
)

// faultPause has one gateway after the other stand still for longer than the others wait for it, and go on as if nothing had
// been: they have declared it lost meanwhile, and take it back. What it was sent before it stood still, and what it sends
// when it goes on, comes once (BC-D3, BC-D5).
func faultPause(t *testing.T, out *bench.Result) {
	l := load{
		gateways: 3, devices: sized(30, 200), each: 2, topics: sized(15, 50), rate: sized(150, 1000), payload: 64, stay: true,
	}
	pauses, lasts, rests := sized(1, 3), sized(7*time.Second, 15*time.Second), sized(6*time.Second, 15*time.Second)
	rules := faultRules()
	rules.Floor = l.floor(0, map[string]uint64{"pause": uint64(pauses)})
	tr := newTrial(t, setup{load: l, rules: rules, args: centralOffArgs, controls: []*control{withoutProof(), withoutFetch(), withoutDedupe()}})
	tr.publish()
	rest(t.Context(), rests/2)
	for i := range pauses {
		tr.members[i%len(tr.members)].pause(lasts)
		rest(t.Context(), rests)
	}
	report := tr.finish(8 * time.Second)
	tr.passed(report)
	tr.results(out, "pause", report)
	for _, s := range report.Settled {
		if s.Fault == history.Continued {
			out.Add("pause: until 99 % of all devices had settled after it went on", "s", seconds(s.Took.Quantile(0.99)))
		}
	}
}
