package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

const (
	allRead     = "all read"
	slowRate    = "messages to all that read"
	slowMessage = "CPU per message"
)

// runSlow measures every server twice at the same time: once with subscribers
// that all read, once with a share of them that has stopped. What is measured
// are the others: each must get every message. The floor waits for a subscriber
// that is behind, so it is no measure here.
func runSlow(ctx context.Context, b *bed) error {
	if len(b.Floors) > 0 || len(b.Windows) != 1 || b.Address != "" {
		return errors.New("slow starts each server twice, with one window and no floor")
	}
	count := max(1, int(b.Share*float64(b.Subscribers)))
	stopped := fmt.Sprintf("%s %% stopped", number(100*float64(count)/float64(b.Subscribers)))
	b.r.set("subscribers", b.Subscribers)
	b.r.set("of them stop reading", count)
	b.r.set("payload, bytes", b.Payload)
	b.r.set("in flight", b.Windows[0])
	l := b.load()
	for _, c := range []string{allRead, stopped} {
		if err := b.startAll(ctx, c, l); err != nil {
			return err
		}
		l.Stopped = count // small receive buffers would be slow even if they are read
	}
	if err := b.inTurns(ctx, func(s *system) error {
		o := order{Burst: &burstOrder{Window: b.Windows[0], AtLeast: turn}} // buffers grow once
		if _, err := s.do(ctx, o); err != nil || s.label != s.name+", "+stopped {
			return err
		}
		_, err := s.do(ctx, order{Stop: true})
		return err
	}); err != nil {
		return err
	}
	b.bar.expect(b.Pairs)
	for pair := range b.Pairs {
		turns := b.present()
		if pair%2 == 1 {
			slices.Reverse(turns)
		}
		for _, s := range turns {
			if err := b.attempt(ctx, s, func() error { return b.sampleSlow(ctx, s) }); err != nil {
				return err
			}
		}
		b.bar.step("pair %d", pair+1)
	}
	return b.concludeSlow(ctx, stopped)
}

func (b *bed) sampleSlow(ctx context.Context, s *system) error {
	a, err := s.do(ctx, order{Burst: &burstOrder{Window: b.Windows[0], AtLeast: b.Slice, PID: s.pid(), Latency: true}})
	if err != nil {
		return err
	}
	b.addLatency(s, a.Latency)
	b.add(s, slowRate, "/s", float64(a.Messages)/a.Elapsed.Seconds())
	b.add(s, slowMessage, "µs", micro(a.CPU)/float64(a.Messages))
	m, err := processMemory(s.pid())
	b.add(s, "memory (RSS)", "MiB", float64(m.rss)/(1<<20))
	return err
}

func (b *bed) concludeSlow(ctx context.Context, stopped string) error {
	for _, s := range b.present() {
		a, err := s.do(ctx, order{Quiet: true})
		if err != nil {
			return err
		}
		if s.label == s.name+", "+stopped {
			b.r.set(s.name+": stopped devices that lost their connection", a.Kicked)
		}
	}
	quantities := []string{slowRate, latencyQuantity(50), latencyQuantity(90), latencyQuantity(99), slowMessage, "memory (RSS)"}
	var err error
	for _, c := range b.candidates {
		for _, q := range quantities {
			target := ""
			if c.name == gatewayName && b.Share == 0.1 && b.Subscribers == 1000 {
				target = map[string]string{slowRate: "slow-rate", latencyQuantity(90): "slow-p90"}[q]
			}
			with, without := c.name+", "+stopped+", "+q, c.name+", "+allRead+", "+q
			err = errors.Join(err, b.r.ratio(fmt.Sprintf("%s, %s, %s over %s", c.name, q, stopped, allRead), target, with, without),
				b.r.figure(without, "", without), b.r.figure(with, "", with))
		}
	}
	return err
}
