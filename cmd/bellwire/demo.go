package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/gateway"
)

// demoCmd is `bellwire demo`.
type demoCmd struct {
	Devices  int           `default:"1000" placeholder:"N" help:"Devices, each with a TCP connection of its own."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long broadcasts are sent."`
	Interval time.Duration `default:"1s" placeholder:"TIME" help:"Time from one broadcast to the next."`
}

// Help says what is real about it.
func (c *demoCmd) Help() string {
	return "Gateway and devices share this process and this machine's cores; between them is TCP. Every figure is counted by the devices " +
		"from what arrived. A latency runs from before the publish to the moment that a device has the message. Ends with 1 unless " +
		"each device got each broadcast, or was told which ones it did not get."
}

const (
	demoTopic = "broadcast/demo"
	// demoPatience is how long the last broadcast may be under way.
	demoPatience = 10 * time.Second
	// demoConnectors is how many devices connect at the same time.
	demoConnectors = 64
	// demoReserve is descriptors for everything that is no device.
	demoReserve = 256
)

// Run shows it.
func (c *demoCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return exitWith(exitUsage, err)
	}
	ctx, stop := e.interruptible()
	defer stop()
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
	fleet := newFleet(g.Addr().String(), c.Devices)
	defer fleet.close()
	table := newDemoTable(e.stdout, e.terminal(e.stdout), fleet)
	if err := table.during(ctx, func(ctx context.Context) error { return fleet.connect(ctx) }); err != nil {
		return err
	}
	err = table.during(ctx, func(ctx context.Context) error {
		if err := c.broadcast(ctx, g.Addr().String(), fleet); err != nil {
			return err
		}
		return fleet.settle(ctx, demoPatience)
	})
	if errors.Is(err, errUnsettled) {
		err = nil // the summary says what is missing
	}
	if err != nil {
		return err
	}
	return fleet.summarize(e.stdout)
}

func (c *demoCmd) check() error {
	switch {
	case c.Devices < 1:
		return fmt.Errorf("--devices: %d devices receive nothing: take at least one", c.Devices)
	case c.Duration <= 0 || c.Interval <= 0:
		return errors.New("--duration and --interval: take more than nothing")
	}
	// Both ends of each connection are in this process.
	if need := uint64(2*c.Devices + demoReserve); need > descriptorLimit() {
		return fmt.Errorf("--devices: %d devices need %d open files, and this process may have %d: take fewer, or raise the limit (ulimit -n)",
			c.Devices, need, descriptorLimit())
	}
	return nil
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

// broadcast publishes as a device of its own, at fixed times: a slow answer delays no later message.
func (c *demoCmd) broadcast(ctx context.Context, address string, f *fleet) error {
	publisher, err := client.Dial(ctx, address, client.WithDevice("publisher"))
	if err != nil {
		return err
	}
	defer publisher.Close()
	ticker := time.NewTicker(c.Interval)
	defer ticker.Stop()
	for number := uint64(1); ; number++ {
		if err := publisher.Publish(ctx, demoTopic, f.payload(number)); err != nil {
			return fmt.Errorf("broadcast %d: %w", number, err)
		}
		f.published.Store(number)
		if time.Duration(number)*c.Interval >= c.Duration {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
