package gateway

import (
	"fmt"

	"github.com/bellwire/bellwire/wire"
)

// connectionCap is how many devices are taken: what was asked for, within what
// the descriptor limit leaves. One accept that fails for want of a descriptor
// stops gnet's engine, so the reserve is for everything else that opens one, and
// for the one connection per loop that is accepted before it is refused.
func connectionCap(wanted, descriptors int) (int, error) {
	reserve := min(64+descriptors/20, 1024)
	room := descriptors - reserve
	if room < 1 {
		return 0, fmt.Errorf("limits.connections: the descriptor limit is %d, of which %d are a reserve: raise it (ulimit -n)", descriptors, reserve)
	}
	if wanted == 0 || wanted > room {
		return room, nil
	}
	return wanted, nil
}

// maxConns is the cap in force; a reload may lower it.
func (g *Gateway) maxConns() int { return g.limits.Load().Connections }

// admit counts a new connection in, or says why it is refused.
func (g *Gateway) admit() wire.Code {
	if !g.connects.Allow() {
		return wire.CodeConnectRate
	}
	if g.conns.Add(1) > int64(g.maxConns()) && !g.cfg.without.connectionCap {
		g.conns.Add(-1)
		return wire.CodeOverload
	}
	return wire.CodeOK
}
