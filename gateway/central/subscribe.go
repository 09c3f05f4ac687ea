package central

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bellwire/bellwire/wire"
)

// interest is a filter that somebody here subscribes to.
type interest struct{ tenant, filter string }

// subscriptions counts who wants what. It is changed from event loops and does no more
// there; NATS is told by a goroutine.
type subscriptions struct {
	mu    sync.Mutex
	refs  map[interest]int
	dirty map[interest]struct{} // came or went since NATS was told
	edits uint64                // how often one came or went
	told  uint64                // edits that NATS was told of
	moved chan struct{}         // closed when told rises
	wake  chan struct{}         // holds one: dirty is not empty
}

func newSubscriptions() *subscriptions {
	return &subscriptions{refs: map[interest]int{}, dirty: map[interest]struct{}{}, wake: make(chan struct{}, 1), moved: make(chan struct{})}
}

func (s *subscriptions) add(i interest, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.refs[i]
	s.refs[i] = before + n
	if before+n == 0 {
		delete(s.refs, i)
	}
	if before == 0 || before+n == 0 {
		s.dirty[i] = struct{}{}
		s.edits++
		signal(s.wake)
	}
}

// changed are the filters that came or went, and whether they are wanted now.
func (s *subscriptions) changed() (changed map[interest]bool, edits uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[interest]bool, len(s.dirty))
	for i := range s.dirty {
		all[i] = s.refs[i] > 0
	}
	clear(s.dirty)
	return all, s.edits
}

// tell notes that NATS was told of so many edits.
func (s *subscriptions) tell(edits uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if edits > s.told {
		s.told = edits
		close(s.moved)
		s.moved = make(chan struct{})
	}
}

// untold reports whether NATS has not been told of so many edits; then what is closed when
// that may have changed.
func (s *subscriptions) untold(edits uint64) (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told < edits, s.moved
}

// all are the filters that are wanted, after so many edits.
func (s *subscriptions) all() (all []interest, edits uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = make([]interest, 0, len(s.refs))
	for i := range s.refs {
		all = append(all, i)
	}
	return all, s.edits
}

func (s *subscriptions) edited() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.edits
}

// Subscribe has messages that match a filter of a tenant handed to Config.Deliver until
// cancel is called. It never blocks. There is one NATS subscription for a filter,
// however often it is subscribed to, and a message comes once, however many filters
// match: see the package's comment. While the service is away it is remembered. The
// error is a *wire.Error, CodeBadTopic.
func (c *Central) Subscribe(tenant, filter string) (cancel func(), err error) {
	if err := checkFilter(tenant, filter); err != nil {
		return nil, err
	}
	i := interest{tenant, filter}
	c.subs.add(i, 1)
	return sync.OnceFunc(func() { c.subs.add(i, -1) }), nil
}

func checkFilter(tenant, filter string) error {
	err := checkTenant(tenant)
	if err == nil {
		err = wire.CheckFilter([]byte(filter))
	}
	if err != nil {
		return refuse(wire.CodeBadTopic, err.Error())
	}
	return nil
}

// Subscribed waits until the service brings what was subscribed to before, or ctx ends.
// In a cluster that is the server which this gateway is connected to; the others know a
// moment later.
func (c *Central) Subscribed(ctx context.Context) error {
	edits := c.subs.edited()
	for {
		untold, moved := c.subs.untold(edits)
		l, changed := c.link()
		if !untold && l != nil {
			asking, cancel := l.during(ctx)
			err := l.nc.FlushWithContext(asking)
			cancel()
			if err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("central: subscriptions are not all there: %w", context.Cause(ctx))
		case <-c.ctx.Done():
			return ErrClosed
		case <-moved:
		case <-changed:
		case <-time.After(200 * time.Millisecond): // a flush that failed while the link stands
		}
	}
}

// subscribing tells NATS what is wanted, until c.ctx ends.
//
// All subscriptions of a gateway are members of one queue group, of which the server
// takes one for each message. So it comes once, and each change of the set takes effect
// between two messages. One that is not wanted any more is drained: what the server
// picked it for is still taken.
func (c *Central) subscribing(nc *nats.Conn, received chan *nats.Msg) {
	active := map[interest][]*nats.Subscription{}
	for {
		// While there is no connection nothing is dropped from the client's list: it
		// could be about to send that list.
		if c.nextLink() == nil {
			return
		}
		changed, edits := c.subs.changed()
		for i, wanted := range changed {
			have := active[i]
			switch {
			case wanted && have == nil:
				for _, subject := range c.names.filter(i.tenant, i.filter) {
					sub, err := c.queue(nc, subject, received)
					if c.ctx.Err() != nil {
						return
					}
					if err != nil {
						c.log.Error("central: cannot subscribe", "subject", subject, "error", err)
						continue
					}
					have = append(have, sub)
				}
				active[i] = have
			case !wanted && have != nil:
				for _, sub := range have {
					_ = sub.Drain()
				}
				delete(active, i)
			}
		}
		c.subs.tell(edits)
		c.bound.interested()
		select {
		case <-c.ctx.Done():
			return
		case <-c.subs.wake:
		}
	}
}

func (c *Central) queue(nc *nats.Conn, subject string, received chan *nats.Msg) (*nats.Subscription, error) {
	if c.cfg.without.oneGroup {
		return nc.ChanSubscribe(subject, received)
	}
	return nc.ChanQueueSubscribe(subject, c.group, received)
}

// pump moves messages to the inbox in the order in which they came, fast: the client
// throws away what does not fit its channel.
func (c *Central) pump(received <-chan *nats.Msg) {
	for {
		select {
		case <-c.ctx.Done():
			return
		case m := <-received:
			if c.bound.of(m.Subject) != nil {
				continue // it comes from the stream
			}
			tenant, topic, err := c.names.parse(topicPart, m.Subject)
			if err != nil {
				c.refuse(err)
				continue
			}
			c.in.add(arrival{tenant: tenant, topic: topic, payload: m.Data})
		}
	}
}

func (c *Central) refuse(err error) {
	c.refused.Do(func() { c.log.Warn("a message of a backend is refused: its subject is no topic", "error", err) })
}

// deliver hands out what is in the inbox.
func (c *Central) deliver() {
	var room []arrival
	for {
		all := c.in.take(room)
		if len(all) == 0 {
			select {
			case <-c.ctx.Done():
				return
			case <-c.in.wake:
				continue
			}
		}
		for i := range all {
			if c.ctx.Err() != nil {
				return
			}
			a := &all[i]
			if a.missing {
				c.missed(a.tenant, a.topic, 0)
			} else {
				c.hand(a.tenant, a.topic, wire.Position{}, a.payload)
			}
			c.in.freed(a)
		}
		clear(all)
		room = all
	}
}

func (c *Central) hand(tenant, topic string, at wire.Position, payload []byte) {
	if c.cfg.Deliver != nil {
		c.cfg.Deliver(tenant, topic, at, payload)
	}
}

func (c *Central) missed(tenant, topic string, life wire.Life) {
	if c.cfg.Missed != nil {
		c.cfg.Missed(tenant, topic, life)
	}
}
