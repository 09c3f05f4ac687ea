package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/bellwire/bellwire/bench"
)

// benchCmd is `bellwire bench`.
type benchCmd struct {
	Fanout benchFanoutCmd `cmd:"" help:"What a delivery costs the gateway in CPU time, beside a C loop that only sends."`
	Idle   benchIdleCmd   `cmd:"" help:"What an idle, subscribed device costs in memory."`
	Allocs benchAllocsCmd `cmd:"" help:"What a delivery allocates."`
	Report benchReportCmd `cmd:"" help:"Make RESULTS.md of kept results."`
}

// benchFlags are those of every measurement.
type benchFlags struct {
	Gateway string `placeholder:"COMMAND" help:"Command line of the gateway, with {listen} and {admin} for its addresses. Default: serve of this program."`
	Output  string `placeholder:"FILE" help:"Keep the result, with every sample, in this file."`
	JSON    bool   `name:"json" help:"Print the result as JSON."`
}

// server is the command line of the gateway; more are arguments of the default one.
func (f *benchFlags) server(e *env, more ...string) []string {
	if f.Gateway != "" {
		return strings.Fields(f.Gateway)
	}
	return append([]string{e.program, "serve", "--listen", bench.ListenPlaceholder, "--admin", bench.AdminPlaceholder}, more...)
}

// command is how the measurement was asked for, without where its result goes.
func (f *benchFlags) command(context *kong.Context) string {
	words := []string{"bellwire"}
	for i := 0; i < len(context.Args); i++ {
		switch word := context.Args[i]; {
		case word == "--json" || strings.HasPrefix(word, "--output="):
		case word == "--output":
			i++
		case strings.ContainsAny(word, " {}"):
			words = append(words, "'"+word+"'")
		default:
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// done keeps and prints a result.
func (f *benchFlags) done(e *env, r bench.Result, err error) error {
	if err != nil {
		return err
	}
	if f.Output != "" {
		if err := r.WriteFile(f.Output); err != nil {
			return fmt.Errorf("cannot keep the result: %w", err)
		}
	}
	if f.JSON {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	return r.WriteTable(e.stdout)
}

type benchFanoutCmd struct {
	benchFlags
	Subscribers int           `default:"1000" placeholder:"N" help:"Devices subscribed to the one topic."`
	Payload     int           `default:"64" placeholder:"BYTES" help:"Of each message."`
	Windows     []int         `default:"1,32" placeholder:"N" help:"Messages published in one write."`
	Pairs       int           `default:"40" placeholder:"N" help:"How often gateway and C loop are measured, in turns."`
	Slice       time.Duration `default:"200ms" placeholder:"TIME" help:"Of one measurement, at least."`
	Pin         bool          `help:"Servers on CPU 0, load on CPU 1, and a gateway with one loop."`
	CC          string        `name:"cc" default:"cc" placeholder:"COMMAND" help:"C compiler."`
}

// Run measures.
func (c *benchFanoutCmd) Run(e *env, context *kong.Context) error {
	ctx, stop := e.interruptible()
	defer stop()
	server := c.server(e)
	if c.Pin {
		server = c.server(e, "--loops", "1")
	}
	r, err := bench.Fanout(ctx, bench.FanoutConfig{
		Server: server, Command: c.command(context), Subscribers: c.Subscribers, Payload: c.Payload, Windows: c.Windows,
		Pairs: c.Pairs, Slice: c.Slice, Pin: c.Pin, CC: c.CC,
	}, e.stderr)
	return c.done(e, r, err)
}

type benchIdleCmd struct {
	benchFlags
	Devices int           `default:"15000" placeholder:"N" help:"Devices, connected and subscribed."`
	Settle  time.Duration `default:"30s" placeholder:"TIME" help:"From the last connection until the memory is read."`
	Runs    int           `default:"3" placeholder:"N" help:"Each with a gateway of its own."`
}

// Run measures.
func (c *benchIdleCmd) Run(e *env, context *kong.Context) error {
	ctx, stop := e.interruptible()
	defer stop()
	r, err := bench.Idle(ctx, bench.IdleConfig{
		Server: c.server(e), Command: c.command(context), Devices: c.Devices, Settle: c.Settle, Runs: c.Runs,
	}, e.stderr)
	return c.done(e, r, err)
}

type benchAllocsCmd struct {
	benchFlags
	Subscribers int `default:"1000" placeholder:"N" help:"Devices subscribed to the one topic."`
	Payload     int `default:"64" placeholder:"BYTES" help:"Of each message."`
	Deliveries  int `default:"100000" placeholder:"N" help:"Between two readings, at least."`
	Window      int `default:"1" placeholder:"N" help:"Messages published in one write."`
	Runs        int `default:"5" placeholder:"N" help:"Samples taken from the one gateway."`
}

// Run measures.
func (c *benchAllocsCmd) Run(e *env, context *kong.Context) error {
	ctx, stop := e.interruptible()
	defer stop()
	r, err := bench.Allocs(ctx, bench.AllocsConfig{
		Server: c.server(e), Command: c.command(context), Subscribers: c.Subscribers, Payload: c.Payload,
		Deliveries: c.Deliveries, Window: c.Window, Runs: c.Runs,
	}, e.stderr)
	return c.done(e, r, err)
}

type benchReportCmd struct {
	Results string `arg:"" optional:"" default:"bench/results" help:"Directory of kept results."`
	Output  string `placeholder:"FILE" help:"Write the report here. Default: the standard output."`
}

// Run makes the report.
func (c *benchReportCmd) Run(e *env) error {
	report, err := bench.Report(os.DirFS(filepath.Clean(c.Results)))
	if err != nil {
		return fmt.Errorf("%s: %w", c.Results, err)
	}
	if c.Output == "" {
		_, err = e.stdout.Write(report)
		return err
	}
	return os.WriteFile(c.Output, report, 0o644)
}
