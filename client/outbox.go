package client

import (
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// outbox holds the messages to publish: those that wait for a connection or for
// credit, and those that wait for their ACK. It outlives connections, as the
// numbers of messages do. Its user holds a lock.
type outbox struct {
	seq      uint64        // the last one given
	waiting  []*message    // in the order of writing; those written before come first, by number
	inflight []*message    // by number
	idle     chan struct{} // closed when nothing is left; nil: nobody asks
}

// message is one Publish.
type message struct {
	topic   string
	payload []byte
	ack     bool
	retry   bool       // repeat it after a lost connection
	seq     uint64     // 0: it was not written yet
	done    chan error // the result; room for one
}

// write appends the messages that wait, as far as credit goes. whole is all the
// credit there can be, frame the largest frame that the gateway takes.
func (b *outbox) write(dst []byte, credit, whole uint64, frame int) ([]byte, uint64) {
	for len(b.waiting) > 0 {
		m := b.waiting[0]
		f := wire.Publish{Name: []byte(m.topic), Ack: m.ack, Seq: m.seq, Payload: m.payload}
		if m.ack && m.seq == 0 {
			f.Seq = b.seq + 1
		}
		n := f.Len()
		if n > frame || uint64(n) > max(whole, credit) {
			b.waiting = b.waiting[1:]
			if m.seq != 0 { // a gateway with other limits had it
				b.finish(m, ErrUnknownOutcome)
			} else {
				b.finish(m, &RefusedError{Code: wire.CodePayloadTooLarge, What: "publishing on " + m.topic})
			}
			continue
		}
		if uint64(n) > credit {
			break
		}
		b.waiting = b.waiting[1:]
		credit -= uint64(n)
		dst = f.Append(dst)
		if !m.ack {
			b.finish(m, nil)
			continue
		}
		m.seq, b.seq = f.Seq, max(b.seq, f.Seq)
		b.inflight = append(b.inflight, m)
	}
	return dst, credit
}

// acknowledge finishes a message and all written before it.
func (b *outbox) acknowledge(seq uint64) {
	for len(b.inflight) > 0 && b.inflight[0].seq <= seq {
		m := b.inflight[0]
		b.inflight = b.inflight[1:]
		b.finish(m, nil)
	}
}

func (b *outbox) refuse(seq uint64, err *RefusedError) {
	for i, m := range b.inflight {
		if m.seq == seq {
			err.What = "publishing on " + m.topic
			b.inflight = slices.Delete(b.inflight, i, i+1)
			b.finish(m, err)
			return
		}
	}
}

// disconnected takes back what was not acknowledged.
func (b *outbox) disconnected() {
	var again []*message
	for _, m := range b.inflight {
		if m.retry {
			again = append(again, m)
		} else {
			b.finish(m, ErrUnknownOutcome)
		}
	}
	b.inflight, b.waiting = nil, append(again, b.waiting...)
	b.settled()
}

// withdraw gives a message up and says whether it was ever written.
func (b *outbox) withdraw(m *message) (written bool) {
	is := func(o *message) bool { return o == m }
	b.waiting = slices.DeleteFunc(b.waiting, is)
	b.inflight = slices.DeleteFunc(b.inflight, is)
	b.settled()
	return m.seq != 0
}

func (b *outbox) finish(m *message, err error) {
	m.done <- err
	b.settled()
}

// fail finishes everything: err for what was never written, else unknown.
func (b *outbox) fail(err error) {
	for _, m := range append(b.inflight, b.waiting...) {
		if m.seq != 0 {
			m.done <- ErrUnknownOutcome
		} else {
			m.done <- err
		}
	}
	b.inflight, b.waiting = nil, nil
	b.settled()
}

// whenIdle closes idle once nothing waits.
func (b *outbox) whenIdle(idle chan struct{}) {
	if b.idle != nil {
		close(b.idle) // a second Shutdown takes over from the first
	}
	b.idle = idle
	b.settled()
}

func (b *outbox) settled() {
	if b.idle != nil && len(b.waiting) == 0 && len(b.inflight) == 0 {
		close(b.idle)
		b.idle = nil
	}
}
