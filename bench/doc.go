// Package bench measures servers that very many devices stay connected to, over
// TCP: what a delivery costs, how long it takes, what an idle device costs, what
// happens when devices come, go, stop reading, or lose their server. Scenarios
// tells them all; Run measures one, Compare several. SecureScenarios are those of
// devices with TLS and of attackers; RunSecure measures one. Fleet measures gateways
// that are linked.
//
// The load comes from one thread and one epoll set per server, no goroutine per
// device; with [Config.Generator] in a process of its own. The server under test
// is a process of its own too, that the harness starts, so its CPU time and
// memory are its own accounting. Beside it run the floor, a C program that does
// nothing but the sends (floor/floor.c), and other servers (peers/, each in its
// best documented configuration), spoken to by a small driver for each protocol.
// All are measured in turns, moments apart, and compared pair by pair, because a
// machine's speed changes by the second.
//
// Every delivery is counted and its content and order checked. A message lost,
// repeated, altered or out of order fails the run, whatever its speed.
//
// The results that are kept are files in results/; Report makes RESULTS.md of
// them. Measuring needs Linux and a C compiler, reporting neither.
package bench
