package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bellwire/bellwire/client"
)

// demoEntry is a device that publishes at one gateway, as long as that lives.
type demoEntry struct {
	number  int
	name    string // of the gateway
	address string
	client  *client.Client
	gone    bool
}

// demoPublisher publishes numbered broadcasts, each at another gateway than the one before.
type demoPublisher struct {
	ledger  *demoLedger
	payload func(number uint64, entry int) []byte

	mu      sync.Mutex
	entries []*demoEntry
	next    int
}

// enter has a gateway take broadcasts from now on.
func (p *demoPublisher) enter(ctx context.Context, name, address string) error {
	p.mu.Lock()
	e := &demoEntry{number: len(p.entries), name: name, address: address, gone: true}
	p.entries = append(p.entries, e)
	p.mu.Unlock()
	c, err := client.Dial(ctx, address, client.WithDevice(fmt.Sprintf("publisher-%d", e.number)))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e.client, e.gone = c, false
	return nil
}

// leave: a gateway gets no more broadcasts. The result closes what is left there, once the gateway is dead: a broadcast
// under way is then one whose fate nobody knows.
func (p *demoPublisher) leave(address string) (closeAll func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var leaving []*client.Client
	for _, e := range p.entries {
		if e.address == address && !e.gone {
			e.gone = true
			leaving = append(leaving, e.client)
		}
	}
	return func() {
		for _, c := range leaving {
			_ = c.Close() // it has no error of its own
		}
	}
}

// turn is the next gateway that is there; nil: none is.
func (p *demoPublisher) turn() *demoEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.entries {
		e := p.entries[p.next%len(p.entries)]
		p.next++
		if !e.gone {
			return e
		}
	}
	return nil
}

func (p *demoPublisher) isGone(e *demoEntry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return e.gone
}

// errNoEntry: nobody is left to publish at.
var errNoEntry = errors.New("no gateway is left to publish at")

// publish has one broadcast enter the fleet somewhere.
func (p *demoPublisher) publish(ctx context.Context) error {
	for {
		e := p.turn()
		if e == nil {
			return errNoEntry
		}
		number := p.ledger.add(e.number)
		err := e.client.Publish(ctx, demoTopic, p.payload(number, e.number))
		switch {
		case err == nil:
			p.ledger.settle(number, fatePublished)
			return nil
		case errors.Is(err, client.ErrUnknownOutcome):
			p.ledger.settle(number, fateUnknown)
			if p.isGone(e) {
				return nil
			}
		default:
			p.ledger.settle(number, fateUnpublished)
			if p.isGone(e) && ctx.Err() == nil {
				continue // another gateway takes it
			}
		}
		return fmt.Errorf("broadcast %d at %s: %w", number, e.name, err)
	}
}

// during publishes at fixed times: a slow answer delays no later broadcast.
func (p *demoPublisher) during(ctx context.Context, interval, duration time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for at := interval; ; at += interval {
		if err := p.publish(ctx); err != nil {
			return err
		}
		if at >= duration {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *demoPublisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries {
		e.gone = true
		if e.client != nil {
			_ = e.client.Close() // it has no error of its own
		}
	}
}
