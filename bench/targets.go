package bench

import (
	"path"
	"slices"
	"strings"
)

// target is a figure that the project has set itself.
type target struct {
	id    string
	what  string
	Goal  string // as people read it
	limit float64
	// under means that the figure must stay below the limit; else it may reach it.
	under bool

	// A target that Go benchmarks answer names them by patterns of path.Match, with
	// spaces between, and a unit; the worst median of all that match is the answer.
	// With over, each value is divided by that benchmark's of the same run.
	benchmark, unit, over string
	// stated means that the figure is only to be told.
	stated bool
	// least means that the figure must reach the limit or go beyond it.
	least bool
	// by is the command that measures it.
	by string
	// series is the one of a fault run that answers it.
	series string
	// section is the heading under which it stands; empty: the first one.
	section string
}

// Headings of targets: those of servers with TLS, of gateways that are linked, and of such as fail.
const (
	secureSection = "Secure sessions"
	fleetSection  = "Fleets"
	faultSection  = "Faults"
)

func (t target) verdict(v float64) string {
	if t.stated {
		return "stated"
	}
	if v == t.limit && !t.under || v != t.limit && t.least == (v > t.limit) {
		return "met"
	}
	return "missed"
}

// names reports whether the target asks for the benchmark.
func (t target) names(benchmark string) bool {
	return slices.ContainsFunc(strings.Fields(t.benchmark), func(pattern string) bool {
		match, err := path.Match(pattern, benchmark)
		return err == nil && match
	})
}

func targetByID(id string) (target, bool) {
	for _, t := range targets() {
		if id != "" && t.id == id {
			return t, true
		}
	}
	return target{}, false
}

// The commands that measure more than one target.
const (
	byFanout    = "bellwire bench fanout --pin --windows 1 --peers nats,redis"
	byJoined    = "bellwire bench fanout --pin --windows 32,128"
	byFanout10k = "bellwire bench fanout --pin --subscribers 10000 --windows 1 --peers nats,redis"
	byLatency   = "bellwire bench latency --pin"
	bySlow      = "bellwire bench slow"
	bySoak      = "bellwire bench soak"
	byTLSIdle   = "bellwire bench tls-idle"
	byTLSFanout = "bellwire bench tls-fanout --pin"
	byAttack    = "bellwire bench attack --pin"
	byRush      = "bellwire bench handshakes --pin"
	byFleet     = "bellwire bench fleet --pin"
	byFaults    = "make faults"
)

// TargetCommands are the commands that measure the targets, each once.
func TargetCommands() []string {
	var all []string
	for _, t := range targets() {
		if t.by != "" && !slices.Contains(all, t.by) {
			all = append(all, t.by)
		}
	}
	return all
}

// targets are all targets, in the order of the report.
func targets() []target {
	return slices.Concat(plainTargets(), secureTargets(), fleetTargets(), faultTargets())
}

