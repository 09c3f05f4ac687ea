package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"math/bits"
	"net"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Option changes how Dial connects.
type Option func(*options)

type options struct {
	servers     []string
	device      string
	token       string
	source      func(ctx context.Context) (string, error) // in the place of token; nil: none
	tls         *tls.Config                               // nil: plain TCP
	keepalive   time.Duration
	pongTimeout time.Duration
	logger      *slog.Logger
	dial        func(ctx context.Context, addr string) (net.Conn, error)
	backoffMin  time.Duration
	backoffMax  time.Duration
	recv        uint8 // log2 of the largest frame
	onState     func(State)
	without     guards
}

// guards are the parts that keep a history whole; true takes one away. Only tests
// do, to show that they would notice.
type guards struct {
	cursor bool // resuming from the position
	dedupe bool // dropping what was had
	life   bool // noticing that a life is over
	check  bool // comparing the check byte with the count
}

func defaults() options {
	// The protocol's own keepalive is asked for in minutes; probes every few
	// seconds would cost a device more than all the rest.
	d := &net.Dialer{Timeout: dialTimeout, KeepAlive: -1}
	return options{
		pongTimeout: 10 * time.Second,
		logger:      slog.New(slog.DiscardHandler),
		dial:        func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) },
		backoffMin:  laterLeast,
		backoffMax:  5 * time.Minute,
		recv:        wire.MaxFrameLog,
		onState:     func(State) {},
	}
}

// check says what is wrong with the options, and completes them.
func (o *options) check() (err error) {
	if err := checkToken(cmp.Or(o.token, o.device)); err != nil {
		return err
	}
	if o.tls != nil {
		o.tls, err = tlsConfig(o.tls)
	}
	return err
}

// WithServers adds addresses to try after the one given to Dial. The one that
// served last, be it of these or one that a gateway sent the client to, is tried
// first when the connection is lost.
func WithServers(addrs ...string) Option {
	return func(o *options) { o.servers = append(o.servers, addrs...) }
}

// WithDevice names the device to a gateway that lets devices name themselves.
// Without it, and without a token, the gateway draws a name. A token wins over it.
func WithDevice(name string) Option {
	return func(o *options) { o.device = name }
}

// WithToken proves the device's identity by a token of at most 900 bytes. When it
// ends, so does the client, with a *StoppedError: WithTokenSource renews.
func WithToken(token string) Option {
	return func(o *options) { o.token = token }
}

// WithTokenSource proves the device's identity by tokens that source gets, of at
// most 900 bytes each. It is asked at each connect, and when the gateway says that
// the time of the token is running out: the new one is then sent on the connection
// that lives. While that fails, or gives the same token again, it is repeated until
// the token ends, and logged. source is called by one goroutine at a time, must not
// call the client, and must return when its context ends, after 10 s. It wins over WithToken.
func WithTokenSource(source func(ctx context.Context) (string, error)) Option {
	return func(o *options) { o.source = source }
}

// WithTLS connects by TLS 1.3. Without a ServerName in it, the gateway's certificate
// has to name the host of the address, be it given to Dial or told by a gateway. A
// certificate in it shows who the device is. Sessions are resumed with the tickets
// of this client's own cache, unless the configuration has one; a device whose
// certificate changes while it runs gives it by GetClientCertificate, and is known by
// the earlier one until its ticket ends. Curves are left to the configuration: with
// X25519 alone the handshake takes a third of the bytes.
func WithTLS(config *tls.Config) Option {
	return func(o *options) { o.tls = config }
}

// WithKeepalive asks for the interval within which the client sends something,
// in whole seconds; the gateway has the last word. Default: the gateway's.
func WithKeepalive(d time.Duration) Option {
	return func(o *options) { o.keepalive = d }
}

// WithPongTimeout says how long a gateway may take to answer a PING before it is
// taken for dead. Default 10 s.
func WithPongTimeout(d time.Duration) Option {
	return func(o *options) { o.pongTimeout = d }
}

// WithLogger logs connects, losses and breaches of the protocol. Default: nothing.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}

// WithDialer replaces the TCP dialer, for proxies or for tests. The connection must
// obey deadlines. With WithTLS, TLS is spoken on it.
func WithDialer(dial func(ctx context.Context, addr string) (net.Conn, error)) Option {
	return func(o *options) { o.dial = dial }
}

// WithBackoff bounds the waits between attempts to connect: a random time up to
// least at first, up to twice that with each one more, up to most. Defaults 5 s and
// 5 min. The first wait after a connection is lost is up to a second, or up to least
// where that is shorter.
func WithBackoff(least, most time.Duration) Option {
	return func(o *options) { o.backoffMin, o.backoffMax = least, max(least, most) }
}

// WithFrameLimit states the largest frame the client takes, rounded down to a
// power of two within 128 B and 1 MiB. Larger messages arrive as a Gap. Default 1 MiB.
func WithFrameLimit(bytes int) Option {
	return func(o *options) {
		log := bits.Len(uint(max(bytes, 1))) - 1
		o.recv = uint8(min(max(log, wire.MinFrameLog), wire.MaxFrameLog))
	}
}

// WithOnState is told of every change of the connection, in order, from the
// client's own goroutine: it must not block, nor call Close or Shutdown.
func WithOnState(f func(State)) Option {
	return func(o *options) { o.onState = f }
}

// SubOption changes a subscription.
type SubOption func(*subOptions)

type subOptions struct {
	policy    wire.Policy
	start     wire.Start
	cursor    []TopicPosition
	noEcho    bool
	untracked bool
	buffer    int
}

// WithPolicy says what the gateway drops when this client is behind. Default
// wire.DropOldest. What is dropped arrives as a Gap.
func WithPolicy(p wire.Policy) SubOption {
	return func(o *subOptions) { o.policy = p }
}

// WithStart says where an exact filter begins; a wildcard begins now. Default
// wire.StartNow. For wire.StartCursor use WithCursor.
func WithStart(s wire.Start) SubOption {
	return func(o *subOptions) { o.start = s }
}

// WithCursor begins after these positions, as Subscription.Cursor returned them.
// An empty Topic means the filter itself. A wildcard resumes the topics named
// here, at most 1,024, and begins now with all others: what these had meanwhile is
// one Gap without a topic. With no position at all, an exact filter begins with all
// that the gateway still has.
func WithCursor(positions ...TopicPosition) SubOption {
	return func(o *subOptions) { o.start, o.cursor = wire.StartCursor, append(o.cursor, positions...) }
}

// WithNoEcho leaves out what this client publishes itself.
func WithNoEcho() SubOption {
	return func(o *subOptions) { o.noEcho = true }
}

// WithBuffer sets how many events wait for Next before the client stops reading
// its connection. Default 256, at least 1.
func WithBuffer(n int) SubOption {
	return func(o *subOptions) { o.buffer = max(n, 1) }
}

// Untracked does without positions: nothing is resumed, messages carry no offset,
// and each reconnect is a Gap of unknown size.
func Untracked() SubOption {
	return func(o *subOptions) { o.untracked = true }
}

// PubOption changes one Publish.
type PubOption func(*pubOptions)

type pubOptions struct {
	retry bool
	noAck bool
}

// WithRetry repeats a message whose outcome is unknown, because the connection
// ended before the answer, until it is answered or the context ends: with the same
// sequence number. Subscribers may see the message twice.
func WithRetry() PubOption {
	return func(o *pubOptions) { o.retry = true }
}

// WithoutAck returns as soon as the message is handed to a connection. Whether it
// was published stays unknown; a refusal is only logged.
func WithoutAck() PubOption {
	return func(o *pubOptions) { o.noAck = true }
}
