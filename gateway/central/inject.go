package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/bellwire/bellwire/wire"
)

// injected is the answer to a backend: where the message is, or why it is nowhere.
type injected struct {
	Life   string `json:"life,omitempty"`   // 16 digits, since numbers of JSON end at 53 bits
	Offset uint64 `json:"offset,omitempty"` // 0 with a life of 0: the topic has no stream
	Code   uint8  `json:"code,omitempty"`   // of the protocol's table
	Error  string `json:"error,omitempty"`
}

// mostInjections is how many requests one gateway works on; it refuses more.
const mostInjections = 64

// serveInjections answers requests of backends, as one of the gateways that do, until the
// connection is closed (BC-11).
func (c *Central) serveInjections(nc *nats.Conn) error {
	if c.cfg.Inject == nil {
		return nil
	}
	room := make(chan struct{}, mostInjections)
	_, err := nc.QueueSubscribe(c.cfg.Prefix+injectPart+">", c.cfg.Prefix, func(m *nats.Msg) {
		tenant, topic, err := c.names.parse(injectPart, m.Subject)
		if err != nil {
			answer(m, wire.Position{}, refuse(wire.CodeBadTopic, err.Error()))
			return
		}
		select {
		case room <- struct{}{}:
		default:
			answer(m, wire.Position{}, refuse(wire.CodeOverload, "too many messages are being injected here"))
			return
		}
		c.injecting.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(c.ctx, askTimeout)
			defer cancel()
			at, err := c.cfg.Inject(ctx, tenant, topic, m.Data)
			answer(m, at, err)
		})
	})
	if err != nil {
		return fmt.Errorf("central: injections: %w", err)
	}
	return nil
}

// answer replies, if the backend asked for it. A client that is away by now gets nothing.
func answer(m *nats.Msg, at wire.Position, err error) {
	if m.Reply == "" {
		return
	}
	a := injected{Life: at.Life.String(), Offset: at.Offset}
	if err != nil {
		a = injected{Code: uint8(codeOf(err)), Error: err.Error()}
	}
	if b, err := json.Marshal(a); err == nil {
		_ = m.Respond(b)
	}
}

// codeOf is the error's code; of one without, that it is to be tried again later.
func codeOf(err error) wire.Code {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return wire.CodeOverload
}
