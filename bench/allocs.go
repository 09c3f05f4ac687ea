package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// AllocsConfig says what Allocs measures. Zero values mean the defaults.
type AllocsConfig struct {
	// Server is the command line of the gateway, with ListenPlaceholder and
	// AdminPlaceholder in it.
	Server []string
	// Command is what the result says to have produced it.
	Command string
	// Subscribers of the one topic. Default 1,000.
	Subscribers int
	// Payload of each message in bytes, at least 8. Default 64.
	Payload int
	// Deliveries between two readings, at least. Default 100,000.
	Deliveries int
	// Window is the number of messages published in one write. Default 1.
	Window int
	// Runs are the samples taken from the one server. Default 5.
	Runs int
	// Metric names the counter of heap objects on the server's /metrics. Default:
	// the first there is of go_gc_heap_allocs_objects_total and
	// go_memstats_mallocs_total.
	Metric string
	// Topic is published to; the gateway must broadcast it. Default
	// broadcast/bench/telemetry.
	Topic string
}

func (c AllocsConfig) withDefaults() (AllocsConfig, error) {
	c.Subscribers = cmp.Or(c.Subscribers, 1000)
	c.Payload = cmp.Or(c.Payload, 64)
	c.Deliveries = cmp.Or(c.Deliveries, 100_000)
	c.Window = cmp.Or(c.Window, 1)
	c.Runs = cmp.Or(c.Runs, 5)
	c.Topic = cmp.Or(c.Topic, defaultTopic)
	if c.Subscribers < 1 || c.Deliveries < 1 || c.Window < 1 || c.Runs < 1 {
		return c, errors.New("subscribers, deliveries, window and runs: take at least one of each")
	}
	if c.Payload < sequenceLen {
		return c, fmt.Errorf("a payload of %d bytes has no room for the message's number: take at least %d", c.Payload, sequenceLen)
	}
	return c, nil
}

// The series of an allocation run.
const (
	allocsPerDelivery = "heap objects per delivery"
	allocsPerMessage  = "heap objects per message published"
	allocsOfReading   = "heap objects of one reading, subtracted"
)

// Allocs measures how many heap objects the server allocates per delivery, from
// its own count before and after the deliveries. Reading the count allocates as
// well: two readings in a row say how much, and that is subtracted. It reports
// its progress to w.
func Allocs(ctx context.Context, cfg AllocsConfig, w io.Writer) (Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Name: "allocs", Scenario: "allocs", Date: time.Now().UTC().Truncate(time.Second), Command: cfg.Command,
		Server: commandLine(cfg.Server), Machine: thisMachine(),
	}
	p, err := startServer(ctx, cfg.Server, -1)
	if err != nil {
		return r, err
	}
	defer p.stop()
	if err := cfg.run(ctx, &r, p, newProgress(w, cfg.Runs)); err != nil {
		return r, fmt.Errorf("%w: %s", err, p.errors)
	}
	return r, cfg.conclude(&r)
}

func (c AllocsConfig) run(ctx context.Context, r *Result, p *process, bar *progress) error {
	counter := metric{url: p.admin + "/metrics", names: []string{"go_gc_heap_allocs_objects_total", "go_memstats_mallocs_total"}}
	if c.Metric != "" {
		counter.names = []string{c.Metric}
	}
	d, err := connect(ctx, p.device, c.Topic, c.Subscribers, c.Payload)
	if err != nil {
		return err
	}
	defer d.close()
	deliver := func() (messages float64, err error) {
		before := d.delivered
		for d.delivered-before < uint64(c.Deliveries) {
			if err := d.burst(ctx, c.Window); err != nil {
				return 0, err
			}
			messages += float64(c.Window)
		}
		return messages, nil
	}
	if _, err := deliver(); err != nil { // buffers and pools grow once
		return err
	}
	for range c.Runs {
		var reading [3]float64
		for i := range 2 {
			if reading[i], err = counter.read(ctx); err != nil {
				return err
			}
		}
		messages, err := deliver()
		if err != nil {
			return err
		}
		if reading[2], err = counter.read(ctx); err != nil {
			return err
		}
		control := reading[1] - reading[0]
		objects := reading[2] - reading[1] - control
		r.add(allocsPerDelivery, "", objects/(messages*float64(c.Subscribers)))
		r.add(allocsPerMessage, "", objects/messages)
		r.add(allocsOfReading, "", control)
		bar.step("%s objects per message to %d subscribers", number(objects/messages), c.Subscribers)
	}
	if err := d.quiet(ctx); err != nil {
		return err
	}
	r.set("subscribers", c.Subscribers)
	r.set("payload, bytes", c.Payload)
	r.set("deliveries between two readings", c.Deliveries)
	r.set("in flight", c.Window)
	r.set("metric", counter.names[0])
	return nil
}

func (c AllocsConfig) conclude(r *Result) error {
	target := ""
	if c.Subscribers == 1000 && c.Payload == 64 && c.Deliveries >= 100_000 && c.Window == 1 {
		target = "fanout-allocs"
	}
	err := r.figure(allocsPerDelivery, target, allocsPerDelivery)
	for _, s := range []string{allocsPerMessage, allocsOfReading} {
		err = errors.Join(err, r.figure(s, "", s))
	}
	return err
}
