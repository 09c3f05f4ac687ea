package bench

// faultTargets are those of a fleet whose gateways fail. A run in which a message was lost or doubled, or not announced,
// gives no figures at all.
func faultTargets() []target {
	all := []target{
		{
			id: "fault-delivered", what: "deliveries per second while one of three gateways is killed every 15 s for five minutes: 1,500 subscribers, 2,000 messages per second over 100 topics",
			Goal: "≥ 57,000/s", limit: 57_000, least: true, series: "kill: messages delivered per second",
		},
		{
			id: "fault-settled", what: "until 99 % of the devices had settled after a gateway was killed, each kill a sample",
			Goal: "≤ 3 s", limit: 3, series: "kill: until 99 % of all devices had settled",
		},
		{
			// Most have nothing to settle, so that a median hides the others.
			id: "fault-born", what: "the same after it was started again, the longest of all",
			Goal: "stated", stated: true, series: "kill: longest until 99 % of all devices had settled after it was started again",
		},
		{
			id: "fault-missed", what: "messages of gateways that live that were announced as missing meanwhile",
			Goal: "0", series: "kill: positions announced as missing",
		},
		{
			id: "fault-two-way", what: "until an end of a link noticed that it was cut in both directions",
			Goal: "≤ 3 s", limit: 3, series: "partition: until an end of the link noticed a two-way cut",
		},
		{
			id: "fault-one-way", what: "the same, cut in one direction",
			Goal: "≤ 3 s", limit: 3, series: "partition: until an end of the link noticed a one-way cut",
		},
		{
			id: "fault-pause", what: "until 99 % of the devices had settled after a gateway that had been stopped went on",
			Goal: "≤ 3 s", limit: 3, series: "pause: until 99 % of all devices had settled after it went on",
		},
		{
			id: "fault-central", what: "broadcasts delivered per second, of 24,000, while the central service is away for ten minutes and all its leases are purged",
			Goal: "≥ 23,900/s", limit: 23_900, least: true, series: "central: messages delivered per second",
		},
		{
			id: "fault-central-back", what: "until other topics work again after it has come back",
			Goal: "stated", stated: true, series: "central: until other topics worked after it was back",
		},
	}
	for i := range all {
		all[i].section, all[i].by = faultSection, byFaults
	}
	return all
}

// answeredBy is the id of the target that a series of a fault run answers; empty: none.
func answeredBy(series string) string {
	for _, t := range faultTargets() {
		if t.series == series {
			return t.id
		}
	}
	return ""
}
