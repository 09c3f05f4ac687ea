package central

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/bellwire/bellwire/wire"
)

// ErrAway is why nothing can be asked of the central service now. Its wire code is
// CodeCentralAway.
var ErrAway error = &wire.Error{Code: wire.CodeCentralAway, Type: wire.TypePublish, Field: "the central service is away, or has no quorum"}

// ErrClosed is what a Central that was closed answers; it is net.ErrClosed to errors.Is.
var ErrClosed = fmt.Errorf("central: %w", net.ErrClosed)

// Central is a gateway's connection to the central service. All methods are safe for
// concurrent use.
type Central struct {
	cfg     Config
	log     *slog.Logger
	names   subjects
	group   string // queue group of all subscriptions of this gateway
	server  *embedded
	ready   chan struct{} // closed when the service was reached for the first time
	reached func()        // closes ready
	done    chan struct{} // closed when Run has returned
	closed  chan struct{} // closed when the connection is, for good
	ctx     context.Context
	cancel  context.CancelFunc
	refused rate.Sometimes // says in the log that a subject is not a topic
	// unstored says in the log that a stream did not take a message.
	unstored rate.Sometimes

	out   *outbox
	in    *inbox
	subs  *subscriptions
	bound *bindings

	records, leases *Store
	fleet           fleet
	injecting       sync.WaitGroup
	renewals        chan struct{} // holds one: the lease is to be renewed now

	mu      sync.Mutex
	running bool
	stopped bool
	conn    *link // nil: away
	changed chan struct{}
}

// link is one time of being connected. Whatever waits for an answer gives up with it.
type link struct {
	ctx    context.Context
	cancel context.CancelFunc
	nc     *nats.Conn
	js     jetstream.JetStream
}

// New checks the configuration. It opens nothing.
func New(cfg Config) (*Central, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Central{
		cfg: cfg, log: cfg.Logger, names: subjects{cfg.Prefix}, group: fmt.Sprintf("%s-%016x", cfg.Prefix, rand.Uint64()),
		ready: make(chan struct{}), done: make(chan struct{}), closed: make(chan struct{}), changed: make(chan struct{}), renewals: make(chan struct{}, 1),
		refused: rate.Sometimes{Interval: time.Minute}, unstored: rate.Sometimes{Interval: time.Minute},
	}
	c.reached = sync.OnceFunc(func() { close(c.ready) })
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if len(cfg.URLs) == 0 {
		c.server = &embedded{cfg: cfg, log: cfg.Logger}
	}
	c.out = newOutbox(cfg.Pending)
	c.in = newInbox(cfg.Inbox)
	c.subs = newSubscriptions()
	c.bound = newBindings()
	c.records = newStore(c, "records", jetstream.KeyValueConfig{Storage: jetstream.FileStorage})
	// Leases are renewed all the time, and worth nothing after a restart. Those of gateways that crashed go by themselves,
	// long after everyone has judged them.
	c.leases = newStore(c, "gateways", jetstream.KeyValueConfig{Storage: jetstream.MemoryStorage, TTL: 10 * cfg.Lease})
	return c, nil
}

// Run connects, and connects again for ever, until ctx ends or Close. Its error is one
// that waiting does not help against: a data directory of another process, an address
// that is in use. It may be called once.
func (c *Central) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.running || c.stopped {
		c.mu.Unlock()
		return ErrClosed
	}
	c.running = true
	c.mu.Unlock()
	defer close(c.done)
	defer context.AfterFunc(ctx, c.cancel)()

	var all sync.WaitGroup
	var nc *nats.Conn
	defer func() {
		c.cancel()
		if nc != nil {
			nc.Close() // ends what waits for the socket
			<-c.closed // the last of the client's handlers: none begins a link any more
			c.down()
		}
		all.Wait()
		c.injecting.Wait()
		if c.server != nil {
			c.server.stop()
		}
	}()
	if c.server != nil {
		switch err := c.server.start(); {
		case errors.Is(err, errDirInUse) || errors.Is(err, errListenInUse):
			return err
		case err != nil:
			c.log.Error("central: the embedded server does not start, it is tried again", "error", err)
		}
		all.Go(func() { c.server.keep(c.ctx, time.Second) })
	}
	if nc = c.connect(); nc == nil {
		return nil
	}
	received := make(chan *nats.Msg, 8192)
	for _, work := range []func(){
		func() { c.send(nc) }, func() { c.pump(received) }, c.deliver,
		func() { c.subscribing(nc, received) }, c.binding, c.watchGateways,
	} {
		all.Go(work)
	}
	if err := c.serveInjections(nc); err != nil {
		return err
	}
	<-c.ctx.Done()
	return nil
}

// connect returns once it has succeeded, or nil when c.ctx is over. From then on the
// client reconnects by itself.
func (c *Central) connect() *nats.Conn {
	said := ""
	for {
		nc, err := nats.Connect(strings.Join(c.cfg.URLs, ","), c.options()...)
		if err == nil {
			return nc
		}
		if err.Error() != said {
			said = err.Error()
			c.log.Warn("central is not reached, it is tried again", "error", err)
		}
		select {
		case <-c.ctx.Done():
			return nil
		case <-time.After(reconnectWait + rand.N(reconnectWait)):
		}
	}
}

