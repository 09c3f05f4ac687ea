package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// IdleConfig says what Idle measures. Zero values mean the defaults.
type IdleConfig struct {
	// Server is the command line of the gateway, with ListenPlaceholder and
	// AdminPlaceholder in it.
	Server []string
	// Command is what the result says to have produced it.
	Command string
	// Devices connected and subscribed to one topic. Default 15,000.
	Devices int
	// Settle is how long after the last connection the memory is read. Default 30 s.
	Settle time.Duration
	// Runs, each with a server of its own. Default 3.
	Runs int
	// Topic is subscribed to. Default broadcast/bench/telemetry.
	Topic string
}

func (c IdleConfig) withDefaults() (IdleConfig, error) {
	c.Devices = cmp.Or(c.Devices, 15_000)
	c.Settle = cmp.Or(c.Settle, 30*time.Second)
	c.Runs = cmp.Or(c.Runs, 3)
	c.Topic = cmp.Or(c.Topic, defaultTopic)
	if c.Devices < 1 || c.Runs < 1 {
		return c, fmt.Errorf("%d devices and %d runs: take at least one of each", c.Devices, c.Runs)
	}
	return c, nil
}

// The series of an idle run; memory is per device.
const (
	idleRSS     = "user memory of the server (RSS)"
	idleAnon    = "of it heap and stacks (anonymous)"
	idleSlab    = "kernel objects (slab), both ends of the connection"
	idleCPU     = "server CPU per connect and subscribe"
	idleConnect = "connects with subscribe, 64 at a time"
)

// Idle measures the memory that an idle, subscribed device costs: the server
// before its first connection against the same process some time after the
// last. It reports its progress to w.
func Idle(ctx context.Context, cfg IdleConfig, w io.Writer) (Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Scenario: "idle", Date: time.Now().UTC().Truncate(time.Second), Command: cfg.Command,
		Server: commandLine(cfg.Server), Machine: thisMachine(),
	}
	r.set("devices", cfg.Devices)
	r.set("filters of each", 1)
	r.set("name of each, characters", 24)
	r.set("read after the last connection", cfg.Settle)
	bar := newProgress(w, cfg.Runs)
	bar.say("%d devices, memory read %v after the last connection, %d runs", cfg.Devices, cfg.Settle, cfg.Runs)
	for range cfg.Runs {
		p, err := startServer(ctx, cfg.Server, -1)
		if err != nil {
			return r, err
		}
		err = cfg.run(ctx, &r, p)
		p.stop()
		if err != nil {
			return r, fmt.Errorf("%w: %s", err, p.errors)
		}
		s, err := r.series(idleRSS)
		if err != nil {
			return r, err
		}
		bar.step("%s B per device", number(s.Samples[len(s.Samples)-1]))
	}
	return r, cfg.conclude(&r)
}

// run adds one sample of each quantity, from a server that has had no connection.
func (c IdleConfig) run(ctx context.Context, r *Result, p *process) error {
	if err := pause(ctx, min(time.Second, c.Settle)); err != nil { // until its start is over
		return err
	}
	before, err := processMemory(p.pid())
	if err != nil {
		return err
	}
	cpuBefore, err := processCPU(p.pid())
	if err != nil {
		return err
	}
	start := time.Now()
	d, err := connect(ctx, p.device, c.Topic, c.Devices, sequenceLen)
	if err != nil {
		return err
	}
	defer d.close()
	elapsed := time.Since(start)
	cpuAfter, err := processCPU(p.pid())
	if err != nil {
		return err
	}
	if err := pause(ctx, c.Settle); err != nil {
		return err
	}
	after, err := processMemory(p.pid())
	if err != nil {
		return err
	}
	if err := d.quiet(ctx); err != nil { // all are still there
		return err
	}
	n := float64(c.Devices + 1) // the publisher is a device too
	each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / n }
	r.add(idleRSS, "B", each(after.rss, before.rss))
	r.add(idleAnon, "B", each(after.anon, before.anon))
	r.add(idleSlab, "B", each(after.slab, before.slab))
	r.add(idleCPU, "µs", float64((cpuAfter-cpuBefore).Nanoseconds())/1e3/n)
	r.add(idleConnect, "/s", n/elapsed.Seconds())
	return nil
}

func (c IdleConfig) conclude(r *Result) error {
	target := ""
	if c.Devices == 15_000 && c.Settle >= 30*time.Second {
		target = "idle-rss"
	}
	err := r.figure(idleRSS, target, idleRSS)
	for _, s := range []string{idleAnon, idleSlab, idleCPU, idleConnect} {
		err = errors.Join(err, r.figure(s, "", s))
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
