package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// protocolName is what the client offers by ALPN [W-1.1].
const protocolName = "bellwire/1"

// sessions is how many gateways the client keeps a ticket of; those of one name
// share one.
const sessions = 64

var (
	// ErrUntrusted means that the gateway's certificate does not pass: nobody whom
	// the client believes has issued it, it names another host, or it is not valid
	// now. Dial returns it; a client that was welcomed before tries again, since a
	// certificate may be renewed, and says so to its logger and to WithOnState.
	ErrUntrusted = errors.New("the gateway's certificate is not trusted")

	// ErrNoTLS means that the client has WithTLS and something answers there that
	// does not speak TLS.
	ErrNoTLS = errors.New("no TLS is spoken there")

	// ErrWantsTLS means that the client has no WithTLS, and what answers there speaks
	// TLS, or ended the connection without a word, as one does that expects TLS.
	ErrWantsTLS = errors.New("it seems that TLS is spoken there")
)

// tlsConfig is the configuration of all connections of one client.
func tlsConfig(given *tls.Config) (*tls.Config, error) {
	c := given.Clone()
	if c.MaxVersion != 0 && c.MaxVersion < tls.VersionTLS13 {
		return nil, fmt.Errorf("client: WithTLS: MaxVersion is %s: gateways speak TLS 1.3, so leave it out", tls.VersionName(c.MaxVersion))
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	if c.NextProtos == nil {
		c.NextProtos = []string{protocolName}
	}
	if c.ClientSessionCache == nil && !c.SessionTicketsDisabled {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(sessions)
	}
	return c, nil
}

// secure makes a connection to the gateway at addr a TLS one. After an error the
// connection is closed.
func secure(ctx context.Context, config *tls.Config, nc net.Conn, addr string) (net.Conn, error) {
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = hostOf(addr)
	}
	c := tls.Client(nc, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, handshakeError(err)
	}
	return c, nil
}

// hostOf is what the certificate of the gateway at addr has to name.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	host, _, _ = strings.Cut(host, "%") // the zone is this machine's own
	return host
}

// handshakeError says what a person can do about it.
func handshakeError(err error) error {
	var record tls.RecordHeaderError
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &bad):
		return fmt.Errorf("%w: %w", ErrUntrusted, bad.Err)
	case errors.As(err, &record) && refusedHello(record.RecordHeader):
		return fmt.Errorf("%w, but Bellwire without TLS: this is the gateway's plain port", ErrNoTLS)
	case errors.As(err, &record):
		return fmt.Errorf("%w: %w", ErrNoTLS, err)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

// refusedHello reports that an answer to a ClientHello is the ERROR of a gateway
// that took it for a frame out of order.
func refusedHello(answer [5]byte) bool {
	return wire.Type(answer[0]) == wire.TypeError && wire.Code(answer[2]) == wire.CodeOutOfOrder
}

// alert reports that the first bytes of a gateway are a TLS alert.
func alert(b []byte) bool {
	return len(b) >= 5 && b[0] == 0x15 && b[1] == 3 && b[2] <= 4 && b[3] == 0 && b[4] == 2
}
