package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// probe binds the device address once without SO_REUSEPORT, so that a port in
// use is an error: with it, a second gateway would silently take half of the
// devices. It also finds the port that 0 stands for, and whether an address that
// names no IP version is one of both versions here. The same for the TLS address,
// while the first is still bound: two times port 0 are two ports.
func (g *Gateway) probe() (plain, tls netip.AddrPort, err error) {
	plain, free, err := g.probeOne("listen", g.addr)
	if err != nil {
		return plain, tls, err
	}
	tls, freeTLS, err := g.probeOne("listen_tls", g.secure)
	return plain, tls, errors.Join(err, free(), freeTLS())
}

// probeOne binds one address; free gives it back.
func (g *Gateway) probeOne(what string, addr netip.AddrPort) (bound netip.AddrPort, free func() error, err error) {
	none := func() error { return nil }
	if !addr.IsValid() || g.cfg.without.bindProbe && addr.Port() != 0 {
		return addr, none, nil
	}
	l, err := net.Listen(bindWhat(addr))
	if err != nil {
		return addr, none, fmt.Errorf("gateway: %s: %w", what, err)
	}
	a := l.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), l.Close, nil
}

// engineAddresses are those of the two that are there, as gnet wants them.
func engineAddresses(addrs ...netip.AddrPort) []string {
	var out []string
	for _, a := range addrs {
		if a.IsValid() {
			out = append(out, engineAddress(a))
		}
	}
	return out
}

// bindWhat is the network and address that stand for addr, for package net and
// gnet alike. :: is written as no address at all: both take that for every
// address of both IP versions, while gnet would bind [::] for IPv6 only, and
// package net "tcp" with 0.0.0.0 for both.
func bindWhat(addr netip.AddrPort) (network, address string) {
	switch {
	case addr.Addr() == netip.IPv6Unspecified():
		return "tcp", ":" + strconv.Itoa(int(addr.Port()))
	case addr.Addr().Is4():
		return "tcp4", addr.String()
	}
	return "tcp6", addr.String()
}

// engineAddress is addr as gnet wants it. A socket of both versions needs the
// kernel's usual net.ipv6.bindv6only=0, which gnet does not override.
func engineAddress(addr netip.AddrPort) string {
	network, address := bindWhat(addr)
	return network + "://" + address
}
