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
	scenario string
	size     Config
}

// parts are what a comparison is made of: small enough for some minutes in all,
// with seven servers.
func parts() []part {
	const slice = 200 * time.Millisecond
	return []part{
		{"fanout", Config{Subscribers: 1000, Payload: 64, Windows: []int{1, slopeLow, slopeHigh}, Pairs: 12, Slice: slice}},
		{"fanout", Config{Subscribers: 10_000, Payload: 64, Windows: []int{1}, Pairs: 8, Slice: slice}},
		{"fanout", Config{Subscribers: 1000, Payload: 1024, Windows: []int{32}, Pairs: 8, Slice: slice}},
		{"topics", Config{Subscribers: 10_000, Topics: 1000, Payload: 64, Windows: []int{32}, Pairs: 8, Slice: slice}},
		{"growth", Config{Sizes: []int{1000, 15_000}, Payload: 64, Windows: []int{1}, Pairs: 5, Slice: slice}},
		{"latency", Config{Subscribers: 1000, Payload: 64, Rate: 10, Pairs: 3, Slice: 4 * time.Second}},
		{"connect", Config{Subscribers: 1000, Pairs: 10}},
		{"storm", Config{Subscribers: 2000, Pairs: 3}},
		{"slow", Config{Subscribers: 1000, Share: 0.1, Payload: 1024, Windows: []int{8}, Pairs: 12, Slice: slice}},
		{"idle", Config{Subscribers: 5000, Settle: 5 * time.Second, Pairs: 1}},
		{"soak", Config{Subscribers: 1000, Payload: 256, Rate: 50, Churn: 50, Slice: 20 * time.Second}},
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
		if p.scenario == "growth" {
			c.Peers = nil // fifteen thousand more of each, for a figure of ours
		}
		fmt.Fprintf(w, "\n%s\n", p.scenario)
		r, err := Run(ctx, p.scenario, c, w)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", p.scenario, err))
			continue
		}
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
