package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/time/rate"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// ErrClosed is what a gateway that was closed answers; it is net.ErrClosed to
// errors.Is.
var ErrClosed = fmt.Errorf("gateway: %w", net.ErrClosed)

// Gateway is one gateway: event loops that hold the devices, the table of who
// subscribes to what, and the streams. All methods are safe for concurrent use.
type Gateway struct {
	// Static after New.
	cfg    Config
	log    *slog.Logger
	life   wire.Life      // of all streams: 40 bits drawn here, run 0
	addr   netip.AddrPort // for plain TCP; invalid: none
	secure netip.AddrPort // for TLS; invalid: none
	cap    int            // connections that the descriptors allow
	loops  []*loop
	engine *engine
	ready  chan struct{} // closed when every loop can be woken
	hurry  chan struct{} // holds one: some loop wants a tick, or the engine ends
	done   chan struct{} // closed when Serve has returned
	ctx    context.Context
	cancel context.CancelFunc

	// Shared by the loops.
	limits      atomic.Pointer[Limits]
	rules       atomic.Pointer[rules]
	gate        *gate
	sources     *sources
	shaking     shaking
	identities  *identities
	tenants     tenants
	wanted      wanted
	bounds      bounds
	origins     atomic.Uint32 // numbers given to origins
	fleet       *fleet        // nil: it is alone
	mesh        *peer.Mesh    // nil: it is alone
	rings       *fanout.Budget
	credit      *pool
	charges     sync.Pool // of *charge that were settled
	connects    *rate.Limiter
	started     time.Time
	now         atomic.Uint32 // seconds since started, plus one
	conns       atomic.Int64
	topics      atomic.Int64
	naming      sync.Mutex     // held while a new topic is counted and made
	full        rate.Sometimes // says in the log that no ids or links are left
	namesLeft   rate.Sometimes // says so of ids for names of the central service
	lowered     atomic.Int64   // limits.connections that the log was told is too many
	memory      *memory
	audit       *audit
	guesses     *guesses // of admin tokens
	proving     atomic.Int64
	external    atomic.Uint64
	draining    atomic.Bool
	centralAway atomic.Bool
	crossing    atomic.Pointer[crossing]
	changing    sync.Mutex   // held while rules are replaced
	classing    sync.RWMutex // held while a topic's class is looked at off the loops and acted on, and while it changes

	mu       sync.Mutex
	serving  bool
	stopping bool
	bound    netip.AddrPort // of addr
	boundTLS netip.AddrPort // of secure
	portTLS  int            // static once the engine runs, without the lock
	admin    net.Addr
	adopted  int
	byEvent  atomic.Pointer[[]adoption]
}

// adoption says which loop is which of gnet's.
type adoption struct {
	ev gnet.EventLoop
	l  *loop
}

