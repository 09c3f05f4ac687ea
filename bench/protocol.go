package bench

import (
	"maps"
	"slices"
)

// protocol is how devices speak to one kind of server. It has no state: what a
// connection must remember is in its receiver.
type protocol interface {
	// topic is how the server's users would write the topic's name.
	topic(name string) string
	// greet appends all that a device sends when it is connected, at once: who it
	// is, what it subscribes to, and for a publisher something that is answered.
	greet(dst []byte, g greeting) []byte
	// publish appends a message.
	publish(dst []byte, to destination, payload []byte) []byte
	// frame deals with the first frame of b and returns its length; 0 if b does not
	// hold all of it. It tells r what has come. An error fails the run.
	frame(b []byte, r *receiver, t *tally) (n int, err error)
}

// greeting is what a device says of itself.
type greeting struct {
	number    int    // of the device
	topic     string // that it subscribes to, as protocol.topic writes it
	publisher bool   // it publishes and subscribes to nothing
}

// destination is a topic to publish to.
type destination struct {
	topic string // as protocol.topic writes it
	id    uint32 // that the server gave it; 0: by name
}

var protocols = map[string]protocol{"bellwire": bellwire{}, "mqtt": mqtt{}, "redis": redis{}, "nats": nats{}}

// Protocols are the names of the protocols that the devices speak.
func Protocols() []string { return slices.Sorted(maps.Keys(protocols)) }
