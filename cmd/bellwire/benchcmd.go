package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/bellwire/bellwire/bench"
)

// benchCmd is `bellwire bench`.
type benchCmd struct {
	Fanout   benchFanoutCmd   `cmd:"" help:"What a delivery costs the server in CPU time, beside a C loop that only sends."`
	Topics   benchTopicsCmd   `cmd:"" help:"The same with many topics and few subscribers each."`
	Growth   benchGrowthCmd   `cmd:"" help:"How that cost grows with the number of subscribers."`
	Latency  benchLatencyCmd  `cmd:"" help:"How long a message is under way, at a fixed rate."`
	Connect  benchConnectCmd  `cmd:"" help:"What it costs to connect and subscribe."`
	Storm    benchStormCmd    `cmd:"" help:"How soon all are back when the server was killed and started again."`
	Slow     benchSlowCmd     `cmd:"" help:"What the others notice when some subscribers stop reading."`
	Soak     benchSoakCmd     `cmd:"" help:"Whether anything grows while devices come and go."`
	Idle     benchIdleCmd     `cmd:"" help:"What an idle, subscribed device costs in memory."`
	Allocs   benchAllocsCmd   `cmd:"" help:"What a delivery allocates."`
	Compare  benchCompareCmd  `cmd:"" help:"All of it beside other servers, in one table."`
	Report   benchReportCmd   `cmd:"" help:"Make RESULTS.md of kept results."`
	Generate benchGenerateCmd `cmd:"" hidden:"" help:"Be the devices of a measurement, as another process orders."`

	benchMillionCmds `embed:""`
	benchSecureCmds  `embed:""`
	benchFleetCmds   `embed:""`
}

// benchOutput says where results go.
type benchOutput struct {
	Output  string `placeholder:"FILE" help:"Keep the result, with every sample, in this file."`
	JSON    bool   `name:"json" help:"Print the result as JSON."`
	GoBench bool   `name:"gobench" help:"Print every sample as a line that benchstat reads."`
	HTML    string `name:"html" placeholder:"FILE" help:"Write a page with tables and pictures to this file."`
}

// benchFlags are those of a measurement of the gateway alone.
type benchFlags struct {
	Gateway string `placeholder:"COMMAND" help:"Command line of the gateway, with {listen} and {admin} for its addresses. Default: serve of this program."`
	benchOutput
}

// server is the command line of the gateway.
func (f *benchFlags) server(e *env) []string {
	if f.Gateway != "" {
		return strings.Fields(f.Gateway)
	}
	return []string{e.program, "serve", "--listen", bench.ListenPlaceholder, "--admin", bench.AdminPlaceholder}
}

// command is how the measurement was asked for, without where its result goes.
func (o *benchOutput) command(context *kong.Context) string {
	words := []string{"bellwire"}
	for i := 0; i < len(context.Args); i++ {
		switch word := context.Args[i]; {
		case word == "--json" || word == "--gobench" || strings.HasPrefix(word, "--output=") || strings.HasPrefix(word, "--html="):
		case word == "--output" || word == "--html":
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
func (o *benchOutput) done(e *env, r bench.Result, err error) error {
	if err != nil {
		return err
	}
	if o.Output != "" {
		if err := r.WriteFile(o.Output); err != nil {
			return fmt.Errorf("cannot keep the result: %w", err)
		}
	}
	if err := o.page([]bench.Result{r}); err != nil {
		return err
	}
	switch {
	case o.JSON:
		return printJSON(e, r)
	case o.GoBench:
		return bench.WriteGoBench(e.stdout, []bench.Result{r})
	}
	return r.WriteTable(e.stdout)
}

// doneAll keeps and prints several results; what is kept is a directory with a
// file for each.
func (o *benchOutput) doneAll(e *env, all []bench.Result) error {
	if o.Output != "" {
		if err := os.MkdirAll(o.Output, 0o755); err != nil {
			return fmt.Errorf("cannot keep the results: %w", err)
		}
		for _, r := range all {
			if err := r.WriteFile(filepath.Join(o.Output, r.Name+".json")); err != nil {
				return fmt.Errorf("cannot keep the results: %w", err)
			}
		}
	}
	if err := o.page(all); err != nil {
		return err
	}
	switch {
	case o.JSON:
		return printJSON(e, all)
	case o.GoBench:
		return bench.WriteGoBench(e.stdout, all)
	}
	return bench.WriteComparison(e.stdout, all)
}

// page writes the results as one HTML page, if that is wanted.
func (o *benchOutput) page(all []bench.Result) error {
	if o.HTML == "" {
		return nil
	}
	f, err := os.Create(o.HTML)
	if err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	err = bench.HTML(f, all)
	return errors.Join(err, f.Close())
}

func printJSON(e *env, v any) error {
	encoder := json.NewEncoder(e.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
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
