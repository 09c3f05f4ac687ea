package bench

import (
	"errors"
	"fmt"

	"github.com/bellwire/bellwire/wire"
)

// bellwire is the device protocol of this project. HELLO and SUBSCRIBE leave in
// one segment. The publisher subscribes too, to publish only, and so learns the
// topic's number; it must keep to the credit that the server gives.
type bellwire struct{}

const (
	// maxFrame is the largest frame that a device here takes.
	maxFrame     = 1 << wire.MaxFrameLog
	keepaliveAsk = 3600 // s; an idle device shall be silent
)

func (bellwire) topic(name string) string { return name }

func (bellwire) greet(dst []byte, g greeting) []byte {
	dst = wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: wire.MaxFrameLog, Names: 1, Keepalive: keepaliveAsk,
		Incarnation: uint32(g.number + 1), Method: wire.AuthToken, Auth: []byte(deviceName(g.number)),
	}.Append(dst)
	return wire.Subscribe{Sub: 1, Filter: []byte(g.topic), PublishOnly: g.publisher}.Append(dst)
}

func (bellwire) publish(dst []byte, to destination, payload []byte) []byte {
	p := wire.Publish{Topic: wire.TopicID(to.id), Payload: payload}
	if to.id == 0 {
		p.Name = []byte(to.topic)
	}
	return p.Append(dst)
}

func (bellwire) frame(b []byte, r *receiver, t *tally) (int, error) {
	typ, body, rest, err := wire.Next(b, maxFrame)
	if errors.Is(err, wire.ErrShort) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if typ.Base() != wire.TypeMessage {
		return len(b) - len(rest), bellwireControl(typ, body, r, t)
	}
	m, err := wire.ParseMessage(typ, body)
	if err != nil {
		return 0, err
	}
	if m.Name != nil {
		err = r.named(m.Name, t)
	} else if uint32(m.Topic) != r.id {
		err = fmt.Errorf("message of topic %d, subscribed to %d", m.Topic, r.id)
	}
	if err != nil {
		return 0, err
	}
	return len(b) - len(rest), r.message(m.Payload, t)
}

func bellwireControl(typ wire.Type, body []byte, r *receiver, t *tally) error {
	var err error
	switch {
	case typ == wire.TypeWelcome:
		if t.welcome, err = wire.ParseWelcome(body); err == nil && r.publisher {
			t.credit = t.welcome.Credit
		}
	case typ == wire.TypeSubscribed:
		var s wire.Subscribed
		if s, err = wire.ParseSubscribed(body); err != nil {
			return err
		}
		if s.Code.Class() != wire.ClassFine || s.Topic == 0 {
			return fmt.Errorf("the subscription was refused: %v", s.Code)
		}
		r.id = uint32(s.Topic)
		return r.answered(t)
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
