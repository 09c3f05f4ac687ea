package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// turn is how long a system sends before it is the next one's: the machine's
// speed changes by the second, so a pair of samples is made of many turns.
const turn = 25 * time.Millisecond

// spending is what a system's turns come to.
type spending struct {
	cpu, elapsed time.Duration
	deliveries   float64
}

func (p spending) cost() float64 { return micro(p.cpu) / p.deliveries }

const (
	costQuantity = "CPU per delivery"
	rateQuantity = "deliveries"
	sendQuantity = "segments per subscriber and burst"
	userQuantity = "share of user space in the server's CPU"
	slopeLow     = 32 // windows between which the slope is taken
	slopeHigh    = 128
)

var slopeQuantity = fmt.Sprintf("CPU of one more message per subscriber, from %d to %d in flight", slopeLow, slopeHigh)

var aboveQuantity = slopeQuantity + ", above C joined"

func inFlight(window int, quantity string) string {
	return fmt.Sprintf("%d in flight, %s", window, quantity)
}

// runFanout measures what a delivery costs. All servers stay up; each is measured
// for a moment, in turns.
func runFanout(ctx context.Context, b *bed) error {
	b.r.set("subscribers", b.Subscribers)
	if b.Topics > 1 {
		b.r.set("topics", b.Topics)
	}
	b.r.set("payload, bytes", b.Payload)
	b.r.set("in flight", strings.ReplaceAll(strings.Trim(fmt.Sprint(b.Windows), "[]"), " ", " and "))
	b.r.set("slice, at least", b.Slice)
	b.bar.say("%d subscribers, %d bytes, %d pairs of %v for each window", b.Subscribers, b.Payload, b.Pairs, b.Slice)
	if err := b.startAll(ctx, "", b.load()); err != nil {
		return err
	}
	if err := b.takeTurns(ctx, b.addSlope); err != nil {
		return err
	}
	return b.concludeFanout()
}

// takeTurns measures all systems with all windows, one system after the other,
// there and back again, so that no system always follows the same one. after is
// called when a pair's costs, by label and window, are known.
func (b *bed) takeTurns(ctx context.Context, after func(costs map[string]map[int]float64)) error {
	b.bar.expect(b.Pairs)
	// The first bursts meet cold caches and buffers that have yet to grow.
	if err := b.inTurns(ctx, func(s *system) error {
		_, err := s.do(ctx, order{Burst: &burstOrder{Window: slices.Max(b.Windows), AtLeast: turn}})
		return err
	}); err != nil {
		return err
	}
	modes, err := b.modes()
	if err != nil {
		return err
	}
	for range b.Pairs {
		costs := map[string]map[int]float64{}
		var said []string
		for _, window := range b.Windows {
			spent, err := b.pair(ctx, window)
			if err != nil {
				return err
			}
			for _, s := range b.present() {
				p := spent[s]
				b.add(s, inFlight(window, rateQuantity), "/s", p.deliveries/p.elapsed.Seconds())
				if s.pid() == 0 {
					said = append(said, fmt.Sprintf("%s %s deliveries/s", s.label, number(p.deliveries/p.elapsed.Seconds())))
					continue
				}
				b.add(s, inFlight(window, costQuantity), "µs", p.cost())
				if costs[s.label] == nil {
					costs[s.label] = map[int]float64{}
				}
				costs[s.label][window] = p.cost()
				said = append(said, fmt.Sprintf("%s %s µs", s.label, number(p.cost())))
			}
			if err := b.inTurns(ctx, func(s *system) error { return b.addSegments(ctx, s, window) }); err != nil {
				return err
			}
		}
		after(costs)
		b.bar.step("%s", shortened(strings.Join(said, ", "), 120))
	}
	if err := b.addModes(modes); err != nil {
		return err
	}
	return b.quiet(ctx)
}

// modes are the times that the servers have spent in user space and in the kernel.
func (b *bed) modes() (map[*system][2]time.Duration, error) {
	all := map[*system][2]time.Duration{}
	for _, s := range b.present() {
		if s.pid() == 0 {
			continue
		}
		user, kernel, err := processModes(s.pid())
		if err != nil {
			return nil, err
		}
		all[s] = [2]time.Duration{user, kernel}
	}
	return all, nil
}

// addModes adds what part of each server's CPU since before was its own: the rest
// is the kernel's, which the sends themselves cost.
func (b *bed) addModes(before map[*system][2]time.Duration) error {
	after, err := b.modes()
	if err != nil {
		return err
	}
	for s, t := range after {
		user, kernel := t[0]-before[s][0], t[1]-before[s][1]
		if user+kernel > 0 {
			b.add(s, userQuantity, "%", 100*float64(user)/float64(user+kernel))
		}
	}
	return nil
}

