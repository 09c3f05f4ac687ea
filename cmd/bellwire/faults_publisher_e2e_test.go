//go:build e2e && linux

package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/peer/history"
)

// publisher keeps a session with each gateway and publishes some topics through all of them, by a schedule: a message goes
// to whichever gateway has answered the last one of its topic. Of one topic each gateway gets one at a time, so what one
// origin gets has an order. What it does not know the outcome of it does not repeat.
type publisher struct {
	rec     *recorder
	name    string
	members []*member
	every   time.Duration // between two messages of a topic
	payload int
	counts  *publishCounts

	mu       sync.Mutex
	sessions map[*member]*publisherSession
	numbers  map[[2]string]uint64 // the last one, by origin and topic
}

// publishCounts is what all publishers did.
type publishCounts struct{ sent, accepted, refused, unknown atomic.Int64 }

// publisherSession is a connection to one run of one gateway; it is not made again by itself.
type publisherSession struct {
	client *client.Client
	origin string
	lost   atomic.Bool
}

const (
	// publishWithin is how long an answer is waited for. It is then unknown whether the message was published.
	publishWithin = 4 * time.Second
	redialEvery   = 200 * time.Millisecond
	mostBehind    = 2 * time.Second
)

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context, topics []string) {
	p.sessions, p.numbers = map[*member]*publisherSession{}, map[[2]string]uint64{}
	var wait sync.WaitGroup
	for _, m := range p.members {
		wait.Go(func() { p.keep(ctx, m) })
	}
	var due []chan struct{}
	for _, topic := range topics {
		queue := make(chan struct{}, 1+mostBehind/p.every)
		due = append(due, queue)
		for _, m := range p.members {
			wait.Go(func() { p.publish(ctx, topic, m, queue) })
		}
	}
	p.schedule(ctx, due)
	wait.Wait()
}

// schedule says when messages are due, of one topic after the other. What could not be published in time is published as
// soon as it can, unless its topic is behind by mostBehind.
func (p *publisher) schedule(ctx context.Context, due []chan struct{}) {
	step := p.every / time.Duration(len(due))
	for n, at := 0, time.Now(); ctx.Err() == nil; n, at = n+1, at.Add(step) {
		if early := time.Until(at); early > 0 {
			rest(ctx, early)
		}
		select {
		case due[n%len(due)] <- struct{}{}:
		default:
		}
	}
}

// keep has a session with a gateway whenever that is possible.
func (p *publisher) keep(ctx context.Context, m *member) {
	for ctx.Err() == nil {
		s, err := p.dial(ctx, m)
		if err == nil {
			p.set(m, s)
			for ctx.Err() == nil && !s.lost.Load() {
				rest(ctx, redialEvery)
			}
			p.set(m, nil)
			s.client.Close()
		}
		rest(ctx, redialEvery)
	}
}

func (p *publisher) set(m *member, s *publisherSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[m] = s
}

// dial makes a session, which belongs to the run of the gateway that is under way.
func (p *publisher) dial(ctx context.Context, m *member) (*publisherSession, error) {
	if !m.usable.Load() {
		return nil, errors.New("it does not run")
	}
	s := &publisherSession{origin: m.runs()}
	var dialled atomic.Bool
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	c, err := client.Dial(ctx, m.listen, client.WithDevice(p.name+"-"+m.name), client.WithBackoff(time.Hour, time.Hour),
		client.WithOnState(func(state client.State) {
			if state.Phase != client.Connected {
				s.lost.Store(true)
			}
		}), client.WithDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			if dialled.Swap(true) {
				return nil, errors.New("a session is of one run of one gateway")
			}
			return m.dial(ctx, "tcp", addr)
		}))
	if err != nil {
		return nil, err
	}
	s.client = c
	if s.origin != m.runs() {
		c.Close()
		return nil, errors.New("it was restarted meanwhile")
	}
	return s, nil
}

// session is that with a gateway; nil if there is none that works.
func (p *publisher) session(m *member) *publisherSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessions[m]; s != nil && m.usable.Load() && !s.lost.Load() {
		return s
	}
	return nil
}

// publish publishes what is due of one topic to one gateway, while that can be used.
func (p *publisher) publish(ctx context.Context, topic string, m *member, due chan struct{}) {
	for {
		if p.session(m) == nil {
			rest(ctx, polling)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-due:
		}
		if s := p.session(m); s != nil {
			p.send(s, topic)
			continue
		}
		select { // another gateway takes it
		case due <- struct{}{}:
		default:
		}
	}
}

// send publishes one message and tells the history of it. It is not bound to the end of the load: what was begun is
// finished.
func (p *publisher) send(s *publisherSession, topic string) {
	e := history.Event{Kind: history.Publish, Origin: s.origin, Topic: topic, Number: p.next(s.origin, topic)}
	payload := history.AppendPayload(nil, s.origin, e.Number, p.payload)
	p.rec.add(e)
	p.counts.sent.Add(1)
	ctx, cancel := context.WithTimeout(context.Background(), publishWithin)
	defer cancel()
	err := s.client.Publish(ctx, topic, payload)
	var refused *client.RefusedError
	switch {
	case err == nil:
		p.counts.accepted.Add(1)
		e.Kind = history.Accepted
		p.rec.add(e)
	case errors.As(err, &refused):
		p.counts.refused.Add(1)
		e.Kind = history.Refused
		p.rec.add(e)
	default:
		p.counts.unknown.Add(1)
	}
}

func (p *publisher) next(origin, topic string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := [2]string{origin, topic}
	p.numbers[key]++
	return p.numbers[key]
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
