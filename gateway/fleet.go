package gateway

import (
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// fleet is the other gateways, as far as this one delivers what they send.
type fleet struct {
	g *Gateway

	mu      sync.RWMutex
	origins map[wire.Life]*origin
}

// origin is a life of another gateway. Its number is its index on every connection.
type origin struct {
	*fanout.Origin
	name string

	ended   bool
	endedAt uint32       // second
	kept    bool         // its streams have not been forgotten since it ended
	unheard atomic.Int32 // loops that have not come to its end in their mailboxes
}

func newFleet(g *Gateway) *fleet {
	return &fleet{g: g, origins: map[wire.Life]*origin{}}
}

// Stream implements peer.Streams. Names are checked here, because a peer is not
// believed more than a device: only that it speaks for itself was proven.
func (f *fleet) Stream(life wire.Life, tenantName, topic []byte) (peer.Stream, error) {
	o := f.origin(life)
	if o == nil {
		return nil, &wire.Error{Code: wire.CodeOutOfOrder, Field: "an origin that was not met"}
	}
	name := string(topic)
	if err := wire.CheckTopic(topic); err != nil {
		return nil, &wire.Error{Code: wire.CodeBadTopic, Field: err.Error()}
	}
	if !f.g.classes().relays(name) {
		return nil, &wire.Error{Code: wire.CodeBadTopic, Field: "not a broadcast topic here: the gateways' broadcast filters differ"}
	}
	id := wire.Identity{Tenant: string(tenantName), Device: "x"}
	if err := id.Check(); err != nil {
		return nil, &wire.Error{Code: wire.CodeOtherTenant, Field: err.Error()}
	}
	ten, err := f.g.tenants.get(id.Tenant)
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", id.Tenant, err)
	}
	t := ten.index.Lookup(topic)
	if t == nil {
		if t, err = f.g.makeTopic(ten, topic); err != nil {
			return nil, err
		}
	}
	return &copied{g: f.g, tenant: ten, stream: t.CopyOf(o.Origin), number: o.Number()}, nil
}

func (f *fleet) origin(life wire.Life) *origin {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.origins[life]
}

// Changed implements peer.Streams.
func (f *fleet) Changed(life wire.Life, name string, what peer.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.origins[life]
	if what == peer.Met {
		switch {
		case o == nil:
			f.origins[life] = &origin{Origin: fanout.NewOrigin(uint64(life), f.g.originNumber()), name: name}
		case o.ended:
			o.ended = false
			f.g.originReturns(o.Origin)
		}
		return
	}
	if o == nil || o.ended {
		return
	}
	o.ended, o.endedAt, o.kept = true, f.g.now.Load(), true
	o.End()
	f.g.originEnds(o.Origin, howOf(what), &o.unheard)
}

func howOf(c peer.Change) wire.How {
	switch c {
	case peer.Left:
		return wire.EndComplete
	case peer.Restarted:
		return wire.EndRestarted
	case peer.Met, peer.Lost:
	}
	return wire.EndLost
}

// sweep forgets the streams of origins that ended longer ago than rings keep
// anything, if no mailbox holds messages of them any more: who subscribes is told of
// streams that are known.
func (f *fleet) sweep(now uint32) {
	keep := seconds(f.g.limits.Load().RingAge)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.origins {
		if !o.ended || !o.kept || now-o.endedAt <= keep || o.unheard.Load() > 0 && !f.g.cfg.without.unheard {
			continue
		}
		for _, ten := range f.g.tenants.all() {
			ten.index.Forget(o.Origin)
		}
		f.g.originForgotten(o)
		o.kept = false
	}
	for life, o := range f.origins {
		if o.ended && !o.kept && now-o.endedAt > seconds(goneForGood) {
			delete(f.origins, life)
			f.g.originGone(o.Number())
		}
	}
}

// goneForGood is when a life that has ended is forgotten altogether: peers do not know
// it any more either.
const goneForGood = 15 * time.Minute

// Tops implements peer.Source.
func (f *fleet) Tops(within uint32, fn func(tenant, topic string, next uint64) bool) {
	now := f.g.now.Load()
	for _, ten := range f.g.tenants.all() {
		more := true
		ten.index.Each(func(t *fanout.Topic) bool {
			if s := t.Own(); s != nil && s.Published() != 0 && now-s.Published() <= within {
				more = fn(ten.name, t.Name(), s.Next())
			}
			return more
		})
		if !more {
			return
		}
	}
}

// Read implements peer.Source.
func (f *fleet) Read(life wire.Life, tenantName, topic []byte, from, to uint64, fn func(peer.Kept) bool) {
	ten := f.g.tenants.find(string(tenantName))
	if ten == nil {
		return
	}
	t := ten.index.Lookup(topic)
	if t == nil {
		return
	}
	now := f.g.now.Load()
	t.Streams(func(s *fanout.Stream) {
		if wire.Life(s.Life()) != life {
			return
		}
		for r := s.Reader(from); ; {
			e, _, ok := r.Next(now)
			if !ok || e.Offset >= to || !fn(peer.Kept{Offset: e.Offset, Age: now - min(e.At, now), Payload: e.Frame[e.Body:]}) {
				return
			}
		}
	})
}

// filtersHash is what peers compare: the same filters in any order have the same.
func filtersHash(filters []string) uint64 {
	sorted := slices.Clone(filters)
	slices.Sort(sorted)
	h := fnv.New64a()
	for _, f := range slices.Compact(sorted) {
		_, _ = h.Write(append([]byte(f), 0)) // it has no error
	}
	return h.Sum64()
}
