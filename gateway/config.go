package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Config is what New needs. The zero value is a gateway on 127.0.0.1:7311
// without an admin address.
type Config struct {
	// Name of the gateway in logs, metrics and the admin API. Default: host name
	// and port.
	Name string
	// Listen is the device address. Default "127.0.0.1:7311"; port 0 finds a
	// free one. ":7311" and "[::]:7311" are every address of IPv4 and IPv6,
	// "0.0.0.0:7311" every one of IPv4. Anything but loopback needs Insecure,
	// since this is plain TCP.
	Listen string
	// Admin is the address of the admin API; empty: none, use Handler.
	Admin string
	// Insecure allows plain TCP beyond loopback.
	Insecure bool
	// Pprof offers /debug/pprof on the admin address.
	Pprof bool
	// Loops is the number of event loops, 1–64. Default: GOMAXPROCS.
	Loops int
	// Broadcast are the filters of the topics that are delivered from the
	// gateway's own table; all others go to Central. Default "broadcast/#".
	Broadcast []string
	// Limits bound what devices can make the gateway hold.
	Limits Limits
	// DrainSpread is the time over which Shutdown has devices leave. Default
	// 10 s: their reconnects reach other gateways as a stream, not as a blow.
	DrainSpread time.Duration
	// DrainWithin is the time after DrainSpread until those that stayed are
	// closed. Default 5 s: enough to acknowledge what is under way. For both,
	// less than a millisecond is at once.
	DrainWithin time.Duration

	// Authenticate proves devices. Default: they name themselves, tenant
	// "default".
	Authenticate Authenticator
	// Authorize permits publishes and subscriptions. Default: all.
	Authorize Authorizer
	// Central takes what is not a broadcast. Default: it is refused.
	Central Central
	// Logger. Default: slog.Default().
	Logger *slog.Logger

	// without takes guards out; only tests of this package can set it.
	without guards
	// newTransport wraps connections; only tests of this package can set it.
	newTransport func() transport
}

// guards are the protections that a fault test takes out to prove that it is
// they which make the test pass.
type guards struct {
	connectionCap, authDeadline, helloLimit, slowPolicy, stuckClose bool
	recover, bindProbe, keepalive, heldLimit, adminConns            bool
	wholeFrames                                                     bool // only these keep a session
	heldDescriptors                                                 bool // those of loops and process are reserved

	refusal     wire.Code // frames that are refused with this code are passed over
	frameLimit  bool      // a frame is at most as large as the gateway takes
	topicCheck  bool      // names and filters are checked
	keepPart    bool      // part of a frame stays where it is until the rest has come
	lostOnce    bool      // a session is unlinked once
	unlist      bool      // who is gone is on no list
	ownSlot     bool      // a handle does not reach the next session of its slot
	rest        bool      // what a socket did not take is sent later
	cursor      bool      // a replay begins behind the cursor
	userTimeout bool      // TCP_USER_TIMEOUT is set

	// Rules of the protocol, which the model's device has to miss.
	gapInPlace   bool        // a gap stands in the place of what is missing
	gapOf        wire.Reason // these positions are announced
	startMarker  bool        // a subscription begins behind what was posted before
	withhold     bool        // live messages are passed over while the ring is read
	replayOffset bool        // replayed messages carry their offset
	tell         bool        // a group is told a topic before its first message
	takeOnce     bool        // a message comes once, however many subscriptions match
}

// pass is err unless it asks for the code that is taken out.
func (g *guards) pass(err error) error {
	if g.refusal != wire.CodeOK && wire.CodeOf(err) == g.refusal {
		return nil
	}
	return err
}

// mostDrain is the longest part of a drain: GOAWAY tells both parts together in
// 32 bits of milliseconds.
const mostDrain = 24 * time.Hour

// DefaultTenant is the tenant of devices that name themselves.
const DefaultTenant = "default"

// complete fills the defaults and validates: errors name the field.
func (c Config) complete() (Config, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:7311"
	}
	addr, err := resolve(c.Listen)
	if err != nil {
		return c, fmt.Errorf("config: listen: %w", err)
	}
	if !addr.Addr().IsLoopback() && !c.Insecure {
		return c, fmt.Errorf("config: listen: %s is not loopback and this is plain TCP: listen on 127.0.0.1, or allow it with insecure", c.Listen)
	}
	if c.Admin != "" {
		if _, err := resolve(c.Admin); err != nil {
			return c, fmt.Errorf("config: admin: %w", err)
		}
	}
	if c.Loops == 0 {
		c.Loops = min(runtime.GOMAXPROCS(0), 64)
	}
	if c.Loops < 1 || c.Loops > 64 {
		return c, fmt.Errorf("config: loops: %d: want 1 to 64", c.Loops)
	}
	if c.Broadcast == nil {
		c.Broadcast = []string{"broadcast/#"}
	}
	c.Broadcast = slices.Clone(c.Broadcast)
	for i, f := range c.Broadcast {
		if err := wire.CheckFilter([]byte(f)); err != nil {
			return c, fmt.Errorf("config: broadcast[%d]: %w", i, err)
		}
	}
	c.Limits = c.Limits.withDefaults(addr.Addr().IsLoopback())
	if err := c.Limits.validate(); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	if c.DrainSpread == 0 {
		c.DrainSpread = 10 * time.Second
	}
	if c.DrainWithin == 0 {
		c.DrainWithin = 5 * time.Second
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"drain_spread", c.DrainSpread}, {"drain_within", c.DrainWithin}} {
		if f.value < 0 || f.value > mostDrain {
			return c, fmt.Errorf("config: %s: %s: want 0 to %s", f.name, f.value, mostDrain)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// defaultName is host name and port.
func defaultName(port uint16) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "gateway"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// resolve reads host:port; a host name is looked up once, so that the address
// that is checked is the one that is bound.
func resolve(s string) (netip.AddrPort, error) {
	a, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: want host:port: %w", s, errors.Unwrap(err))
	}
	ap := a.AddrPort()
	if !ap.Addr().IsValid() {
		ap = netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port())
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}
