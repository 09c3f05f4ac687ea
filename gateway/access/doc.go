// Package access decides who may publish to and subscribe to what. It is pure: rules and a question in, a yes or no out;
// no files, clocks, locks or goroutines. Every path of the gateway asks here, so there is one decision to understand and
// to test.
//
// # Rules
//
// A [Rule] allows or denies actions on topics, to the devices of tenants. Topics are filters as devices write them
// [W-4.1]: "+" stands for one level, a last "#" for all that is left, also nothing. The variables {tenant} and {device}
// stand for the names of whoever asks, as a level or as part of one:
//
//	allow subscribe  broadcast/#              everyone hears the broadcasts
//	allow publish    state/{tenant}/{device}  each device speaks for itself
//	deny  subscribe  broadcast/service/#      but for these
//
// A topic is granted if an allow rule matches it and no deny rule does; the order of rules means nothing. [New] compiles
// rules into a [Policy]. A policy without rules grants nothing; without a policy (nil) everything is granted.
//
// A token may bring permissions of its own: a [Subject] that is Limited has its lists of filters instead of the allow
// rules. Deny rules bind it all the same.
//
// # Questions
//
// [Policy.May] is about one topic, [Policy.Filter] about a subscription:
//
//	Whole   every topic that the filter can match is granted
//	Part    some are: the subscription stands, and each message is asked for with May
//	None    none is: the subscription is refused
//
// # Doubt
//
// What cannot be decided is refused: an unknown action, a topic that holds a wildcard, an identity that is none. A topic of
// an allow rule that is longer than a filter may be, once a device's names stand in it, allows nothing to that device; in
// a deny rule it goes on denying every topic that it matches level by level. Names are never pasted into a filter that is
// parsed afterwards, so none can become a wildcard or a level of its own.
package access
