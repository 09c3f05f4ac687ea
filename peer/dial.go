package peer

import (
	"context"
	"crypto/tls"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

const (
	dialWithin  = 1500 * time.Millisecond
	firstPause  = 50 * time.Millisecond
	longPause   = time.Second
	hopeless    = 5 * time.Second // after a refusal that somebody has to do something about
	whileLinked = 200 * time.Millisecond
)

// dialer keeps this gateway linked to what is at one address.
type dialer struct {
	address string
	key     string                 // the name of the gateway there as discovery said it, or empty
	reached atomic.Pointer[string] // else that of who was linked there last; nil: nobody
	tried   atomic.Bool            // there is a link, or there was a reason why not
	failed  atomic.Pointer[string] // why it is not linked, as it was logged last; nil: it is, or was not tried
	stop    context.CancelFunc
}

// name is that of the gateway there; empty: nobody knows.
func (d *dialer) name() string {
	if reached := d.reached.Load(); d.key == "" && reached != nil {
		return *reached
	}
	return d.key
}

// SetFilters takes another hash of broadcast filters: it is told on new links. What peers have told stays, until they are
// linked anew.
func (m *Mesh) SetFilters(hash uint64) { m.core.filters.Store(hash) }

// SetPeers says which gateways there are, by name, and where: it replaces what the last call said. Addresses of
// Config.Peers stay. Links to peers that are not named any more stay as long as they hold. Addresses that are not
// host:port, or beyond loopback without TLS, are logged and left out; so is this gateway itself.
func (m *Mesh) SetPeers(found map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.found = maps.Clone(found)
	m.dialLocked()
}

// dialLocked starts and stops dialers.
func (m *Mesh) dialLocked() {
	if !m.serving || m.stopping {
		return
	}
	wanted := make(map[string]*dialer)
	for _, address := range m.cfg.Peers {
		wanted["address "+address] = &dialer{address: address}
	}
	for _, name := range slices.Sorted(maps.Keys(m.found)) {
		address := m.found[name]
		if name == m.cfg.Name {
			continue
		}
		if err := m.cfg.checkAddress(address); err != nil {
			m.log.Warn("peer left out", "peer", name, "why", err)
			continue
		}
		wanted["name "+name+" "+address] = &dialer{address: address, key: name}
	}
	for key, d := range m.dialers {
		if wanted[key] == nil {
			d.stop()
			delete(m.dialers, key)
		}
	}
	for key, d := range wanted {
		if m.dialers[key] == nil {
			m.dialers[key] = d
			ctx, stop := context.WithCancel(m.ctx)
			d.stop = stop
			m.goLocked(func() { m.keepDialling(ctx, d) })
		}
	}
}

func (m *Mesh) stopDialersLocked() {
	for key, d := range m.dialers {
		d.stop()
		delete(m.dialers, key)
	}
}

// keepDialling dials until ctx ends, but not who is linked.
func (m *Mesh) keepDialling(ctx context.Context, d *dialer) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		if name := d.name(); name != "" && m.core.linked(name) {
			pause = firstPause
			d.failed.Store(nil)
			m.rest(ctx, whileLinked)
			continue
		}
		if pause > 0 {
			m.rest(ctx, pause/2+rand.N(pause))
			if name := d.name(); name != "" && m.core.linked(name) {
				continue
			}
		}
		why, linked := m.dial(ctx, d)
		d.tried.Store(true)
		if linked {
			pause = 0
		}
		switch {
		case slices.Contains(hopelessWhy, why):
			pause = hopeless
		case why == Linked || why == Bye:
			pause = firstPause
		default:
			pause = min(max(firstPause, 2*pause), longPause)
		}
	}
}

// hopelessWhy are the refusals that do not pass by themselves.
var hopelessWhy = []Why{OtherFleet, Version, WrongName, Self, TooMany, OlderLife, Unsupported}

func (m *Mesh) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// dial makes one connection and stays until it ends. linked: it was one that carried batches.
func (m *Mesh) dial(ctx context.Context, d *dialer) (why Why, linked bool) {
	within, cancel := context.WithTimeout(ctx, dialWithin)
	raw, err := (&net.Dialer{KeepAlive: -1}).DialContext(within, "tcp", d.address)
	cancel()
	if err != nil {
		m.tellFailed(d, err.Error())
		return Failed, false
	}
	tune(raw)
	c := &conn{Conn: raw, mesh: m, dialer: d}
	begun := m.now()
	if m.cfg.TLS != nil {
		c.Conn = tls.Client(raw, m.cfg.clientTLS())
	}
	if !m.add(c) {
		_ = raw.Close()
		return Bye, false
	}
	cause := m.run(c, endpoint{dialled: true, address: d.address, looksFor: d.key, begun: begun})
	if cause.Why != Linked && (c.link == nil || c.link.member == nil) {
		m.tellFailed(d, cause.Error())
	}
	if c.link == nil {
		return cause.Why, false
	}
	if d.key == "" {
		name := c.link.hello.name // a copy, so that the link may go
		d.reached.Store(&name)
	}
	return cause.Why, c.link.member != nil
}

// tellFailed logs why a gateway that somebody named is not linked, once for each reason: it is tried again all the time.
func (m *Mesh) tellFailed(d *dialer, why string) {
	if was := d.failed.Swap(&why); was != nil && *was == why || m.ctx.Err() != nil {
		return
	}
	m.log.Warn("peer not linked; it is tried again", "peer", d.name(), "address", d.address, "why", why)
}

// add takes a connection in; false if the mesh takes none any more.
func (m *Mesh) add(c *conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

// drop forgets a connection.
func (m *Mesh) drop(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
	m.waiting = slices.DeleteFunc(m.waiting, func(w *conn) bool { return w == c })
}
