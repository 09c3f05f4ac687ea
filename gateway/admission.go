package gateway

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/bellwire/bellwire/wire"
)

// take counts a new connection in, or says why it is refused. Its network is asked
// first: one that sends too many uses up neither what there is for all, nor the
// places of others that are not proven yet. Of a proxy's nothing is known so far.
func (l *loop) take(network uint64, proxy bool) wire.Code {
	if proxy {
		return l.admit()
	}
	own := l.g.count(network)
	if own != wire.CodeOK && !l.g.cfg.without.networkFirst {
		return own
	}
	all := l.admit()
	switch {
	case own != wire.CodeOK && all == wire.CodeOK:
		l.g.conns.Add(-1)
		return own
	case own == wire.CodeOK && all != wire.CodeOK:
		l.g.sources.leave(network)
	}
	return all
}

// admit counts a new connection in, or says why it is refused. When there are as
// many as there can be, the oldest that has not proven who it is makes room.
func (l *loop) admit() wire.Code {
	g := l.g
	if g.memory.at() >= stepRefuse {
		return wire.CodeOverload
	}
	if !g.connects.Allow() {
		return wire.CodeConnectRate
	}
	if g.conns.Add(1) > int64(g.maxConns()) && !g.cfg.without.connectionCap && !l.shedOldest() {
		g.conns.Add(-1)
		return wire.CodeOverload
	}
	return wire.CodeOK
}

// count counts an unproven connection of a source network, or says why not.
func (g *Gateway) count(network uint64) wire.Code {
	lim := g.limits.Load()
	code := g.sources.enter(network, g.now.Load(), lim.UnprovenPerNetwork, lim.ConnectRatePerNetwork)
	if g.cfg.without.sources {
		return wire.CodeOK
	}
	return code
}

// uncount is for a connection that is proven, or gone.
func (l *loop) uncount(s *session) {
	if s.network != 0 {
		l.g.sources.leave(s.network)
		s.network = 0
	}
	if sl := l.slots.at(s.n); sl.flags&flagStranger != 0 {
		sl.flags &^= flagStranger
		l.strangers--
	}
}

// stranger notes a connection that is not proven yet. The list is in order of age;
// it is cleared of others when they are the larger part of it.
func (l *loop) stranger(s *session) {
	l.slots.at(s.n).flags |= flagStranger
	l.strangers++
	if len(l.unproven) > 2*l.strangers+64 {
		kept := l.unproven[:0]
		for _, h := range l.unproven {
			if l.isStranger(h) {
				kept = append(kept, h)
			}
		}
		l.unproven = kept
	}
	l.unproven = append(l.unproven, l.handle(s))
}

func (l *loop) isStranger(h handle) bool {
	return l.slots.get(h) != nil && l.slots.at(h.slot).flags&flagStranger != 0
}

// shedOldest closes the oldest connection of this loop that has not proven who it
// is; false if there is none.
func (l *loop) shedOldest() bool {
	for len(l.unproven) > 0 {
		h := l.unproven[0]
		l.unproven = l.unproven[1:]
		if l.isStranger(h) {
			s := l.slots.get(h)
			l.refusedAt(s, auditConnect, wire.CodeOverload, errShed.Error())
			if s.stage == stageNew || s.stage == stageProving {
				l.write(l.slots.at(h.slot), l.g.refusal(wire.CodeOverload))
			}
			l.drop(s) // at once: its descriptor is needed
			return true
		}
	}
	return false
}

// delay is a time after which to try again, in milliseconds: at random, so that
// those who were refused together do not come back together [W-8.2].
func (g *Gateway) delay(code wire.Code) uint32 {
	if code.Class() != wire.ClassLater || g.draining.Load() {
		return 0 // a gateway that leaves is not there later
	}
	least := leastDelay
	if g.memory.at() != stepNone {
		least = stepDelay
	}
	if g.cfg.without.spread {
		return uint32(least.Milliseconds())
	}
	return uint32((least + rand.N(2*least)).Milliseconds())
}

// How long who is refused waits, at least; at most it is three times as long. A step
// of memory lasts seconds.
const (
	leastDelay = 2 * time.Second
	stepDelay  = 5 * time.Second
)

// refusal is what a connection that is not taken is told, if it can be.
func (g *Gateway) refusal(code wire.Code) []byte {
	return wire.Close{Code: code, Retry: g.delay(code)}.Append(nil)
}

// overTLS reports whether a connection came to the TLS address.
func (g *Gateway) overTLS(c gnet.Conn) bool {
	if !g.secure.IsValid() {
		return false
	}
	a, ok := c.LocalAddr().(*net.TCPAddr)
	return ok && a.Port == g.portTLS
}

// isProxy reports whether connections from an address begin with a PROXY header.
func (g *Gateway) isProxy(a netip.Addr) bool {
	for _, p := range g.cfg.ProxyFrom {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
