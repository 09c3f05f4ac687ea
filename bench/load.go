package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"
)

const (
	handshakes = 64               // under way at once, unless told otherwise
	patience   = 10 * time.Second // without a byte from the server before the run fails
	perSource  = 20_000           // connections of one source address; there are about 28,000 ports
)

// load is what devices there are and what they do: all connections to one
// server, subscribers spread evenly over the topics, and a publisher.
type load struct {
	Remote   netip.AddrPort
	Protocol string
	Topics   []string // plain names, all of the same length; the server must broadcast them
	Devices  int      // subscribers
	Payload  int      // bytes of each message
	AtOnce   int      // handshakes under way, 0: 64
	// Stopped is how many of the subscribers will stop reading. They have receive
	// buffers as small as the system allows, as small devices do.
	Stopped int
	// Alone leaves the publisher out.
	Alone bool
	// Spin has the devices look at their sockets again and again, instead of
	// sleeping, while a delivery is due. It takes a CPU of their own. Else a send
	// that finds them asleep pays for waking them, and how often one does depends
	// on how fast they parse the server's protocol, not on the server.
	Spin bool
	// TLS has the subscribers connect there, and not to Remote, which stays the
	// publisher's.
	TLS *secret
	// Far are other servers, which pass on what Remote gets: of the devices, the last
	// as many as there are topics subscribe at the last of them, and so on.
	Far []netip.AddrPort
	// Body is what payloads consist of, of Bodies; empty: every message has the same
	// bytes.
	Body string
}

// near is how many of the subscribers are connected to Remote.
func (l *load) near() int { return l.Devices - len(l.Far)*len(l.Topics) }

// remote is where a device connects.
func (l *load) remote(device int) netip.AddrPort {
	if device < l.near() || device >= l.Devices {
		return l.Remote
	}
	return l.Far[(device-l.near())/len(l.Topics)]
}

// distant reports whether a device connects to one of Far.
func (l *load) distant(device int) bool { return device >= l.near() && device < l.Devices }

func (l *load) check() error {
	switch {
	case protocols[l.Protocol] == nil:
		return fmt.Errorf("no protocol is called %q: take one of %v", l.Protocol, Protocols())
	case len(l.Topics) == 0 || l.Devices < len(l.Topics) || l.Stopped > l.Devices:
		return fmt.Errorf("%d subscribers, %d of them to stop reading, for %d topics: take at least one for each", l.Devices, l.Stopped, len(l.Topics))
	case l.Payload < sequenceLen:
		return fmt.Errorf("a payload of %d bytes has no room for the message's number: take at least %d", l.Payload, sequenceLen)
	case l.TLS != nil && (l.Protocol != "bellwire" || len(l.Topics) != 1 || l.Stopped > 0):
		return errors.New("devices with TLS speak bellwire, subscribe to one topic and all read")
	case l.near() < len(l.Topics) || len(l.Far) > 0 && (l.TLS != nil || l.Stopped > 0):
		return fmt.Errorf("%d subscribers for %d topics at %d servers: take one for each topic at each, and none with TLS or that stops", l.Devices, len(l.Topics), 1+len(l.Far))
	case l.Body != "" && !slices.Contains(bodies(), l.Body):
		return fmt.Errorf("no payload is called %q: take one of %v", l.Body, bodies())
	case !l.Remote.Addr().Is4():
		return fmt.Errorf("%v is no IPv4 address and port", l.Remote)
	}
	if limit := descriptorLimit(); uint64(l.Devices)+64 > limit && runtime.GOOS == "linux" {
		return fmt.Errorf("%d devices need more descriptors than the %d this process may have: ask for fewer, or raise the limit (ulimit -n)", l.Devices, limit)
	}
	for _, t := range l.Topics {
		if len(t) != len(l.Topics[0]) {
			return errors.New("topics of different lengths: the publisher could not tell where its credit ends")
		}
	}
	return nil
}
