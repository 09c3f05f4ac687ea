package bench

import (
	"context"
	"errors"
	"slices"
	"time"
)

// The places where a message arrives, as systems, and what lies between them.
const (
	hopNear   = "at the gateway that it enters"
	hopFar    = "one hop away"
	hopAdded  = "added by the hop"
	hopOfRuns = "best run"
)

// hop measures how much later a message is at the subscriber of another gateway
// than at one of the gateway that it entered, message by message, in an open loop.
func (b *fleetBed) hop(ctx context.Context) error {
	defer b.clear()
	b.r.set("messages per second, for the latency of a hop", b.Rate)
	b.r.set("of one run", b.conf.Run)
	b.r.set("a message has arrived", "when the system has it for the device")
	g, err := b.gather(ctx, "one hop", 1)
	if err != nil {
		return err
	}
	if err := b.devices(ctx, g, load{Topics: []string{b.Topic}, Payload: b.Payload, AtOnce: b.AtOnce, Body: bodyRandom}); err != nil {
		return err
	}
	every := time.Duration(float64(time.Second) / b.Rate)
	paced := order{Pace: &paceOrder{Every: every, Messages: int(max(1, b.conf.Run/every)), PID: g.pid()}}
	b.bar.expect(b.conf.Runs)
	for range b.conf.Runs {
		a, err := g.do(ctx, paced)
		if err != nil {
			return err
		}
		for _, of := range []struct {
			place string
			taken []time.Duration
		}{{hopNear, a.Latency}, {hopFar, a.Far}, {hopAdded, a.Added}} {
			for i, p := range latencyPercentiles {
				b.r.add(of.place+", "+latencyQuantity(p), "ms", milli(of.taken[i]))
			}
		}
		at := slices.Index(latencyPercentiles, 50)
		b.bar.step("median %s ms, one hop away %s ms", number(milli(a.Latency[at])), number(milli(a.Far[at])))
	}
	if err := b.quiet(ctx); err != nil {
		return err
	}
	return b.concludeHop()
}

func (b *fleetBed) concludeHop() error {
	var err error
	for _, p := range []float64{50, 99} {
		target := ""
		if b.Pin && b.Rate == 1000 && b.conf.Runs >= 5 && b.conf.Run >= 5*time.Second && b.Subscribers == 1 {
			target = map[float64]string{50: "fleet-hop-p50", 99: "fleet-hop-p99"}[p]
		}
		s, missing := b.r.series(hopAdded + ", " + latencyQuantity(p))
		if missing != nil {
			return missing
		}
		best := hopAdded + ", " + latencyQuantity(p) + ", " + hopOfRuns
		b.r.add(best, s.Unit, slices.Min(s.Samples))
		err = errors.Join(err, b.r.figure(best, target, best))
	}
	for _, place := range []string{hopAdded, hopNear, hopFar} {
		for _, p := range latencyPercentiles {
			name := place + ", " + latencyQuantity(p)
			err = errors.Join(err, b.r.figure(name, "", name))
		}
	}
	return err
}