// The client's times. A service that is silent is noticed within six seconds.
const (
	reconnectWait = 250 * time.Millisecond
	dialTimeout   = 2 * time.Second
	pingEach      = 2 * time.Second
	pingsOut      = 2
	writeTimeout  = 5 * time.Second
	// askTimeout is for requests that nobody but this package waits for.
	askTimeout = 5 * time.Second
)

func (c *Central) options() []nats.Option {
	opts := []nats.Option{
		nats.Name(c.cfg.Name), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait, 4*reconnectWait),
		nats.Timeout(dialTimeout), nats.PingInterval(pingEach), nats.MaxPingsOutstanding(pingsOut), nats.FlusherTimeout(writeTimeout),
		// What waits for a connection waits in the outbox, or is refused.
		nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.down()
			if c.ctx.Err() == nil {
				c.log.Warn("central is away", "error", err)
			}
		}),
		// The client calls its handlers one at a time and in order, so that up and down never overlap.
		nats.ConnectHandler(c.up), nats.ReconnectHandler(c.up),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
		nats.ErrorHandler(c.trouble),
	}
	switch {
	case c.server != nil:
		opts = append(opts, nats.InProcessServer(c.server))
	case c.cfg.TLS != nil:
		opts = append(opts, nats.Secure(c.cfg.TLS.Clone()))
	}
	return opts
}

// Recheck has everybody prove himself again, by what Config.TLS believes now: the
// embedded server closes the connections of its port, and a connection to URLs is made
// anew. They are back within a second or two; meanwhile the service is away for them. Call
// it when something is not believed any more: new connections need no call.
func (c *Central) Recheck() error {
	if c.server != nil {
		return c.server.recheck()
	}
	c.mu.Lock()
	l := c.conn
	c.mu.Unlock()
	if l == nil || c.cfg.TLS == nil {
		return nil
	}
	if err := l.nc.ForceReconnect(); err != nil {
		return fmt.Errorf("central: %w", err)
	}
	return nil
}

// trouble is an error that the client has nobody else to tell.
func (c *Central) trouble(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil && sub.Queue == c.group {
		c.in.missed()
	}
	c.log.Warn("central", "error", err)
}

// up begins a link. A connection that is lost again by now will be told of when it is back.
func (c *Central) up(nc *nats.Conn) {
	if !nc.IsConnected() {
		return
	}
	js, err := jetstream.New(nc)
	if err != nil {
		c.log.Error("central", "error", err)
		return
	}
	l := &link{nc: nc, js: js}
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	c.mu.Lock()
	if c.conn != nil {
		c.conn.cancel()
	}
	c.conn = l
	c.wake()
	c.mu.Unlock()
	c.out.open()
	server := "embedded"
	if c.server == nil {
		server = nc.ConnectedUrlRedacted()
	}
	c.log.Info("central is there", "server", server, "cluster", nc.ConnectedClusterName())
	c.reached()
	if c.cfg.Away != nil {
		c.cfg.Away(false)
	}
}

// down ends the link: what waits to be sent is lost, and subscribers are told.
func (c *Central) down() {
	lost := c.out.shut() // before the link is gone: who sees that is refused
	c.mu.Lock()
	l := c.conn
	c.conn = nil
	c.wake()
	c.mu.Unlock()
	if l == nil {
		return
	}
	l.cancel()
	if lost > 0 {
		c.log.Warn("central went before what waited was sent", "messages lost", lost)
	}
	c.in.missed()
	if c.cfg.Away != nil {
		c.cfg.Away(true)
	}
}

// wake tells those who wait for the link to change. The lock is held.
func (c *Central) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// link is the present one, nil if central is away, and what is closed when it changes.
func (c *Central) link() (*link, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn, c.changed
}

// nextLink waits for a link; nil: c.ctx is over.
func (c *Central) nextLink() *link {
	for {
		l, changed := c.link()
		switch {
		case c.ctx.Err() != nil:
			return nil
		case l != nil:
			return l
		}
		select {
		case <-c.ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// Ready is closed when the service was reached for the first time.
func (c *Central) Ready() <-chan struct{} { return c.ready }

// Connected reports whether the service is there.
func (c *Central) Connected() bool {
	l, _ := c.link()
	return l != nil
}

// Addr is where an embedded server offers itself to the fleet; nil: nowhere.
func (c *Central) Addr() net.Addr {
	if c.server == nil {
		return nil
	}
	return c.server.addr()
}

// Problem is why nothing is stored though the service may be there, such as a full disk
// under the data directory; nil: none is known. It goes away by itself.
func (c *Central) Problem() error {
	if c.server == nil {
		return nil
	}
	return c.server.problem()
}

// Shutdown sends what waits, until ctx ends, and closes.
func (c *Central) Shutdown(ctx context.Context) error {
	err := c.flush(ctx)
	return errors.Join(err, c.Close())
}

func (c *Central) flush(ctx context.Context) error {
	l, _ := c.link()
	if l == nil {
		return nil
	}
	if err := c.out.empty(ctx); err != nil {
		return fmt.Errorf("central: what waits was not sent: %w", err)
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	if err := l.nc.FlushWithContext(ctx); err != nil && l.ctx.Err() == nil {
		return fmt.Errorf("central: what waits was not sent: %w", err)
	}
	return nil
}

// Close ends everything at once and returns when all goroutines have, Run's as well. It
// must not be called from a callback.
func (c *Central) Close() error {
	c.mu.Lock()
	c.stopped = true
	running := c.running
	c.mu.Unlock()
	c.cancel()
	if running {
		<-c.done
	}
	return nil
}
