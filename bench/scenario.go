package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Scenario is something that can be measured of a server.
type Scenario struct {
	Name     string
	What     string // in a sentence
	Defaults Config // the part of it that is the scenario's own
	run      func(context.Context, *bed) error
}

// Scenarios are all that Run measures, in the order in which people would ask.
func Scenarios() []Scenario {
	both, single, none := []string{"single", "joined"}, []string{"single"}, []string{NoFloor}
	return []Scenario{
		{
			Name: "fanout", What: "What a delivery costs the server in CPU time: one topic, all subscribed.", run: runFanout,
			Defaults: Config{Subscribers: 1000, Payload: 64, Windows: []int{1, 32}, Pairs: 40, Slice: 200 * time.Millisecond, Floors: both},
		},
		{
			Name: "topics", What: "The same with many topics and few subscribers each.", run: runFanout,
			Defaults: Config{Subscribers: 10_000, Topics: 1000, Payload: 64, Windows: []int{32}, Pairs: 40, Slice: 200 * time.Millisecond, Floors: both},
		},
		{
			Name: "growth", What: "How the cost of a delivery grows with the number of subscribers.", run: runGrowth,
			Defaults: Config{Subscribers: 1, Sizes: []int{1000, 15_000}, Payload: 64, Windows: []int{1}, Pairs: 20, Slice: 200 * time.Millisecond, Floors: single},
		},
		{
			Name: "latency", What: "How long a message is under way, in an open loop at a fixed rate.", run: runLatency,
			Defaults: Config{Subscribers: 1000, Payload: 64, Rate: 10, Pairs: 5, Slice: 6 * time.Second, Floors: single},
		},
		{
			Name: "connect", What: "Devices that connect and subscribe: how many a second, at what CPU time each.", run: runConnect,
			Defaults: Config{Subscribers: 1000, Payload: sequenceLen, AtOnce: handshakes, Pairs: 20, Floors: single},
		},
		{
			Name: "storm", What: "The server is killed and started again: the time until all are back.", run: runStorm,
			Defaults: Config{Subscribers: 5000, Payload: 64, AtOnce: 512, Pairs: 5, Floors: single},
		},
		{
			Name: "slow", What: "A share of the subscribers stops reading: what the others notice.", run: runSlow,
			Defaults: Config{Subscribers: 1000, Payload: 1024, Windows: []int{8}, Share: 0.1, Pairs: 30, Slice: 200 * time.Millisecond, Floors: none},
		},
		{
			Name: "soak", What: "Traffic while devices come and go: memory, descriptors and goroutines must not grow.", run: runSoak,
			Defaults: Config{Subscribers: 1000, Payload: 256, Rate: 100, Churn: 50, Pairs: 1, Slice: time.Minute, Floors: none},
		},
		{
			Name: "idle", What: "What an idle, subscribed device costs in memory.", run: runIdle,
			Defaults: Config{Subscribers: 15_000, Payload: sequenceLen, Settle: 30 * time.Second, Pairs: 3, Floors: none},
		},
	}
}

// Run measures one scenario. It reports its progress to w; the figures are in the
// result. A message that is lost, repeated, altered or out of order fails the
// run; if it was a peer's, the peer is left out and the result says why.
func Run(ctx context.Context, scenario string, cfg Config, w io.Writer) (Result, error) {
	all := Scenarios()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == scenario })
	if i < 0 {
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		return Result{}, fmt.Errorf("no scenario is called %q: take one of %s", scenario, strings.Join(names, ", "))
	}
	cfg = cfg.over(all[i].Defaults)
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	r := Result{
		Name: scenario, Scenario: scenario, Date: time.Now().UTC().Truncate(time.Second), Command: cfg.Command,
		Server: commandLine(cfg.Server), Machine: thisMachine(),
	}
	if cfg.Address != "" {
		r.Server = fmt.Sprintf("at %s, %s", cfg.Address, cfg.Protocol)
	}
	if len(cfg.Generator) == 0 {
		_, load := cfg.cpus()
		undo, err := pinSelf(load)
		if err != nil {
			return r, err
		}
		defer undo()
	}
	b, err := newBed(ctx, cfg, &r, w)
	if err != nil {
		return r, err
	}
	defer b.close()
	if err := all[i].run(ctx, b); err != nil {
		return r, err
	}
	b.describe()
	return r, nil
}
