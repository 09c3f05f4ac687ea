package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"
)

// run keeps the client connected until it is closed or sent away.
func (c *Client) run() {
	defer close(c.done)
	next := c.plan.first()
	var untrusted error // what an address of the first round said
	for {
		e := c.attempt(next)
		if e.bye || c.ctx.Err() != nil {
			c.stop(ErrClosed)
			return
		}
		var err error
		level := slog.LevelInfo
		if errors.Is(e.err, ErrUntrusted) || e.own {
			level = slog.LevelWarn // waiting does not help, somebody has to do something
		}
		if errors.Is(e.err, ErrUntrusted) && !c.wasWelcomed() {
			untrusted = e.err
		}
		if next, err = c.plan.next(e); err != nil {
			err = worse(untrusted, err)
			c.opts.logger.Error("stopped", "error", err)
			c.stop(err)
			return
		}
		c.opts.logger.Log(c.ctx, level, "reconnecting", "server", next.addr, "wait", next.wait, "reason", e.err)
		c.opts.onState(State{Phase: Reconnecting, Server: next.addr, Err: e.err, Wait: next.wait})
		if !wait(c.ctx, next.wait) {
			c.stop(ErrClosed)
			return
		}
	}
}

// worse is which error of a first round to return: a certificate that is not trusted
// says more than another address that is away.
func worse(untrusted, last error) error {
	var stopped *StoppedError
	if untrusted == nil || errors.Is(last, ErrUntrusted) || errors.As(last, &stopped) {
		return last
	}
	return fmt.Errorf("%w (and then: %w)", untrusted, last)
}

// wait sleeps unless ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt connects once and serves the connection until it ends.
func (c *Client) attempt(a attempt) ending {
	auth, err := c.credential()
	if err != nil {
		return ending{err: err, own: true}
	}
	ctx, cancel := context.WithTimeout(c.ctx, dialTimeout)
	nc, err := c.connect(ctx, a.addr)
	cancel()
	if err != nil {
		return ending{err: fmt.Errorf("client: connecting to %s: %w", a.addr, err)}
	}
	k := newConn(c, nc, a, auth)
	// Close has to end a read or write that is under way.
	stop := context.AfterFunc(c.ctx, func() { _ = nc.Close() })
	defer stop()
	return k.serve()
}

// connect dials, and does the TLS handshake if there is one.
func (c *Client) connect(ctx context.Context, addr string) (net.Conn, error) {
	nc, err := c.opts.dial(ctx, addr)
	if err != nil || c.opts.tls == nil {
		return nc, err
	}
	return secure(ctx, c.opts.tls, nc, addr)
}

// wasWelcomed reports that a gateway has served this client.
func (c *Client) wasWelcomed() bool {
	select {
	case <-c.welcomed:
		return true
	default:
		return false
	}
}

// connected makes a connection that was welcomed the client's; the lock is held.
func (c *Client) connected(k *conn) {
	c.conn, c.server = k, k.addr
	k.session.begin(c.intakes)
	if !c.wasWelcomed() {
		close(c.welcomed)
	}
}

// disconnected takes the connection away.
func (c *Client) disconnected(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == k {
		c.conn = nil
	}
	c.outbox.disconnected()
}

// stop ends everything that waits.
func (c *Client) stop(err error) {
	c.mu.Lock()
	c.err = err
	c.outbox.fail(err)
	for _, in := range c.intakes {
		in.answers(err)
	}
	c.mu.Unlock()
	c.cancel()
	c.opts.onState(State{Phase: Closed, Err: err})
}

// deliver hands events to their subscriptions.
func (c *Client) deliver(k *conn, all []delivery) {
	for _, d := range all {
		if d.placed {
			d.to.answers(nil)
			continue
		}
		if d.err != nil {
			c.mu.Lock()
			c.intakes = slices.DeleteFunc(c.intakes, func(in *intake) bool { return in == d.to })
			c.mu.Unlock()
		}
		if sub := d.to.owner; !sub.queue.push(d.item, c.awaited.Load() > 0) {
			k.stall(true)
			c.deliverLater(sub, d.item)
			k.stall(false)
		}
	}
}

// deliverLater waits for room. Meanwhile nothing is read, so TCP pushes back, and
// the gateway's policy decides.
func (c *Client) deliverLater(sub *Subscription, it item) {
	for {
		select {
		case <-sub.queue.room:
		case <-c.hurry:
		case <-sub.closed:
			return
		case <-c.ctx.Done():
			return
		}
		if sub.queue.push(it, c.awaited.Load() > 0) {
			return
		}
	}
}

// await counts a caller that waits for an answer; what it returns ends that.
func (c *Client) await() func() {
	c.awaited.Add(1)
	poke(c.hurry)
	return func() { c.awaited.Add(-1) }
}

// endingOf says how a connection ended, for the plan.
func endingOf(err error) ending {
	e := ending{err: err}
	if by := (*closedByGateway)(nil); errors.As(err, &by) {
		e.coded, e.code, e.text, e.retry = true, by.code, by.text, by.retry
	}
	return e
}
