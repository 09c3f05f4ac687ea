package gateway

import (
	"errors"
	"net/netip"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// hail looks at the first bytes of a connection, which are not frames: what a proxy
// says of where it comes from, and the ClientHello of TLS. They stay in gnet's
// buffer, without a goroutine, until they are whole.
func (l *loop) hail(s *session, b []byte) {
	if l.slots.at(s.n).flags&flagProxied != 0 {
		if !l.proxied(s, b) {
			return
		}
		var err error
		if b, err = s.conn.Peek(-1); err != nil { // what was looked at went with the header
			return
		}
	}
	switch {
	case s.secure == nil: // a proxy had to speak first
		s.stage = stageNew
		if len(b) > 0 {
			l.work(s, b, l.frames)
		}
	case s.stage == stageShake:
		l.feed(s, b)
	case len(b) > 0:
		l.clientHello(s, b)
	}
}

// proxied reads the header that a listed proxy begins with; false if it is not
// whole yet, or was wrong.
func (l *loop) proxied(s *session, b []byte) bool {
	from, used, err := secure.Proxy(b)
	if errors.Is(err, wire.ErrShort) {
		return false
	}
	if err != nil {
		l.turnAway(s, auditProxy, wire.CodeOverload, "no PROXY protocol v2 header from a listed proxy")
		return false
	}
	l.slots.at(s.n).flags &^= flagProxied
	_, _ = s.conn.Discard(used)
	if !from.IsValid() {
		return true // the proxy speaks for itself: a health check
	}
	s.proof = &proof{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	network := networkOf(from.Addr())
	if code := l.g.count(network); code != wire.CodeOK {
		l.turnAway(s, auditConnect, code, "")
		return false
	}
	s.network = network
	return true
}

// clientHello waits for the whole of it, then has a goroutine do the handshake.
func (l *loop) clientHello(s *session, b []byte) {
	hello, err := secure.ClientHello(b)
	switch {
	case errors.Is(err, wire.ErrShort):
	case err == nil:
		l.shake(s, hello, b)
	case wire.Type(b[0]) == wire.TypeHello:
		// A device that speaks plain frames understands this [W-1.1].
		l.turnAway(s, auditHandshake, wire.CodeMalformed, "this port speaks TLS")
	case isProxyHeader(b):
		l.turnAway(s, auditProxy, wire.CodeOverload, unlistedProxy)
	default:
		l.refusedAt(s, auditConnect, wire.CodeMalformed, "neither TLS nor anything known")
		l.drop(s)
	}
}

// unlistedProxy is why a PROXY header is refused. The code says later, not never:
// the devices behind the proxy did nothing wrong.
const unlistedProxy = "a PROXY header from a network that is not listed"

// isProxyHeader reports the first bytes of PROXY protocol v2.
func isProxyHeader(b []byte) bool {
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	n := min(len(b), len(signature))
	return n > 4 && string(b[:n]) == signature[:n]
}

// turnAway ends a connection that has not come as far as frames, in plain bytes.
func (l *loop) turnAway(s *session, kind auditKind, code wire.Code, text string) {
	l.refusedAt(s, kind, code, text)
	s.secure = nil
	l.slots.at(s.n).flags &^= flagSealed
	s.stage = stageNew
	l.closeWith(s, code, text)
	if !s.closed {
		_, _ = s.conn.Discard(-1)
	}
}
