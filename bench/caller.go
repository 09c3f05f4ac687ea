package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// caller connects devices one at a time, with calls that block: TLS, HELLO and
// SUBSCRIBE. It is safe for concurrent use.
type caller struct {
	remote  netip.AddrPort
	tls     *tls.Config // nil: plain TCP
	issuer  *authority  // of device certificates; nil: devices give a name
	topic   string
	sources int // loopback addresses to connect from, from 127.0.0.1 on; 0: the system chooses
}

// called is a device that is connected and subscribed.
type called struct {
	net.Conn // of TLS or TCP
	tcp      *net.TCPConn
	tap      *tap // nil: plain
	welcome  wire.Welcome
	id       uint32 // of its topic
	resumed  bool   // the TLS session of an earlier connection
	rest     []byte // received after SUBSCRIBED
}

// callTime is how long a device waits for each attempt.
const callTime = 20 * time.Second

// laterError is a server that asks a device to come again.
type laterError struct {
	after time.Duration // 0: it did not say when
	err   error
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// insist connects a device, as often as it takes; again counts the attempts that
// failed.
func (c *caller) insist(ctx context.Context, number int, cfg *tls.Config) (d *called, again int, err error) {
	pause := 100 * time.Millisecond
	for {
		d, err = c.call(ctx, number, cfg)
		var later *laterError
		if err == nil || ctx.Err() != nil || !errors.As(err, &later) {
			return d, again, err
		}
		again++
		after := later.after // the server has spread it
		if after == 0 {
			after = pause/2 + rand.N(pause)
			pause = min(2*pause, 5*time.Second)
		}
		select {
		case <-ctx.Done():
			return nil, again, err
		case <-time.After(after):
		}
	}
}

// config is a TLS configuration for one device, which keeps the session for its
// next connection if resume says so.
func (c *caller) config(number int, resume bool) (*tls.Config, error) {
	if c.tls == nil {
		return nil, nil
	}
	cfg := c.tls
	if c.issuer != nil || resume {
		cfg = cfg.Clone()
	}
	if resume {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	if c.issuer != nil {
		pair, err := c.issuer.device(deviceName(number))
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// call makes one attempt. Whatever another attempt may mend is a laterError.
func (c *caller) call(ctx context.Context, number int, cfg *tls.Config) (*called, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if c.sources > 0 && c.remote.Addr().IsLoopback() {
		i := number % c.sources
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, byte(i/250), byte(1+i%250))}
		dialer.Control = bindLate
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp4", c.remote.String())
	if err != nil {
		return nil, &laterError{err: err}
	}
	d := &called{Conn: conn, tcp: conn.(*net.TCPConn)}
	stop := context.AfterFunc(ctx, func() { d.tcp.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // then it is closed
	if err := d.greet(ctx, c, number, cfg); err != nil {
		stop()
		d.tcp.Close()
		return nil, err
	}
	if !stop() {
		d.tcp.Close()
		return nil, ctx.Err()
	}
	return d, nil
}

func (d *called) greet(ctx context.Context, c *caller, number int, cfg *tls.Config) error {
	hello := wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: wire.MaxFrameLog, Names: 1, Keepalive: keepaliveAsk,
		Incarnation: uint32(number + 1), Method: wire.AuthToken, Auth: []byte(deviceName(number)),
	}
	if cfg != nil {
		d.tap = &tap{Conn: d.tcp}
		secure := tls.Client(d.tap, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return d.later(fmt.Errorf("TLS: %w", err))
		}
		d.Conn, d.resumed = secure, secure.ConnectionState().DidResume
		if len(cfg.Certificates) > 0 {
			hello.Method, hello.Auth = wire.AuthCertificate, nil
		}
	}
	out := wire.Subscribe{Sub: 1, Filter: []byte(c.topic)}.Append(hello.Append(nil))
	if _, err := d.Write(out); err != nil {
		return d.later(err)
	}
	in := make([]byte, 4096)
	for have := 0; ; {
		n, err := d.Read(in[have:])
		have += n
		used, done, refused := d.greeted(in[:have])
		if refused != nil {
			return refused
		}
		have = copy(in, in[used:have])
		if done {
			d.rest = append(d.rest, in[:have]...)
			return nil
		}
		if err != nil {
			return d.later(err)
		}
	}
}

// later tells failures that time mends from those that it does not. A
// certificate that is not believed stays so.
func (d *called) later(err error) error {
	var wrong *tls.CertificateVerificationError
	var alert tls.AlertError
	if errors.As(err, &wrong) || errors.As(err, &alert) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server ended the connection")
	}
	return &laterError{err: err}
}

// greeted takes the answers to the greeting; done says that they have all come.
func (d *called) greeted(b []byte) (used int, done bool, err error) {
	for rest := b; ; {
		typ, body, next, err := wire.Next(rest, maxFrame)
		if errors.Is(err, wire.ErrShort) {
			return len(b) - len(rest), false, nil
		}
		if err != nil {
			return 0, false, err
		}
		rest = next
		switch {
		case typ == wire.TypeWelcome:
			if d.welcome, err = wire.ParseWelcome(body); err != nil {
				return 0, false, err
			}
		case typ == wire.TypeSubscribed:
			s, err := wire.ParseSubscribed(body)
			if err == nil && (s.Code.Class() != wire.ClassFine || s.Topic == 0) {
				err = fmt.Errorf("the subscription was refused: %v", s.Code)
			}
			d.id = uint32(s.Topic)
			return len(b) - len(rest), true, err
		case typ == wire.TypeClose:
			return 0, false, closed(body)
		case typ == wire.TypeError:
			e, err := wire.ParseRefusal(body)
			if err == nil {
				err = fmt.Errorf("the server refused a %v: %v %s", e.Type, e.Code, e.Text)
			}
			return 0, false, err
		case !typ.Skippable() && typ != wire.TypeTopic && typ != wire.TypeCredit:
			return 0, false, fmt.Errorf("a frame that no device here expects: %v", typ)
		}
	}
}

// closeRetry is the TLV of CLOSE that says how long to wait: a varint of
// milliseconds.
const closeRetry = 3

// closed is what a CLOSE says.
func closed(body []byte) error {
	c, err := wire.ParseClose(body)
	if err != nil {
		return err
	}
	err = fmt.Errorf("the server closed the connection: %v %s", c.Code, c.Text)
	if c.Code.Class() != wire.ClassAtOnce && c.Code.Class() != wire.ClassLater {
		return err
	}
	later := &laterError{err: err}
	head := wire.VarintLen(uint64(c.Handle)) + 1 + wire.VarintLen(uint64(len(c.Text))) + len(c.Text)
	for rest := body[min(head, len(body)):]; ; {
		key, value, next, ok := wire.NextTLV(rest)
		if !ok {
			return later
		}
		if key == closeRetry {
			if ms, n := wire.ConsumeVarint(value); n > 0 {
				later.after = time.Duration(min(ms, 600_000)) * time.Millisecond
			}
		}
		rest = next
	}
}
