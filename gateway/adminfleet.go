package gateway

import (
	"cmp"
	"slices"
	"time"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// FleetStatus is what GET /v1/fleet answers: the fleet as this gateway sees it.
type FleetStatus struct {
	Cluster  string          `json:"cluster"`
	Central  string          `json:"central"` // what Config.Directory says; without one "off", or "private" beside links
	Gateways []FleetGateway  `json:"gateways"`
	Links    []FleetLink     `json:"links"`
	Streams  []OriginStreams `json:"streams"`
	Batches  FleetBatches    `json:"batches"`
}

// FleetGateway is one gateway.
type FleetGateway struct {
	Name    string     `json:"name"`
	Life    string     `json:"life"` // 16 hexadecimal digits
	Self    bool       `json:"self"`
	State   string     `json:"state"`   // of a link, or "listed" by the directory only; its own: "ready", "starting" or "draining"
	Address string     `json:"address"` // for other gateways
	Version string     `json:"version,omitempty"`
	Devices *int64     `json:"devices"` // null: unknown here
	Since   *time.Time `json:"since"`   // of the state; null: unknown here
	// FiltersDiffer: it broadcasts other topics than this one.
	FiltersDiffer bool `json:"filters_differ"`
}

// FleetLink is the link to one other gateway. Figures count from when this gateway began.
type FleetLink struct {
	Name        string    `json:"name"`
	Address     string    `json:"address"`
	State       string    `json:"state"` // linked, away, lost, left or connecting
	Dialled     bool      `json:"dialled"`
	Error       string    `json:"error"` // why its last link ended, if it was not by leaving
	Since       time.Time `json:"since"`
	DelayMicros int64     `json:"delay_us"` // there and back

	LinkCounts
}

// LinkCounts are the counters of one link; messages but where it says so.
type LinkCounts struct {
	BatchesSent      uint64  `json:"batches_sent"`
	Sent             uint64  `json:"messages_sent"`
	SentBytes        uint64  `json:"bytes_sent"`
	MeanBatch        float64 `json:"mean_batch"`
	BatchesReceived  uint64  `json:"batches_received"`
	Received         uint64  `json:"messages_received"`
	ReceivedBytes    uint64  `json:"bytes_received"`
	Retained         uint64  `json:"batches_retained"` // not acknowledged yet
	Resent           uint64  `json:"batches_resent"`
	Skipped          uint64  `json:"batches_skipped"` // given up: they came too late
	SkippedReceived  uint64  `json:"batches_skipped_received"`
	Duplicates       uint64  `json:"duplicates"`
	DuplicateBatches uint64  `json:"batches_duplicate"`
	Holes            uint64  `json:"holes"` // times that something was missing
	Fetched          uint64  `json:"fetched"`
	Missed           uint64  `json:"missed"` // announced as gaps
	Backfilled       uint64  `json:"backfilled"`
	Forged           uint64  `json:"forged"`
	Refused          uint64  `json:"refused"`
	Restarts         uint64  `json:"restarts"` // of the other gateway
}

// FleetBatches is what this gateway made for all others together.
type FleetBatches struct {
	Batches         uint64 `json:"batches"`
	Messages        uint64 `json:"messages"`
	Bytes           uint64 `json:"bytes"`       // as sent to one peer
	SavedBytes      uint64 `json:"bytes_saved"` // of these, by compression
	CompressionTime int64  `json:"compression_us"`
	RetainedBytes   int    `json:"bytes_retained"`
	Dropped         uint64 `json:"batches_dropped"` // before all peers had them
}

// OriginStreams are the streams of one origin, as this gateway has them.
type OriginStreams struct {
	Gateway string `json:"gateway"`
	Life    string `json:"life"`
	State   string `json:"state"` // own, open or ended
	Streams int64  `json:"streams"`
}

// Fleet is a snapshot.
func (g *Gateway) Fleet() FleetStatus {
	s := FleetStatus{Central: "off", Gateways: []FleetGateway{g.fleetSelf()}, Links: []FleetLink{}, Streams: g.originStreams()}
	now := time.Now()
	if g.mesh != nil {
		s.Cluster, s.Central = g.cfg.Peer.Cluster, "private"
		for _, l := range g.mesh.Links() {
			if l.State != "connecting" { // nobody knows who that is
				s.Gateways = append(s.Gateways, linkedGateway(&l, now))
			}
			s.Links = append(s.Links, fleetLink(&l, now))
		}
		s.Batches = fleetBatches(g.mesh.Totals())
	}
	if g.cfg.Directory != nil {
		s.Central = g.cfg.Directory.State()
		for _, m := range g.cfg.Directory.Members() {
			s.listed(m, g.FiltersHash())
		}
	}
	slices.SortFunc(s.Gateways, func(a, b FleetGateway) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (g *Gateway) fleetSelf() FleetGateway {
	self := FleetGateway{Name: g.Name(), Life: g.life.String(), Self: true, State: "starting", Address: g.PeerAdvertised(), Since: &g.started}
	switch {
	case g.draining.Load():
		self.State = "draining"
	case g.isReady():
		self.State = "ready"
	}
	devices := g.totals().sessions
	self.Devices = &devices
	return self
}

func linkedGateway(l *peer.LinkState, now time.Time) FleetGateway {
	since := now.Add(-l.Since)
	return FleetGateway{Name: l.Name, Life: l.Life.String(), State: l.State, Address: l.Address, Since: &since, FiltersDiffer: l.FiltersDiffer}
}

// listed adds what the directory says of a gateway.
func (s *FleetStatus) listed(m Member, filters uint64) {
	i := slices.IndexFunc(s.Gateways, func(g FleetGateway) bool { return g.Name == m.Name })
	if i < 0 {
		s.Gateways = append(s.Gateways, FleetGateway{Name: m.Name, Life: m.Life.String(), State: "listed", Since: &m.Since})
		i = len(s.Gateways) - 1
	}
	g := &s.Gateways[i]
	g.Version, g.Address = m.Version, cmp.Or(m.Address, g.Address)
	if !g.Self {
		g.Devices = m.Devices
		if m.Filters != 0 { // a link knows what was so when it began
			g.FiltersDiffer = m.Filters != filters
		}
	}
}

func fleetLink(l *peer.LinkState, now time.Time) FleetLink {
	refused := uint64(0)
	for _, n := range l.Refused {
		refused += n
	}
	return FleetLink{
		Name: l.Name, Address: l.Address, State: l.State, Dialled: l.Dialled, Error: l.LastError, Since: now.Add(-l.Since), DelayMicros: l.Delay.Microseconds(),
		LinkCounts: LinkCounts{
			BatchesSent: l.BatchesSent, Sent: l.MessagesSent, SentBytes: l.BytesSent, MeanBatch: l.MeanBatch,
			BatchesReceived: l.BatchesReceived, Received: l.MessagesReceived, ReceivedBytes: l.BytesReceived,
			Retained: l.Retained, Resent: l.Resent, Skipped: l.Skipped, SkippedReceived: l.SkippedReceived,
			Duplicates: l.Duplicates, DuplicateBatches: l.DuplicateBatches, Holes: l.Holes, Fetched: l.Fetched, Missed: l.Missed,
			Backfilled: l.Backfilled, Forged: l.Forged, Refused: refused, Restarts: l.Restarts,
		},
	}
}

func fleetBatches(t peer.Totals) FleetBatches {
	return FleetBatches{
		Batches: t.Batches, Messages: t.Messages, Bytes: t.Bytes, SavedBytes: t.Saved, CompressionTime: t.CompressionTime.Microseconds(),
		RetainedBytes: t.Retained, Dropped: t.Dropped,
	}
}

// originStreams counts the streams that this gateway has, by origin.
func (g *Gateway) originStreams() []OriginStreams {
	own := OriginStreams{Gateway: g.Name(), Life: g.life.String(), State: "own"}
	copies := map[wire.Life]int64{}
	for _, t := range g.tenants.all() {
		t.index.Each(func(t *fanout.Topic) bool {
			t.Streams(func(s *fanout.Stream) {
				switch {
				case s.Origin() != nil:
					copies[wire.Life(s.Life())]++
				case s.Published() > 0:
					own.Streams++
				}
			})
			return true
		})
	}
	list := []OriginStreams{own}
	if g.fleet == nil {
		return list
	}
	g.fleet.mu.RLock()
	defer g.fleet.mu.RUnlock()
	for life, o := range g.fleet.origins {
		state := "open"
		if o.ended {
			state = "ended"
		}
		list = append(list, OriginStreams{Gateway: o.name, Life: life.String(), State: state, Streams: copies[life]})
	}
	slices.SortFunc(list[1:], func(a, b OriginStreams) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Life, b.Life))
	})
	return list
}
