package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/peer"
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
	// ListenTLS is the device address that speaks TLS 1.3; empty: none. It needs
	// Trust with a certificate and, beyond loopback, devices that have to prove who
	// they are (Trust or Authenticate), or Insecure. Listen may be "off" then.
	ListenTLS string
	// Trust is what the gateway proves itself with, and what it believes of
	// devices. Reload replaces it.
	Trust *secure.Trust
	// Policy says who may publish and subscribe what. Default: everyone
	// everything. Reload replaces it, within a second for those who are here.
	Policy *access.Policy
	// Quotas bound tenants by name; AnyTenant is every other. Reload replaces them.
	Quotas map[string]Quota
	// ProxyFrom are the networks of proxies, which have to begin each connection
	// with a PROXY protocol v2 header. From anywhere else it is refused.
	ProxyFrom []netip.Prefix
	// Admin is the address of the admin API; empty: none, use Handler. Anything but
	// loopback needs both AdminTLS and AdminAuth, or Insecure.
	Admin string
	// AdminAuth is asked for the bearer token of each admin request but those for
	// /healthz and /readyz; five bad ones per minute and source are looked at. Nil:
	// whoever can connect may do everything; then a loopback address is answered
	// under its own name only, so that no web page reaches it through a browser.
	AdminAuth AdminAuthenticator
	// AdminTLS has the admin address speak TLS, 1.3 at least. Nil: plain HTTP.
	AdminTLS *tls.Config
	// OnReload has settings read again, for POST /v1/reload; its error is shown to
	// the admin. It may be called by several goroutines at once. Nil: there is no
	// such request.
	OnReload func() error
	// Insecure allows plain TCP beyond loopback, TLS without proof of devices, and
	// an admin address there without TLS or tokens.
	Insecure bool
	// Pprof offers /debug/pprof on the admin address.
	Pprof bool
	// Loops is the number of event loops, 1–64. Default: GOMAXPROCS.
	Loops int
	// Broadcast are the filters of the topics that are delivered from the
	// gateway's own table; all others go to Central. Default "broadcast/#".
	// SetBroadcast replaces them.
	Broadcast []string
	// Limits bound what devices can make the gateway hold.
	Limits Limits
	// Memory is how many bytes the process may use. From 75 % of it on new
	// connections are refused with a delay, from 85 % on queues and rings shrink
	// to a quarter, from 95 % on who is behind gets gaps only and devices do not
	// publish; control frames and the admin API go on. 0: the limit of the
	// process's cgroup, none if that has none. Negative: none. What counts is the
	// resident set, so a Go heap that may grow to the budget makes these steps be
	// taken for garbage: whoever embeds a gateway calls debug.SetMemoryLimit with
	// some 85 % of it, as a package cannot for the whole process. When a step is
	// taken the gateway calls debug.FreeOSMemory. What the kernel holds for
	// sockets is not in the resident set, though in cgroup v2 it is in the limit:
	// leave room for Limits.SendBuffer of those that may be behind at once.
	Memory int64
	// DrainSpread is the time over which Shutdown has devices leave. Default
	// 10 s: their reconnects reach other gateways as a stream, not as a blow.
	DrainSpread time.Duration
	// DrainWithin is the time after DrainSpread until those that stayed are
	// closed. Default 5 s: enough to acknowledge what is under way. For both,
	// less than a millisecond is at once.
	DrainWithin time.Duration

	// Authenticate proves devices that have not been by a certificate. Default:
	// Trust does by token; if it knows none, they name themselves, tenant
	// "default".
	Authenticate Authenticator
	// Authorize permits publishes and subscriptions, beside Policy: both have to.
	// Default: all.
	Authorize Authorizer
	// Peer links this gateway to the others of a fleet; nil: it is alone. Life, Streams,
	// Source, Filters, Logger and an empty Name are filled in.
	Peer *peer.Config
	// Central takes what is not a broadcast. Default: it is refused.
	Central Central
	// Directory is asked for what GET /v1/fleet shows of gateways that this one is not
	// linked to. Nil: nothing.
	Directory Directory
	// Stored is what the fleet has stored, for the admin API. Nil: nothing.
	Stored Stored
	// Logger. Default: slog.Default().
	Logger *slog.Logger
	// Audit takes a line for each thing that was refused: event, code, tenant and
	// device, address, topic. Each kind of event has 100 lines at once and then 20
	// per second; the next one says how many were suppressed. No line holds a
	// token, a key or a payload, and what a device chose is cut and quoted. Lines
	// are written by a goroutine of their own. Default: Logger.
	Audit *slog.Logger

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
	memory                                                          bool // steps are taken
	adminWrite                                                      bool // an answer has a deadline
	answerBound                                                     bool // of a transport to a device that does not read
	dueSlices                                                       bool // sessions that are due are not all acted on at once
	recheckSlices                                                   bool // asking all again lets others have their turn
	replacesInQuota                                                 bool // a device that comes again is not one more
	weighedSubscribe                                                bool // it counts for more than one frame
	reloadExposed                                                   bool // a reload does not open what was closed
	networkFirst                                                    bool // a network's limit is asked before everyone's
	openedBound                                                     bool // frames that wait keep what comes sealed
	hostCheck                                                       bool // of an admin API without tokens

	refusal     wire.Code // frames that are refused with this code are passed over
	frameLimit  bool      // a frame is at most as large as the gateway takes
	topicCheck  bool      // names and filters are checked
	keepPart    bool      // part of a frame stays where it is until the rest has come
	lostOnce    bool      // a session is unlinked once
	unlist      bool      // who is gone is on no list
	ownSlot     bool      // a handle does not reach the next session of its slot
	lastFrames  bool      // all frames before the end of what a device sends are handled
	rest        bool      // what a socket did not take is sent later
	cursor      bool      // a replay begins behind the cursor
	userTimeout bool      // TCP_USER_TIMEOUT is set
	sources     bool      // source networks have limits
	spread      bool      // those who are refused come back at different times
	purge       bool      // what waits is thrown away when it is not granted any more
	check       bool      // a proof is asked about again
	perMessage  bool      // messages of a wildcard that is granted in part are asked for
	retell      bool      // who is granted more is told what it was not
	crossed     bool      // an exact subscription to a topic of another class now is ended
	crossedGap  bool      // and what it misses until it is there again is announced
	both        bool      // a topic that changes its class is wanted both ways
	endTurned   bool      // wildcards are told the end of streams that have become central
	leadsTo     bool      // a change without the steps before it is announced as a gap
	apart       bool      // what crosses over is counted apart

	// Rules of the protocol, which the model's device has to miss.
	gapInPlace   bool        // a gap stands in the place of what is missing
	gapOf        wire.Reason // these positions are announced
	startMarker  bool        // a subscription begins behind what was posted before
	withhold     bool        // live messages are passed over while the ring is read
	replayOffset bool        // replayed messages carry their offset
	tell         bool        // a group is told a topic before its first message
	takeOnce     bool        // a message comes once, however many subscriptions match

	// The same about streams of other origins.
	centralNames bool // names that only wildcards ask for leave ids to others
	begins       bool // who subscribed by name is told when a stream begins
	told         bool // a group is told a stream before its first message
	eras         bool // and again after it had ended
	numbers      bool // a group gets what was posted after it came, by the numbers of posts and not by offsets
	endBehind    bool // END stands behind what is read from rings
	tellOver     bool // and comes, when that is done
	endFirst     bool // an end is told before the return
	onItsWay     bool // a stream that has ended has a start marker if the mailbox is not empty
	forgotten    bool // and what is replayed of it ends
	unheard      bool // a stream is not forgotten before all mailboxes have come to its end
	ahead        bool // a cursor that is ahead takes nothing from other subscriptions
	onlyGroups   bool // who has no exact subscription left is brought a topic by its wildcards
	gapOfOthers  bool // what is lost between gateways is announced
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
	addr, err := c.plainAddress()
	if err != nil {
		return c, err
	}
	if err := c.exposed(addr); err != nil {
		return c, err
	}
	if err := c.checkAdmin(); err != nil {
		return c, err
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
	if err := checkBroadcast("broadcast", c.Broadcast); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	if err := checkQuotas(c.Quotas); err != nil {
		return c, err
	}
	c.Limits = c.Limits.withDefaults(c.onLoopback())
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
	if c.Audit == nil {
		c.Audit = c.Logger
	}
	return c, nil
}

