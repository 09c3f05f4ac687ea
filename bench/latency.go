package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// runLatency publishes at a fixed rate, whatever has arrived, and measures each
// delivery from the time at which its message should have been sent. All servers
// stay up and take turns.
func runLatency(ctx context.Context, b *bed) error {
	b.r.set("subscribers", b.Subscribers)
	b.r.set("payload, bytes", b.Payload)
	b.r.set("messages per second", b.Rate)
	b.r.set("of one sample", b.Slice)
	every := time.Duration(float64(time.Second) / b.Rate)
	messages := int(max(1, b.Slice/every))
	if err := b.startAll(ctx, "", b.load()); err != nil {
		return err
	}
	b.bar.expect(b.Pairs * len(b.present()))
	for range b.Pairs {
		if err := b.inTurns(ctx, func(s *system) error {
			a, err := s.do(ctx, order{Pace: &paceOrder{Every: every, Messages: messages, PID: s.pid()}})
			if err != nil {
				return err
			}
			b.addLatency(s, a.Latency)
			if s.pid() != 0 {
				b.add(s, costQuantity, "µs", micro(a.CPU)/float64(a.Deliveries))
			}
			b.bar.step("%s: median %s ms", s.label, number(milli(a.Latency[1])))
			return nil
		}); err != nil {
			return err
		}
	}
	if err := b.quiet(ctx); err != nil {
		return err
	}
	var err error
	for _, p := range latencyPercentiles {
		err = errors.Join(err, b.compare(latencyQuantity(p), func(name, over string) string {
			if name != gatewayName || b.Subscribers != 1000 || b.Rate != 10 || b.Payload != 64 || !b.Pin {
				return ""
			}
			return map[string]string{"50 single": "latency-p50", "90 ": "latency-p90", "99 ": "latency-p99"}[fmt.Sprint(p)+" "+over]
		}))
	}
	return errors.Join(err, b.compare(costQuantity, nil))
}

// addLatency adds a sample of each percentile.
func (b *bed) addLatency(s *system, at []time.Duration) {
	for i, p := range latencyPercentiles {
		b.add(s, latencyQuantity(p), "ms", milli(at[i]))
	}
}

func latencyQuantity(percentile float64) string {
	if percentile == 100 {
		return "latency max"
	}
	return "latency p" + strconv.FormatFloat(percentile, 'f', -1, 64)
}
