package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/bellwire/bellwire/gateway"
)

// fleetCmd is `bellwire fleet`.
type fleetCmd struct {
	Show      fleetShowCmd      `cmd:"" default:"withargs" help:"Gateways, links, streams, devices."`
	Policy    fleetPolicyCmd    `cmd:"" help:"Store who may do what for all gateways, or print it."`
	Broadcast fleetBroadcastCmd `cmd:"" help:"Change which topics all gateways broadcast, or print them."`
}

// fleetShowCmd is `bellwire fleet` alone.
type fleetShowCmd struct {
	JSON bool `name:"json" help:"Print the answer of the gateway as it is."`
	adminFlags
}

// Help says whose view it is.
func (c *fleetShowCmd) Help() string {
	return "What one gateway knows of its fleet, so ask another one as well after a partition. DELAY is the time to the other gateway and back, " +
		"BATCH the messages in a batch on average, WAITING the batches that it has not acknowledged. SKIPPED batches were given up because it was " +
		"away for too long, and MISSED messages never came: devices were told both as gaps. REFUSED messages were not taken, such as those that the " +
		"other gateway gave out as a third one's."
}

// Run asks and prints.
func (c *fleetShowCmd) Run(e *env) error {
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
	fleet, err := readFleet(answer)
	if err != nil {
		return err
	}
	return writeFleet(e.stdout, fleet, time.Now())
}

func readFleet(answer []byte) (gateway.FleetStatus, error) {
	var fleet gateway.FleetStatus
	if err := json.Unmarshal(answer, &fleet); err != nil {
		return fleet, fmt.Errorf("the answer is not that of a gateway: %w", err)
	}
	if !slices.ContainsFunc(fleet.Gateways, func(g gateway.FleetGateway) bool { return g.Self }) {
		return fleet, errors.New("the answer is not that of a gateway: it does not name itself")
	}
	return fleet, nil
}

// linkedTo is how many other gateways one is linked to.
func linkedTo(fleet gateway.FleetStatus) int {
	n := 0
	for _, l := range fleet.Links {
		if l.State == "linked" {
			n++
		}
	}
	return n
}

// writeFleet prints the tables.
func writeFleet(w io.Writer, f gateway.FleetStatus, now time.Time) error {
	sort := func(a, b gateway.FleetGateway) int {
		switch {
		case a.Self == b.Self:
			return cmp.Compare(a.Name, b.Name)
		case a.Self:
			return -1
		}
		return 1
	}
	gateways := slices.SortedStableFunc(slices.Values(f.Gateways), sort)
	name := cmp.Or(f.Cluster, "of one gateway, which has no links")
	fmt.Fprintf(w, "fleet %s, as %s sees it; central service: %s\n", visibleName(name), visibleName(gateways[0].Name), centralText(f.Central))
	if err := columns(w, func(table io.Writer) { writeGateways(table, gateways, now) }); err != nil {
		return err
	}
	if len(f.Links) > 0 {
		if err := columns(w, func(table io.Writer) { writeLinks(table, f.Links, now) }); err != nil {
			return err
		}
		writeBatches(w, f.Batches)
	}
	return columns(w, func(table io.Writer) { writeStreams(table, f.Streams) })
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
		return "private (each gateway has its own, or none)"
	case "away":
		return "away (topics that are not broadcast are refused until it is back)"
	case "off":
		return "off (topics that are not broadcast are refused)"
	}
	return visibleName(cmp.Or(state, "unknown"))
}

func writeGateways(w io.Writer, gateways []gateway.FleetGateway, now time.Time) {
	fmt.Fprintln(w, "GATEWAY\tSTATE\tSINCE\tADDRESS\tDEVICES\tLIFE\tVERSION")
	for _, g := range gateways {
		state, since, devices := g.State, "-", "-"
		if g.Self {
			state += " (this one)"
		}
		if g.FiltersDiffer {
			state += ", broadcasts other topics"
		}
		if g.Since != nil {
			since = fromNow(*g.Since, now)
		}
		if g.Devices != nil {
			devices = grouped(*g.Devices)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visibleName(g.Name), visibleName(state), since, dash(g.Address), devices, dash(g.Life), dash(g.Version))
	}
}

func writeLinks(w io.Writer, links []gateway.FleetLink, now time.Time) {
	fmt.Fprintln(w, "LINK TO\tSTATE\tSINCE\tDELAY\tSENT\tBATCH\tBYTES\tWAITING\tSKIPPED\tRECEIVED\tFETCHED\tMISSED\tREFUSED")
	for _, l := range links {
		c, state := &l.LinkCounts, l.State
		if l.Error != "" && state != "linked" {
			state += ": " + l.Error
		}
		batch := "-"
		if c.BatchesSent > 0 {
			batch = strconv.FormatFloat(c.MeanBatch, 'f', 1, 64)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visibleName(cmp.Or(l.Name, l.Address)), visibleName(state), fromNow(l.Since, now),
			latencyText(time.Duration(l.DelayMicros)*time.Microsecond), count(c.Sent), batch, bytesText(c.SentBytes), count(c.Retained), count(c.Skipped+c.SkippedReceived),
			count(c.Received), count(c.Fetched), count(c.Missed), count(c.Refused+c.Forged))
	}
}

// writeBatches is what the links have in common: a batch is made once for all of them.
func writeBatches(w io.Writer, b gateway.FleetBatches) {
	saved := "nothing saved"
	if plain := b.Bytes + b.SavedBytes; b.SavedBytes > 0 {
		saved = fmt.Sprintf("%s saved by compression (%.0f %%) in %s", bytesText(b.SavedBytes), 100*float64(b.SavedBytes)/float64(plain),
			latencyText(time.Duration(b.CompressionTime)*time.Microsecond))
	}
	fmt.Fprintf(w, "\nbatches made for all of them: %s with %s messages, %s for each gateway, %s; %s kept until all have them",
		count(b.Batches), count(b.Messages), bytesText(b.Bytes), saved, bytesText(uint64(b.RetainedBytes)))
	if b.Dropped > 0 {
		fmt.Fprintf(w, "; %s given up before that", count(b.Dropped))
	}
	fmt.Fprintln(w)
}

func writeStreams(w io.Writer, streams []gateway.OriginStreams) {
	fmt.Fprintln(w, "STREAMS OF\tLIFE\tSTATE\tSTREAMS")
	for _, s := range streams {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", visibleName(s.Gateway), dash(s.Life), dash(s.State), grouped(s.Streams))
	}
}

func count(n uint64) string { return grouped(int64(n)) }

// bytesText is a number of bytes for people: three digits or so.
func bytesText(n uint64) string {
	value, unit := float64(n), 0
	for ; value >= 1000 && unit < 4; unit++ {
		value /= 1024
	}
	if unit == 0 {
		return strconv.FormatUint(n, 10) + " B"
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + []string{"KiB", "MiB", "GiB", "TiB"}[unit-1]
}

func dash(text string) string { return visibleName(cmp.Or(text, "-")) }