// inTurns does something with each system that is there.
func (b *bed) inTurns(ctx context.Context, something func(*system) error) error {
	for _, s := range b.present() {
		if err := b.attempt(ctx, s, func() error { return something(s) }); err != nil {
			return err
		}
	}
	return nil
}

// pair measures all systems with one window for a slice.
func (b *bed) pair(ctx context.Context, window int) (map[*system]*spending, error) {
	spent := map[*system]*spending{}
	turns := b.present()
	for _, s := range turns {
		spent[s] = &spending{}
	}
	for done := false; !done; {
		done = true
		for _, s := range turns {
			p := spent[s]
			if p.elapsed >= b.Slice { // a slow one needs fewer turns
				continue
			}
			if err := b.attempt(ctx, s, func() error {
				a, err := s.do(ctx, order{Burst: &burstOrder{Window: window, AtLeast: min(turn, b.Slice), PID: s.pid()}})
				p.cpu += a.CPU
				p.elapsed += a.Elapsed
				p.deliveries += float64(a.Deliveries)
				return err
			}); err != nil {
				return nil, err
			}
			done = done && (s.out || p.elapsed >= b.Slice)
		}
		slices.Reverse(turns)
	}
	return spent, nil
}

// addSegments counts what the server sends, at a time when its CPU is not
// measured: asking the sockets would warm the caches.
func (b *bed) addSegments(ctx context.Context, s *system, window int) error {
	a, err := s.do(ctx, order{Segments: window})
	if err == nil {
		b.add(s, inFlight(window, sendQuantity), "", float64(a.Segments)/float64(s.devices))
	}
	return err
}

// addSlope adds what one more message costs each subscriber of a busy server,
// and how far that of the gateway is above the floor's.
func (b *bed) addSlope(costs map[string]map[int]float64) {
	slopes := map[string]float64{}
	for label, of := range costs {
		low, ok := of[slopeLow]
		high, too := of[slopeHigh]
		if ok && too {
			slopes[label] = (high*slopeHigh - low*slopeLow) / (slopeHigh - slopeLow)
			b.r.add(label+", "+slopeQuantity, "µs", slopes[label])
		}
	}
	if floor, ok := slopes["joined"]; ok {
		for _, s := range b.present() {
			if v, ok := slopes[s.label]; ok && !slices.Contains(b.Floors, s.name) {
				b.r.add(s.label+", "+aboveQuantity, "µs", v-floor)
			}
		}
	}
}

// concludeFanout makes the figures. Only a run under the conditions of a target
// answers it.
func (b *bed) concludeFanout() error {
	var err error
	for _, window := range b.Windows {
		err = errors.Join(err,
			b.compare(inFlight(window, costQuantity), func(name, over string) string { return b.fanoutTarget(window, name, over) }),
			b.state(inFlight(window, rateQuantity), nil),
			b.state(inFlight(window, sendQuantity), func(name, over string) string {
				if b.one(1000, 64) && window == 32 && name == gatewayName && over == "" {
					return "segments"
				}
				return ""
			}))
	}
	err = errors.Join(err, b.state(slopeQuantity, nil), b.state(userQuantity, nil))
	return errors.Join(err, b.state(aboveQuantity, func(name, over string) string {
		if b.one(1000, 64) && name == gatewayName && over == "" {
			return "slope"
		}
		return ""
	}))
}

// one reports whether the run is pinned, with one topic, so many subscribers and
// bytes.
func (b *bed) one(subscribers, payload int) bool {
	return b.Pin && b.Topics == 1 && b.Subscribers == subscribers && b.Payload == payload && len(b.Server) > 0
}

func (b *bed) fanoutTarget(window int, name, over string) string {
	if over == "single" && window == 1 && b.one(1000, 64) {
		switch name {
		case "joined":
			return "noise"
		case "nats":
			return "nats-floor"
		}
	}
	if name != gatewayName || over == "" {
		return ""
	}
	switch key := fmt.Sprintf("%d %s", window, over); {
	case b.one(1000, 64):
		return map[string]string{
			"1 single": "fanout-1", "1 redis": "redis-1", "1 nats": "nats-1", "32 single": "fanout-32", "32 joined": "joined-32",
		}[key]
	case b.one(10_000, 64):
		return map[string]string{"1 single": "fanout-1-10k", "1 redis": "redis-1-10k", "1 nats": "nats-1-10k"}[key]
	case b.one(1000, 1024):
		return map[string]string{"32 single": "fanout-32-1k"}[key]
	case b.Pin && b.Subscribers == 10_000 && b.Topics == 1000 && b.Payload == 64:
		return map[string]string{"32 single": "topics-32"}[key]
	}
	return ""
}
