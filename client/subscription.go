package client

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/bellwire/bellwire/wire"
)

const defaultBuffer = 256

// Subscription is the application's end of one filter. Its methods may be called
// from any goroutine; each event goes to one call of Next.
type Subscription struct {
	// Static.
	client *Client
	intake *intake
	queue  *queue
	closed chan struct{}

	reading  chan struct{} // holds a token while somebody takes from queue; room for one
	mu       sync.Mutex    // guards all below
	returned *positions
	shut     bool
	err      error // the gateway ended it
}

// Subscribe asks for the messages of a filter, in which + stands for one level
// and a last # for the rest. It returns when a gateway has agreed. The
// subscription lasts over reconnects; an exact filter resumes where it was, a
// wildcard resumes the last 1,024 topics that it has seen, and says by a Gap without
// a topic that others may have had messages.
//
// A subscription whose application does not call Next in time stops the reading of
// the whole connection once its buffer is full. The other subscriptions of this
// client wait too, and the gateway treats the client by its policy. Use a client of
// its own for a consumer that may be slow. A Publish or Subscribe that waits for its
// answer lets the reading go on, within 4,096 events or 16 MiB, so the goroutine that
// calls Next may call them.
//
// The error is ctx's, ErrClosed, a *StoppedError, or a *RefusedError.
func (c *Client) Subscribe(ctx context.Context, filter string, opts ...SubOption) (*Subscription, error) {
	if err := wire.CheckFilter([]byte(filter)); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	o := subOptions{buffer: defaultBuffer}
	for _, opt := range opts {
		opt(&o)
	}
	s, err := newSubscription(c, filter, o)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if err := c.refusing(); err != nil {
		c.mu.Unlock()
		return nil, err
	}
	c.intakes = append(c.intakes, s.intake)
	if c.conn != nil {
		c.conn.session.join(s.intake)
		c.conn.poke()
	}
	c.mu.Unlock()
	defer c.await()()
	select {
	case err = <-s.intake.answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func newSubscription(c *Client, filter string, o subOptions) (*Subscription, error) {
	s := &Subscription{
		client: c, queue: newQueue(o.buffer), closed: make(chan struct{}), returned: newPositions(),
		reading: make(chan struct{}, 1),
	}
	s.intake = &intake{
		owner: s, filter: filter, wildcard: wire.IsWildcard([]byte(filter)), opts: o, without: c.opts.without,
		had: newPositions(), resumes: o.start == wire.StartCursor,
		answer: make(chan error, 1),
	}
	for _, p := range o.cursor {
		if p.Topic == "" && !s.intake.wildcard {
			p.Topic = filter
		}
		if !wire.Match(filter, p.Topic) {
			return nil, fmt.Errorf("client: cursor has topic %q, which %q does not match", p.Topic, filter)
		}
		s.intake.had.set(p.Topic, p.Life, p.Offset)
		s.returned.set(p.Topic, p.Life, p.Offset)
	}
	return s, nil
}

// Filter is what was subscribed.
func (s *Subscription) Filter() string { return s.intake.filter }

// Next returns the next event. It waits until there is one, ctx ends, or the
// subscription does: then the error is ErrClosed, the *StoppedError of the client,
// or a *RefusedError if the gateway withdrew the permission. What was received
// before the end is returned first, except after Subscription.Close.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	if !s.tryReading() {
		select {
		case s.reading <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer s.doneReading()
	for {
		it, err := s.take(ctx)
		if err != nil {
			return nil, err
		}
		if event, err := s.accept(it); event != nil || err != nil {
			return event, err
		}
	}
}

// tryReading becomes the one that takes from queue, unless somebody else is.
func (s *Subscription) tryReading() bool {
	select {
	case s.reading <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Subscription) doneReading() { <-s.reading }

// take waits for the next item.
func (s *Subscription) take(ctx context.Context) (item, error) {
	for {
		if err := s.ended(); err != nil {
			return item{}, err
		}
		if it, ok := s.queue.pop(); ok {
			return it, nil
		}
		select {
		case <-s.queue.ready:
		case <-s.closed:
		case <-ctx.Done():
			return item{}, ctx.Err()
		case <-s.client.done:
			if it, ok := s.queue.pop(); ok {
				return it, nil
			}
			return item{}, s.client.Err()
		}
	}
}

// ended is why nothing comes any more.
func (s *Subscription) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return ErrClosed
	}
	return s.err
}

// accept moves the cursor over an item that goes to the application.
func (s *Subscription) accept(it item) (Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.err != nil {
		s.err = it.err
		return nil, it.err
	}
	switch {
	case it.moves:
		s.returned.set(it.topic, it.life, it.offset)
	case it.drops:
		s.returned.drop(it.topic, it.life)
	}
	return it.event, nil
}

// Cursor is the positions of what Next has returned, for WithCursor: an
// application that stores it after it has dealt with an event, and crashes, sees
// some events again and misses none. It is empty for an untracked subscription.
func (s *Subscription) Cursor() []TopicPosition {
	// A Next that is under way does this itself.
	if s.tryReading() {
		s.passPositions()
		s.doneReading()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.returned.list()
}

// passPositions takes what is no event for the application but moves its cursor:
// the place where a topic began.
func (s *Subscription) passPositions() {
	for {
		it, ok := s.queue.peek()
		if !ok || it.event != nil || it.err != nil {
			return
		}
		_, _ = s.queue.pop()
		_, _ = s.accept(it)
	}
}

// Close ends the subscription; Next returns ErrClosed. It does not wait for the
// gateway. Closing twice is fine.
func (s *Subscription) Close() error {
	s.mu.Lock()
	if s.shut {
		s.mu.Unlock()
		return nil
	}
	s.shut = true
	close(s.closed)
	s.mu.Unlock()

	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.intakes = slices.DeleteFunc(c.intakes, func(in *intake) bool { return in == s.intake })
	if c.conn != nil {
		c.conn.session.part(s.intake)
		c.conn.poke()
	}
	return nil
}