func plainTargets() []target {
	return []target{
		{
			id: "fanout-1", what: "server CPU per delivery, 1,000 subscribers, 64 B, one message in flight, against a C loop of single sends",
			Goal: "≤ 1.15 ×", limit: 1.15, by: byFanout,
		},
		{
			id: "fanout-1-10k", what: "the same with 10,000 subscribers",
			Goal: "≤ 1.15 ×", limit: 1.15, by: byFanout10k,
		},
		{
			id: "redis-1", what: "the same against Redis, 1,000 subscribers",
			Goal: "≤ 0.95 ×", limit: 0.95, by: byFanout,
		},
		{
			id: "redis-1-10k", what: "the same against Redis, 10,000 subscribers",
			Goal: "≤ 0.95 ×", limit: 0.95, by: byFanout10k,
		},
		{
			id: "nats-1", what: "the same against nats-server, 1,000 subscribers",
			Goal: "≤ 0.5 ×", limit: 0.5, by: byFanout,
		},
		{
			id: "nats-1-10k", what: "the same against nats-server, 10,000 subscribers",
			Goal: "≤ 0.5 ×", limit: 0.5, by: byFanout10k,
		},
		{
			id: "nats-floor", what: "nats-server against the C loop of single sends, 1,000 subscribers: at less than 2, half of nats-server is less than the sends themselves",
			Goal: "stated", stated: true, by: byFanout,
		},
		{
			id: "noise", what: "the C loops against each other, which do the same with one message in flight: the noise of these ratios",
			Goal: "stated", stated: true, by: byFanout,
		},
		{
			id: "fanout-32", what: "1,000 subscribers, 64 B, 32 messages published in one write, against the C loop of single sends",
			Goal: "≤ 0.06 ×", limit: 0.06, by: byJoined,
		},
		{
			id: "joined-32", what: "the same against the C loop that joins them",
			Goal: "≤ 1.3 ×", limit: 1.3, by: byJoined,
		},
		{
			id: "fanout-32-1k", what: "the same with 1 KiB, against the C loop of single sends",
			Goal: "≤ 0.11 ×", limit: 0.11, by: "bellwire bench fanout --pin --payload 1024 --windows 32",
		},
		{
			id: "slope", what: "CPU of one more message per subscriber, from 32 to 128 in flight, above that of the C loop that joins them",
			Goal: "≤ 0.02 µs", limit: 0.02, by: byJoined,
		},
		{
			id: "segments", what: "TCP segments sent per subscriber and burst of 32 messages in one write",
			Goal: "1 (up to 1.05: segments sent again count)", limit: 1.05, by: byJoined,
		},
		{
			id: "topics-32", what: "server CPU per delivery, 10,000 subscribers of 1,000 topics, 32 in flight, against a C loop of single sends",
			Goal: "≤ 1.2 ×", limit: 1.2, by: "bellwire bench topics --pin",
		},
		{
			id: "growth", what: "server CPU per delivery at 15,000 subscribers over that at 1,000, against the C loop's own",
			Goal: "≤ 1.2 ×", limit: 1.2, by: "bellwire bench growth --pin",
		},
		{
			// One object per message to 1,000 subscribers is 0.001: what is left to the
			// message is not the delivery's.
			id: "fanout-allocs", what: "heap objects allocated by the server per delivery, 1,000 subscribers, over 100,000 deliveries",
			Goal: "0 (below 0.005: nothing that grows with the subscribers)", limit: 0.005, under: true, by: "bellwire bench allocs",
		},
		{
			id: "idle-rss", what: "user memory (RSS) of the server per idle subscribed device, at 15,000",
			Goal: "≤ 800 B", limit: 800, by: "bellwire bench idle",
		},
		{
			id: "connect", what: "server CPU to connect and subscribe, 64 at a time, HELLO and SUBSCRIBE in one segment, against the C loop",
			Goal: "≤ 1.6 ×", limit: 1.6, by: "bellwire bench connect --pin",
		},
		{
			id: "latency-p50", what: "median latency, 1,000 subscribers, 10 messages per second, against the C loop's",
			Goal: "≤ 1.25 ×", limit: 1.25, by: byLatency,
		},
		{
			id: "latency-p90", what: "the same, 90 % below, median of the runs",
			Goal: "stated", stated: true, by: byLatency,
		},
		{
			id: "latency-p99", what: "the same, 99 % below; the best of five runs is the lower end of its range",
			Goal: "stated", stated: true, by: byLatency,
		},
		{
			id: "slow-rate", what: "messages per second to the others when 10 % of the subscribers have stopped, against none (all of them delivered, or there is no figure)",
			Goal: "≥ 0.95 ×", limit: 0.95, least: true, by: bySlow,
		},
		{
			id: "slow-p90", what: "their latency, 90 % below, against none stopped",
			Goal: "≤ 1.5 ×", limit: 1.5, by: bySlow,
		},
		{
			id: "soak-memory", what: "memory (RSS) while devices come and go, last quarter of the time over the second",
			Goal: "≤ 1.05 ×", limit: 1.05, by: bySoak,
		},
		{
			id: "soak-descriptors", what: "open descriptors, the same",
			Goal: "≤ 1.01 ×", limit: 1.01, by: bySoak,
		},
		{
			id: "soak-goroutines", what: "goroutines, the same",
			Goal: "≤ 1.05 ×", limit: 1.05, by: bySoak,
		},
		{
			id: "encode", what: "encode a live delivery (MESSAGE of 64 B by id, with or without check byte)",
			Goal: "< 20 ns", limit: 20, under: true, benchmark: "wire.MessageEncode64/plain wire.MessageEncode64/low", unit: "ns/op",
		},
		{
			id: "decode", what: "decode a live delivery",
			Goal: "< 20 ns", limit: 20, under: true, benchmark: "wire.MessageDecode64/plain wire.MessageDecode64/low", unit: "ns/op",
		},
		{
			id: "encode-any", what: "encode MESSAGE of 64 B in its slowest form",
			Goal: "< 20 ns", limit: 20, under: true, benchmark: "wire.MessageEncode64/*", unit: "ns/op",
		},
		{
			id: "decode-any", what: "decode MESSAGE of 64 B in its slowest form",
			Goal: "< 20 ns", limit: 20, under: true, benchmark: "wire.MessageDecode64/*", unit: "ns/op",
		},
		{
			id: "encode-allocs", what: "allocations to encode MESSAGE, any form",
			Goal: "0", benchmark: "wire.MessageEncode64/*", unit: "allocs/op",
		},
		{
			id: "decode-allocs", what: "allocations to decode MESSAGE, any form",
			Goal: "0", benchmark: "wire.MessageDecode64/*", unit: "allocs/op",
		},
		{
			id: "index-hot", what: "index of 1,000,000 topics: find one of 1,000 hot ones and the loops that want it",
			Goal: "< 100 ns", limit: 100, under: true, benchmark: "fanout.Index/hot fanout.Index/loops/hot", unit: "index-ns",
		},
		{
			id: "index-allocs", what: "allocations of a look-up",
			Goal: "0", benchmark: "fanout.Index/* fanout.Index/*/*", unit: "allocs/op",
		},
		{
			id: "index-random", what: "find one at random, against a plain Go map of the same names",
			Goal: "≤ 1.3 ×", limit: 1.3, benchmark: "fanout.Index/random", unit: "ratio",
		},
		{
			id: "index-random-loops", what: "the same and the loops that want it, which the map does not know",
			Goal: "≤ 1.3 ×", limit: 1.3, benchmark: "fanout.Index/loops/random", unit: "ratio",
		},
		{
			id: "index-bytes", what: "memory per subscription beyond the topic's entry, at the worst of the shapes measured",
			Goal: "≤ 48 B", limit: 48, benchmark: "fanout.SubscriptionMemory/*", unit: "B/subscription",
		},
		{
			id: "filters-hot", what: "look-up with 100,000 wildcard filters that do not match, 1,000 hot topics, against none",
			Goal: "≤ 1.2 ×", limit: 1.2, benchmark: "fanout.IndexWithFilters/hot", unit: "ratio",
		},
		{
			id: "filters-random", what: "the same, random topics",
			Goal: "≤ 1.2 ×", limit: 1.2, benchmark: "fanout.IndexWithFilters/random", unit: "ratio",
		},
		{
			id: "churn-hot", what: "the same while 100 wildcard subscriptions come and go per second, hot topics, the worst of all kinds of filter",
			Goal: "≤ 1.2 ×", limit: 1.2, benchmark: "fanout.IndexWithFilters/*/hot", unit: "ratio",
		},
		{
			id: "churn-random", what: "the same, random topics, the worst of four kinds of filter",
			Goal:  "≤ 1.2 ×",
			limit: 1.2,
			benchmark: "fanout.IndexWithFilters/elsewhere/random " +
				"fanout.IndexWithFilters/nearby/random " +
				"fanout.IndexWithFilters/behind-wildcard/random " +
				"fanout.IndexWithFilters/wildcards-first/random",
			unit: "ratio",
		},
		{
			id: "churn-random-worst", what: "the same with filters that have no literal in their first five levels (+/+/+/+/+/x)",
			Goal: "≤ 1.2 ×", limit: 1.2, benchmark: "fanout.IndexWithFilters/worst/random", unit: "ratio",
		},
		{
			id: "subscribe-all", what: "SUBSCRIBE of # over 1,000,000 topics and leaving again: time that a loop is blocked",
			Goal: "≤ 1 ms", limit: 1e6, benchmark: "fanout.JoinEverything/join", unit: "ns/op",
		},
		{
			id: "wildcard-memory", what: "memory of 15,000 sessions on one wildcard that matches 10,000 topics: no product of the two",
			Goal: "stated", stated: true, benchmark: "fanout.WildcardMemory", unit: "B/total",
		},
	}
}
