package central

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Config is where the central service is and who is told what comes from it. The
// zero value is a server in this process, in memory, without a port.
//
// Callbacks come from goroutines of this package. They may call all methods of a Central but
// Run, Shutdown and Close. Nil is nobody to tell.
type Config struct {
	// Name of this gateway, for its lease and its connections. Default "bellwire".
	Name string
	// Prefix is the first token of all subjects, and begins the names of the buckets,
	// so that fleets can share a cluster: letters, digits, - and _. Default "bw".
	Prefix string

	// URLs are those of the central service of another gateway, or of a NATS cluster
	// with JetStream: nats://host:port, or tls://…; a user and password may stand
	// before the host. Beyond loopback they need TLS, or Insecure. Empty: Embedded.
	URLs []string
	// Embedded is the server in this process.
	Embedded Embedded
	// TLS is the certificate of this gateway and the fleet's CA (Certificates, RootCAs
	// and ClientCAs). With it Embedded.Listen takes nobody else's, and connections to
	// URLs show it. Nil: plain TCP.
	TLS *tls.Config
	// Insecure allows plain TCP beyond loopback.
	Insecure bool
	// Replicas of each record, 1 to 5. Default 3 on a cluster, else 1.
	Replicas int

	// Pending bounds the bytes that wait to be sent. Default 8 MiB.
	Pending int
	// Inbox bounds the bytes that wait for Deliver. What does not fit is lost, and
	// Missed says so. Default 32 MiB.
	Inbox int

	// Deliver takes what was published to topics that are subscribed to, in order per
	// topic. It may block: then messages gather in the inbox, or in their JetStream
	// stream. A zero position is that of a topic without a stream. payload may be kept.
	Deliver func(tenant, topic string, at wire.Position, payload []byte)
	// Missed says that messages will not come, nobody knows how many, in the place where
	// they are missing: of one topic; if that is empty, of all topics of a stream; if
	// life is 0, of all topics that have no stream.
	Missed func(tenant, topic string, life wire.Life)
	// Ended says that a stream was deleted. Its topics go on under another life, or
	// without one.
	Ended func(life wire.Life)
	// Away is told when the connection comes (false) and goes (true). At first it is away.
	Away func(away bool)
	// Inject is how a message that a backend injects is published. Nil: requests are
	// refused by whoever else is there, or nobody answers.
	Inject func(ctx context.Context, tenant, topic string, payload []byte) (wire.Position, error)

	// Lease is how long a gateway that is not heard of stays on the list. It says so
	// three times as often. Default 6 s, the same on all gateways.
	Lease time.Duration
	// Devices is how many devices this gateway has, for the list. Nil: 0.
	Devices func() int64
	// Applied is the revision of the shared record that this gateway has put in force, and
	// the hash of the broadcast filters that it has, for the list: see Central.Renew. Nil: 0.
	Applied func() (revision, filters uint64)
	// OnGateways is told the list of gateways, by name, when it changes, and how many of
	// them are on it only because they are not believed to be gone. The list is not
	// the callee's to change.
	OnGateways func(all []Gateway, held int)
	// Alive says whether a gateway whose lease ran out still answers, on a link. Nil:
	// unknown.
	Alive func(name string) bool

	// Logger. Default: slog.Default().
	Logger *slog.Logger

	// without takes guards out; only tests of this package can set it.
	without guards
}

// Embedded is a NATS server with JetStream in this process.
type Embedded struct {
	// Listen offers it to the fleet. Empty: no port. Beyond loopback it needs
	// Config.TLS, or Insecure. Without TLS whoever can connect reads and writes
	// everything of every tenant, on loopback too.
	Listen string
	// Dir keeps records and streams; each write is on the disk before it is
	// acknowledged. Of one process at a time. Empty: all is in memory and ends with the
	// process.
	Dir string
	// MaxMemory and MaxStore bound what JetStream holds in memory, default 256 MiB, and
	// below Dir, default three quarters of what is free there; in bytes.
	MaxMemory, MaxStore int64
}

// guards are the protections that a fault test takes out to prove that it is they
// which make the test pass.
type guards struct {
	massExpiry bool // many who vanish at once are kept
	alive      bool // who answers on a link is kept
	lock       bool // a data directory is of one process
	oneGroup   bool // overlapping filters bring a message once
	since      bool // a filter begins where it was subscribed
	restart    bool // a server whose disk was full comes back
}

// Limits.
const (
	// MaxRecord is the longest value of a record.
	MaxRecord = 64 << 10
	// MaxKey is the longest key of a record.
	MaxKey = 255
	// MaxPayload is the longest message that an embedded server takes.
	MaxPayload = 1 << 20

	defaultMemory  = 256 << 20
	defaultPending = 8 << 20
	defaultInbox   = 32 << 20
	defaultLease   = 6 * time.Second
)

// complete fills the defaults and validates: errors name the field.
func (c Config) complete() (Config, error) {
	if c.Name == "" {
		c.Name = "bellwire"
	}
	if c.Prefix == "" {
		c.Prefix = "bw"
	}
	for _, r := range c.Prefix {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return c, fmt.Errorf("central: prefix: %q: want letters, digits, - and _", c.Prefix)
		}
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return c, fmt.Errorf("central: replicas: %d: want 1 to 5", c.Replicas)
	}
	for _, f := range []struct {
		name  string
		value *int
		def   int
	}{{"pending", &c.Pending, defaultPending}, {"inbox", &c.Inbox, defaultInbox}} {
		if *f.value == 0 {
			*f.value = f.def
		}
		if *f.value < MaxPayload {
			return c, fmt.Errorf("central: %s: %d: want %d at least, the longest message", f.name, *f.value, MaxPayload)
		}
	}
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.Lease < 100*time.Millisecond || c.Lease > time.Hour {
		return c, fmt.Errorf("central: lease: %s: want 100ms to 1h", c.Lease)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	check := c.checkEmbedded
	if len(c.URLs) > 0 {
		check = c.checkURLs
	}
	err := check() // before c is returned: it fills defaults as well
	return c, err
}

func (c *Config) checkURLs() error {
	if c.Embedded != (Embedded{}) {
		return errors.New("central: urls: the central service is elsewhere: an address to listen at and a data directory are of an embedded one")
	}
	for i, s := range c.URLs {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls":
			return fmt.Errorf("central: urls[%d]: want nats://host:port or tls://host:port", i) // without the text: it may hold a password
		case c.TLS == nil && u.Scheme != "tls" && !c.Insecure && !loopback(u.Hostname()):
			return fmt.Errorf("central: urls[%d]: %s is not loopback: give the fleet's CA, certificate and key, or allow plain TCP with insecure", i, u.Host)
		}
	}
	return nil
}

func (c *Config) checkEmbedded() error {
	e := &c.Embedded
	if e.MaxMemory == 0 {
		e.MaxMemory = defaultMemory
	}
	if e.MaxMemory < 1<<20 || e.MaxStore < 0 {
		return fmt.Errorf("central: max_memory %d, max_store %d: want 1 MiB of memory at least, and not less than nothing", e.MaxMemory, e.MaxStore)
	}
	if e.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(e.Listen)
	if err != nil {
		return fmt.Errorf("central: listen: %q: want host:port", e.Listen)
	}
	if loopback(host) || c.Insecure {
		return nil
	}
	if c.TLS == nil || len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil || c.TLS.ClientCAs == nil {
		return fmt.Errorf("central: listen: %s is not loopback and anyone could connect: give the fleet's CA, certificate and key, or listen at 127.0.0.1", e.Listen)
	}
	return nil
}

// loopback reports a host that only this machine reaches.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
