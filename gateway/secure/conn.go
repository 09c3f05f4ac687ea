package secure

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"time"
)

// Conn is the server side of one TLS 1.3 connection. It has no socket: the event
// loop that owns one carries the bytes.
//
// First Handshake runs, on a goroutine of its own, because it waits for the
// device and computes for a millisecond. Meanwhile the loop hands it what comes,
// with Feed. When it has returned, the loop opens and seals by itself, without
// any goroutine; it begins with Open(dst, nil), because a device may have sent
// more than its handshake.
type Conn struct {
	tls     *tls.Conn
	verdict func(tls.ConnectionState) (*Proof, error)
	pipe    pipe
	rest    []byte // the beginning of a record; nil at rest
	broken  error  // what Open returned
}

// Gate admits handshakes to computing. A Conn is inside while it computes and
// outside while it waits for bytes of the device.
type Gate interface {
	// Enter waits for admission until the context ends.
	Enter(ctx context.Context) error
	// Leave follows each Enter that returned nil.
	Leave()
}

// serverConfig is what a Conn needs of a tls.Config. A device may show any
// certificate or none: the handshake proves only that it holds the key, and the
// verdict comes after it, in words of the protocol.
func serverConfig(certificates []tls.Certificate, curves []tls.CurveID, now func() time.Time) *tls.Config {
	return &tls.Config{
		Certificates:                certificates,
		CurvePreferences:            curves,
		Time:                        now,
		MinVersion:                  tls.VersionTLS13,
		ClientAuth:                  tls.RequestClientCert,
		NextProtos:                  []string{protocolName},
		DynamicRecordSizingDisabled: true, // what is sealed at once is one record
	}
}

// protocolName is what a device that asks for a protocol by name (ALPN) has to ask
// for [W-1.1]. One that asks for none is served as well.
const protocolName = "bellwire/1"

// newConn makes a Conn of a config, which connections share, and of what says
// who the device is: it is called after a handshake, resumed or not.
func newConn(cfg *tls.Config, verdict func(tls.ConnectionState) (*Proof, error)) *Conn {
	c := &Conn{verdict: verdict, pipe: pipe{handshake: newHandshake()}}
	c.tls = tls.Server(&c.pipe, cfg)
	return c
}

// Feed hands bytes of the device to the handshake, which copies them. Any
// goroutine may call it before and during Handshake, the loop also after it,
// until it calls Open. More than 32 KiB that wait end the connection.
func (c *Conn) Feed(b []byte) {
	if c.pipe.handshake == nil {
		c.rest = append(c.rest, b...)
		return
	}
	c.pipe.handshake.feed(b)
}

// Handshake carries out the handshake; it is called once. It computes only
// between gate's Enter and Leave; a nil gate is always open. It hands records
// for the device to send, which must not keep them.
//
// The proof is nil if the device showed no certificate. An error that is a
// *wire.Error means that TLS stands and that the certificate was refused: there
// is a code to tell the device, inside TLS. Any other error means that TLS
// failed; the alert for the device, if TLS has one, was sent. When ctx ends, it
// returns with its cause and sends nothing more.
func (c *Conn) Handshake(ctx context.Context, gate Gate, send func([]byte)) (*Proof, error) {
	h := c.pipe.handshake
	h.ctx, h.gate, h.send = ctx, gate, send
	defer h.leave()
	err := c.tls.HandshakeContext(context.WithoutCancel(ctx)) // the pipe knows the end of ctx
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return c.verdict(c.tls.ConnectionState())
}

// Waiting is how many bytes came during the handshake that it did not need. The
// loop may ask once Handshake has returned, before Open.
func (c *Conn) Waiting() int {
	c.settle()
	return len(c.rest)
}

// settle ends the phase of the handshake, when the loop takes over.
func (c *Conn) settle() {
	h := c.pipe.handshake
	if h == nil {
		return
	}
	c.rest, c.broken = h.left()
	c.pipe.handshake = nil
}

// Open takes bytes from the socket and appends the plain bytes that they
// complete to dst, also beside an error. The error is io.EOF after the device
// has said that it will send nothing more; any other is the end of the
// connection. Open again returns the same. What TLS itself has to say, also
// about the error, is in Answer.
func (c *Conn) Open(dst, cipher []byte) (plain []byte, err error) {
	c.settle()
	dst, cipher = c.openRest(dst, cipher)
	if c.broken == nil && len(cipher) > 0 {
		whole := wholeRecords(cipher)
		dst = c.open(dst, cipher[:whole])
		c.rest = append(c.rest, cipher[whole:]...)
	}
	if c.broken != nil {
		c.rest = nil
	}
	return dst, c.broken
}

// openRest opens what there is of earlier calls, completed by cipher, and
// returns what is left of cipher.
func (c *Conn) openRest(dst, cipher []byte) (plain, left []byte) {
	for len(c.rest) > 0 && c.broken == nil {
		n := recordSize(c.rest)
		if missing := min(n-len(c.rest), len(cipher)); missing > 0 {
			c.rest, cipher = append(c.rest, cipher[:missing]...), cipher[missing:]
			continue
		}
		if n > len(c.rest) {
			return dst, nil
		}
		dst = c.open(dst, c.rest[:n])
		c.rest = c.rest[n:]
	}
	c.rest = nil
	return dst, cipher
}

// open appends the plain bytes of whole records.
func (c *Conn) open(dst, records []byte) []byte {
	c.pipe.in.b = records
	dst = slices.Grow(dst, len(records)) // plain bytes are fewer, so Read leaves none of a record
	for len(c.pipe.in.b) > 0 && c.broken == nil {
		n, err := c.tls.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if n > 0 {
			c.pipe.silent = 0
		}
		if !errors.Is(err, errEmpty) {
			c.broken = err
		}
	}
	c.pipe.in = inlet{}
	return dst
}

// Seal appends plain as records for the socket to dst: one for each 16 KiB. It
// appends what Answer would before them, because the device must get it first.
// After CloseNotify, and after an error of Open that TLS has told the device, it
// seals nothing more.
func (c *Conn) Seal(dst, plain []byte) []byte {
	dst = c.Answer(dst)
	c.pipe.out = dst
	_, _ = c.tls.Write(plain) // the pipe takes everything
	dst, c.pipe.out = c.pipe.out, nil
	return dst
}

// Answer appends to dst what TLS itself has to say since the last call of
// Answer, Seal or CloseNotify: nearly always nothing, else the answer to a new
// key of the device, or an alert.
func (c *Conn) Answer(dst []byte) []byte {
	c.settle()
	dst = append(dst, c.pipe.out...)
	c.pipe.out = nil
	return dst
}

// CloseNotify appends to dst the record that says that nothing more will come,
// once. Open goes on.
func (c *Conn) CloseNotify(dst []byte) []byte {
	dst = c.Answer(dst)
	if c.broken != nil && !errors.Is(c.broken, io.EOF) {
		return dst // an alert has said more
	}
	c.pipe.out = dst
	_ = c.tls.CloseWrite() // the pipe takes everything
	dst, c.pipe.out = c.pipe.out, nil
	return dst
}
