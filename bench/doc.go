// Package bench measures gateways of the device protocol over TCP: what a
// delivery costs the server, what an idle device costs, what is allocated.
//
// The load comes from this process: one thread, one epoll set, no goroutine
// per device. The server under test is a process of its own that the harness
// starts, so its CPU time and memory are its own accounting. Beside it runs the
// floor, a C program that does nothing but the sends (floor/floor.c); both are
// measured in turns, moments apart, and compared pair by pair, because a
// machine's speed changes by the second.
//
// Every delivery is counted and its content and order checked. A message lost,
// repeated or out of order fails the run, whatever its speed.
//
// The results that are kept are files in results/; Report makes RESULTS.md of
// them. Measuring needs Linux and a C compiler, reporting neither.
package bench
