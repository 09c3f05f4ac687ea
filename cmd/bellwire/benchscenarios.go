package main

import (
	"context"
	"errors"
	"time"

	"github.com/alecthomas/kong"

	"github.com/bellwire/bellwire/bench"
)

// benchTarget says which servers a scenario measures.
type benchTarget struct {
	Gateway  string   `placeholder:"COMMAND" help:"Command line of the gateway, with {listen} and {admin} for its addresses. Default: serve of this program."`
	Server   string   `placeholder:"HOST:PORT" help:"Measure the server that runs there instead; see --protocol and --pid."`
	Protocol string   `default:"bellwire" enum:"bellwire,mqtt,redis,nats" help:"What the server at --server speaks: ${enum}."`
	PID      int      `name:"pid" placeholder:"N" help:"Process of the server at --server, if it is on this machine: its CPU time and memory are then measured."`
	Topic    string   `placeholder:"NAME" help:"Topic to publish to; the server must broadcast it. Of many topics the start. Default: broadcast/bench/telemetry."`
	Peers    []string `placeholder:"NAME" help:"Other servers to measure in the same run: nats, mosquitto, redis, mochi."` //nolint:misspell // a name
	Tools    string   `default:".tools" placeholder:"DIR" help:"Where the peers' programs are, besides the PATH."`
	Floors   []string `placeholder:"MODE" help:"C loops to measure beside them: single, joined or none. Default: the scenario's."`
	CC       string   `name:"cc" default:"cc" placeholder:"COMMAND" help:"C compiler of the floor."`
	Pin      bool     `help:"Servers on CPU 0, load on CPU 1, where it never sleeps while a delivery is due."`
}

// config is what it says of a run.
func (t *benchTarget) config(e *env) bench.Config {
	c := bench.Config{
		Address: t.Server, PID: t.PID, Protocol: t.Protocol, Peers: t.Peers, Tools: t.Tools, Floors: t.Floors, CC: t.CC, Pin: t.Pin, Topic: t.Topic,
		Generator: []string{e.program, "bench", "generate"},
	}
	if t.Server != "" {
		if len(c.Floors) == 0 {
			c.Floors = []string{bench.NoFloor} // the load of a server elsewhere has nothing to be compared with
		}
		return c
	}
	c.Server = (&benchFlags{Gateway: t.Gateway}).server(e)
	return c
}

// measured runs a scenario and shows its result.
func measured(e *env, k *kong.Context, out *benchOutput, scenario string, c bench.Config) error {
	ctx, stop := e.interruptible()
	defer stop()
	c.Command = out.command(k)
	r, err := bench.Run(ctx, scenario, c, e.stderr)
	return out.done(e, r, err)
}

type benchFanoutCmd struct {
	benchTarget
	benchOutput
	Subscribers int           `default:"1000" placeholder:"N" help:"Devices subscribed to the one topic."`
	Payload     int           `default:"64" placeholder:"BYTES" help:"Of each message."`
	Windows     []int         `default:"1,32" placeholder:"N" help:"Messages published in one write."`
	Pairs       int           `default:"40" placeholder:"N" help:"How often each server is measured, in turns."`
	Slice       time.Duration `default:"200ms" placeholder:"TIME" help:"Of one measurement, at least."`
}

// Run measures.
func (c *benchFanoutCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Payload, b.Windows, b.Pairs, b.Slice = c.Subscribers, c.Payload, c.Windows, c.Pairs, c.Slice
	return measured(e, k, &c.benchOutput, "fanout", b)
}

type benchTopicsCmd struct {
	benchTarget
	benchOutput
	Subscribers int           `default:"10000" placeholder:"N" help:"Devices, each subscribed to one topic."`
	Topics      int           `default:"1000" placeholder:"N" help:"Topics that they are spread over."`
	Payload     int           `default:"64" placeholder:"BYTES" help:"Of each message."`
	Windows     []int         `default:"32" placeholder:"N" help:"Messages published in one write, each to the next topic."`
	Pairs       int           `default:"40" placeholder:"N" help:"How often each server is measured, in turns."`
	Slice       time.Duration `default:"200ms" placeholder:"TIME" help:"Of one measurement, at least."`
}

// Run measures.
func (c *benchTopicsCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Topics, b.Payload, b.Windows, b.Pairs, b.Slice = c.Subscribers, c.Topics, c.Payload, c.Windows, c.Pairs, c.Slice
	return measured(e, k, &c.benchOutput, "topics", b)
}

type benchGrowthCmd struct {
	benchTarget
	benchOutput
	Sizes   []int         `default:"1000,15000" placeholder:"N" help:"Numbers of subscribers to compare."`
	Payload int           `default:"64" placeholder:"BYTES" help:"Of each message."`
	Window  int           `default:"1" placeholder:"N" help:"Messages published in one write."`
	Pairs   int           `default:"20" placeholder:"N" help:"How often each server is measured, in turns."`
	Slice   time.Duration `default:"200ms" placeholder:"TIME" help:"Of one measurement, at least."`
}

// Run measures.
func (c *benchGrowthCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Sizes, b.Payload, b.Windows, b.Pairs, b.Slice = c.Sizes, c.Payload, []int{c.Window}, c.Pairs, c.Slice
	return measured(e, k, &c.benchOutput, "growth", b)
}

