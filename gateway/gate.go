package gateway

import (
	"context"
	"sync"
	"time"
)

// gate lets as many proofs compute at once as there are tickets: handshakes and
// signatures take whole milliseconds, and with more of them than cores the loops
// would wait. Who waits does so in a queue that is fair to source networks.
type gate struct {
	clock func() time.Time

	mu      sync.Mutex
	tickets int // that there are
	free    int
	waiting queue
	held    time.Duration // how long a ticket is held, smoothed
}

func newGate(tickets int) *gate {
	return &gate{clock: time.Now, tickets: tickets, free: tickets}
}

// ticket is one device's way through the gate, which it may take several times. It
// is a secure.Gate.
type ticket struct {
	gate    *gate
	network uint64
	resumes bool
	since   time.Time // when it was had
}

// Enter waits for a ticket, or until ctx ends.
func (t *ticket) Enter(ctx context.Context) error {
	w := t.gate.enter(t.network, t.resumes)
	if w != nil {
		select {
		case <-w.ready:
		case <-ctx.Done():
			t.gate.giveUp(w)
			return context.Cause(ctx)
		}
	}
	t.since = t.gate.clock()
	return nil
}

// Leave gives the ticket back.
func (t *ticket) Leave() { t.gate.leave(t.gate.clock().Sub(t.since)) }

// enter takes a ticket, or a place in the queue.
func (g *gate) enter(network uint64, resumes bool) *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return nil
	}
	w := &waiter{ready: make(chan struct{})}
	g.waiting.push(w, network, resumes)
	return w
}

// smoothing is how many held tickets the mean is taken over.
const smoothing = 32

func (g *gate) leave(held time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == 0 {
		g.held = held // the first one is all that is known
	}
	g.held += (held - g.held) / smoothing
	g.pass()
}

// pass hands a ticket on.
func (g *gate) pass() {
	if w := g.waiting.pop(); w != nil {
		close(w.ready)
		return
	}
	g.free++
}

// giveUp takes a waiter out of the queue, or hands on the ticket that it was given
// meanwhile.
func (g *gate) giveUp(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.ready:
		g.pass()
	default:
		g.waiting.drop(w)
	}
}

// wait is how long who comes now from a network will probably wait: a network that
// has filled the queue waits longer than one that has nobody in it.
func (g *gate) wait(network uint64, resumes bool) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held * time.Duration(g.waiting.ahead(network, resumes)) / time.Duration(g.tickets)
}
