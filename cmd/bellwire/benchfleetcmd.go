package main

import (
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/bellwire/bellwire/bench"
)

// benchFleetCmds are those that measure gateways that are linked.
type benchFleetCmds struct {
	Fleet benchFleetCmd `cmd:"" help:"Gateways that broadcast together: what each peer costs, how much later a message is there, and what subscriptions send."`
}

type benchFleetCmd struct {
	benchFlags
	Join        string        `default:"--name {name} --peer-listen {peer} --central off" placeholder:"ARGUMENTS" help:"By which the gateway takes links, with {name}, {peer} for its address, and {other} in --link."`
	Link        string        `default:"--peer {other}" placeholder:"ARGUMENTS" help:"By which another one links to it."`
	Many        string        `default:"--limits-subscriptions 1000 --limits-topic-rate 1000000" placeholder:"ARGUMENTS" help:"By which it takes many new topics at once, and many of each device."`
	ServeFlags  string        `placeholder:"ARGUMENTS" help:"More of them for all gateways."`
	Pin         bool          `help:"The gateway that is measured on CPU 0, the others and the load on CPU 1."`
	Parts       []string      `default:"cost,hop,topics" placeholder:"NAME" help:"What to measure: cost, hop, topics."`
	Links       []int         `default:"1,3,10" placeholder:"N" help:"Numbers of other gateways to compare with none."`
	Subscribers int           `default:"1" placeholder:"N" help:"Devices of the gateway that the messages enter."`
	Window      int           `default:"32" placeholder:"N" help:"Messages published in one write."`
	Pairs       int           `default:"24" placeholder:"N" help:"How often each gateway is measured, in turns."`
	Slice       time.Duration `default:"250ms" placeholder:"TIME" help:"Of one measurement, at least."`
	Rate        float64       `default:"1000" placeholder:"N" help:"Messages per second, for the latency of a hop."`
	Runs        int           `default:"5" placeholder:"N" help:"Of it."`
	RunTime     time.Duration `default:"10s" placeholder:"TIME" help:"Each of them."`
	Topics      int           `default:"100000" placeholder:"N" help:"Topics to subscribe to."`
	Quick       bool          `help:"Everything tiny: to know that it works, not for figures."`
}

// config is what it says of a run.
func (c *benchFleetCmd) config(e *env) bench.FleetConfig {
	return bench.FleetConfig{
		Config: bench.Config{
			Server: append(c.server(e), strings.Fields(c.ServeFlags)...), Generator: []string{e.program, "bench", "generate"}, Pin: c.Pin,
			Subscribers: c.Subscribers, Windows: []int{c.Window}, Pairs: c.Pairs, Slice: c.Slice, Rate: c.Rate, Topics: c.Topics,
		},
		Join: strings.Fields(c.Join), Link: strings.Fields(c.Link), Many: strings.Fields(c.Many),
		Links: c.Links, Runs: c.Runs, Run: c.RunTime, Parts: c.Parts,
	}
}

// Run measures.
func (c *benchFleetCmd) Run(e *env, k *kong.Context) error {
	ctx, stop := e.interruptible()
	defer stop()
	b := c.config(e)
	b.Command = c.command(k)
	if c.Quick {
		b = b.Quick()
	}
	r, err := bench.Fleet(ctx, b, e.stderr)
	return c.done(e, r, err)
}
