package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tickEvery       = 25 * time.Millisecond
	defaultGreeting = 5 * time.Second
)

// ErrClosed is what Serve returns after Close or Shutdown.
var ErrClosed = errors.New("peer: the mesh is closed")

// Mesh links this gateway with the others of its fleet. All methods are safe for concurrent use.
type Mesh struct {
	cfg   Config
	core  *core
	log   *slog.Logger
	begun time.Time
	ctx   context.Context
	end   context.CancelFunc
	ready chan struct{}
	bound sync.Once
	kicks chan struct{}
	late  *time.Timer   // for the log's overdue
	ended chan struct{} // closed when every goroutine is gone
	tasks sync.WaitGroup

	mu       sync.Mutex
	serving  bool
	closed   bool
	stopping bool // no new links
	listener net.Listener
	conns    map[*conn]struct{}
	waiting  []*conn // accepted and not linked, oldest first
	dialers  map[string]*dialer
	found    map[string]string
	crowded  uint64        // strangers that were closed for others
	told     time.Duration // when the log said last that one was refused; 0: never
}

// New checks the configuration; it opens nothing.
func New(cfg Config) (*Mesh, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	m := &Mesh{
		cfg: cfg, log: cfg.Logger, begun: time.Now(), ready: make(chan struct{}), ended: make(chan struct{}),
		kicks: make(chan struct{}, 1), conns: make(map[*conn]struct{}), dialers: make(map[string]*dialer),
	}
	m.ctx, m.end = context.WithCancel(context.Background())
	m.core = newCore(m.ctx, cfg, m.now)
	m.late = time.AfterFunc(time.Hour, func() { m.core.log.overdue(m.now()) })
	m.late.Stop()
	m.core.log.kick = func() {
		select {
		case m.kicks <- struct{}{}:
		default:
		}
	}
	m.core.log.arm = func() { m.late.Reset(slowWrite) }
	return m, nil
}

// complete fills in defaults and says what cannot be.
func (c *Config) complete() error {
	if _, err := CertificateName(c.Cluster, c.Name); err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if c.Life == 0 || c.Life != base(c.Life) {
		return fmt.Errorf("peer: life %v: want 40 random bits and a run of 0", c.Life)
	}
	if c.Streams == nil || c.Source == nil {
		return errors.New("peer: Streams and Source are needed")
	}
	if c.Most < 0 || c.Most > DefaultPeers {
		return fmt.Errorf("peer: at most %d peers, not %d: every gateway links to every other one, and above that it takes a tree", DefaultPeers, c.Most)
	}
	if len(c.Peers) > DefaultPeers {
		return fmt.Errorf("peer: %d addresses of peers, want at most %d", len(c.Peers), DefaultPeers)
	}
	if c.Retain < 0 || c.Silence < 0 || c.Hold < 0 {
		return errors.New("peer: Retain, Silence and Hold cannot be negative")
	}
	c.Retain = cmp.Or(c.Retain, DefaultRetain)
	c.Silence, c.Hold = cmp.Or(c.Silence, DefaultSilence), cmp.Or(c.Hold, DefaultHold)
	if c.Silence < 2*beatEvery {
		return fmt.Errorf("peer: Silence of %v: want at least %v, as a heartbeat comes every %v", c.Silence, 2*beatEvery, beatEvery)
	}
	c.Most, c.greeting = cmp.Or(c.Most, DefaultPeers), cmp.Or(c.greeting, defaultGreeting)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, address := range append(slices.Clone(c.Peers), c.Listen, c.Advertise) {
		if address == "" {
			continue
		}
		if err := c.checkAddress(address); err != nil {
			return err
		}
	}
	return c.checkTLS()
}

// checkAddress wants host:port, and loopback unless there is TLS.
func (c *Config) checkAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("peer: address %q: %w", address, err)
	}
	if c.TLS == nil && !loopback(host) {
		return fmt.Errorf("peer: %s is not on loopback: gateways prove themselves there, so it takes TLS (certificate, key and CA of the fleet)", address)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (m *Mesh) now() time.Duration { return time.Since(m.begun) }

// Serve binds Listen, dials the peers and blocks until ctx ends or the mesh is closed. Its error is nil when ctx ended,
// ErrClosed after Close or Shutdown, or why Listen could not be bound. It may be called once.
func (m *Mesh) Serve(ctx context.Context) error {
	if err := m.start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = m.Close() })
	defer stop()
	<-m.ended
	if ctx.Err() != nil {
		return nil
	}
	return ErrClosed
}

