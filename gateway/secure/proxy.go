package secure

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"

	"github.com/bellwire/bellwire/wire"
)

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyFixed     = 16 // signature, version and command, family, length
	// maxProxy bounds the whole header. What balancers add about the connection
	// has some hundred bytes; a client's certificate does not fit and is of no
	// use here.
	maxProxy = 1 << 10
)

// ErrNoProxy means that a connection does not begin with a PROXY protocol header
// of version 2.
var ErrNoProxy = errors.New("secure: no PROXY protocol version 2")

// Proxy reads the PROXY protocol v2 header that b, all that has come so far,
// begins with: for whom the proxy speaks, and how many bytes of b the header is.
// The address is invalid if the proxy speaks for itself (LOCAL), or for a client
// without an IP address (AF_UNIX, AF_UNSPEC). An IPv4 address that is mapped
// into IPv6 is returned as IPv4.
//
// The error is wire.ErrShort until the whole header is there, ErrNoProxy if it
// is none, and another one if it is wrong or longer than 1 KiB. Whether the peer
// may speak for others is for the caller to know, before.
func Proxy(b []byte) (from netip.AddrPort, used int, err error) {
	if n := min(len(b), len(proxySignature)); string(b[:n]) != proxySignature[:n] {
		if bytes.HasPrefix(b, []byte("PROXY ")) {
			return from, 0, fmt.Errorf("%w: it is version 1: set the proxy to version 2", ErrNoProxy)
		}
		return from, 0, ErrNoProxy
	}
	if len(b) < proxyFixed {
		return from, 0, wire.ErrShort
	}
	used = proxyFixed + int(binary.BigEndian.Uint16(b[proxyFixed-2:]))
	if used > maxProxy {
		return from, 0, fmt.Errorf("secure: PROXY header of %d bytes: at most %d", used, maxProxy)
	}
	if used > len(b) {
		return from, 0, wire.ErrShort
	}
	if b[12] == byte(proxyproto.PROXY) && b[13] == byte(proxyproto.UNSPEC) {
		return from, used, nil // allowed, though the library does not take it
	}
	header, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b[:used]), used))
	if err != nil {
		return from, 0, fmt.Errorf("secure: PROXY header: %w", err)
	}
	if header.Command.IsLocal() {
		return from, used, nil
	}
	switch source := header.SourceAddr.(type) {
	case *net.TCPAddr:
		from = source.AddrPort()
		return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), used, nil
	case *net.UnixAddr:
		return from, used, nil
	}
	return from, 0, errors.New("secure: PROXY header: for a datagram, on a connection")
}
