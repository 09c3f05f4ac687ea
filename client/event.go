package client

import (
	"github.com/bellwire/bellwire/wire"
)

// Event is what Subscription.Next returns: a Message, a Gap or an End.
type Event interface{ event() }

// Message is one delivery.
type Message struct {
	Topic string
	// Payload is the application's to keep. Subscriptions of one client whose
	// filters overlap share it, so it must not be changed.
	Payload []byte
	// Life and Offset name the message within its topic; both are 0 where the
	// gateway does not count the topic for this subscription.
	Life   wire.Life
	Offset uint64
	// Replayed says that it was held by the gateway, not sent as it happened.
	Replayed bool
}

// Gap stands in the place of messages that will not come.
type Gap struct {
	Topic  string      // empty: any topic of the filter may be concerned, as after each resume of a wildcard
	Reason wire.Reason // why; wire.ReasonNotKept where the client had to guess
	Count  uint64      // how many messages; 0: unknown, perhaps none
	Life   wire.Life   // 0: not known
}

// End says that a life of a topic's stream is over. What follows with another
// Life counts its offsets anew. EndLost may come back.
type End struct {
	Topic string
	How   wire.How
	Life  wire.Life
}

func (Message) event() {}
func (Gap) event()     {}
func (End) event()     {}

// TopicPosition is the last offset that was taken from one life of a topic.
type TopicPosition struct {
	Topic string
	wire.Position
}

// item is an event on its way to the application, with what the returned cursor
// becomes when the application takes it.
type item struct {
	event  Event // nil: only the cursor moves
	err    error // not nil: the subscription is over
	topic  string
	life   wire.Life
	offset uint64
	moves  bool // life is now at offset
	drops  bool // life is over
	placed bool // nothing for the application: Subscribe may return
}

// delivery is an item and whose it is.
type delivery struct {
	to *intake
	item
}
