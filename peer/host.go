package peer

import (
	"context"

	"github.com/bellwire/bellwire/wire"
)

// Verdict is what became of a message of another gateway.
type Verdict uint8

const (
	// Taken says: it had the offset that was next, or nothing was known of the stream yet.
	Taken Verdict = iota
	// Duplicate says: its offset was lower than the next one. It was dropped.
	Duplicate
	// Hole says: its offset was higher than the next one. Nothing was done.
	Hole
)

// Stream is this gateway's copy of a stream of another gateway. All methods of one Stream are called by one goroutine at
// a time.
type Stream interface {
	// Next is the offset that comes next; 0: nothing is known of the stream here.
	Next() uint64
	// Accept delivers a message if it is the next one; if nothing is known of the stream, it begins with it. It waits
	// for publish credit, until ctx ends, which is an error like any other: nothing was delivered. payload is copied.
	Accept(ctx context.Context, offset uint64, payload []byte) (Verdict, error)
	// Miss announces that no position before next will come, as lost between gateways. If nothing is known of the
	// stream it begins there, and nothing is announced. If next is not beyond Next it does nothing.
	Miss(next uint64)
	// Backfill keeps older messages for devices that resume: rising offsets, the last directly before the oldest one
	// that is kept. It delivers nothing. What does not fit is left out from the front. Payloads are copied.
	Backfill(older []Kept)
}

// Kept is a message that a ring holds.
type Kept struct {
	Offset  uint64
	Age     uint32 // seconds since it was published
	Payload []byte
}

// Change is what happened to an origin: a life of another gateway.
type Change uint8

const (
	// Met says: a link to it is up, for the first time or again.
	Met Change = iota
	// Lost says: its link has been gone for longer than Config.Hold. It may come back.
	Lost
	// Left says: it has left the fleet and sent everything before.
	Left
	// Restarted says: a gateway of the same name is there with another life. This one never comes back.
	Restarted
)

// Streams is where what other gateways broadcast goes. A gateway implements it. Methods for one origin are called by one
// goroutine at a time, in the order in which things happened.
type Streams interface {
	// Stream finds or makes the copy of an origin's stream. Its error (a *wire.Error has the code) means that its
	// messages are refused: the name is not a broadcast topic here, or there is no room. The names alias a buffer.
	Stream(origin wire.Life, tenant, topic []byte) (Stream, error)
	// Changed says what happened to an origin. name is its gateway's.
	Changed(origin wire.Life, name string, what Change)
}

// Source is the streams of this gateway and what it keeps of those of others.
type Source interface {
	// Tops calls fn for each stream of this gateway that was published to within the last so many seconds, until it
	// returns false. next is the offset that comes next.
	Tops(within uint32, fn func(tenant, topic string, next uint64) bool)
	// Read calls fn for the messages of a stream that are kept, from one offset up to but not including another, rising,
	// until it returns false. Any origin may be asked for.
	Read(origin wire.Life, tenant, topic []byte, from, to uint64, fn func(Kept) bool)
}
