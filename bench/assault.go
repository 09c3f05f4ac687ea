package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// assaultOrder asks for connections that are held half open, of all kinds in
// equal parts.
type assaultOrder struct {
	Plain, TLS netip.AddrPort // of the server
	Open       int            // at once, at least
	Sources    int            // addresses that they come from
	Within     time.Duration  // when all have to be open; 0: 30 s
}

// maxSources is how many addresses assaults can come from.
const maxSources = 200 * 250

// attackKind is what an attacker does.
type attackKind int

const (
	idlePlain attackKind = iota // nothing, on the plain port
	idleTLS                     // nothing, on the TLS port
	partTLS                     // half a ClientHello
	partHello                   // half a HELLO
	dripHello                   // a HELLO, one byte per second
	dripTLS                     // a ClientHello, one byte per second
	attackers                   // the number of kinds
)

// kinds of an attack, the drips being one kind in two forms.
const assaultKinds = "idle on the plain port, idle on the TLS port, half a ClientHello, half a HELLO, one byte per second (HELLO and ClientHello in turns)"

func (k attackKind) drips() bool { return k == dripHello || k == dripTLS }

func (k attackKind) address(o assaultOrder) netip.AddrPort {
	if k == idleTLS || k == partTLS || k == dripTLS {
		return o.TLS
	}
	return o.Plain
}

func (o assaultOrder) check() error {
	switch {
	case o.Open < 1 || o.Sources < 1 || o.Sources > maxSources:
		return fmt.Errorf("%d attackers from %d addresses: take at least one, from 1 to %d", o.Open, o.Sources, maxSources)
	case !o.Plain.Addr().Is4() || !o.TLS.Addr().Is4():
		return errors.New("an assault needs the plain and the TLS port of a server")
	}
	if limit := descriptorLimit(); limit > 0 && uint64(o.aim())+64 > limit { //nolint:gosec // it is positive
		return fmt.Errorf("%d attackers need more descriptors than the %d of one process: ask for fewer, or raise the limit (ulimit -n)", o.aim(), limit)
	}
	return nil
}

// aim is how many attackers there are: some more than shall be open, for those
// that are on their way back.
func (o assaultOrder) aim() int { return o.Open + o.Open/20 + 16 }

// assaultWithin is when all have to be open, unless told otherwise.
const assaultWithin = 30 * time.Second

// assaultRamp spreads the first connections, and so the ends of all: a server
// that gives each the same time would end all at once.
const assaultRamp = 6 * time.Second

// ramp is the time over which they come first.
func (o assaultOrder) ramp() time.Duration {
	return max(time.Second, min(assaultRamp, time.Duration(o.Open)*time.Millisecond))
}

// kind is that of an attacker.
func (o assaultOrder) kind(i int) attackKind {
	kind := attackKind(i % int(attackers-1))
	if kind == dripHello && i/int(attackers-1)%2 == 1 {
		return dripTLS
	}
	return kind
}

// source is an attacker's address, in networks of their own.
func (o assaultOrder) source(i int) [4]byte {
	s := i / int(attackers-1) % o.Sources // each address has all kinds
	return [4]byte{127, 0, byte(1 + s/250), byte(1 + s%250)}
}