// ListenOff is the device address of a gateway that only speaks TLS.
const ListenOff = "off"

// plainAddress is the address for plain TCP; invalid: none.
func (c *Config) plainAddress() (netip.AddrPort, error) {
	if c.Listen == ListenOff {
		if c.ListenTLS == "" {
			return netip.AddrPort{}, errors.New("config: listen: off, and no listen_tls: devices need an address")
		}
		return netip.AddrPort{}, nil
	}
	addr, err := resolve(c.Listen)
	if err != nil {
		return addr, fmt.Errorf("config: listen: %w", err)
	}
	return addr, nil
}

// exposed refuses addresses beyond loopback that are not secure, and TLS that cannot
// be.
func (c *Config) exposed(plain netip.AddrPort) error {
	if plain.IsValid() && !plain.Addr().IsLoopback() && !c.Insecure {
		return fmt.Errorf("config: listen: %s is not loopback and this is plain TCP: use listen_tls there and listen on 127.0.0.1, or allow it with insecure", c.Listen)
	}
	if c.ListenTLS == "" {
		return nil
	}
	a, err := resolve(c.ListenTLS)
	switch {
	case err != nil:
		return fmt.Errorf("config: listen_tls: %w", err)
	case c.Trust == nil || !c.Trust.HasTLS():
		return fmt.Errorf("config: listen_tls: %s needs a certificate to show devices: set tls.certificate and tls.key", c.ListenTLS)
	case a.Port() != 0 && plain.IsValid() && a.Port() == plain.Port():
		return fmt.Errorf("config: listen_tls: %s has the port of listen: plain and TLS need two", c.ListenTLS)
	case !a.Addr().IsLoopback() && !c.Insecure && !c.Trust.ProvesDevices() && c.Authenticate == nil:
		return fmt.Errorf("config: listen_tls: %s is not loopback and anyone could connect: say how devices prove who they are (tls.device_ca, tokens.keys or tokens.static), or allow it with insecure", c.ListenTLS)
	}
	return nil
}

// onLoopback reports whether no stranger can connect. The addresses are valid.
func (c *Config) onLoopback() bool {
	for _, s := range []string{c.Listen, c.ListenTLS} {
		if a, err := resolve(s); s != "" && err == nil && !a.Addr().IsLoopback() {
			return false
		}
	}
	return true
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
