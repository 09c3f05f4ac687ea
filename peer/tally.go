package peer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// tally counts what happened with a peer, over all its links and lives.
type tally struct {
	batches, messages, bytes     atomic.Uint64 // sent
	saved                        atomic.Uint64
	batchesIn, messagesIn        atomic.Uint64
	bytesIn                      atomic.Uint64
	resent, skipped, answered    atomic.Uint64
	duplicates, duplicateBatches atomic.Uint64
	skippedIn                    atomic.Uint64
	holes, fetchedMessages       atomic.Uint64
	missed, backfilled           atomic.Uint64
	forged, restarts             atomic.Uint64
	unasked                      atomic.Uint64

	mu      sync.Mutex
	refused map[wire.Code]uint64
}

func (t *tally) refuse(code wire.Code) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused == nil {
		t.refused = make(map[wire.Code]uint64)
	}
	t.refused[code]++
}

// tally counts what is written next.
func (l *link) tally(t *taken) {
	if t.batches == 0 {
		return
	}
	c := &l.member.tally
	c.batches.Add(uint64(t.batches))
	c.messages.Add(uint64(t.messages))
	c.bytes.Add(uint64(t.bytes))
	c.saved.Add(uint64(t.saved))
	c.resent.Add(uint64(t.resent))
}

// LinkState is what a mesh knows of one peer, for people and metrics. Counters go on over all links to it.
type LinkState struct {
	Name, Address string
	// State is "linked", "away" (its link is gone, for less than Config.Hold), "lost", "left", or "connecting" (it has
	// never been linked).
	State   string
	Dialled bool // by this side
	Life    wire.Life
	Since   time.Duration // how long it has been in that state, linked or not
	Delay   time.Duration // from HEARTBEAT to ACK; 0: not measured yet
	// FiltersDiffer: its broadcast filters are not those of this gateway.
	FiltersDiffer bool

	BatchesSent, MessagesSent, BytesSent             uint64
	Saved                                            uint64 // bytes, by compression of what was sent
	BatchesReceived, MessagesReceived, BytesReceived uint64
	MeanBatch                                        float64 // messages per batch sent
	Retained                                         uint64  // batches that it has not acknowledged
	Resent                                           uint64  // batches, on later links
	Skipped, SkippedReceived                         uint64  // batches that were given up, by either side
	Duplicates, DuplicateBatches                     uint64  // received and dropped
	Holes, Fetched, Missed, Backfilled, Answered     uint64  // messages but for Holes
	Forged                                           uint64  // messages of others that it sent as its own
	Restarts                                         uint64
	Refused                                          map[wire.Code]uint64 // messages, by why
	LastError                                        string               // of its last link that ended otherwise than by leaving
}

// Totals are a mesh's counters that are not of one peer.
type Totals struct {
	Messages, Batches uint64        // of this gateway
	Bytes, Entries    uint64        // of its batches, as sent once, and before compression
	Saved             uint64        // bytes by compression, of batches as sent once
	CompressionTime   time.Duration // that it took
	Retained          int           // bytes that are kept for peers
	Dropped           uint64        // batches that were given up before all had them
	TooLarge          uint64        // messages that fit no batch
	// Refused counts links that this side refused or closed, by why.
	Refused map[Why]uint64
}

// states lists all peers that have been linked, by name.
func (c *core) states(now time.Duration) []LinkState {
	c.log.mu.Lock()
	last := c.log.last
	acked := make(map[string]uint64, len(c.log.known))
	for name, s := range c.log.known {
		acked[name] = max(s.acked, s.start-1)
	}
	c.log.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []LinkState
	for _, m := range c.members {
		s := m.state(now)
		if at, ok := acked[m.name]; ok {
			s.Retained = last - at
		}
		list = append(list, s)
	}
	return list
}

// differs reports whether its broadcast filters are others than ours, as far as is known.
func (m *member) differs() bool {
	return m.origin != nil && m.filters != m.origin.core.filters.Load()
}

func (m *member) state(now time.Duration) LinkState {
	t := &m.tally
	s := LinkState{
		Name: m.name, Address: m.address, Since: now - m.since, State: "away", FiltersDiffer: m.differs(), LastError: m.lastError,
		BatchesSent: t.batches.Load(), MessagesSent: t.messages.Load(), BytesSent: t.bytes.Load(),
		Saved:           t.saved.Load(),
		BatchesReceived: t.batchesIn.Load(), MessagesReceived: t.messagesIn.Load(), BytesReceived: t.bytesIn.Load(),
		Resent: t.resent.Load(), Skipped: t.skipped.Load(), SkippedReceived: t.skippedIn.Load(),
		Duplicates: t.duplicates.Load(), DuplicateBatches: t.duplicateBatches.Load(),
		Holes: t.holes.Load(), Fetched: t.fetchedMessages.Load(), Missed: t.missed.Load(), Backfilled: t.backfilled.Load(),
		Answered: t.answered.Load(), Forged: t.forged.Load(), Restarts: t.restarts.Load(),
	}
	if s.BatchesSent > 0 {
		s.MeanBatch = float64(s.MessagesSent) / float64(s.BatchesSent)
	}
	if m.origin != nil {
		s.Life = m.origin.life
		s.State = m.origin.state()
	}
	if l := m.link; l != nil {
		l.mu.Lock()
		s.State, s.Dialled, s.Delay = "linked", l.dialled, l.delay
		l.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.refused) > 0 {
		s.Refused = make(map[wire.Code]uint64, len(t.refused))
		for code, n := range t.refused {
			s.Refused[code] = n
		}
	}
	return s
}

func (c *core) totals() Totals {
	c.log.mu.Lock()
	n := &c.log.counts
	t := Totals{
		Messages: n.messages, Batches: n.batches, Bytes: n.bytes, Entries: n.raw, Saved: n.saved, CompressionTime: n.cost,
		Retained: c.log.bytes, Dropped: n.dropped, TooLarge: n.tooLarge, Refused: make(map[Why]uint64),
	}
	c.log.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for why, n := range c.refused {
		if n > 0 {
			t.Refused[Why(why)] = n
		}
	}
	return t
}
