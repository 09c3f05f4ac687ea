package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds one attempt to connect, and then the wait for WELCOME.
const dialTimeout = 10 * time.Second

// Client is a device's session with a fleet of gateways. It reconnects,
// resubscribes and resumes by itself until it is closed or sent away for good.
// Its methods may be called from any goroutine.
type Client struct {
	// Static.
	opts        options
	incarnation uint32
	ctx         context.Context // ends with Close
	cancel      context.CancelFunc
	welcomed    chan struct{} // closed at the first WELCOME
	done        chan struct{} // closed when nothing runs any more; err is set then
	awaited     atomic.Int32  // callers that wait for an answer of the gateway
	hurry       chan struct{} // poked when there is one more

	// Owned by run.
	plan reconnect

	mu      sync.Mutex // guards all below, and what the session and the intakes hold
	conn    *conn      // nil while there is none that was welcomed
	intakes []*intake
	outbox  outbox
	server  string
	leaving bool // Shutdown was called
	err     error
}

// Dial connects to a gateway at addr ("host:port"), or at one of WithServers. It
// returns when a gateway has said WELCOME, or with the error of the last try after
// each address was tried once; a gateway that says when to come back is waited for.
// ctx bounds Dial only; the Client lives until Close.
func Dial(ctx context.Context, addr string, opts ...Option) (*Client, error) {
	o := defaults()
	o.servers = []string{addr}
	for _, opt := range opts {
		opt(&o)
	}
	o.servers = slices.DeleteFunc(o.servers, func(s string) bool { return s == "" })
	if len(o.servers) == 0 {
		return nil, errors.New("client: no address to connect to")
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Client{
		opts:        o,
		incarnation: rand.Uint32(),
		welcomed:    make(chan struct{}),
		done:        make(chan struct{}),
		hurry:       make(chan struct{}, 1),
		plan: reconnect{
			servers: o.servers, least: o.backoffMin, most: o.backoffMax, random: rand.Float64,
			fixed: o.source == nil && o.token != "",
		},
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go c.run()
	select {
	case <-c.welcomed:
		return c, nil
	case <-c.done:
		return nil, c.err
	case <-ctx.Done():
		_ = c.Close()
		return nil, fmt.Errorf("client: connecting to %s: %w", o.servers[0], ctx.Err())
	}
}

// Identity is the name given by WithDevice; empty if the credentials or the
// gateway name the device.
func (c *Client) Identity() string { return c.opts.device }

// Server is the address of the gateway that the client is, or was last, connected to.
func (c *Client) Server() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// Shutdown refuses new requests, waits until every Publish under way has its
// answer, says goodbye to the gateway and closes. If ctx ends before, it closes at
// once and returns ctx's error.
func (c *Client) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.leaving = true
	idle := make(chan struct{})
	c.outbox.whenIdle(idle)
	c.mu.Unlock()
	select {
	case <-idle:
	case <-c.done:
		return nil
	case <-ctx.Done():
		_ = c.Close()
		return ctx.Err()
	}
	c.mu.Lock()
	conn := c.conn
	if conn != nil {
		conn.goodbye()
	}
	c.mu.Unlock()
	if conn == nil {
		return c.Close()
	}
	// The gateway closes when it has read all; closing before could lose some of it.
	t := time.NewTimer(goodbyeWithin)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.done:
	case <-ctx.Done():
		_ = c.Close()
		return ctx.Err()
	}
	return c.Close()
}

// Close closes the connection at once and waits until nothing of the client runs
// any more. Every call under way returns ErrClosed, or ErrUnknownOutcome for a
// Publish that was sent. Closing twice is fine.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	return nil
}

// Err is why the client stopped: nil while it runs, ErrClosed after Close, a
// *StoppedError if a gateway sent it away.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// refusing says why no new request is taken; the lock is held.
func (c *Client) refusing() error {
	switch {
	case c.err != nil:
		return c.err
	case c.leaving || c.ctx.Err() != nil:
		return ErrClosed
	}
	return nil
}
