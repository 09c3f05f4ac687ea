// Package peer links the gateways of a fleet: each one sends what entered the fleet at it to every other one, once.
//
// # Parts
//
// A [Mesh] is a shell around a core that has no goroutine, clock or socket: what happens is told to it with the time, and
// it says what is to be written. Tests drive the same core in virtual time.
//
//	outlog  (log.go)    what this gateway sends: one sequence of batches for all peers, and a cursor per link
//	link    (link*.go)  one connection: who is there, what may come when, heartbeats, what is written next
//	core    (core.go)   the peers: who is let in, which of two connections stays, lives that are over
//	origin  (origin.go) what one life of another gateway sends: batches in order, each message to its Stream
//	hole    (hole.go)   what a stream lacks: asked for, held behind, given up
//
// # A link
//
// The dialler says HELLO, the other side answers HELLO and ACK, the dialler says ACK. The first ACK of each side states
// the last batch that it holds of the other's life; batches go on behind it. What the sender has given up meanwhile it
// says in SKIP. After a SKIP, and to a peer that holds nothing, it says in TOPS where its streams of the last two minutes
// stand, and the receiver asks with FETCH for what lacks. An answer comes behind all batches with what was published
// before the question, so nothing live ever comes behind it.
//
// Every half second each side says HEARTBEAT with the last batch that it has sent, which is answered with ACK. A side that
// waits for publish credit reads nothing, and says ACK on its own so that it is not taken for dead. A side that closes
// says why in CLOSE (2F: reason u8, text str), if it can.
//
// # Bounds
//
// A frame is at most 1 MiB and a little, as the largest message of a device has to fit; a stranger's 1 KiB. A batch is
// sealed at 256 KiB, has at most 4096 streams, and expands to at most 256 KiB and one message. 64 questions may be under
// way per link, 256 messages held behind a hole, and 4 MiB of them per origin. 64 connections may wait for their HELLO.
//
// # Frames
//
// They are those of the peer ports in the protocol's description, and two more. An answer to FETCH is bounded by 256 KiB;
// one with the mark "more" is asked for again from behind its last message. END of one stream is read and means nothing
// here, as gateways do not forget streams while they live.
//
//	25  FETCHED  what was asked · n × (01 · offset varint · age varint · payload str) · 00 · u8 (0 the rest is not kept, 1 more)
//	28  TOPS     n × (tenant str · topic str · run varint · next varint)
//	2F  CLOSE    reason u8 (see [Why]) · text str
package peer
