// Package fanout says who gets a message. It holds the topics of a tenant, the sessions that subscribed to them by name
// or by wildcard filter, and the streams that number messages and keep the last ones for those who come back. It knows
// no frames, sockets, goroutines or clocks: subscribers are slots on event loops, messages are bytes, time is a number of
// seconds that the caller passes in.
//
// # The parts
//
// An [Index] finds a [Topic] by name or id without a lock. Sessions live on event loops, so what a topic lists is kept per
// loop and touched by that loop only; shared between loops is just a mask that says which loops a message concerns.
//
//	publisher                                         loop 0         loop 1
//	Lookup ─► Topic ─► Stream.Publish ─ post ──────► mailbox ──►    mailbox ──►
//	                   (offset, ring, mask 0b11)      WalkFor: 3, 7  WalkFor: 1, 12, 40
//
// Sessions that subscribe with the same wildcard filter on one loop form a [Group]; a topic that the filter matches has a
// [Link] to it. Topics find out by themselves, at the next publish, that filters have come or gone, so joining a group
// costs the same with ten topics and with a million, and memory is sessions + topics × matching filters, never topics ×
// sessions.
//
// A [Stream] gives offsets and keeps messages in a bounded ring, from which a [Reader] replays. A [Budget] bounds all
// rings together. Topics and streams stay for the life of the index; only what rings hold is given up, and by
// [Index.Sweep] the links to groups that have gone. [Config].Links bounds how many links there can be.
//
// # A subscription
//
// An exact one, on its loop:
//
//	topic.Hold(loop)                                // from now on publishes are posted to this loop
//	topic.Stream().Mark(func(next uint64) {         // under the lock that orders messages
//		mailbox.append(start{session, next})        // messages behind the start have offsets from next on
//	})
//	…                                               // the loop comes to the start in its mailbox
//	topic.Add(loop, session)
//	topic.Release(loop)
//
// One that first replays asks [Stream.Kept], reads with a [Reader], and posts its start with [Reader.Join] as soon as that
// succeeds.
//
// A message's loop finds its receivers by [Topic.WalkFor] with the number that its post was given. The first members of a
// group that it comes to must be told about the topic first, if [Link.Told] says so. [Topic.Walk] shows all who are listed;
// messages do not go by it.
//
// # Filters
//
// A filter's levels are separated by "/"; "+" stands for one level, a last "#" for any number of them, none included, so
// that "a/#" matches "a". Topics that begin with "$" are matched by no filter that begins with a wildcard. The caller
// checks names and filters; here any bytes are safe, and a "#" that is not the last level stands for itself.
package fanout
