package bench

// secureTargets are those of servers with TLS.
func secureTargets() []target {
	all := []target{
		{
			id: "tls-idle-x25519", what: "Go heap per idle subscribed TLS device, live objects, at 10,000, X25519 hello",
			Goal: "≤ 5 KiB", limit: 5 << 10, by: byTLSIdle,
		},
		{
			id: "tls-idle-mlkem", what: "the same with an ML-KEM hello",
			Goal: "≤ 8 KiB", limit: 8 << 10, by: byTLSIdle,
		},
		{
			id: "tls-idle-mtls", what: "the same with an ML-KEM hello and a certificate of the device",
			Goal: "≤ 11 KiB", limit: 11 << 10, by: byTLSIdle,
		},
		{
			id: "tls-idle-usual", what: "the same of the usual Go server, a goroutine for each connection, ML-KEM hello",
			Goal: "stated", stated: true, by: byTLSIdle,
		},
		{
			id: "tls-64-1", what: "server CPU per delivery under TLS, 1,000 subscribers, 64 B, one in flight, against a raw write and one seal of that size",
			Goal: "≤ 1 ×", limit: 1, by: byTLSFanout,
		},
		{
			id: "tls-64-32", what: "the same with 32 messages in one write, against one raw write and one seal of all 32",
			Goal: "≤ 1 ×", limit: 1, by: byTLSFanout,
		},
		{
			id: "tls-1k-1", what: "the same with 1 KiB, one in flight",
			Goal: "≤ 1 ×", limit: 1, by: byTLSFanout,
		},
		{
			id: "tls-1k-32", what: "the same with 1 KiB, 32 messages in one write, which are three records",
			Goal: "≤ 1 ×", limit: 1, by: byTLSFanout,
		},
		{
			id: "tls-records", what: "TLS records per session when 32 messages of 64 B are published in one write",
			Goal: "1", limit: 1, by: byTLSFanout,
		},
		{
			id: "tls-records-1k", what: "the same with 1 KiB: a record holds 16 KiB at most",
			Goal: "3", limit: 3, by: byTLSFanout,
		},
		{
			id: "attack-open", what: "half-open connections at once while 1,000 good devices exchange messages, the least of all seconds, as the attacker counts them",
			Goal: "≥ 10,000", limit: 10_000, least: true, by: byAttack,
		},
		{
			id: "attack-gone", what: "good devices that lost their connection meanwhile, in all runs",
			Goal: "0", by: byAttack,
		},
		{
			id: "attack-lost", what: "messages of good devices that were lost meanwhile, in all runs",
			Goal: "0", by: byAttack,
		},
		{
			id: "attack-p90", what: "latency of their messages, 90 % below, against the minute before the attack",
			Goal: "≤ 2 ×", limit: 2, by: byAttack,
		},
		{
			id: "attack-p99", what: "the same, 99 % below, best of the runs",
			Goal: "≤ 2 ×", limit: 2, by: byAttack,
		},
		{
			id: "attack-join", what: "longest time that a new good device took to be subscribed during the attack",
			Goal: "≤ 2 s", limit: 2, by: byAttack,
		},
		{
			id: "attack-rss", what: "user memory (RSS) of the gateway per attacker",
			Goal: "stated", stated: true, by: byAttack,
		},
		{
			id: "handshake-cpu", what: "gateway CPU per TLS handshake and subscription, 5,000 devices at once, ML-KEM hello",
			Goal: "stated", stated: true, by: byRush,
		},
		{
			id: "handshake-cpu-resumed", what: "the same, sessions resumed",
			Goal: "stated", stated: true, by: byRush,
		},
		{
			id: "handshake-last", what: "time until the last of them is in",
			Goal: "stated", stated: true, by: byRush,
		},
		{
			id: "handshake-last-resumed", what: "the same, sessions resumed",
			Goal: "stated", stated: true, by: byRush,
		},
	}
	for i := range all {
		all[i].section = secureSection
	}
	return all
}
