package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// CompareConfig says what Compare measures.
type CompareConfig struct {
	// Config says which servers; its sizes are not asked, each part has its own.
	Config
	// Quick makes everything tiny: to know that it works, not for figures.
	Quick bool
}

// part is one run of a comparison.
type part struct {
	name, scenario string
	size           Config
}

// parts are what a comparison is made of: with seven servers half an hour in all,
// which is what it takes to tell a few percent on a machine that is not quiet.
//
// One message in flight is measured on connections that have carried nothing
// else: after bursts that left in one send each, single messages cost whoever
// joins a third more for a while, the C loop too.
func parts() []part {
	const slice = 200 * time.Millisecond
	return []part{
		{"fanout-1", "fanout", Config{Subscribers: 1000, Payload: 64, Windows: []int{1}, Pairs: 40, Slice: slice}},
		{"fanout-32-128", "fanout", Config{Subscribers: 1000, Payload: 64, Windows: []int{slopeLow, slopeHigh}, Pairs: 24, Slice: slice}},
		{"fanout-10000", "fanout", Config{Subscribers: 10_000, Payload: 64, Windows: []int{1}, Pairs: 30, Slice: slice}},
		{"fanout-1k", "fanout", Config{Subscribers: 1000, Payload: 1024, Windows: []int{32}, Pairs: 24, Slice: slice}},
		{"topics", "topics", Config{Subscribers: 10_000, Topics: 1000, Payload: 64, Windows: []int{32}, Pairs: 24, Slice: slice}},
		{"growth", "growth", Config{Sizes: []int{1000, 15_000}, Payload: 64, Windows: []int{1}, Pairs: 24, Slice: slice}},
		{"latency", "latency", Config{Subscribers: 1000, Payload: 64, Rate: 10, Pairs: 5, Slice: 6 * time.Second}},
		{"connect", "connect", Config{Subscribers: 1000, Pairs: 20}},
		{"storm", "storm", Config{Subscribers: 5000, Pairs: 3}},
		{"slow", "slow", Config{Subscribers: 1000, Share: 0.1, Payload: 1024, Windows: []int{8}, Pairs: 30, Slice: slice}},
		{"idle", "idle", Config{Subscribers: 15_000, Settle: 30 * time.Second, Pairs: 1}},
		{"soak", "soak", Config{Subscribers: 1000, Payload: 256, Rate: 100, Churn: 50, Slice: time.Minute}},
	}
}

// quickly is a part as small as it can be.
func (p part) quickly() part {
	p.size.Subscribers, p.size.Pairs = 40, 1
	p.size.Slice = 40 * time.Millisecond
	switch p.scenario {
	case "topics":
		p.size.Topics = 8
	case "growth":
		p.size.Sizes = []int{20, 80}
	case "latency":
		p.size.Rate = 200
	case "soak":
		p.size.Rate, p.size.Slice = 500, 400*time.Millisecond
	case "idle":
		p.size.Settle = 20 * time.Millisecond
	}
	return p
}

// Compare measures scenarios one after the other, each with all servers, and
// returns what could be measured even if a part of it failed.
func Compare(ctx context.Context, scenarios []string, cfg CompareConfig, w io.Writer) ([]Result, error) {
	known := Scenarios()
	for _, name := range scenarios {
		if !slices.ContainsFunc(known, func(s Scenario) bool { return s.Name == name }) {
			_, err := Run(ctx, name, cfg.Config, w) // says what there is
			return nil, err
		}
	}
	var all []Result
	var failed error
	for _, p := range parts() {
		if !slices.Contains(scenarios, p.scenario) || ctx.Err() != nil {
			continue
		}
		if cfg.Quick {
			p = p.quickly()
		}
		c := cfg.Config.servers().over(p.size)
		if p.scenario == "slow" || p.scenario == "soak" || p.scenario == "idle" {
			c.Floors = []string{NoFloor} // it waits for who is slow, and keeps nothing
		}
		if p.scenario == "growth" || p.scenario == "soak" {
			c.Peers = nil // they take long, for figures of ours
			if len(c.Server) == 0 && c.Address == "" {
				continue
			}
		}
		fmt.Fprintf(w, "\n%s\n", p.name)
		r, err := Run(ctx, p.scenario, c, w)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
			continue
		}
		r.Name = p.name
		all = append(all, r)
	}
	return all, errors.Join(failed, ctx.Err())
}

// servers is the part of a configuration that does not say how much.
func (c Config) servers() Config {
	return Config{
		Server: c.Server, Address: c.Address, PID: c.PID, Protocol: c.Protocol, Peers: c.Peers, Tools: c.Tools, Floors: c.Floors, CC: c.CC,
		FloorOptions: c.FloorOptions, Generator: c.Generator, Command: c.Command, Pin: c.Pin, Topic: c.Topic,
	}
}
