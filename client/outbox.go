package client

import (
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// outbox holds the messages to publish: those that wait for a connection or for
// credit, and those that wait for their ACK. It outlives connections, as the
// numbers of messages do. Its user holds a lock.
type outbox struct {
	seq      uint64          // the last one given
	waiting  []*message      // in the order of writing; those written before come first
	inflight []*message      // written and not answered, in the order of writing
	idle     []chan struct{} // closed when nobody waits for a result any more
}

// message is one Publish.
type message struct {
	topic   string
	payload []byte
	ack     bool
	retry   bool       // write it again after a lost connection
	seq     uint64     // 0: none yet; the same whenever it is written again [W-5.1]
	unsure  bool       // it was written, and not refused: the gateway may have published it
	given   bool       // nobody waits for the result any more
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
			if m.unsure { // a gateway with other limits had it
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
		m.seq, b.seq, m.unsure = f.Seq, max(b.seq, f.Seq), true
		b.inflight = append(b.inflight, m)
	}
	return dst, credit
}

// acknowledge finishes a message and all written before it [W-5.2]. A number is
// looked up in the order of writing: one that was written again stands behind
// higher ones.
func (b *outbox) acknowledge(seq uint64) {
	n := slices.IndexFunc(b.inflight, func(m *message) bool { return m.seq == seq })
	for range n + 1 {
		m := b.inflight[0]
		b.inflight = b.inflight[1:]
		b.finish(m, nil)
	}
}

// refuse finishes one message; it was not published.
func (b *outbox) refuse(seq uint64, err *RefusedError) {
	for i, m := range b.inflight {
		if m.seq == seq {
			err.What = "publishing on " + m.topic
			m.unsure = false
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
		if m.retry && !m.given {
			again = append(again, m)
		} else {
			b.finish(m, ErrUnknownOutcome)
		}
	}
	b.inflight, b.waiting = nil, append(again, b.waiting...)
	b.settled()
}

// withdraw gives a message up and says whether it may have been published. Its
// place among those written stays, so that an ACK finds its number.
func (b *outbox) withdraw(m *message) (unsure bool) {
	m.given = true
	b.waiting = slices.DeleteFunc(b.waiting, func(o *message) bool { return o == m })
	b.settled()
	return m.unsure
}

func (b *outbox) finish(m *message, err error) {
	m.done <- err
	b.settled()
}

// fail finishes everything: err for what was not published, else unknown.
func (b *outbox) fail(err error) {
	for _, m := range append(b.inflight, b.waiting...) {
		if m.unsure {
			m.done <- ErrUnknownOutcome
		} else {
			m.done <- err
		}
	}
	b.inflight, b.waiting = nil, nil
	b.settled()
}

// whenIdle closes idle once nobody waits for a result.
func (b *outbox) whenIdle(idle chan struct{}) {
	b.idle = append(b.idle, idle)
	b.settled()
}

// answered reports that nobody waits for the answer to what was written.
func (b *outbox) answered() bool {
	return !slices.ContainsFunc(b.inflight, func(m *message) bool { return !m.given })
}

func (b *outbox) settled() {
	if len(b.idle) == 0 || len(b.waiting) > 0 || !b.answered() {
		return
	}
	for _, idle := range b.idle {
		close(idle)
	}
	b.idle = nil
}
