package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/central"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// centralService is the central service of a gateway: each knows of the other only what it asks for, and this is between.
type centralService struct {
	*central.Central
	gateway *gateway.Gateway
	stored  *fleetStore
	log     *slog.Logger
	state   string // in a word, while it is there

	ctx     context.Context // ends with the service
	cancel  context.CancelFunc
	listed  context.Context // ends before
	unlist  context.CancelFunc
	running sync.WaitGroup
	listing sync.WaitGroup
	failed  chan error // why it cannot go on
}

var _ gateway.CentralStreams = (*centralService)(nil)

// newCentralService is the central service that settings ask for, before it has a gateway; nil: none.
func newCentralService(s Settings, log *slog.Logger) *centralService {
	if s.Central == centralOff {
		return nil
	}
	c := &centralService{log: log, state: "embedded", failed: make(chan error, 1)}
	switch {
	case s.sharesCentral():
		c.state = "shared"
	case s.inFleet() && s.CentralListen == "":
		c.state = "private"
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.listed, c.unlist = context.WithCancel(c.ctx)
	c.stored = newFleetStore(c, s)
	return c
}

// centralConfig is what package central asks for, but for what is between it and the gateway.
func centralConfig(s Settings, f *secure.Fleet, log *slog.Logger) (central.Config, error) {
	cfg := central.Config{Prefix: centralPrefix(s.Cluster), TLS: fleetTLS(f), Insecure: s.Insecure, Logger: log}
	if !s.sharesCentral() {
		cfg.Embedded = central.Embedded{Listen: s.CentralListen, Dir: s.Data}
		return cfg, nil
	}
	servers, err := centralServers(s.Central)
	if err != nil {
		return cfg, fmt.Errorf("config: central: %w", err)
	}
	for _, server := range servers {
		cfg.URLs = append(cfg.URLs, server.String())
	}
	return cfg, nil
}

// centralPrefix begins the subjects of a fleet. Fleets that share a NATS cluster have names of their own, and so subjects
// of their own.
func centralPrefix(cluster string) string {
	if cluster == defaultCluster {
		return "bw"
	}
	return "bw-" + strings.ReplaceAll(cluster, ".", "_")
}

// attach makes the service for a gateway that has been made and does not serve yet.
func (c *centralService) attach(g *gateway.Gateway, s Settings, f *secure.Fleet) error {
	cfg, err := centralConfig(s, f, c.log)
	if err != nil {
		return err
	}
	c.gateway = g
	cfg.Name = g.Name()
	cfg.Deliver = c.deliver
	cfg.Missed = func(tenant, _ string, _ wire.Life) { g.CentralMissed(tenant) }
	cfg.Ended = g.CentralEnded
	cfg.Away = g.CentralAway
	cfg.Inject = c.inject
	cfg.OnGateways = c.found
	cfg.Alive = func(name string) bool { return slices.Contains(c.linked(), name) } // whatever its lease says
	cfg.Devices = func() int64 { return g.Status().Sessions }
	cfg.Applied = func() (revision, filters uint64) { return c.stored.applied.Load(), g.FiltersHash() }
	g.CentralAway(true) // until it says that it is there
	c.Central, err = central.New(cfg)
	return err
}

// start begins before the gateway serves. If others share the service it waits for their list, not for long.
func (c *centralService) start() {
	c.running.Go(func() {
		if err := c.Run(c.ctx); err != nil && c.ctx.Err() == nil && !errors.Is(err, central.ErrClosed) {
			c.failed <- err
		}
	})
	c.stored.await()
	if c.state != "shared" {
		return
	}
	late := time.NewTimer(listPatience)
	defer late.Stop()
	look := time.NewTicker(listCheck)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if all, _ := c.Gateways(); len(all) > 0 {
				return
			}
		case <-late.C:
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// A gateway that knows the others before it serves links to them first, and finds what its devices missed elsewhere.
const (
	listPatience = time.Second
	listCheck    = 10 * time.Millisecond
)

// announce puts the gateway on the list when it serves: then its addresses are known.
func (c *centralService) announce() {
	status := c.gateway.Status()
	self := central.Gateway{
		Name: c.gateway.Name(), Life: status.Life, PeerAddr: c.gateway.PeerAdvertised(), Version: thisBuild().Version, Since: status.Started,
	}
	for _, address := range []string{status.Listen, status.ListenTLS} {
		if address != "" {
			self.DeviceAddrs = append(self.DeviceAddrs, address)
		}
	}
	if a := c.gateway.AdminAddr(); a != nil {
		self.AdminAddr = a.String()
	}
	c.listing.Go(func() {
		_ = c.Announce(c.listed, self, func(err error) { // its error is the context's
			c.log.Warn("this gateway is not on the fleet's list", "error", err)
		})
	})
}

// stop takes the gateway off the list, sends what waits, and returns when nothing of the service is left.
func (c *centralService) stop() {
	defer c.cancel()
	c.unlist()
	c.listing.Wait()
	if c.Central != nil {
		ctx, cancel := context.WithTimeout(context.Background(), centralGoodbye)
		defer cancel()
		_ = c.Shutdown(ctx) // what could not be sent is lost with the process
	}
	c.running.Wait()
}

// centralGoodbye is how long what waits may take to be sent at the end.
const centralGoodbye = 2 * time.Second

// deliver gives what the service brings to the devices.
func (c *centralService) deliver(tenant, topic string, at wire.Position, payload []byte) {
	if err := c.gateway.FromCentral(c.ctx, tenant, topic, at, payload); err != nil && c.ctx.Err() == nil {
		c.log.Debug("a message of the central service was not delivered", "tenant", tenant, "topic", topic, "error", err)
	}
}

// inject publishes for a backend (BC-11).
func (c *centralService) inject(ctx context.Context, tenant, topic string, payload []byte) (wire.Position, error) {
	receipt, err := c.gateway.Publish(ctx, tenant, topic, payload)
	return wire.Position{Life: receipt.Life, Offset: receipt.Offset}, err
}

// found has the gateway link to those that are on the list (BC-13).
func (c *centralService) found(all []central.Gateway, _ int) {
	addresses := make(map[string]string, len(all))
	for _, g := range all {
		if g.PeerAddr != "" && g.Name != c.gateway.Name() {
			addresses[g.Name] = g.PeerAddr
		}
	}
	c.gateway.SetPeers(addresses)
}

// linked are the names of the gateways that answer on their links.
func (c *centralService) linked() (names []string) {
	for _, l := range c.gateway.Links() {
		if l.State == "linked" {
			names = append(names, l.Name)
		}
	}
	return names
}

// Bound is what [gateway.CentralStreams] asks for.
func (c *centralService) Bound(tenant, topic string) (wire.Position, bool) {
	return c.At(tenant, topic)
}

// Members are the gateways on the list.
func (c *centralService) Members() []gateway.Member {
	all, _ := c.Gateways()
	members := make([]gateway.Member, len(all))
	for i, g := range all {
		members[i] = gateway.Member{Name: g.Name, Life: g.Life, Address: g.PeerAddr, Version: g.Version, Devices: &g.Devices, Since: g.Since, Filters: g.Filters}
	}
	return members
}

// State says in a word where the service is.
func (c *centralService) State() string {
	if !c.Connected() {
		return "away"
	}
	return c.state
}
