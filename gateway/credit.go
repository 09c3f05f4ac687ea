package gateway

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// What a message needs in memory beside its bytes, measured with the smallest
// there are: charge and frame, and its place in each mailbox, whose arrays have
// room to grow. Without it many small messages would be far more than the pool.
const (
	overheadOfMessage = 128
	overheadOfPost    = 96
)

// pool is the publish credit of a gateway: the memory of messages that may be on
// their way through mailboxes. One tenant takes at most half of it.
type pool struct {
	size  int64
	share int64

	// Changed under mu only, as tenants' lent is: a take that fails must not show
	// in between, or somebody else would wait for what nobody has.
	used atomic.Int64

	mu      sync.Mutex
	changed chan struct{} // closed when something comes back and somebody waits
}

func newPool(size int) *pool { return &pool{size: int64(size), share: int64(size) / 2} }

// take lends n bytes to a tenant; false if there are not so many. A single
// message always fits an idle pool.
func (p *pool) take(t *tenant, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lend(t, n)
}

// lend is take under the lock.
func (p *pool) lend(t *tenant, n int64) bool {
	lent, used := t.lent.Load(), p.used.Load()
	if lent > 0 && lent+n > p.share || used > 0 && used+n > p.size {
		return false
	}
	t.lent.Add(n)
	p.used.Add(n)
	return true
}

func (p *pool) giveBack(t *tenant, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.lent.Add(-n)
	p.used.Add(-n)
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// wait is take that waits until there is enough, ctx ends or closed does.
func (p *pool) wait(ctx context.Context, closed <-chan struct{}, t *tenant, n int64) error {
	for {
		changed, ok := p.takeOrAwait(t, n)
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-closed:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// takeOrAwait takes, or returns what is closed when it may succeed.
func (p *pool) takeOrAwait(t *tenant, n int64) (changed <-chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lend(t, n) {
		return nil, true
	}
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed, false
}

// charge is what one message holds of the pool until it has left every mailbox, and
// every batch for other gateways.
type charge struct {
	g      *Gateway
	tenant *tenant
	owner  handle // the publishing session, if it is one
	device bool
	bytes  int64        // what the device gets back
	lent   int64        // what the pool gets back
	left   atomic.Int32 // mailboxes that still hold it
}

// settle is called by each loop that is done with the message; the last one
// gives the bytes back, to the pool and to the device.
func (g *Gateway) settle(c *charge, l *loop) {
	if c == nil || c.left.Add(-1) > 0 {
		return
	}
	owner, bytes, device := c.owner, c.bytes, c.device
	g.credit.giveBack(c.tenant, c.lent)
	g.charges.Put(c)
	switch {
	case !device:
	case l != nil && owner.loop == uint32(l.n):
		l.creditBack(owner, bytes)
	default:
		to := g.loops[owner.loop]
		if to.returned.add(owner, bytes) {
			to.mail.post(entry{call: (*loop).takeReturned})
		}
	}
}

// Release implements peer.Held: the message has left the batches.
func (c *charge) Release() { c.g.settle(c, nil) }

// returned is credit of devices that came back elsewhere than on their loop: hundreds
// of messages of a batch at once, which shall not be as many entries of a mailbox.
type returned struct {
	mu   sync.Mutex
	list []giveBack
}

type giveBack struct {
	owner handle
	bytes int64
}

// add reports whether it is the first since the loop took the last ones.
func (r *returned) add(owner handle, bytes int64) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.list) - 1; last >= 0 && r.list[last].owner == owner {
		r.list[last].bytes += bytes
		return false
	}
	r.list = append(r.list, giveBack{owner, bytes})
	return len(r.list) == 1
}

// take is what came, in exchange for an empty list.
func (r *returned) take(empty []giveBack) []giveBack {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = empty
	return list
}

func (l *loop) takeReturned() {
	list := l.returned.take(l.spare[:0])
	for _, b := range list {
		l.creditBack(b.owner, b.bytes)
	}
	l.spare = list
}

// lend says what a message on the topic takes of the pool. A loop that becomes
// interested after this and before the publish is not in it.
func (c *charge) lend(t *fanout.Topic) int64 {
	c.lent = c.bytes + overheadOfMessage + overheadOfPost*int64(bits.OnesCount64(t.Loops()))
	return c.lent
}

// charge is a new charge for a message of a tenant. It takes nothing yet.
func (g *Gateway) charge(t *tenant, bytes int) *charge {
	c, ok := g.charges.Get().(*charge)
	if !ok {
		c = &charge{g: g}
	}
	c.tenant, c.bytes, c.lent, c.owner, c.device = t, int64(bytes), 0, handle{}, false
	return c
}

// creditBack tells the device, once half of its window has come back, so that
// CREDIT is rare and a publisher never stalls.
func (l *loop) creditBack(owner handle, bytes int64) {
	s := l.slots.get(owner)
	if s == nil || s.pub == nil {
		return
	}
	s.pub.owed += int(bytes)
	if l.creditDue(s) {
		l.sayCredit(s)
		if !l.run.walking {
			l.flush(l.slots.at(s.n))
		}
	}
}

// creditDue reports that half of the window has come back.
func (l *loop) creditDue(s *session) bool {
	return s.pub.owed >= l.g.limits.Load().PublishCredit/2
}

// sayCredit gives the device what has come back.
func (l *loop) sayCredit(s *session) {
	s.pub.credit += s.pub.owed
	l.say(s, wire.Credit{Bytes: uint64(s.pub.owed)}.Append(l.enc[:0]))
	s.pub.owed = 0
}
