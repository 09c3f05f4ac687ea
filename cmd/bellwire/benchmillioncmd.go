package main

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/bellwire/bellwire/bench"
)

// benchMillionCmds are the command for people and the one that it calls.
type benchMillionCmds struct {
	Million     benchMillionCmd     `cmd:"" help:"Very many idle devices over many gateway processes, then one broadcast to all of them."`
	MillionLoad benchMillionLoadCmd `cmd:"" hidden:"" help:"One generator of bench million."`
}

type benchMillionCmd struct {
	benchFlags
	Devices    int           `default:"0" placeholder:"N" help:"Devices, connected and subscribed, at most 1,000,000. Default: 100,000, or as many as half of the available memory holds."`
	PerProcess int           `default:"0" placeholder:"N" help:"Devices of one gateway, and of one generator. Default: 18,000, or as many as the descriptor limit allows."`
	Settle     time.Duration `default:"5s" placeholder:"TIME" help:"From the last connection until the memory is read."`
	Broadcasts int           `default:"1" placeholder:"N" help:"Messages to all devices, one after the other."`
	Payload    int           `default:"64" placeholder:"BYTES" help:"Of each message."`
	Within     time.Duration `default:"15m" placeholder:"TIME" help:"The run fails if it takes longer."`
}

// Run measures.
func (c *benchMillionCmd) Run(e *env, context *kong.Context) error {
	ctx, stop := e.interruptible()
	defer stop()
	r, err := bench.Million(ctx, bench.MillionConfig{
		Server: c.server(e), Load: []string{e.program, "bench", "million-load"}, Command: c.command(context),
		Devices: c.Devices, PerProcess: c.PerProcess, Settle: c.Settle, Broadcasts: c.Broadcasts, Payload: c.Payload, Within: c.Within,
	}, e.stderr)
	return c.done(e, r, err)
}

type benchMillionLoadCmd struct {
	Connect netip.AddrPort `required:"" placeholder:"ADDRESS" help:"The gateway."`
	Devices int            `required:"" placeholder:"N" help:"Devices to connect."`
	First   int            `required:"" placeholder:"N" help:"Number of the first."`
	Sources int            `required:"" placeholder:"N" help:"Loopback addresses to connect from."`
	Payload int            `required:"" placeholder:"BYTES" help:"Of a message."`
	Topic   string         `required:"" placeholder:"TOPIC" help:"To subscribe to."`
}

// Run does what the standard input says, as bench.MillionLoad has it.
func (c *benchMillionLoadCmd) Run(e *env) error {
	commands, ok := e.stdin.(*os.File)
	if !ok {
		return errors.New("the standard input must be a pipe from bench million")
	}
	ctx, stop := e.interruptible()
	defer stop()
	return bench.MillionLoad(ctx, bench.MillionLoadConfig{
		Connect: c.Connect, Devices: c.Devices, First: c.First, Sources: c.Sources, Payload: c.Payload, Topic: c.Topic,
	}, commands, e.stdout)
}
