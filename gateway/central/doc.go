// Package central is everything that Bellwire asks of NATS with JetStream: the central
// topics, which are those that are no broadcast, and the shared records of a fleet. Nothing
// that is broadcast passes through here.
//
// # Where it is
//
// The zero [Config] runs a server in this process, in memory and without a port.
// Embedded.Dir keeps records on disk, Embedded.Listen offers the server to the fleet, and
// URLs name one that another gateway offers, or a NATS cluster. Beyond loopback both ends
// show a certificate of the fleet's CA.
//
// # Subjects
//
// Backends need nothing but a NATS client. The topic a/b of the tenant acme is the subject
// bw.t.acme.a.b: they subscribe to it, with * and > where a device has + and #, and
// publish to it. What NATS cannot carry in a token is written %XX, two capital hexadecimal
// digits, and nothing else is: . * > % and the space. An empty level is a lone %.
//
//	topic          subject             filter    subscriptions
//	orders/7       bw.t.acme.orders.7  orders/+  bw.t.acme.orders.*
//	a b/c.d        bw.t.acme.a%20b.c%2Ed  #      bw.t.acme.>
//	a//b           bw.t.acme.a.%.b     a/#       bw.t.acme.a and bw.t.acme.a.>
//
// A request to bw.inject.acme.a.b is published by one of the gateways as if a device had,
// be it a broadcast or not, and answered with {"life":"…16 digits…","offset":n}, or
// {"code":n,"error":"…"}.
//
// # Once
//
// Filters overlap, and NATS delivers a message once for each subscription. Here all
// subscriptions of a gateway are members of one queue group of its own, of which the
// server picks one member for each message. So a message comes once, however many filters
// match; and as the server decides, a filter that comes or goes takes effect between two
// messages: none is lost, and none doubled. All messages come through one queue, in the
// order in which the connection brought them.
//
// # Topics with a stream
//
// A JetStream stream that takes subjects of topics keeps their messages, whoever made it: an
// operator with the nats tool, or [Central.Bind]. Its sequence is the offset of these
// topics, in all of them together, and their life is a hash of its name and the time when it
// was made. Their messages come from one consumer of the stream for all filters, which goes
// on where it was after the service was away. [Central.Replay] is how a device resumes.
//
// # Away
//
// Publish refuses with wire.CodeCentralAway and never waits. Subscriptions, watches and
// leases come back by themselves. What was published meanwhile to topics without a
// stream is lost, and Config.Missed says so.
package central
