package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bellwire/bellwire/wire"
)

const (
	// sequenceLen is what a payload begins with: the message's number, big endian.
	sequenceLen = 8
	// maxFrame is the largest frame that a device here takes.
	maxFrame = 1 << wire.MaxFrameLog
)

// receiver is what one device knows: it turns bytes, however cut, into frames
// and checks that each message is the very next one.
type receiver struct {
	subscribed bool
	topic      wire.TopicID
	next       uint64 // number that the next message must have
	partial    []byte // start of a frame that is not complete
}

// tally is what all devices of one server have in common.
type tally struct {
	payload   []byte // of every message, but for its number
	ready     int    // devices subscribed
	delivered uint64 // messages that arrived, all devices together
	welcome   wire.Welcome
	credit    uint64 // bytes of PUBLISH that may be sent
	answers   []byte // what the device whose bytes were fed must send
}

// pattern is a payload whose bytes differ, so that a shifted one is noticed.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i/251)
	}
	return p
}

// feed takes bytes of the device's stream. An error fails the run.
func (r *receiver) feed(b []byte, t *tally) error {
	if len(r.partial) > 0 {
		r.partial = append(r.partial, b...)
		b = r.partial
	}
	for {
		typ, body, rest, err := wire.Next(b, maxFrame)
		if errors.Is(err, wire.ErrShort) {
			r.partial = append(r.partial[:0], b...)
			return nil
		}
		if err != nil {
			return err
		}
		if typ.Base() == wire.TypeMessage {
			err = r.message(typ, body, t)
		} else {
			err = r.control(typ, body, t)
		}
		if err != nil {
			return err
		}
		b = rest
	}
}

func (r *receiver) message(typ wire.Type, body []byte, t *tally) error {
	m, err := wire.ParseMessage(typ, body)
	if err != nil {
		return err
	}
	p := m.Payload
	switch {
	case m.Name == nil && m.Topic != r.topic:
		return fmt.Errorf("message of topic %d, subscribed to %d", m.Topic, r.topic)
	case len(p) != len(t.payload) || !bytes.Equal(p[sequenceLen:], t.payload[sequenceLen:]):
		return fmt.Errorf("message %d arrived altered: %d bytes, sent %d", r.next, len(p), len(t.payload))
	}
	if number := binary.BigEndian.Uint64(p); number != r.next {
		return fmt.Errorf("message %d arrived where %d was due", number, r.next)
	}
	r.next++
	t.delivered++
	return nil
}

func (r *receiver) control(typ wire.Type, body []byte, t *tally) error {
	var err error
	switch {
	case typ == wire.TypeWelcome:
		t.welcome, err = wire.ParseWelcome(body)
	case typ == wire.TypeSubscribed:
		var s wire.Subscribed
		if s, err = wire.ParseSubscribed(body); err == nil && (s.Code.Class() != wire.ClassFine || s.Topic == 0) {
			err = fmt.Errorf("the subscription was refused: %v", s.Code)
		}
		r.topic, r.subscribed = s.Topic, true
		t.ready++
	case typ == wire.TypeCredit:
		var c wire.Credit
		c, err = wire.ParseCredit(body)
		t.credit += c.Bytes
	case typ == wire.TypePing:
		t.answers = wire.AppendPong(t.answers, body)
	case typ == wire.TypeGap:
		var g wire.Gap
		if g, err = wire.ParseGap(body); err == nil {
			err = fmt.Errorf("the server left out %d messages after %d: %v", g.Count, r.next, g.Reason)
		}
	case typ == wire.TypeError:
		var e wire.Refusal
		if e, err = wire.ParseRefusal(body); err == nil {
			err = fmt.Errorf("the server refused a %v: %v %s", e.Type, e.Code, e.Text)
		}
	case typ == wire.TypeClose:
		var c wire.Close
		if c, err = wire.ParseClose(body); err == nil {
			err = fmt.Errorf("the server closed the connection: %v %s", c.Code, c.Text)
		}
	case typ == wire.TypeGoaway:
		err = errors.New("the server asked the device to go elsewhere")
	case !typ.Skippable():
		err = fmt.Errorf("a frame that no device here expects: %v", typ)
	}
	return err
}
