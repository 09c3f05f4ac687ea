// Package gateway is the server that devices stay connected to: event loops
// that hold very many connections, and the fan-out of broadcasts to them.
//
// Three types: Config says what to serve, Gateway serves it, Limits bound what
// devices can make it hold. New checks and opens nothing, Serve blocks, Shutdown
// drains, Close stops at once.
//
// What it believes of devices is Config.Trust (package secure), who may do what is
// Config.Policy (package access), how much of it a tenant may do is Config.Quotas,
// and Config.Audit is told who was refused what. Reload replaces them, and within a
// second ends what is not proven or granted any more. Beyond loopback New refuses a
// configuration that is not secure, unless it says Insecure.
//
// The ownership rule: a session, its subscriptions and what waits for it belong
// to one event loop, and only code on that loop touches them. Everyone else
// posts to the loop's mailbox, with a handle that may turn out to be stale.
package gateway
