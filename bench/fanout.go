package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// FanoutConfig says what Fanout measures. Zero values mean the defaults.
type FanoutConfig struct {
	// Server is the command line of the gateway, with ListenPlaceholder and
	// AdminPlaceholder in it. Empty: none, the floor is measured against itself.
	Server []string
	// Command is what the result says to have produced it.
	Command string
	// Subscribers of the one topic. Default 1,000.
	Subscribers int
	// Payload of each message in bytes, at least 8. Default 64.
	Payload int
	// Windows are the numbers of messages published in one write; the next write
	// follows when every subscriber has them all. Default 1 and 32.
	Windows []int
	// Floors are the modes of the floor to measure beside the gateway: single,
	// joined. Default both.
	Floors []string
	// Pairs is how often each is measured, in turns. Default 40.
	Pairs int
	// Slice is how long one measurement lasts, at least; it is made of turns of
	// 25 ms. Default 200 ms.
	Slice time.Duration
	// Pin puts the servers on CPU 0 and the load on CPU 1; else all run where
	// the system puts them.
	Pin bool
	// Topic is published to; the gateway must broadcast it. Default
	// broadcast/bench/telemetry.
	Topic string
	// CC compiles the floor. Default cc.
	CC string
	// FloorOptions set the floor's socket options, as floor/floor.c says. Default
	// those that the gateway sets unless told otherwise: sndbuf=65536,
	// usertimeout=30000 and keepalive=600.
	FloorOptions []string
}

const defaultTopic = "broadcast/bench/telemetry" // 25 bytes

func (c FanoutConfig) withDefaults() (FanoutConfig, error) {
	c.Subscribers = cmp.Or(c.Subscribers, 1000)
	c.Payload = cmp.Or(c.Payload, 64)
	c.Pairs = cmp.Or(c.Pairs, 40)
	c.Slice = cmp.Or(c.Slice, 200*time.Millisecond)
	c.Topic = cmp.Or(c.Topic, defaultTopic)
	c.CC = cmp.Or(c.CC, "cc")
	if len(c.Windows) == 0 {
		c.Windows = []int{1, 32}
	}
	if len(c.Floors) == 0 {
		c.Floors = []string{"single", "joined"}
	}
	if c.FloorOptions == nil {
		c.FloorOptions = []string{"sndbuf=65536", "usertimeout=30000", "keepalive=600"}
	}
	systems := len(c.Floors) + min(1, len(c.Server))
	switch {
	case c.Subscribers < 1 || c.Pairs < 1:
		return c, fmt.Errorf("%d subscribers and %d pairs: take at least one of each", c.Subscribers, c.Pairs)
	case c.Payload < sequenceLen:
		return c, fmt.Errorf("a payload of %d bytes has no room for the message's number: take at least %d", c.Payload, sequenceLen)
	case slices.Min(c.Windows) < 1:
		return c, errors.New("a window holds at least one message")
	case uint64(systems*(c.Subscribers+1)+64) > descriptorLimit() && runtime.GOOS == "linux":
		return c, fmt.Errorf("%d servers with %d subscribers each need more descriptors than the %d this process may have: take fewer subscribers or floors, or raise the limit (ulimit -n)",
			systems, c.Subscribers, descriptorLimit())
	case c.Pin && runtime.NumCPU() < 2:
		return c, errors.New("pinning needs two CPUs: measure unpinned")
	}
	return c, nil
}

// cpus are those of the servers and of the load; -1 is any.
func (c FanoutConfig) cpus() (server, load int) {
	if c.Pin {
		return 0, 1
	}
	return -1, -1
}

// system is one server with its devices.
type system struct {
	name string
	*process
	*devices
}

// gatewayName is the server under test in series; floors have their mode.
const gatewayName = "gateway"

// Fanout measures what a delivery costs the gateway in CPU time, beside the
// floor. All of them stay up; each is measured for a moment, in turns. It
// reports its progress to w; the figures are in the result.
func Fanout(ctx context.Context, cfg FanoutConfig, w io.Writer) (Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Scenario: "fanout", Date: time.Now().UTC().Truncate(time.Second), Command: cfg.Command,
		Server: commandLine(cfg.Server), Machine: thisMachine(),
	}
	serverCPU, loadCPU := cfg.cpus()
	undo, err := pinSelf(loadCPU)
	if err != nil {
		return r, err
	}
	defer undo()

	var systems []system
	defer func() {
		for _, s := range systems {
			if s.devices != nil {
				s.close()
			}
			s.stop()
		}
	}()
	start := func(name string, p *process, err error) error {
		if err != nil {
			return err
		}
		systems = append(systems, system{name: name, process: p})
		d, err := connect(ctx, p.device, cfg.Topic, cfg.Subscribers, cfg.Payload)
		if err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, p.errors)
		}
		systems[len(systems)-1].devices = d
		return nil
	}
	bar := newProgress(w, len(cfg.Windows)*cfg.Pairs)
	bar.say("%d subscribers, %d bytes, %d pairs of %v for each window", cfg.Subscribers, cfg.Payload, cfg.Pairs, cfg.Slice)
	if len(cfg.Server) > 0 {
		p, err := startServer(ctx, cfg.Server, serverCPU)
		if err := start(gatewayName, p, err); err != nil {
			return r, err
		}
	}
	floor, cleanup, err := temporaryFloor(ctx, cfg.CC)
	if err != nil {
		return r, err
	}
	defer cleanup()
	for _, mode := range cfg.Floors {
		p, err := startFloor(floor, mode, serverCPU, cfg.FloorOptions...)
		if err := start(mode, p, err); err != nil {
			return r, err
		}
	}

	cfg.describe(&r)
	for _, window := range cfg.Windows {
		if err := takeTurns(ctx, cfg, &r, systems, window, bar); err != nil {
			return r, err
		}
	}
	for _, s := range systems {
		if err := s.quiet(ctx); err != nil {
			return r, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return r, cfg.conclude(&r)
}

// temporaryFloor compiles the floor where cleanup removes it.
func temporaryFloor(ctx context.Context, cc string) (binary string, cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "bellwire-floor-")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	if binary, err = buildFloor(ctx, dir, cc); err != nil {
		cleanup()
		return "", nil, err
	}
	return binary, cleanup, nil
}

