package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// fleetCmd is `bellwire fleet`.
type fleetCmd struct {
	JSON bool `name:"json" help:"Print the answer of the gateway as it is."`
	adminFlags
}

// Help says whose view it is.
func (c *fleetCmd) Help() string {
	return "What one gateway knows of its fleet. After a partition two gateways may know different things: ask both. " +
		"DELAY is the time to the other gateway and back, BATCH the messages in a batch on average, SAVED what compression has left out, " +
		"RETAINED what waits to be acknowledged; SKIPPED messages were given up because it was too much and were announced to devices " +
		"as gaps; REFUSED messages of the other gateway were not taken, as a forged origin is not."
}

// Run asks and prints.
func (c *fleetCmd) Run(e *env) error {
	ctx, stop := e.interruptible()
	defer stop()
	answer, err := c.get(ctx, "/v1/fleet", nil)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = e.stdout.Write(answer)
		return err
	}
	view, err := readFleet(answer)
	if err != nil {
		return err
	}
	return writeFleet(e.stdout, view, time.Now())
}

// writeFleet prints the tables.
func writeFleet(w io.Writer, f fleetView, now time.Time) error {
	fmt.Fprintf(w, "fleet %s, seen by %s; central: %s\n", visibleName(f.Cluster), visibleName(f.self()), centralText(f.Central))
	if err := columns(w, func(table io.Writer) { writeGateways(table, f, now) }); err != nil {
		return err
	}
	if len(f.Links) > 0 {
		if err := columns(w, func(table io.Writer) { writeLinks(table, f.Links, now) }); err != nil {
			return err
		}
	}
	if len(f.Streams) > 0 {
		return columns(w, func(table io.Writer) { writeStreams(table, f.Streams) })
	}
	return nil
}

// columns prints one table below a blank line.
func columns(w io.Writer, write func(table io.Writer)) error {
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	write(table)
	return table.Flush()
}

// centralText says what the word of the gateway means, where it is not plain.
func centralText(state string) string {
	switch state {
	case "private":
		return "private (this gateway's alone: the others have their own)"
	case "away":
		return "away (topics that are not broadcast are refused until it is back)"
	case "off":
		return "off (topics that are not broadcast are refused)"
	}
	return visibleName(cmp.Or(state, "unknown"))
}

func writeGateways(w io.Writer, f fleetView, now time.Time) {
	fmt.Fprintln(w, "GATEWAY\tSTATE\tADDRESS\tDEVICES\tSINCE\tLIFE\tVERSION")
	for _, g := range f.sorted() {
		state := g.State
		if g.Self {
			state += " (this one)"
		}
		if g.FiltersDiffer {
			state += ", broadcasts other topics"
		}
		devices := "-"
		if g.Devices != nil {
			devices = grouped(*g.Devices)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visibleName(g.Name), visibleName(state), dash(g.Address), devices, sinceText(g.Since, now), dash(g.Life), dash(g.Version))
	}
}

func writeLinks(w io.Writer, links []fleetLink, now time.Time) {
	fmt.Fprintln(w, "LINK TO\tSTATE\tSINCE\tDELAY\tSENT\tBATCH\tBYTES\tSAVED\tRECEIVED\tRETAINED\tSKIPPED\tREFUSED")
	for _, l := range links {
		state := l.State
		if l.Error != "" {
			state += ": " + l.Error
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visibleName(cmp.Or(l.Name, l.Address)), visibleName(state), sinceText(l.Since, now),
			latencyText(time.Duration(l.DelayMicros)*time.Microsecond), grouped(l.Sent), l.batchText(), Size(l.SentBytes), l.savedText(),
			grouped(l.Received), Size(l.Retained), grouped(l.Skipped), grouped(l.Refused))
	}
}

// batchText is the mean number of messages in a batch.
func (l *fleetLink) batchText() string {
	if l.Batches == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(l.Sent)/float64(l.Batches), 'f', 1, 64)
}

// savedText is the part of the bytes that compression left out.
func (l *fleetLink) savedText() string {
	plain := l.SentBytes + l.SavedBytes
	if l.SavedBytes <= 0 || plain <= 0 {
		return "-"
	}
	return strconv.FormatFloat(100*float64(l.SavedBytes)/float64(plain), 'f', 0, 64) + "%"
}

func writeStreams(w io.Writer, streams []fleetStreams) {
	fmt.Fprintln(w, "STREAMS OF\tLIFE\tSTATE\tSTREAMS\tMESSAGES\tDUPLICATES\tFETCHED\tMISSED")
	for _, s := range streams {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visibleName(s.Gateway), dash(s.Life), dash(s.State), grouped(s.Streams),
			grouped(s.Messages), grouped(s.Duplicates), grouped(s.Fetched), grouped(s.Missed))
	}
}

func dash(text string) string { return visibleName(cmp.Or(text, "-")) }

// sinceText is how long ago something was, in two units at most.
func sinceText(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return fromNow(at, now)
}

// sorted is this gateway and then the others by name.
func (f *fleetView) sorted() []fleetGateway {
	all := slices.Clone(f.Gateways)
	slices.SortStableFunc(all, func(a, b fleetGateway) int {
		if a.Self != b.Self {
			if a.Self {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Since.Compare(b.Since))
	})
	return all
}
