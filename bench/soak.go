package bench

import (
	"context"
	"errors"
	"time"
)

const (
	soakReadings   = 40
	soakMemory     = "memory (RSS)"
	soakOpen       = "open descriptors"
	soakGoroutines = "goroutines"
	soakGrowth     = "last quarter over second"
)

// runSoak publishes at a fixed rate while subscribers leave and others come, and
// reads now and then what the server holds. The first quarter of the time is for
// its buffers to grow; after it nothing may.
func runSoak(ctx context.Context, b *bed) error {
	if b.Address != "" && b.PID == 0 {
		return errNoProcess
	}
	b.r.set("subscribers", b.Subscribers)
	b.r.set("payload, bytes", b.Payload)
	b.r.set("messages per second", b.Rate)
	b.r.set("subscribers that leave and come, per second", b.Churn)
	b.r.set("time", b.Slice)
	first := true
	err := b.each(ctx, func(ctx context.Context, s *system) (string, error) {
		err := b.soak(ctx, s, first)
		first = false
		return "held out", err
	})
	if err != nil {
		return err
	}
	for _, q := range []string{soakMemory, soakOpen, soakGoroutines} {
		err = errors.Join(err, b.state(q+", "+soakGrowth, func(name, over string) string {
			if name != gatewayName || over != "" || b.Slice < time.Minute {
				return ""
			}
			return map[string]string{soakMemory: "soak-memory", soakOpen: "soak-descriptors", soakGoroutines: "soak-goroutines"}[q]
		}), b.state(q, nil))
	}
	return errors.Join(err, b.state(costQuantity, nil))
}

func (b *bed) soak(ctx context.Context, s *system, clocked bool) error {
	if err := b.connect(ctx, s, b.load()); err != nil {
		return err
	}
	goroutines := metric{url: s.admin + "/metrics", names: []string{"go_goroutines", "go_sched_goroutines_goroutines"}}
	interval := b.Slice / soakReadings
	every := time.Duration(float64(time.Second) / b.Rate)
	paced := order{Pace: &paceOrder{Every: every, Messages: int(max(1, interval/every)), PID: s.pid()}}
	held := map[string][]float64{}
	read := func(quantity, unit string, v float64) {
		b.add(s, quantity, unit, v)
		held[quantity] = append(held[quantity], v)
	}
	begin, replaced := time.Now(), 0
	for range soakReadings {
		a, err := s.do(ctx, paced)
		if err != nil {
			return err
		}
		leave := min(int(b.Churn*time.Since(begin).Seconds())-replaced, b.Subscribers)
		if _, err := s.do(ctx, order{Replace: &replaceOrder{First: replaced, Count: leave}}); err != nil {
			return err
		}
		replaced += leave
		m, err := processMemory(s.pid())
		if err != nil {
			return err
		}
		open, err := processDescriptors(s.pid())
		if err != nil {
			return err
		}
		if clocked {
			b.r.add("time", "s", time.Since(begin).Seconds())
		}
		b.add(s, costQuantity, "µs", micro(a.CPU)/float64(a.Deliveries))
		read(soakMemory, "MiB", float64(m.rss)/(1<<20))
		read(soakOpen, "", float64(open))
		if s.admin != "" {
			n, err := goroutines.read(ctx)
			if err != nil {
				return err
			}
			read(soakGoroutines, "", n)
		}
	}
	for quantity, v := range held {
		b.add(s, quantity+", "+soakGrowth, "×", mean(v[len(v)*3/4:])/mean(v[len(v)/4:len(v)/2]))
	}
	_, err := s.do(ctx, order{Quiet: true})
	return err
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
