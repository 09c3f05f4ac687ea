package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bellwire/bellwire/peer"
)

// leaveWithin is how long a gateway that drains waits for the others to have all
// that it sent them.
const leaveWithin = 2 * time.Second

// joinFleet makes the links to other gateways.
func (g *Gateway) joinFleet(cfg peer.Config) error {
	if cfg.Name == "" {
		cfg.Name = g.cfg.Name
	}
	if cfg.Name == "" {
		if g.addr.Port() == 0 {
			return errors.New("config: name: a gateway of a fleet needs a name that no other has, unless its port is fixed")
		}
		cfg.Name = defaultName(g.addr.Port())
	}
	g.cfg.Name = cfg.Name
	g.audit.log = g.audit.log.With("gateway", cfg.Name) // lines of a fleet end up in one place
	g.fleet = newFleet(g)
	cfg.Life, cfg.Filters = g.life, g.classes().hash
	cfg.Streams, cfg.Source = g.fleet, g.fleet
	if cfg.Logger == nil {
		cfg.Logger = g.log
	}
	mesh, err := peer.New(cfg)
	if err != nil {
		return fmt.Errorf("config: peer: %w", err)
	}
	g.mesh = mesh
	return nil
}

// serveMesh has the links come up, and returns what waits for them to be gone after
// g.ctx has ended. It fails if the address cannot be bound.
func (g *Gateway) serveMesh() (wait func(), err error) {
	if g.mesh == nil {
		return func() {}, nil
	}
	ended := make(chan error, 1)
	go func() { ended <- g.mesh.Serve(g.ctx) }()
	select {
	case <-g.mesh.Ready():
	case err := <-ended:
		if err == nil {
			err = ErrClosed
		}
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.catchUp()
	return func() {
		g.cancel()
		<-ended
	}, nil
}

const (
	settleWithin = 2 * time.Second
	settleCheck  = 10 * time.Millisecond
)

// catchUp waits until the others have been heard, so that a device that comes from one
// of them finds what it missed; but not for long: somebody has to be first.
func (g *Gateway) catchUp() {
	over := time.NewTimer(settleWithin)
	defer over.Stop()
	tick := time.NewTicker(settleCheck)
	defer tick.Stop()
	for !g.mesh.Settled() {
		select {
		case <-tick.C:
		case <-over.C:
			return
		case <-g.ctx.Done():
			return
		}
	}
}

// leaveFleet says good-bye, so that the others know that nothing is missing.
func (g *Gateway) leaveFleet(ctx context.Context) {
	if g.mesh == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	if err := g.mesh.Shutdown(ctx); err != nil {
		g.log.Warn("not every gateway has all that this one sent", "error", err)
	}
}

// PeerAddr is the address for other gateways that is bound; nil if there is none.
func (g *Gateway) PeerAddr() net.Addr {
	if g.mesh == nil {
		return nil
	}
	return g.mesh.Addr()
}

// PeerAdvertised is the address that other gateways are told; empty if there is none.
func (g *Gateway) PeerAdvertised() string {
	a := g.PeerAddr()
	if a == nil {
		return ""
	}
	return cmp.Or(g.cfg.Peer.Advertise, a.String())
}

// Links are the links to other gateways; nil if it is alone.
func (g *Gateway) Links() []peer.LinkState {
	if g.mesh == nil {
		return nil
	}
	return g.mesh.Links()
}

// RecheckLinks closes the links to gateways whose certificates Config.Peer.TLS does
// not believe any more, see [peer.Mesh.Recheck]. A gateway that is alone does not mind.
func (g *Gateway) RecheckLinks() {
	if g.mesh != nil {
		g.mesh.Recheck()
	}
}

// SetPeers says at which addresses the other gateways are, by their names, as
// something that discovers them found. It takes the place of what was said before;
// Config.Peer.Peers stay. A gateway that is alone does not mind it.
func (g *Gateway) SetPeers(found map[string]string) {
	if g.mesh != nil {
		g.mesh.SetPeers(found)
	}
}
