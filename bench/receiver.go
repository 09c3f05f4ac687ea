package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// sequenceLen is what a payload begins with: the message's number within its
// topic, big endian.
const sequenceLen = 8

// receiver is what one device knows: it turns bytes, however cut, into frames
// and checks that each message is the very next one.
type receiver struct {
	up        bool   // subscribed; a publisher: answered
	publisher bool   // subscribes to nothing
	far       bool   // connected to one of load.Far
	topic     int32  // its topic, as an index of the tally's
	id        uint32 // what the server calls that topic, if it gave it a number
	next      uint64 // number that the next message must have
	partial   []byte // start of a frame that is not complete
}

// tally is what all devices of one server have in common.
type tally struct {
	speaks    protocol
	topics    []string // as the protocol writes them
	payload   []byte   // of every message, but for its number, unless there are bodies
	bodies    [][]byte // of the messages, in turns
	ready     int      // devices that are up
	delivered uint64   // messages that arrived, all devices together
	far       uint64   // of them those that came to devices of load.Far
	records   uint64   // TLS records that arrived, of devices that have TLS
	welcome   wire.Welcome
	credit    uint64 // bytes of publications that may be sent
	answers   []byte // what the device whose bytes were fed must send

	// took records how long the message that a device is to get next was under way,
	// if latencies are asked for; now is when the bytes that are fed were read.
	took func(r *receiver, now time.Time)
	now  time.Time
}

// unlimited is the credit of a publisher whose server gives none.
const unlimited = 1 << 62

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
	for len(b) > 0 {
		n, err := t.speaks.frame(b, r, t)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	r.partial = append(r.partial[:0], b...)
	return nil
}

// answered says that the server has done what the greeting asked for.
func (r *receiver) answered(t *tally) error {
	if r.up {
		return errors.New("the server answered the greeting a second time")
	}
	r.up = true
	t.ready++
	if r.publisher && t.credit == 0 {
		t.credit = unlimited
	}
	return nil
}

// named checks that a message came under the name that the device subscribed to.
func (r *receiver) named(topic []byte, t *tally) error {
	if r.publisher || string(topic) != t.topics[r.topic] {
		return fmt.Errorf("message of topic %q, subscribed to %q", topic, t.topics[r.topic])
	}
	return nil
}

// message checks that a payload is the next of its topic, unaltered.
func (r *receiver) message(p []byte, t *tally) error {
	if len(p) != len(t.payload) || !bytes.Equal(p[sequenceLen:], t.body(r.topic, r.next)[sequenceLen:]) {
		return fmt.Errorf("message %d arrived altered: %d bytes, sent %d", r.next, len(p), len(t.payload))
	}
	if number := binary.BigEndian.Uint64(p); number != r.next {
		return fmt.Errorf("message %d arrived where %d was due", number, r.next)
	}
	if t.took != nil {
		t.took(r, t.now)
	}
	r.next++
	t.delivered++
	if r.far {
		t.far++
	}
	return nil
}
