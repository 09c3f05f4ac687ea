package gateway

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/bellwire/bellwire/wire"
)

// sources counts, by source network, the connections that have not proven who they
// are, and how fast they come. Devices that are proven do not count, so a whole
// fleet behind one address is not punished for being many.
type sources struct {
	shards [64]struct {
		mu sync.Mutex
		by map[uint64]*source
	}
}

type source struct {
	unproven int
	tokens   float32
	at       uint32 // second at which tokens was true
}

func newSources() *sources {
	s := &sources{}
	for i := range s.shards {
		s.shards[i].by = map[uint64]*source{}
	}
	return s
}

// networkOf is the source network of an address: an IPv4 address, or the 64 bits
// that one line gets of IPv6. Never 0.
func networkOf(a netip.Addr) uint64 {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return max(binary.BigEndian.Uint64(b[:8]), 1)
}

// enter counts a connection in, or says why it is refused. most and perSecond are
// limits of one network; negative: none.
func (s *sources) enter(network uint64, now uint32, most, perSecond int) wire.Code {
	sh := &s.shards[network%uint64(len(s.shards))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	src := sh.by[network]
	if src == nil {
		src = &source{tokens: float32(perSecond), at: now}
		sh.by[network] = src
	}
	switch {
	case most >= 0 && src.unproven >= most:
		return wire.CodeConnectRate
	case perSecond >= 0 && !src.take(now, float32(perSecond)):
		return wire.CodeConnectRate
	}
	src.unproven++
	return wire.CodeOK
}

// take takes one of the tokens that come by the second, at most a second's worth.
func (s *source) take(now uint32, perSecond float32) bool {
	s.tokens = min(perSecond, s.tokens+float32(now-s.at)*perSecond)
	s.at = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

// leave is for a connection that is proven, or gone.
func (s *sources) leave(network uint64) {
	sh := &s.shards[network%uint64(len(s.shards))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if src := sh.by[network]; src != nil {
		src.unproven--
	}
}

// sweep forgets networks that have nobody here and all their tokens again.
func (s *sources) sweep(now uint32) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for network, src := range sh.by {
			if src.unproven <= 0 && now-src.at > 1 {
				delete(sh.by, network)
			}
		}
		sh.mu.Unlock()
	}
}
