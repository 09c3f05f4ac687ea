package bench

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// feed takes bytes of a device's stream, however they are cut. An error fails
// the run.
func (c *crowd) feed(i int, b []byte) error {
	if kept := c.partial[i]; len(kept) > 0 {
		b = append(kept, b...)
		delete(c.partial, i)
	}
	for len(b) > 0 {
		typ, body, rest, err := wire.Next(b, 1<<wire.MaxFrameLog)
		if errors.Is(err, wire.ErrShort) {
			c.partial[i] = bytes.Clone(b) // b is everybody's buffer
			return nil
		}
		if err == nil {
			err = c.frame(i, typ, body)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (c *crowd) frame(i int, typ wire.Type, body []byte) error {
	d := &c.all[i]
	switch {
	case typ.Base() == wire.TypeMessage:
		return c.message(d, typ, body)
	case typ == wire.TypeSubscribed:
		s, err := wire.ParseSubscribed(body)
		if err != nil {
			return err
		}
		if s.Code.Class() != wire.ClassFine || s.Topic == 0 || d.state == crowdReady {
			return fmt.Errorf("the subscription was refused: %v", s.Code)
		}
		d.topic, d.state = uint32(s.Topic), crowdReady
		c.ready++
		c.moved = time.Now()
	case typ == wire.TypePing:
		return c.send(i, wire.AppendPong(nil, body))
	case typ == wire.TypeError:
		e, err := wire.ParseRefusal(body)
		if err != nil {
			return err
		}
		return fmt.Errorf("the gateway refused a %v: %v %s", e.Type, e.Code, e.Text)
	case typ == wire.TypeClose:
		e, err := wire.ParseClose(body)
		if err != nil {
			return err
		}
		return fmt.Errorf("the gateway closed the connection: %v %s", e.Code, e.Text)
	case typ == wire.TypeGap:
		g, err := wire.ParseGap(body)
		if err != nil {
			return err
		}
		return fmt.Errorf("the gateway left out %d messages: %v", g.Count, g.Reason)
	case typ == wire.TypeWelcome || typ == wire.TypeCredit || typ.Skippable():
		// One message at a time is within any credit that a gateway gives.
	default:
		return fmt.Errorf("a frame that no device here expects: %v", typ)
	}
	return nil
}

// message counts a delivery. It must be the one under way, and the device's
// first of it.
func (c *crowd) message(d *crowdDevice, typ wire.Type, body []byte) error {
	m, err := wire.ParseMessage(typ, body)
	switch {
	case err != nil:
		return err
	case m.Name != nil && string(m.Name) != c.Topic || m.Name == nil && uint32(m.Topic) != d.topic:
		return fmt.Errorf("a message of another topic: %d %q", m.Topic, m.Name)
	case uint64(d.count) == c.number:
		return fmt.Errorf("a message too many after %d", d.count)
	case !bytes.Equal(m.Payload, c.payload):
		return fmt.Errorf("message %d arrived altered or out of order", d.count+1)
	}
	d.count++
	c.received++
	c.moved = time.Now()
	c.arrived = append(c.arrived, uint32(max(c.moved.Sub(c.instant).Microseconds(), 0)))
	return nil
}