func (m *Mesh) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case m.serving:
		return errors.New("peer: Serve is called twice")
	}
	m.serving = true
	if m.cfg.Listen != "" {
		listener, err := net.Listen("tcp", m.cfg.Listen)
		if err != nil {
			m.closeLocked()
			return fmt.Errorf("peer: %w", err)
		}
		m.listener = listener
		m.goLocked(func() { m.accept(listener) })
	}
	m.goLocked(m.seal)
	m.goLocked(m.tick)
	m.dialLocked()
	m.bound.Do(func() { close(m.ready) })
	return nil
}

// goLocked starts a goroutine that Close waits for; false if the mesh is closed.
func (m *Mesh) goLocked(f func()) bool {
	if m.closed {
		return false
	}
	m.tasks.Go(f)
	return true
}

// Ready is closed when Listen is bound, or there was nothing to bind.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Addr is the address that Listen was bound to; nil: none.
func (m *Mesh) Addr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener == nil {
		return nil
	}
	return m.listener.Addr()
}

// Broadcast sends a message to all peers. Messages of one stream come in the order of their offsets, so it is called
// under the stream's lock. It never blocks, and copies the payload. Held is released once: when the peers that keep up
// have it, half a second later at the latest, or before Broadcast returns if there is no peer.
func (m *Mesh) Broadcast(message Message) { m.core.log.add(&message) }

// Recheck asks Config.TLS.VerifyConnection about all links once more, and closes those whose certificates it does not
// believe any more. Call it when what it believes has changed.
func (m *Mesh) Recheck() { m.core.recheck() }

// Links lists the peers that have been linked or are tried in vain, by name.
func (m *Mesh) Links() []LinkState {
	list := m.core.states(m.now())
	m.mu.Lock()
	for _, d := range m.dialers {
		name := d.name()
		linked := func(l LinkState) bool { return l.Address == d.address || l.Name == name }
		if why := d.failed.Load(); why != nil && !slices.ContainsFunc(list, linked) {
			list = append(list, LinkState{Name: d.key, Address: d.address, State: "connecting", LastError: *why})
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b LinkState) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Address, b.Address))
	})
	return list
}

// settleTime is how long a link is up before what its peer told of its streams has surely come.
const settleTime = 250 * time.Millisecond

// Settled reports whether this gateway has tried to reach all others that it knows of, and has fetched what those that it
// is linked to still keep: it can serve devices that come from another gateway.
func (m *Mesh) Settled() bool {
	m.mu.Lock()
	tried := m.serving
	for _, d := range m.dialers {
		tried = tried && d.tried.Load()
	}
	m.mu.Unlock()
	return tried && m.core.settled(m.now())
}

// Totals are the counters that are not of one peer.
func (m *Mesh) Totals() Totals {
	t := m.core.totals()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crowded > 0 {
		t.Refused[Crowded] = m.crowded
	}
	return t
}

// seal makes batches when the log asks for it.
func (m *Mesh) seal() {
	for {
		select {
		case <-m.kicks:
			m.core.log.seal(m.now())
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Mesh) tick() {
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			m.core.tick(m.now(), m.spawn)
			timer.Reset(m.core.rest())
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Mesh) spawn(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.goLocked(f)
}

// Shutdown takes and makes no new links, sends END to all peers behind everything else, and waits until they have seen
// it or ctx ends, which is then its error. Then the mesh is closed.
func (m *Mesh) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	m.stopping = true
	if m.listener != nil {
		_ = m.listener.Close()
	}
	m.stopDialersLocked()
	m.mu.Unlock()
	m.core.leave(m.now())
	err := m.emptied(ctx)
	_ = m.Close()
	return err
}

// emptied waits until there is no connection.
func (m *Mesh) emptied(ctx context.Context) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		m.mu.Lock()
		n := len(m.conns)
		m.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-m.ctx.Done():
			return nil
		case <-ctx.Done():
			return fmt.Errorf("peer: %d links have not taken everything: %w", n, context.Cause(ctx))
		}
	}
}

// Close ends everything at once and returns when every goroutine is gone. Nobody is told: peers see the connections end,
// and take this gateway for lost after their Hold.
func (m *Mesh) Close() error {
	m.mu.Lock()
	m.closeLocked()
	m.mu.Unlock()
	<-m.ended
	return nil
}

func (m *Mesh) closeLocked() {
	if m.closed {
		return
	}
	m.closed, m.stopping = true, true
	m.end()
	m.late.Stop()
	if m.listener != nil {
		_ = m.listener.Close()
	}
	m.stopDialersLocked()
	for c := range m.conns {
		_ = c.Close()
	}
	go func() {
		m.tasks.Wait()
		m.core.log.close()
		close(m.ended)
	}()
}