// New checks the configuration and makes a gateway. It opens nothing. Its errors
// are a field of cfg that is wrong, named as in "config: limits.frame: …" and
// with what is wanted; a descriptor limit that leaves no room for devices; and
// any system but Linux.
func New(cfg Config) (*Gateway, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	addr, err := cfg.plainAddress()
	if err != nil {
		return nil, err
	}
	limit, err := descriptorLimit()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	budget, err := budgetOf(cfg.Memory)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	lim := cfg.Limits
	open, loops := openDescriptors(), cfg.Loops
	if cfg.without.heldDescriptors {
		open, loops = 0, 0
	}
	room, err := connectionCap(limit, open, loops)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	g := &Gateway{
		cfg: cfg, log: cfg.Logger, addr: addr, cap: room, life: wire.Life(rand.Uint64() << 24),
		ready: make(chan struct{}), hurry: make(chan struct{}, 1), done: make(chan struct{}),
		identities: newIdentities(), gate: newGate(2 * runtime.GOMAXPROCS(0)), sources: newSources(), rings: fanout.NewBudget(int64(lim.RingTotal), int64(lim.RingTotal/2)),
		credit: newPool(lim.CreditPool), connects: rate.NewLimiter(rateOf(lim.ConnectRate)),
		started: time.Now(), full: rate.Sometimes{Interval: time.Minute}, namesLeft: rate.Sometimes{Interval: time.Minute}, memory: newMemory(budget), audit: newAudit(cfg.Audit), guesses: newGuesses(),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.now.Store(1)
	lim.Connections = g.withinCap(lim.Connections)
	g.limits.Store(&lim)
	if cfg.ListenTLS != "" {
		if g.secure, err = resolve(cfg.ListenTLS); err != nil {
			return nil, fmt.Errorf("config: listen_tls: %w", err)
		}
	}
	r, err := rulesOf(&cfg)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	r.classes = newClasses(cfg.Broadcast, nil)
	g.rules.Store(r)
	g.crossing.Store(newCrossing())
	g.tenants = tenants{g: g, by: map[string]*tenant{}}
	g.wanted = wanted{central: cfg.Central, by: map[want]*wants{}}
	g.bounds = newBounds(cfg.Central)
	if cfg.Peer != nil {
		if err := g.joinFleet(*cfg.Peer); err != nil {
			return nil, err
		}
	}
	g.engine = &engine{g: g}
	g.byEvent.Store(&[]adoption{})
	for n := range cfg.Loops {
		g.loops = append(g.loops, newLoop(g, n))
	}
	return g, nil
}

// rateOf is a limiter's rate and burst: one second's worth.
func rateOf(perSecond int) (rate.Limit, int) {
	if perSecond < 0 {
		return rate.Inf, 0
	}
	return rate.Limit(perSecond), perSecond
}

// Ready is closed when the gateway takes devices.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Addr is the device address that is bound; nil before Serve. [::] is every
// address of IPv4 and IPv6, 0.0.0.0 every one of IPv4.
func (g *Gateway) Addr() net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.bound.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(g.bound)
}

// TLSAddr is the device address that speaks TLS and is bound; nil before Serve, and
// if there is none.
func (g *Gateway) TLSAddr() net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.boundTLS.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(g.boundTLS)
}

// AdminAddr is the admin address that is bound; nil if there is none.
func (g *Gateway) AdminAddr() net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.admin
}

// Name is the gateway's name; before Serve it may still lack the port.
func (g *Gateway) Name() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cfg.Name != "" {
		return g.cfg.Name
	}
	return defaultName(cmp.Or(g.bound.Port(), g.boundTLS.Port()))
}

// Serve binds the addresses and serves until Close, Shutdown or the end of ctx;
// then it returns nil. It can be called once: again, or after Close (ErrClosed),
// is an error. Other errors are an address that cannot be bound, which is
// syscall.EADDRINUSE to errors.Is if something listens there, and an engine
// that stopped by itself.
func (g *Gateway) Serve(ctx context.Context) error {
	if err := g.begin(); err != nil {
		return err
	}
	defer close(g.done)
	defer g.release()
	plain, secure, err := g.probe()
	if err != nil {
		return err
	}
	admin, err := g.listenAdmin()
	if err != nil {
		return err
	}
	meshed, err := g.serveMesh()
	if err != nil {
		if admin != nil {
			_ = admin.Close() // the other error is the one that matters
		}
		return err
	}
	defer meshed()
	g.mu.Lock()
	g.bound, g.boundTLS, g.portTLS = plain, secure, int(secure.Port())
	g.mu.Unlock()
	if admin != nil {
		srv := g.adminServer()
		if !g.cfg.without.adminConns {
			admin = newFewConns(admin, adminConns)
		}
		admin = g.adminTLS(admin)
		go func() { _ = srv.Serve(admin) }() // it returns when srv is closed
		defer srv.Close()
	}
	stop := context.AfterFunc(ctx, func() { _ = g.Close() })
	defer stop()
	err = gnet.Rotate(g.engine, engineAddresses(plain, secure), g.options()...)
	switch {
	case g.closing():
		return nil
	case err != nil:
		return fmt.Errorf("gateway: %w", err)
	}
	return errors.New("gateway: the event engine stopped by itself: a descriptor or memory could not be had; lower limits.connections and start again")
}

func (g *Gateway) begin() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopping:
		return ErrClosed
	case g.serving:
		return errors.New("gateway: Serve was called twice")
	}
	g.serving = true
	return nil
}

