package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellwire/bellwire/gateway"
)

// demoCmd is `bellwire demo`.
type demoCmd struct {
	Devices  int           `default:"1000" placeholder:"N" help:"Devices, each with a TCP connection of its own."`
	Gateways int           `default:"3" placeholder:"N" help:"Gateways, each a process of its own; 1: one in this process, which nobody kills."`
	Duration time.Duration `default:"20s" placeholder:"TIME" help:"How long broadcasts are sent."`
	Interval time.Duration `default:"1s" placeholder:"TIME" help:"Time from one broadcast to the next."`
}

// Help says what is real about it.
func (c *demoCmd) Help() string {
	return "Gateways and devices share this machine's cores; between them is TCP. A gateway is killed after a quarter of the time and started " +
		"again after half of it; after three quarters the one goes that holds the central service. Every figure is counted by the devices " +
		"from what arrived. A latency runs from before the publish to the moment that a device has the message. Ends with 1 unless " +
		"each device got each broadcast, or was told which ones it did not get."
}

const (
	demoTopic = "broadcast/demo"
	// demoPatience is how long the last broadcast may be under way, and a device may look for another gateway.
	demoPatience = 10 * time.Second
	// demoConnectors is how many devices connect at the same time.
	demoConnectors = 64
	// demoReserve is descriptors for everything that is no device.
	demoReserve = 256
	// demoMostGateways: each links to all others, on the cores of one machine.
	demoMostGateways = 8
)

// Run shows it.
func (c *demoCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return exitWith(exitUsage, err)
	}
	ctx, stop := e.interruptible()
	defer stop()
	if c.Gateways > 1 {
		return c.runFleet(ctx, e)
	}
	return c.runAlone(ctx, e)
}

func (c *demoCmd) check() error {
	switch {
	case c.Devices < 1:
		return fmt.Errorf("--devices: %d devices receive nothing: take at least one", c.Devices)
	case c.Gateways < 1 || c.Gateways > demoMostGateways:
		return fmt.Errorf("--gateways: %d cannot be shown here: take 1 to %d", c.Gateways, demoMostGateways)
	case c.Duration <= 0 || c.Interval <= 0:
		return errors.New("--duration and --interval: take more than nothing")
	}
	ends := 1 // of each connection in one process
	if c.Gateways == 1 {
		ends = 2
	}
	if need := uint64(ends*c.Devices + demoReserve); need > descriptorLimit() {
		return fmt.Errorf("--devices: %d devices need %d open files, and a process may have %d: take fewer, or raise the limit (ulimit -n)",
			c.Devices, need, descriptorLimit())
	}
	return nil
}

// runAlone shows one gateway, in this process.
func (c *demoCmd) runAlone(ctx context.Context, e *env) error {
	g, served, err := startDemoGateway(e, c.Devices)
	if err != nil {
		return err
	}
	defer func() {
		_ = g.Close() // it has no error of its own
		<-served
	}()
	fmt.Fprintf(e.stdout, "gateway on %s, %s devices over TCP, a broadcast every %s for %s\n\n",
		g.Addr(), grouped(int64(c.Devices)), durationText(c.Interval), durationText(c.Duration))
	s := newDemoShow(e, []string{g.Addr().String()}, c.Devices)
	defer s.close()
	if err := s.publisher.enter(ctx, "the gateway", g.Addr().String()); err != nil {
		return err
	}
	if err := s.run(ctx, c, nil); err != nil {
		return err
	}
	return s.devices.summarize(e.stdout, false)
}

// startDemoGateway serves on a free port of the loopback interface; served is closed when it has ended.
func startDemoGateway(e *env, devices int) (g *gateway.Gateway, served <-chan struct{}, err error) {
	g, err = gateway.New(gateway.Config{
		Name: "demo", Listen: "127.0.0.1:0", Limits: gateway.Limits{Connections: devices + 1}, // and the publisher
		Logger: slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan struct{})
	var failed error
	go func() {
		defer close(ended)
		failed = g.Serve(context.Background())
	}()
	select {
	case <-g.Ready():
		return g, ended, nil
	case <-ended:
		return nil, nil, failed
	}
}

// demoShow is what both forms of the demo have in common.
type demoShow struct {
	devices   *demoDevices
	publisher *demoPublisher
	table     *demoTable
	env       *env
}

func newDemoShow(e *env, servers []string, devices int) *demoShow {
	ledger := newDemoLedger()
	d := newDemoDevices(servers, devices, ledger)
	return &demoShow{
		devices: d, publisher: &demoPublisher{ledger: ledger, payload: d.payload},
		table: newDemoTable(e.stdout, e.terminal(e.stdout), d), env: e,
	}
}

// run connects the devices, publishes while the events happen, and holds everything against what was published.
func (s *demoShow) run(ctx context.Context, c *demoCmd, events func(context.Context) error) error {
	if err := s.table.during(ctx, s.devices.connect); err != nil {
		return err
	}
	err := s.table.during(ctx, func(ctx context.Context) error {
		if err := together(ctx, func(ctx context.Context) error { return s.publisher.during(ctx, c.Interval, c.Duration) }, events); err != nil {
			return err
		}
		return s.devices.settle(ctx, demoPatience)
	})
	if errors.Is(err, errUnsettled) {
		err = nil // the summary says what is missing
	}
	return err
}

// together does two things at the same time; the first error ends the other one.
func together(ctx context.Context, one, other func(context.Context) error) error {
	if other == nil {
		return one(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		err := other(ctx)
		if err != nil {
			cancel(err)
		}
		done <- err
	}()
	err := one(ctx)
	if err != nil {
		cancel(err)
	}
	<-done
	return context.Cause(ctx)
}

func (s *demoShow) close() {
	s.publisher.close()
	s.devices.close()
}
