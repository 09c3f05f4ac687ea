package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// probe binds the device address once without SO_REUSEPORT, so that a port in
// use is an error: with it, a second gateway would silently take half of the
// devices. It also finds the port that 0 stands for, and whether an address that
// names no IP version is one of both versions here.
func (g *Gateway) probe() (netip.AddrPort, error) {
	if g.cfg.without.bindProbe && g.addr.Port() != 0 {
		return g.addr, nil
	}
	l, err := net.Listen(bindWhat(g.addr))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway: listen: %w", err)
	}
	a := l.Addr().(*net.TCPAddr).AddrPort()
	if err := l.Close(); err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway: listen: %w", err)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
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