func (g *Gateway) listenAdmin() (net.Listener, error) {
	if g.cfg.Admin == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", g.cfg.Admin)
	if err != nil {
		return nil, fmt.Errorf("gateway: admin: listen: %w", err)
	}
	g.mu.Lock()
	g.admin = l.Addr()
	g.mu.Unlock()
	return l, nil
}

// release gives back what loops hold when the engine is gone.
func (g *Gateway) release() {
	g.cancel()
	g.memory.relief.Wait()
	defer g.audit.flush(auditPatience)
	for _, l := range g.loops {
		left := append(l.mail.close(), l.batch[l.at:]...)
		if l.run.walking {
			left = append(left, l.run.entries...)
		}
		for i := range left {
			g.settle(left[i].charge, nil)
		}
		if far := l.far.Swap(0); far != 0 {
			closeDescriptor(far)
		}
	}
}

// loopOf finds the state of a loop, or makes it: gnet shows its loops only
// through their connections, and a device may be first.
func (g *Gateway) loopOf(ev gnet.EventLoop) *loop {
	for _, a := range *g.byEvent.Load() {
		if a.ev == ev {
			return a.l
		}
	}
	return g.adopt(ev)
}

func (g *Gateway) adopt(ev gnet.EventLoop) *loop {
	g.mu.Lock()
	defer g.mu.Unlock()
	have := *g.byEvent.Load()
	l := g.loops[g.adopted]
	g.adopted++
	l.ev = ev
	l.event.Store(&ev)
	more := append(append([]adoption(nil), have...), adoption{ev, l})
	g.byEvent.Store(&more)
	return l
}

// Reload puts Limits, Trust, Policy and Quotas of a new configuration into force at
// once; its other fields are not looked at. Zero limits take their defaults and
// those that are fixed keep their value. Sessions that are open keep their
// keepalive, AuthenticateWithin and UserTimeout; but each is asked about again: one
// that is not proven any more is closed, a subscription that is not granted any more
// is ended, within a second. So a program whose Authorize changes its mind calls this
// with the same configuration. Its error names the field that is wrong; then all
// stay as they were.
func (g *Gateway) Reload(cfg Config) error {
	lim := cfg.Limits
	lim = lim.withDefaults(g.cfg.onLoopback())
	old := g.limits.Load()
	lim = lim.fixedFrom(*old)
	if err := lim.validate(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if g.secure.IsValid() && (cfg.Trust == nil || !cfg.Trust.HasTLS()) {
		return errors.New("config: listen_tls: needs a certificate to show devices: set tls.certificate and tls.key")
	}
	if g.opens(&cfg) {
		return fmt.Errorf("config: listen_tls: %s stays open until a restart, and with this anyone could connect: keep a way for devices to prove who they are (tls.device_ca, tokens.keys or tokens.static), or allow it with insecure", g.cfg.ListenTLS)
	}
	if err := checkQuotas(cfg.Quotas); err != nil {
		return err
	}
	r, err := rulesOf(&cfg)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	lim.Connections = g.withinCap(lim.Connections)
	g.changing.Lock()
	defer g.changing.Unlock()
	r.classes = g.classes()
	g.rules.Store(r)
	for _, t := range g.tenants.all() {
		t.usage.set(quotaOf(cfg.Quotas, t.name))
		t.names.SetLimit(rate.Limit(lim.TopicRate))
		t.names.SetBurst(lim.TopicRate)
	}
	perSecond, burst := rateOf(lim.ConnectRate)
	g.connects.SetLimit(perSecond)
	g.connects.SetBurst(burst)
	g.limits.Store(&lim)
	g.recheckAll()
	return nil
}

// opens reports whether a new configuration would have anyone connect who names
// himself, at an address where strangers are: the one of now, whatever cfg says.
func (g *Gateway) opens(cfg *Config) bool {
	return g.secure.IsValid() && !g.secure.Addr().IsLoopback() && !cfg.Insecure && g.cfg.Authenticate == nil &&
		!cfg.Trust.ProvesDevices() && !g.cfg.without.reloadExposed
}
