package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bellwire/bellwire/peer"
)

// Metrics of the links. The label peer is the name of a gateway, which its certificate
// proves.
var (
	descPeers        = desc("peers", "Other gateways, by the state of the link to them.", "state")
	descPeerDelay    = desc("peer_delay_seconds", "Time to another gateway and back.", "peer")
	descPeerSent     = desc("peer_messages_sent_total", "Messages sent to another gateway.", "peer")
	descPeerBatches  = desc("peer_batches_sent_total", "Batches sent to another gateway.", "peer")
	descPeerBytes    = desc("peer_bytes_sent_total", "Bytes of these batches.", "peer")
	descPeerReceived = desc("peer_messages_received_total", "Messages received from another gateway.", "peer")
	descPeerBytesIn  = desc("peer_bytes_received_total", "Bytes of the batches that they came in.", "peer")
	descPeerRetained = desc("peer_batches_retained", "Batches that another gateway has not acknowledged.", "peer")
	descPeerResent   = desc("peer_batches_resent_total", "Batches sent again after a reconnect.", "peer")
	descPeerSkipped  = desc("peer_batches_skipped_total", "Batches given up for another gateway, which came too late.", "peer")
	descPeerDoubled  = desc("peer_duplicates_total", "Messages received again and dropped.", "peer")
	descPeerFetched  = desc("peer_fetched_total", "Messages that were missing and were fetched.", "peer")
	descPeerMissed   = desc("peer_missed_total", "Positions of another gateway's streams announced as lost.", "peer")
	descPeerForged   = desc("peer_forged_total", "Messages refused because another gateway sent them as somebody else's.", "peer")
	descPeerRefused  = desc("peer_refused_total", "Messages of other gateways refused, by why.", "code")
	descLinksRefused = desc("peer_links_refused_total", "Links refused or closed by this gateway, by why.", "reason")
	descBatches      = desc("fleet_batches_total", "Batches made, each for all other gateways.")
	descBatched      = desc("fleet_messages_total", "Messages in them.")
	descBatchBytes   = desc("fleet_batch_bytes_total", "Bytes of them, as sent to one gateway.")
	descSaved        = desc("fleet_saved_bytes_total", "Bytes that compression saved, for one gateway.")
	descSavedTime    = desc("fleet_compression_seconds", "Time that compression took.")
	descRetained     = desc("fleet_retained_bytes", "Bytes of batches kept until all gateways have them.")
	descGivenUp      = desc("fleet_batches_dropped_total", "Batches given up before all gateways had them.")
	descWanted       = desc("central_filters", "Filters that the central service is asked for.")
	descCentralAway  = desc("central_away", "1 while the central service is away.")
)

// collectFleet is the part of Collect that is about other gateways and the central
// service.
func (c collector) collectFleet(gauge func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	g := c.g
	if g.cfg.Central != nil {
		gauge(descWanted, float64(g.wanted.len()))
		gauge(descCentralAway, oneIf(g.centralAway.Load()))
	}
	if g.mesh == nil {
		return
	}
	states := map[string]int{}
	refused := map[string]uint64{}
	for _, l := range g.mesh.Links() {
		states[l.State]++
		gauge(descPeerDelay, l.Delay.Seconds(), l.Name)
		collectLink(&l, count)
		gauge(descPeerRetained, float64(l.Retained), l.Name)
		for code, n := range l.Refused {
			refused[code.String()] += n
		}
	}
	for state, n := range states {
		gauge(descPeers, float64(n), state)
	}
	for code, n := range refused {
		count(descPeerRefused, n, code)
	}
	t := g.mesh.Totals()
	count(descBatches, t.Batches)
	count(descBatched, t.Messages)
	count(descBatchBytes, t.Bytes)
	count(descSaved, t.Saved)
	gauge(descSavedTime, t.CompressionTime.Seconds())
	gauge(descRetained, float64(t.Retained))
	count(descGivenUp, t.Dropped)
	for why, n := range t.Refused {
		count(descLinksRefused, n, why.String())
	}
}

func collectLink(l *peer.LinkState, count func(*prometheus.Desc, uint64, ...string)) {
	for _, c := range []struct {
		d *prometheus.Desc
		n uint64
	}{
		{descPeerSent, l.MessagesSent},
		{descPeerBatches, l.BatchesSent},
		{descPeerBytes, l.BytesSent},
		{descPeerReceived, l.MessagesReceived},
		{descPeerBytesIn, l.BytesReceived},
		{descPeerResent, l.Resent},
		{descPeerSkipped, l.Skipped},
		{descPeerDoubled, l.Duplicates},
		{descPeerFetched, l.Fetched},
		{descPeerMissed, l.Missed},
		{descPeerForged, l.Forged},
	} {
		count(c.d, c.n, l.Name)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
