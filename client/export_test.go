package client

import (
	"errors"
	"slices"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// The guards that a test can take away.
var (
	WithoutCursor = without(func(g *guards) { g.cursor = true })
	WithoutDedupe = without(func(g *guards) { g.dedupe = true })
	WithoutLife   = without(func(g *guards) { g.life = true })
	WithoutCheck  = without(func(g *guards) { g.check = true })
)

func without(take func(*guards)) Option { return func(o *options) { take(&o.without) } }

// Limits that tests refer to.
const (
	SettledAfter = settledAfter
	MaxTopics    = maxTopics
)

// Core is a session without a connection, with one subscription.
type Core struct {
	s   *session
	in  *intake
	sub *Subscription
}

// NewCore subscribes filter as sub 1 on a session that was welcomed.
func NewCore(filter string, opts ...SubOption) *Core {
	o := defaults()
	so := subOptions{buffer: 1}
	for _, opt := range opts {
		opt(&so)
	}
	c := &Client{opts: o}
	sub, err := newSubscription(c, filter, so)
	if err != nil {
		panic(err)
	}
	core := &Core{s: newSession(&c.opts, &c.outbox, "", 1, 0), in: sub.intake, sub: sub}
	w := wire.Welcome{Version: wire.Version, Recv: 16, Flags: wire.WelcomeResumes, Credit: 1 << 16, MaxSubs: 64}
	if err := core.s.onWelcome(w); err != nil {
		panic(err)
	}
	core.s.begin([]*intake{sub.intake})
	return core
}

// Feed gives it frames; the events are those that the application would see.
func (c *Core) Feed(b []byte) (events []Event, err error) {
	for err == nil && len(b) > 0 {
		var t wire.Type
		var body []byte
		if t, body, b, err = wire.Next(b, 1<<20); err != nil {
			break
		}
		err = c.s.feed(t, body)
	}
	for _, d := range c.s.out.deliveries {
		if d.to == c.in && d.event != nil {
			events = append(events, d.event)
		}
	}
	c.s.out.deliveries = nil
	return events, err
}

// Written takes the bytes that would be sent.
func (c *Core) Written() []byte {
	b := c.s.pending
	c.s.pending = nil
	return b
}

// Had is the positions that were received, but in lives that are over.
func (c *Core) Had() []TopicPosition {
	return slices.DeleteFunc(c.in.had.list(), func(p TopicPosition) bool { return c.in.had.find(p.Topic, p.Life).over })
}

// Publish queues a message as Client.Publish does; the result comes on the channel.
func (c *Core) Publish(topic string, payload []byte, ack, retry bool) <-chan error {
	m := &message{topic: topic, payload: payload, ack: ack, retry: retry, done: make(chan error, 1)}
	c.s.outbox.waiting = append(c.s.outbox.waiting, m)
	c.s.publish()
	return m.done
}

// Plan is the reconnect machine.
type Plan struct{ r reconnect }

// Ending is how a connection, or an attempt at one, ended.
type Ending struct {
	Welcomed bool
	Served   time.Duration
	Code     wire.Code // with Coded
	Coded    bool
	Retry    time.Duration
	Own      bool // the client's own failure
	Target   string
	Spread   bool
	Err      error
}

// NewPlan draws always the same part of each range.
func NewPlan(part float64, least, most time.Duration, servers ...string) *Plan {
	return &Plan{reconnect{servers: servers, least: least, most: most, random: func() float64 { return part }}}
}

// First is the first attempt.
func (p *Plan) First() string { return p.r.first().addr }

// Next is the attempt after an ending.
func (p *Plan) Next(e Ending) (addr string, wait time.Duration, hops uint8, err error) {
	a, err := p.r.next(ending{
		err: e.Err, welcomed: e.Welcomed, served: e.Served, coded: e.Coded, code: e.Code, retry: e.Retry,
		own: e.Own, target: e.Target, spread: e.Spread,
	})
	return a.addr, a.wait, a.hops, err
}

// ByGateway reports that err is a CLOSE of the gateway's.
func ByGateway(err error) bool {
	var by *closedByGateway
	return errors.As(err, &by)
}