type benchLatencyCmd struct {
	benchTarget
	benchOutput
	Subscribers int           `default:"1000" placeholder:"N" help:"Devices subscribed to the one topic."`
	Payload     int           `default:"64" placeholder:"BYTES" help:"Of each message."`
	Rate        float64       `default:"10" placeholder:"N" help:"Messages per second, whatever has arrived."`
	Pairs       int           `default:"5" placeholder:"N" help:"How often each server is measured, in turns."`
	Slice       time.Duration `default:"6s" placeholder:"TIME" help:"Of one measurement."`
}

// Run measures.
func (c *benchLatencyCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Payload, b.Rate, b.Pairs, b.Slice = c.Subscribers, c.Payload, c.Rate, c.Pairs, c.Slice
	return measured(e, k, &c.benchOutput, "latency", b)
}

type benchConnectCmd struct {
	benchTarget
	benchOutput
	Devices int `default:"1000" placeholder:"N" help:"That connect, subscribe and leave in one measurement."`
	AtOnce  int `default:"64" placeholder:"N" help:"Handshakes under way."`
	Pairs   int `default:"20" placeholder:"N" help:"How often each server is measured, in turns."`
}

// Run measures.
func (c *benchConnectCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.AtOnce, b.Pairs = c.Devices, c.AtOnce, c.Pairs
	return measured(e, k, &c.benchOutput, "connect", b)
}

type benchStormCmd struct {
	benchTarget
	benchOutput
	Subscribers int `default:"5000" placeholder:"N" help:"Devices subscribed to the one topic."`
	AtOnce      int `default:"512" placeholder:"N" help:"Handshakes under way."`
	Pairs       int `default:"5" placeholder:"N" help:"How often each server is killed, in turns."`
}

// Run measures.
func (c *benchStormCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.AtOnce, b.Pairs = c.Subscribers, c.AtOnce, c.Pairs
	return measured(e, k, &c.benchOutput, "storm", b)
}

type benchSlowCmd struct {
	benchTarget
	benchOutput
	Subscribers int           `default:"1000" placeholder:"N" help:"Devices subscribed to the one topic."`
	Share       float64       `default:"0.1" placeholder:"SHARE" help:"Of the subscribers that stop reading."`
	Payload     int           `default:"1024" placeholder:"BYTES" help:"Of each message."`
	Window      int           `default:"8" placeholder:"N" help:"Messages published in one write."`
	Pairs       int           `default:"30" placeholder:"N" help:"How often each server is measured, in turns."`
	Slice       time.Duration `default:"200ms" placeholder:"TIME" help:"Of one measurement, at least."`
}

// Run measures.
func (c *benchSlowCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Share, b.Payload, b.Windows, b.Pairs, b.Slice = c.Subscribers, c.Share, c.Payload, []int{c.Window}, c.Pairs, c.Slice
	return measured(e, k, &c.benchOutput, "slow", b)
}

type benchSoakCmd struct {
	benchTarget
	benchOutput
	Subscribers int           `default:"1000" placeholder:"N" help:"Devices subscribed to the one topic."`
	Payload     int           `default:"256" placeholder:"BYTES" help:"Of each message."`
	Rate        float64       `default:"100" placeholder:"N" help:"Messages per second."`
	Churn       float64       `default:"50" placeholder:"N" help:"Subscribers that leave and come, per second."`
	Duration    time.Duration `default:"1m" placeholder:"TIME" help:"Of the run."`
}

// Run measures.
func (c *benchSoakCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Payload, b.Rate, b.Churn, b.Slice, b.Pairs = c.Subscribers, c.Payload, c.Rate, c.Churn, c.Duration, 1
	return measured(e, k, &c.benchOutput, "soak", b)
}

type benchIdleCmd struct {
	benchTarget
	benchOutput
	Devices int           `default:"15000" placeholder:"N" help:"Devices, connected and subscribed."`
	Settle  time.Duration `default:"30s" placeholder:"TIME" help:"From the last connection until the memory is read."`
	Runs    int           `default:"3" placeholder:"N" help:"Each with a server of its own."`
}

// Run measures.
func (c *benchIdleCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Settle, b.Pairs = c.Devices, c.Settle, c.Runs
	return measured(e, k, &c.benchOutput, "idle", b)
}

type benchGenerateCmd struct{}

// Run does the orders of another process.
func (*benchGenerateCmd) Run(e *env) error {
	return bench.Generate(context.Background(), e.stdin, e.stdout)
}

type benchCompareCmd struct {
	benchTarget
	benchOutput
	Scenarios []string `default:"fanout,topics,growth,latency,connect,storm,slow,idle,soak" placeholder:"NAME" help:"What to measure."`
	Quick     bool     `help:"Everything tiny: to know that it works, not for figures."`
}

// Run measures several scenarios, all with all servers.
func (c *benchCompareCmd) Run(e *env, k *kong.Context) error {
	ctx, stop := e.interruptible()
	defer stop()
	cfg := bench.CompareConfig{Config: c.config(e), Quick: c.Quick}
	cfg.Command = c.command(k)
	all, err := bench.Compare(ctx, c.Scenarios, cfg, e.stderr)
	if len(all) == 0 {
		return err
	}
	return errors.Join(c.doneAll(e, all), err) // what was measured is shown even if the rest failed
}
