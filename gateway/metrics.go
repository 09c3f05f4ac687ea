package gateway

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwire/bellwire/wire"
)

// counters are those of one loop. Only the loop writes them, once per batch
// where it matters; the collector reads them from outside.
type counters struct {
	opened, closed, panics      atomic.Uint64
	sessions, subscriptions     atomic.Int64
	frames, published, messages atomic.Uint64
	sends, yields, replayed     atomic.Uint64
	dropped                     atomic.Uint64
	gaps                        [8]atomic.Uint64 // positions announced, by reason
	refusals, closes            [256]atomic.Uint32
}

func (c *counters) refused(code wire.Code)    { c.refusals[code].Add(1) }
func (c *counters) closedWith(code wire.Code) { c.closes[code].Add(1) }
func (c *counters) droppedSlow(n int) {
	if n > 0 {
		c.dropped.Add(uint64(n))
	}
}
func (c *counters) gap(r wire.Reason, n uint64) { c.gaps[r&7].Add(n) }

// collector turns the loops' counters into Prometheus metrics. No label is one
// that a device chooses.
type collector struct{ g *Gateway }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("bellwire_"+name, help, labels, nil)
}

var (
	descSessions   = desc("sessions", "Devices that are connected and proven.")
	descConns      = desc("connections", "Connections that are open, proven or not.")
	descHandshakes = desc("handshakes", "TLS handshakes under way.")
	descConnsMax   = desc("connections_max", "Connections that are taken at most.")
	descSubs       = desc("subscriptions", "Subscriptions of all sessions.")
	descTopics     = desc("topics", "Topic ids given since the start.")
	descOpened     = desc("connections_opened_total", "Connections accepted.")
	descFrames     = desc("frames_received_total", "Frames received from devices.")
	descPublished  = desc("published_total", "Messages accepted from devices.")
	descExternal   = desc("published_inside_total", "Messages published from inside the process.")
	descMessages   = desc("deliveries_total", "Messages sent or queued to subscribers.")
	descReplayed   = desc("replayed_total", "Messages sent from rings.")
	descSends      = desc("sends_total", "Writes to sockets.")
	descDropped    = desc("dropped_total", "Messages dropped from the queues of slow sessions.")
	descGaps       = desc("gap_positions_total", "Positions announced as gaps.", "reason")
	descRefused    = desc("refused_total", "Requests and connections refused.", "code")
	descClosed     = desc("closed_total", "Connections closed by the gateway.", "code")
	descPanics     = desc("panics_total", "Panics in handlers and hooks.")
	descYields     = desc("loop_yields_total", "Turns that were interrupted to let reads go on.")
	descMail       = desc("mailbox_entries", "Entries that wait for the loops.")
	descCreditUsed = desc("publish_credit_used_bytes", "Memory of messages under way.")
	descCreditSize = desc("publish_credit_bytes", "Size of the pool of publish credit.")
	descRings      = desc("ring_bytes", "Bytes held by replay rings.")
	descMemory     = desc("memory_bytes", "Resident memory of the process.")
	descBudget     = desc("memory_budget_bytes", "Memory that the process may use, 0 if there is no budget.")
	descStep       = desc("pressure_step", "What is given up for want of memory: 0 nothing, 1 new connections, 2 three quarters of queues and rings, 3 all queues.")
	descSteps      = desc("pressure_changes_total", "Changes of the pressure step.")
	descAudit      = desc("audit_events_total", "What was refused, as the audit log has it.", "event")
	descSuppressed = desc("audit_suppressed_total", "Of these, those without a line of their own.", "event")
	descReady      = desc("ready", "1 while the gateway takes devices.")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	g, t := c.g, c.g.totals()
	gauge(descSessions, float64(t.sessions))
	gauge(descConns, float64(g.conns.Load()))
	gauge(descHandshakes, float64(g.shaking.len()))
	gauge(descConnsMax, float64(g.maxConns()))
	gauge(descSubs, float64(t.subscriptions))
	gauge(descTopics, float64(g.topics.Load()))
	count(descOpened, t.opened)
	count(descFrames, t.frames)
	count(descPublished, t.published)
	count(descExternal, g.external.Load())
	count(descMessages, t.messages)
	count(descReplayed, t.replayed)
	count(descSends, t.sends)
	count(descDropped, t.dropped)
	for r := wire.ReasonSlow; r <= wire.ReasonCentral; r++ {
		count(descGaps, t.gaps[r], r.String())
	}
	for code := range 256 {
		if n := t.refusals[code]; n > 0 {
			count(descRefused, n, wire.Code(code).String())
		}
		if n := t.closes[code]; n > 0 {
			count(descClosed, n, wire.Code(code).String())
		}
	}
	count(descPanics, t.panics)
	count(descYields, t.yields)
	gauge(descMail, float64(t.mail))
	gauge(descCreditUsed, float64(g.credit.used.Load()))
	gauge(descCreditSize, float64(g.credit.size))
	gauge(descRings, float64(g.rings.Used()))
	gauge(descMemory, float64(g.memory.resident()))
	gauge(descBudget, float64(g.memory.budget))
	gauge(descStep, float64(g.memory.at()))
	count(descSteps, g.memory.changes.Load())
	for k := range auditKinds {
		count(descAudit, g.audit.kinds[k].seen.Load(), k.String())
		count(descSuppressed, g.audit.kinds[k].suppressed.Load(), k.String())
	}
	gauge(descReady, oneIf(g.isReady()))
	c.collectFleet(gauge, count)
}

// totals are the counters of all loops.
type totals struct {
	opened, frames, published, messages, sends, yields uint64
	replayed, dropped, panics                          uint64
	sessions, subscriptions                            int64
	mail                                               int
	gaps                                               [8]uint64
	refusals, closes                                   [256]uint64
}

func (g *Gateway) totals() totals {
	var t totals
	for _, l := range g.loops {
		c := &l.counters
		t.opened += c.opened.Load()
		t.frames += c.frames.Load()
		t.published += c.published.Load()
		t.messages += c.messages.Load()
		t.sends += c.sends.Load()
		t.yields += c.yields.Load()
		t.replayed += c.replayed.Load()
		t.dropped += c.dropped.Load()
		t.panics += c.panics.Load()
		t.sessions += c.sessions.Load()
		t.subscriptions += c.subscriptions.Load()
		t.mail += l.mail.depth()
		for i := range t.gaps {
			t.gaps[i] += c.gaps[i].Load()
		}
		for i := range t.refusals {
			t.refusals[i] += uint64(c.refusals[i].Load())
			t.closes[i] += uint64(c.closes[i].Load())
		}
	}
	return t
}
