package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Publish sends a message and waits for the gateway's ACK. While there is no
// connection, or no credit, it waits, and where the gateway says "later" it sends
// the message again after the time that the gateway gives, else after a back-off
// from 5 s: what was refused was not published, so nobody sees it twice. So it is
// ctx that bounds it. It may be called from many goroutines; the messages of one
// are published in order.
//
// The error is ctx's or ErrClosed if the message was not sent, ErrUnknownOutcome
// (and ctx's, if that was the reason) if it was sent and not answered, a
// *RefusedError or *StoppedError if it was not published. A context that ends while
// the gateway says "later" gives the *RefusedError, which has the delay, and ctx's.
func (c *Client) Publish(ctx context.Context, topic string, payload []byte, opts ...PubOption) error {
	if err := wire.CheckTopic([]byte(topic)); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	var o pubOptions
	for _, opt := range opts {
		opt(&o)
	}
	m := &message{topic: topic, payload: payload, ack: !o.noAck, retry: o.retry, done: make(chan error, 1)}
	backoff := laterLeast
	for {
		err := c.publish(ctx, m)
		refused := (*RefusedError)(nil)
		if err == nil || !errors.As(err, &refused) || !refused.retryable() {
			return err
		}
		delay := time.Duration((1 + rand.Float64()) * float64(refused.Retry)) // [W-8.3]
		switch {
		case refused.Code.Class() != wire.ClassLater:
			delay = time.Duration(rand.Float64() * float64(atOnceMost))
		case delay == 0:
			delay = time.Duration((1 + rand.Float64()/2) * float64(backoff))
			backoff = min(2*backoff, max(laterLeast, c.opts.backoffMax))
		}
		if werr := c.pause(ctx, delay); werr != nil {
			return fmt.Errorf("%w (%w)", err, werr)
		}
	}
}

// publish sends once and waits for the result.
func (c *Client) publish(ctx context.Context, m *message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	if err := c.refusing(); err != nil {
		c.mu.Unlock()
		return err
	}
	c.outbox.waiting = append(c.outbox.waiting, m)
	if c.conn != nil {
		c.conn.session.publish()
		c.conn.poke()
	}
	c.mu.Unlock()
	defer c.await()()
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case err := <-m.done: // it came at the same time
		return err
	default:
	}
	if c.outbox.withdraw(m) {
		return fmt.Errorf("%w (%w)", ErrUnknownOutcome, ctx.Err())
	}
	return ctx.Err()
}

// pause waits between two tries.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return ErrClosed
	}
}
