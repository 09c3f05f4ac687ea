package gateway

import "fmt"

// loopDescriptors is what each event loop holds: listener, epoll, eventfd and the
// two ends of its socket pair.
const loopDescriptors = 5

// connectionCap is how many devices can be taken: what the descriptor limit
// leaves. One accept that fails for want of a descriptor stops gnet's engine, so
// the reserve has what is open already, what the loops and the admin API open, and
// some for everything else that may open one: log files, resolvers, and the one
// connection per loop that is accepted before it is refused.
func connectionCap(descriptors, open, loops int) (int, error) {
	reserve := open + loopDescriptors*loops + adminConns + min(64+descriptors/20, 1024)
	room := descriptors - reserve
	if room < 1 {
		return 0, fmt.Errorf("limits.connections: the descriptor limit is %d, of which %d are a reserve (%d are open, %d loops take %d each): raise it (ulimit -n) or have fewer loops",
			descriptors, reserve, open, loops, loopDescriptors)
	}
	return room, nil
}

// withinCap is how many devices are taken if so many are wanted; 0: as many as
// can be. It says in the log, once for each wish, that they are fewer.
func (g *Gateway) withinCap(wanted int) int {
	if wanted == 0 {
		return g.cap
	}
	if wanted > g.cap && g.lowered.Swap(int64(wanted)) != int64(wanted) {
		g.log.Warn("limits.connections is more than the descriptor limit leaves room for: raise it (ulimit -n, LimitNOFILE)",
			"wanted", wanted, "taken", g.cap)
	}
	return min(wanted, g.cap)
}

// maxConns is the cap in force; a reload may lower it.
func (g *Gateway) maxConns() int { return g.limits.Load().Connections }
