package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/central"
	"github.com/bellwire/bellwire/wire"
	"golang.org/x/time/rate"
)

// centralService joins a gateway and the central service: neither knows the other.
type centralService struct {
	central *central.Central
	stored  *fleetStore
	state   string // how the fleet has it, while it is not away
	log     *slog.Logger
	refused rate.Sometimes // says in the log that a message was not delivered

	gateway atomic.Pointer[gateway.Gateway] // nil until start
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
}

// newCentralService makes the central service that the settings name, and has the gateway use it; nil if they name none.
func newCentralService(s Settings, cfg *gateway.Config, log *slog.Logger) (*centralService, error) {
	if s.Central == centralOff {
		return nil, nil
	}
	v := &centralService{log: log, state: "private", refused: rate.Sometimes{Interval: time.Minute}}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	c := central.Config{
		Name: cfg.Name, Embedded: central.Embedded{Listen: s.CentralListen}, Insecure: s.Insecure, Logger: log,
		Deliver: v.deliver, Missed: v.missed, Ended: v.ended, Away: v.away, Inject: v.inject,
		Devices: v.devices, OnGateways: v.found, Alive: v.alive, Applied: v.applied,
	}
	if !s.sharesCentral() {
		c.Embedded.Dir = s.Data
	}
	switch {
	case s.sharesCentral():
		v.state = "shared"
		servers, err := centralServers(s.Central)
		if err != nil {
			return nil, fmt.Errorf("config: central: %w", err)
		}
		for _, server := range servers {
			c.URLs = append(c.URLs, server.String())
		}
	case s.CentralListen != "":
		v.state = "embedded"
	}
	var err error
	if c.TLS, _, err = fleetTLS(s); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if v.central, err = central.New(c); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	cfg.Central, cfg.Directory = v.central, v
	v.stored = newFleetStore(v, s)
	cfg.Stored = v.stored
	return v, nil
}

// start has the service connect. What comes from the channel is why it ended by itself, which a gateway does not go on
// after: a directory of another process, an address in use.
func (v *centralService) start(g *gateway.Gateway) (ended <-chan error, err error) {
	if v == nil {
		return nil, nil
	}
	v.gateway.Store(g)
	g.CentralAway(true) // until it says otherwise
	failed := make(chan error, 1)
	v.tasks.Go(func() {
		if err := v.central.Run(v.ctx); err != nil {
			failed <- err
		}
	})
	return failed, nil
}

// announce puts the gateway, which serves now, on the fleet's list.
func (v *centralService) announce(g *gateway.Gateway) {
	if v == nil {
		return
	}
	status := g.Status()
	me := central.Gateway{Name: status.Name, Life: status.Life, Version: thisBuild().Version, Since: status.Started, PeerAddr: g.PeerAdvertised()}
	for _, address := range []string{status.Listen, status.ListenTLS} {
		if address != "" {
			me.DeviceAddrs = append(me.DeviceAddrs, address)
		}
	}
	if a := g.AdminAddr(); a != nil {
		me.AdminAddr = a.String()
	}
	v.tasks.Go(func() {
		err := v.central.Announce(v.ctx, me, func(err error) {
			v.log.Error("this gateway is not on the fleet's list", "error", err)
		})
		if v.ctx.Err() == nil {
			v.log.Error("this gateway is not on the fleet's list any more", "error", err)
		}
	})
}

// centralLeaves is how long the central service may take to send what waits.
const centralLeaves = 2 * time.Second

// stop takes the gateway off the list and closes the connection, or the server.
func (v *centralService) stop() {
	if v == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), centralLeaves)
	defer cancel()
	v.cancel()
	_ = v.central.Shutdown(ctx) // what it could not send was published at most once
	v.tasks.Wait()
}

func (v *centralService) deliver(tenant, topic string, at wire.Position, payload []byte) {
	if err := v.gateway.Load().FromCentral(v.ctx, tenant, topic, at, payload); err != nil && v.ctx.Err() == nil {
		v.refused.Do(func() { v.log.Warn("a message of the central service was not delivered", "error", err) })
	}
}

func (v *centralService) missed(tenant, _ string, _ wire.Life) {
	v.gateway.Load().CentralMissed(tenant)
}
func (v *centralService) ended(life wire.Life) { v.gateway.Load().CentralEnded(life) }

func (v *centralService) away(away bool) {
	if g := v.gateway.Load(); g != nil {
		g.CentralAway(away)
	}
}

// inject publishes for a backend (BC-11).
func (v *centralService) inject(ctx context.Context, tenant, topic string, payload []byte) (wire.Position, error) {
	r, err := v.gateway.Load().Publish(ctx, tenant, topic, payload)
	return wire.Position{Life: r.Life, Offset: r.Offset}, err
}

// applied is what the list says of the fleet's broadcast filters.
func (v *centralService) applied() (revision, filters uint64) {
	g := v.gateway.Load()
	return v.stored.applied.Load(), g.FiltersHash()
}

func (v *centralService) devices() int64 { return v.gateway.Load().Status().Sessions }

// alive says whether a gateway that is not heard of answers on its link.
func (v *centralService) alive(name string) bool {
	for _, l := range v.gateway.Load().Links() {
		if l.Name == name && l.State == "linked" {
			return true
		}
	}
	return false
}

// found has the gateway link to those that are listed.
func (v *centralService) found(all []central.Gateway, _ int) {
	g := v.gateway.Load()
	peers := make(map[string]string, len(all))
	for _, other := range all {
		if other.Name != g.Name() && other.PeerAddr != "" {
			peers[other.Name] = other.PeerAddr
		}
	}
	g.SetPeers(peers)
}

// Members implements gateway.Directory.
func (v *centralService) Members() []gateway.Member {
	all, _ := v.central.Gateways()
	members := make([]gateway.Member, len(all))
	for i, g := range all {
		members[i] = gateway.Member{Name: g.Name, Life: g.Life, Address: g.PeerAddr, Version: g.Version, Devices: g.Devices, Since: g.Since, Filters: g.Filters}
	}
	return members
}

// State implements gateway.Directory.
func (v *centralService) State() string {
	if !v.central.Connected() {
		return "away"
	}
	return v.state
}