func (c FanoutConfig) describe(r *Result) {
	r.set("subscribers", c.Subscribers)
	r.set("payload, bytes", c.Payload)
	r.set("slice, at least", c.Slice)
	server, load := "any", "any"
	if c.Pin {
		server, load = "0", "1"
	}
	r.set("CPU of each server", server)
	r.set("CPU of the load", load)
	r.set("floor's socket options", strings.Join(c.FloorOptions, " "))
}

// takeTurns measures all systems with one window, one after the other, there and
// back again, so that no system always follows the same one.
func takeTurns(ctx context.Context, cfg FanoutConfig, r *Result, systems []system, window int, bar *progress) error {
	order := slices.Clone(systems)
	for _, s := range order { // the first burst meets cold caches and buffers that have yet to grow
		for range 3 {
			if err := s.burst(ctx, window); err != nil {
				return fmt.Errorf("%s, %d in flight: %w: %s", s.name, window, err, s.errors)
			}
		}
	}
	for range cfg.Pairs {
		spent := make(map[string]*spending, len(order))
		for _, s := range order {
			spent[s.name] = &spending{}
		}
		for spent[systems[0].name].elapsed < cfg.Slice {
			for _, s := range order {
				if err := s.measure(ctx, window, turn, spent[s.name]); err != nil {
					return fmt.Errorf("%s, %d in flight: %w: %s", s.name, window, err, s.errors)
				}
			}
			slices.Reverse(order)
		}
		var said []string
		for _, s := range systems {
			p := spent[s.name]
			r.add(costSeries(s.name, window), "µs", float64(p.cpu.Nanoseconds())/1e3/p.deliveries)
			r.add(rateSeries(s.name, window), "/s", p.deliveries/p.elapsed.Seconds())
			said = append(said, fmt.Sprintf("%s %s µs", s.name, number(float64(p.cpu.Nanoseconds())/1e3/p.deliveries)))
		}
		bar.step("%d in flight: %s", window, strings.Join(said, ", "))
	}
	return nil
}

func costSeries(name string, window int) string {
	return fmt.Sprintf("%s, %d in flight, CPU per delivery", name, window)
}

func rateSeries(name string, window int) string {
	return fmt.Sprintf("%s, %d in flight, deliveries", name, window)
}

// turn is how long a system sends before it is the next one's: the machine's
// speed changes by the second, so a pair of samples is made of many turns.
const turn = 25 * time.Millisecond

// spending is what a system's turns come to.
type spending struct {
	cpu, elapsed time.Duration
	deliveries   float64
}

// measure sends bursts for at least the time given, which may be one burst. A
// message before them is not counted: it finds the sockets where the turn of
// another system has left them, out of the caches.
func (s system) measure(ctx context.Context, window int, atLeast time.Duration, p *spending) error {
	if err := s.burst(ctx, 1); err != nil {
		return err
	}
	before, err := processCPU(s.pid())
	if err != nil {
		return err
	}
	count, start := s.delivered, time.Now()
	for time.Since(start) < atLeast {
		if err := s.burst(ctx, window); err != nil {
			return err
		}
	}
	p.elapsed += time.Since(start)
	after, err := processCPU(s.pid())
	p.cpu += after - before
	p.deliveries += float64(s.delivered - count)
	return err
}

// conclude makes the figures. Only a run under the conditions of a target
// answers it.
func (c FanoutConfig) conclude(r *Result) error {
	answers := c.Subscribers == 1000 && c.Payload == 64 && c.Pin
	id := func(window int, over string) string {
		if !answers || over != "single" || window != 1 && window != 32 {
			return ""
		}
		return fmt.Sprintf("fanout-%d", window)
	}
	systems := slices.Clone(c.Floors)
	if len(c.Server) > 0 {
		systems = append([]string{gatewayName}, systems...)
	}
	var err error
	for _, window := range c.Windows {
		if len(c.Server) > 0 {
			for _, over := range c.Floors {
				err = errors.Join(err, r.ratio(fmt.Sprintf("gateway / C %s, %d in flight", over, window), id(window, over),
					costSeries(gatewayName, window), costSeries(over, window)))
			}
		}
		// With one message in flight both floors do the same: their ratio is the noise.
		if len(c.Floors) > 1 {
			a, b := c.Floors[len(c.Floors)-1], c.Floors[0]
			err = errors.Join(err, r.ratio(fmt.Sprintf("C %s / C %s, %d in flight", a, b, window), "",
				costSeries(a, window), costSeries(b, window)))
		}
		for _, s := range systems {
			err = errors.Join(err, r.figure(costSeries(s, window), "", costSeries(s, window)))
		}
		for _, s := range systems {
			err = errors.Join(err, r.figure(rateSeries(s, window), "", rateSeries(s, window)))
		}
	}
	return err
}
