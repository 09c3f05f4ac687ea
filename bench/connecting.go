package bench

import (
	"context"
	"errors"
	"time"
)

const (
	connectCost = "CPU per connect and subscribe"
	connectRate = "connects with subscribe"
)

// runConnect lets devices connect, subscribe and leave, again and again, the
// greeting in one segment.
func runConnect(ctx context.Context, b *bed) error {
	b.r.set("devices of one sample", b.Subscribers)
	b.r.set("handshakes at once", b.AtOnce)
	l := b.load()
	l.Alone = true
	for _, c := range b.candidates {
		s := &system{candidate: c, label: c.name}
		if err := b.attempt(ctx, s, func() (err error) {
			s, err = b.start(ctx, c, c.name)
			return err
		}); err != nil {
			return err
		}
	}
	connect := func(s *system) (outcome, error) {
		l.Remote, l.Protocol = s.device, s.protocol
		return s.do(ctx, order{Batch: &batchOrder{Load: l, PID: s.pid()}})
	}
	if err := b.inTurns(ctx, func(s *system) error { // pools and tables grow once
		_, err := connect(s)
		return err
	}); err != nil {
		return err
	}
	b.bar.expect(b.Pairs * len(b.present()))
	for range b.Pairs {
		if err := b.inTurns(ctx, func(s *system) error {
			a, err := connect(s)
			if err != nil {
				return err
			}
			n := float64(l.Devices)
			if s.pid() != 0 {
				b.add(s, connectCost, "µs", micro(a.CPU)/n)
			}
			b.add(s, connectRate, "/s", n/a.Elapsed.Seconds())
			b.bar.step("%s: %s /s", s.label, number(n/a.Elapsed.Seconds()))
			return nil
		}); err != nil {
			return err
		}
	}
	return errors.Join(
		b.compare(connectCost, func(name, over string) string {
			if name == gatewayName && over == "single" && b.AtOnce == handshakes && b.Pin && b.Subscribers >= 1000 && len(b.Server) > 0 {
				return "connect"
			}
			return ""
		}),
		b.state(connectRate, nil),
	)
}

const (
	stormPause = 20 * time.Millisecond // between two attempts of a device
	stormBack  = "all back after the kill"
	stormFirst = "first message at all after the kill"
	stormTries = "attempts to connect that failed, per device"
	stormCost  = "CPU of the new process until all are back"
)

// runStorm kills the server and starts it again; its devices try until they are
// back.
func runStorm(ctx context.Context, b *bed) error {
	if b.Address != "" {
		return errors.New("storm kills and restarts the server: let it start one, with its command line")
	}
	b.r.set("subscribers", b.Subscribers)
	b.r.set("handshakes at once", b.AtOnce)
	b.r.set("a device tries again after", stormPause)
	if err := b.startAll(ctx, "", b.load()); err != nil {
		return err
	}
	b.bar.expect(b.Pairs * len(b.present()))
	for range b.Pairs {
		if err := b.inTurns(ctx, func(s *system) error {
			if _, err := s.do(ctx, order{Burst: &burstOrder{Window: 1}}); err != nil {
				return err
			}
			return b.storm(ctx, s)
		}); err != nil {
			return err
		}
	}
	var err error
	for _, q := range []string{stormBack, stormFirst, stormCost, stormTries} {
		err = errors.Join(err, b.state(q, nil))
	}
	return err
}

func (b *bed) storm(ctx context.Context, s *system) error {
	cpu, _ := b.cpus()
	begin := time.Now()
	s.kill()
	if err := s.restart(cpu); err != nil {
		return err
	}
	a, err := s.do(ctx, order{Rejoin: stormPause})
	if err != nil {
		return err
	}
	back := time.Since(begin)
	spent, err := processCPU(s.pid())
	if err != nil {
		return err
	}
	if _, err := s.do(ctx, order{Burst: &burstOrder{Window: 1}}); err != nil {
		return err
	}
	b.add(s, stormBack, "s", back.Seconds())
	b.add(s, stormFirst, "s", time.Since(begin).Seconds())
	b.add(s, stormCost, "ms", milli(spent))
	b.add(s, stormTries, "", float64(a.Failed)/float64(b.Subscribers+1))
	b.bar.step("%s: all back after %v", s.label, back.Round(time.Millisecond))
	return nil
}
