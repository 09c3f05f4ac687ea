package bench

// target is a figure that the project has set itself.
type target struct {
	id    string
	what  string
	Goal  string // as people read it
	limit float64
	// under means that the figure must stay below the limit; else it may reach it.
	under bool

	// A target that Go benchmarks answer names them: the median of a unit, divided
	// by another benchmark's of the same output if there is one.
	benchmark, unit, over string
}

func (t target) verdict(v float64) string {
	if v < t.limit || v == t.limit && !t.under {
		return "met"
	}
	return "missed"
}

func targetByID(id string) (target, bool) {
	for _, t := range targets() {
		if id != "" && t.id == id {
			return t, true
		}
	}
	return target{}, false
}

// targets are all targets, in the order of the report.
func targets() []target {
	return []target{
		{
			id: "fanout-1", what: "server CPU per delivery, 1,000 subscribers, 64 B, one message in flight, against a C loop of single sends",
			Goal: "≤ 1.15 ×", limit: 1.15,
		},
		{
			id: "fanout-32", what: "the same with 32 in flight, against the C loop of single sends",
			Goal: "≤ 0.08 ×", limit: 0.08,
		},
		{
			// One object per message to 1,000 subscribers is 0.001: what is left to the
			// message is not the delivery's.
			id: "fanout-allocs", what: "heap objects allocated by the server per delivery, 1,000 subscribers, over 100,000 deliveries",
			Goal: "0 (below 0.005: nothing that grows with the subscribers)", limit: 0.005, under: true,
		},
		{
			id: "idle-rss", what: "user memory (RSS) of the server per idle subscribed device, at 15,000",
			Goal: "≤ 800 B", limit: 800,
		},
		{
			id: "encode", what: "encode MESSAGE, 64 B",
			Goal: "< 20 ns", limit: 20, under: true, benchmark: "wire.MessageAppend", unit: "ns/op",
		},
		{
			id: "encode-allocs", what: "encode MESSAGE, allocations",
			Goal: "0", benchmark: "wire.MessageAppend", unit: "allocs/op",
		},
		{
			id: "decode", what: "decode MESSAGE, 64 B",
			Goal: "< 20 ns", limit: 20, under: true, benchmark: "wire.MessageParse", unit: "ns/op",
		},
		{
			id: "decode-allocs", what: "decode MESSAGE, allocations",
			Goal: "0", benchmark: "wire.MessageParse", unit: "allocs/op",
		},
	}
}
