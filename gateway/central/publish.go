package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bellwire/bellwire/wire"
)

// outgoing is a message on its way to the service.
type outgoing struct {
	subject string
	stored  bool // a stream takes it, and is to say so
	payload []byte
}

func (m *outgoing) size() int { return len(m.subject) + len(m.payload) }

// outbox is what waits to be sent, in order and bounded, so that nobody who publishes
// ever waits for a socket.
type outbox struct {
	most int

	mu    sync.Mutex
	up    bool
	queue []outgoing
	bytes int
	busy  bool          // some are with the sender
	wake  chan struct{} // holds one: there is something to send
	clear chan struct{} // holds one: all is sent, or thrown away
}

func newOutbox(most int) *outbox {
	return &outbox{most: most, wake: make(chan struct{}, 1), clear: make(chan struct{}, 1)}
}

func (o *outbox) add(m outgoing) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.up:
		return ErrAway
	case o.bytes+m.size() > o.most:
		return refuse(wire.CodeCentralAway, "the central service does not keep up")
	}
	o.queue = append(o.queue, m)
	o.bytes += m.size()
	signal(o.wake)
	return nil
}

// take is all that waits; into is room to swap it for.
func (o *outbox) take(into []outgoing) []outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = len(o.queue) > 0
	if !o.busy {
		signal(o.clear)
		return nil // into is still the caller's
	}
	all := o.queue
	o.queue = into[:0]
	return all
}

// sent gives back the room of what was taken.
func (o *outbox) sent(all []outgoing) {
	n := 0
	for i := range all {
		n += all[i].size()
	}
	clear(all)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
}

func (o *outbox) open() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.up = true
}

// shut throws away what waits, and says how many that were.
func (o *outbox) shut() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.up = false
	n := len(o.queue)
	for i := range o.queue {
		o.bytes -= o.queue[i].size()
	}
	clear(o.queue)
	o.queue = o.queue[:0]
	signal(o.clear)
	return n
}

// empty waits until nothing waits.
func (o *outbox) empty(ctx context.Context) error {
	for {
		o.mu.Lock()
		idle := len(o.queue) == 0 && !o.busy
		o.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.clear:
		}
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Publish hands a message of a checked topic to the central service. It never blocks,
// and keeps payload. Its error is a *wire.Error: CodeCentralAway while the service is
// away, or its stream does not take messages; CodePayloadTooLarge; CodeBadTopic. No
// error means at most once.
func (c *Central) Publish(tenant, topic string, payload []byte) error {
	if err := checkNames(tenant, topic); err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return refuse(wire.CodePayloadTooLarge, fmt.Sprintf("%d bytes, want at most %d", len(payload), MaxPayload))
	}
	subject := c.names.topic(tenant, topic)
	b := c.bound.of(subject)
	if b != nil {
		if !b.takes() {
			return refuse(wire.CodeCentralAway, "the stream "+b.name+" takes no messages now")
		}
		// A server that could not write to its disk does not even answer.
		if why := c.Problem(); why != nil {
			return refuse(wire.CodeCentralAway, "the central service cannot store: "+why.Error())
		}
	}
	return c.out.add(outgoing{subject: subject, stored: b != nil, payload: payload})
}

func checkNames(tenant, topic string) error {
	err := checkTenant(tenant)
	if err == nil {
		err = wire.CheckTopic([]byte(topic))
	}
	if err != nil {
		return refuse(wire.CodeBadTopic, err.Error())
	}
	return nil
}

func refuse(code wire.Code, text string) error {
	return &wire.Error{Code: code, Type: wire.TypePublish, Field: text}
}

// PublishStored publishes to a topic and waits until its stream has the message, and
// says where. To a topic without a stream it is Publish, and says nothing.
func (c *Central) PublishStored(ctx context.Context, tenant, topic string, payload []byte) (wire.Position, error) {
	if err := checkNames(tenant, topic); err != nil {
		return wire.Position{}, err
	}
	subject := c.names.topic(tenant, topic)
	b := c.bound.of(subject)
	if b == nil {
		return wire.Position{}, c.Publish(tenant, topic, payload)
	}
	l, _ := c.link()
	if l == nil {
		return wire.Position{}, ErrAway
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	ack, err := l.js.Publish(ctx, subject, payload, jetstream.WithExpectStream(b.name))
	if err != nil {
		return wire.Position{}, fmt.Errorf("central: publish to %q: %w", topic, l.plain(err))
	}
	return wire.Position{Life: b.life, Offset: ack.Sequence}, nil
}

// send moves messages from the outbox to the client, which may block.
func (c *Central) send(nc *nats.Conn) {
	acks := nc.NewInbox()
	sub, err := nc.Subscribe(acks, c.storedOrNot)
	switch {
	case c.ctx.Err() != nil: // it ends before it has begun
		return
	case err != nil:
		c.log.Error("central: no acknowledgements of streams", "error", err)
	default:
		defer func() { _ = sub.Unsubscribe() }()
	}
	var room []outgoing
	for {
		all := c.out.take(room)
		if len(all) == 0 {
			select {
			case <-c.ctx.Done():
				return
			case <-c.out.wake:
				continue
			}
		}
		for i := range all {
			m := &nats.Msg{Subject: all[i].subject, Data: all[i].payload}
			if all[i].stored {
				m.Reply = acks
			}
			_ = nc.PublishMsg(m) // it fails without a connection, and goes the way of all that wait for one
		}
		c.out.sent(all)
		room = all
	}
}

// storedOrNot is a stream's answer to a message that was not waited for.
func (c *Central) storedOrNot(m *nats.Msg) {
	var ack struct {
		Stream string
		Error  *jetstream.APIError
	}
	if err := json.Unmarshal(m.Data, &ack); err == nil && ack.Error == nil && ack.Stream != "" {
		c.bound.took(ack.Stream)
		return
	}
	c.bound.tookNot(ack.Stream)
	c.unstored.Do(func() { c.log.Warn("a message was not stored in its stream", "answer", string(m.Data)) })
}

// during is ctx, which ends with the link as well, and in any case.
func (l *link) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// plain makes ErrAway of what means that nobody answers.
func (l *link) plain(err error) error {
	var api *jetstream.APIError
	switch {
	case l.ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, jetstream.ErrConnectionClosed):
		return fmt.Errorf("%w: %w", ErrAway, err)
	case errors.As(err, &api) && (api.Code == 503 || api.ErrorCode == codeNoRoom):
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return err
}

// codeNoRoom is JetStream's "insufficient storage resources".
const codeNoRoom = 10047
