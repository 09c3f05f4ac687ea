package bench

// fleetTargets are those of gateways that are linked.
func fleetTargets() []target {
	all := []target{
		{
			id: "fleet-cost", what: "CPU of the gateway that a broadcast enters, per message and peer, 10 peers, 64 B, 32 in flight; the next 32 go when the subscriber of each peer has those before",
			Goal: "≤ 1 µs", limit: 1,
		},
		{
			id: "fleet-cost-ahead", what: "the same, where the next 32 go when the subscriber of that gateway itself has those before: the same load as without peers",
			Goal: "≤ 1 µs", limit: 1,
		},
		{
			id: "fleet-cost-1k", what: "the same with 1 KiB; the next 32 go when the subscriber of each peer has those before",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-bytes", what: "bytes on the link per message and peer beyond the payload, 10 peers, 64 B, one topic, 32 in flight",
			Goal: "≤ 12 B", limit: 12,
		},
		{
			id: "fleet-bytes-topics", what: "the same with 32 topics, each message to the next one",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-saved", what: "bytes that compression leaves out, 64 B of JSON, 32 in flight",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-s2", what: "the time that it takes, by the clock, per message, once for all peers",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-saved-1k", what: "bytes that compression leaves out, 1 KiB of JSON, 32 in flight",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-s2-1k", what: "the time that it takes, by the clock, per message, once for all peers",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-s2-random", what: "time of trying to compress, by the clock, per message, 64 B that do not compress, 32 in flight",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-hop-p50", what: "how much later a message is at a subscriber of another gateway than at one of the gateway that it entered, 1,000 messages per second, half of them below, best of five runs",
			Goal: "≤ 0.3 ms", limit: 0.3,
		},
		{
			id: "fleet-hop-p99", what: "the same, 99 % below, best of five runs",
			Goal: "≤ 1 ms", limit: 1,
		},
		{
			id: "fleet-topics", what: "batches and messages that go over a link while 100,000 topics are subscribed on one gateway",
			Goal: "0",
		},
		{
			id: "fleet-topics-read", what: "bytes that the other gateway reads meanwhile: heartbeats",
			Goal: "stated", stated: true,
		},
		{
			id: "fleet-topics-before", what: "bytes that it reads in as long a time in which nothing happens",
			Goal: "stated", stated: true,
		},
	}
	for i := range all {
		all[i].section, all[i].by = fleetSection, byFleet
	}
	return all
}
