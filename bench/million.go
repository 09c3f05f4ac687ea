package bench

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// MillionConfig says what Million measures. Zero values mean the defaults.
type MillionConfig struct {
	// Server is the command line of one gateway, with ListenPlaceholder and
	// AdminPlaceholder in it.
	Server []string
	// Load is the command line that runs MillionLoad with the flags of
	// MillionLoadConfig.Flags after it: this program, called again.
	Load []string
	// Command is what the result says to have produced it.
	Command string
	// Devices, at most 1,000,000. Default 100,000, or what half of the memory that
	// is available holds if that is less.
	Devices int
	// PerProcess is how many devices one gateway has, and one generator. Default
	// 18,000, or what the descriptor limit allows if that is less.
	PerProcess int
	// Settle is how long after the last subscription the memory is read. Default 5 s.
	Settle time.Duration
	// Broadcasts to all devices, one after the other. Default 1.
	Broadcasts int
	// Payload of a message in bytes, at least 8. Default 64.
	Payload int
	// Topic is subscribed to; the gateway must broadcast it. Default
	// broadcast/bench/telemetry.
	Topic string
	// Within bounds the whole run. Default 15 min.
	Within time.Duration
}

// MillionLoadConfig says what one generator does. MillionLoad has no defaults:
// all of it comes from Million.
type MillionLoadConfig struct {
	Connect netip.AddrPort // the gateway
	Devices int            // to connect and subscribe
	First   int            // number of the first one, for its name
	Sources int            // loopback addresses to connect from
	Payload int            // bytes of a message
	Topic   string
}

// Flags are the arguments from which a command makes the same configuration.
func (c MillionLoadConfig) Flags() []string {
	return []string{
		"--connect=" + c.Connect.String(), fmt.Sprintf("--devices=%d", c.Devices), fmt.Sprintf("--first=%d", c.First),
		fmt.Sprintf("--sources=%d", c.Sources), fmt.Sprintf("--payload=%d", c.Payload), "--topic=" + c.Topic,
	}
}

const (
	maxMillion = 1_000_000
	// usualMillion is the default number of devices: seconds, not minutes.
	usualMillion = 100_000
	// millionBytes is what a device takes with both ends of its connection: about
	// 10 KiB in the kernel, the gateway's memory and the generator's.
	millionBytes = 11 << 10
	// usualPerProcess fits the usual descriptor limit of 20,000.
	usualPerProcess = 18_000
	// millionSource is how many connections leave from one address: a connect looks
	// for a free port among about 28,000, and searches long when few are left.
	millionSource = 10_000
)

// resources are what the machine gives to a run; 0 is not known.
type resources struct {
	memory      uint64 // bytes available
	descriptors uint64 // open files of one process
	loops       int    // event loops of one gateway
}

// room is how many devices one process can hold. A gateway keeps 64 and 5 % of
// its descriptors back, 1,024 at most, 16 for its admin API, five for each of its
// loops (as many as CPUs that Go uses, 64 at most) and what it has open.
func (r resources) room() int {
	if r.descriptors == 0 {
		return maxMillion
	}
	limit := int(min(r.descriptors, 1<<30))
	return limit - min(64+limit/20, 1024) - 16 - 5*min(r.loops, 64) - 16
}

func (c MillionConfig) withDefaults(have resources) (MillionConfig, error) {
	fits := maxMillion
	if have.memory > 0 {
		fits = int(min(have.memory/millionBytes, maxMillion))
	}
	room := have.room()
	if room < 1 {
		return c, fmt.Errorf("the descriptor limit of %d leaves no room for devices: raise it (ulimit -n)", have.descriptors)
	}
	if c.Devices == 0 {
		c.Devices = max(1, min(usualMillion, fits/2))
	}
	if c.PerProcess == 0 {
		c.PerProcess = min(usualPerProcess, room)
	}
	c.Settle = cmp.Or(c.Settle, 5*time.Second)
	c.Broadcasts = cmp.Or(c.Broadcasts, 1)
	c.Payload = cmp.Or(c.Payload, 64)
	c.Topic = cmp.Or(c.Topic, defaultTopic)
	c.Within = cmp.Or(c.Within, 15*time.Minute)
	switch {
	case c.Devices < 1 || c.Devices > maxMillion:
		return c, fmt.Errorf("%d devices: take 1 to %d", c.Devices, maxMillion)
	case c.Devices > fits:
		return c, fmt.Errorf("%d devices need about %d MiB of memory, %d MiB are available: take at most %d",
			c.Devices, c.Devices*millionBytes>>20, have.memory>>20, fits)
	case c.PerProcess < 1 || c.PerProcess > room:
		return c, fmt.Errorf("%d devices in one process: the descriptor limit of %d allows 1 to %d; take as many, or raise the limit (ulimit -n)",
			c.PerProcess, have.descriptors, room)
	case c.Broadcasts < 1 || c.Broadcasts > 1000:
		return c, fmt.Errorf("%d broadcasts: take 1 to 1000", c.Broadcasts)
	case c.Payload < sequenceLen || c.Payload > 4096:
		return c, fmt.Errorf("a payload of %d bytes: take %d, for the message's number, to 4096", c.Payload, sequenceLen)
	case c.Settle < 0 || c.Within < 0:
		return c, errors.New("times must not be negative")
	case c.shares() > maxShares:
		return c, fmt.Errorf("%d devices, %d in a process, need %d gateways: take at most %d, or more devices in each", c.Devices, c.PerProcess, c.shares(), maxShares)
	}
	return c, nil
}

// maxShares bounds the processes: each has an address of its own below 127.0.0.0/16.
const maxShares = 1000

// shares is the number of gateways, and of generators.
func (c MillionConfig) shares() int { return (c.Devices + c.PerProcess - 1) / c.PerProcess }

// share is one gateway with its generator.
type share struct {
	addr    netip.Addr // where the gateway listens
	first   int        // number of its first device
	devices int
	sources int // addresses that its devices connect from
}

// plan divides the devices evenly. Gateways listen on loopback addresses of
// their own, so that each has all ports of all sources for its connections.
func (c MillionConfig) plan() []share {
	all := make([]share, c.shares())
	first := 0
	for i := range all {
		n := c.Devices / len(all)
		if i < c.Devices%len(all) {
			n++
		}
		at := i + 1
		all[i] = share{
			addr:  netip.AddrFrom4([4]byte{127, 0, byte(at / 250), byte(1 + at%250)}),
			first: first, devices: n, sources: (n + millionSource - 1) / millionSource,
		}
		first += n
	}
	return all
}

// sourceAddress is the i-th of those that devices connect from, apart from all
// that gateways listen on.
func sourceAddress(i int) [4]byte { return [4]byte{127, 1, byte(i / 250), byte(1 + i%250)} }

// The series of a run of Million; memory is per device.
const (
	millionFirst   = "time to the first device"
	millionHalf    = "time to 50 % of the devices"
	millionMost    = "time to 99 % of the devices"
	millionLast    = "time to the last device"
	millionLate    = "latest publication after the agreed instant"
	millionRate    = "deliveries of all gateways"
	millionCost    = "gateways' CPU per delivery"
	millionConnect = "gateways' CPU per connect and subscribe"
	millionPace    = "connects with subscribe at all gateways"
	millionRSS     = "user memory of the gateways (RSS) per device"
	millionAnon    = "heap and stacks of them (anonymous) per device"
	millionSlab    = "kernel objects (slab) per device, both ends of the connection"
	millionLoad    = "user memory of the generators (RSS) per device"
	millionIdle    = "CPU of all gateways while idle"
	millionRamp    = "devices subscribed"
	millionArrival = "broadcast, time to receive"
)

// conclude makes the figures.
func (c MillionConfig) conclude(r *Result) error {
	var all error
	for _, name := range []string{
		millionFirst, millionHalf, millionMost, millionLast, millionLate, millionRate, millionCost, millionConnect, millionPace,
		millionRSS, millionAnon, millionSlab, millionLoad, millionIdle,
	} {
		all = errors.Join(all, r.figure(name, "", name))
	}
	return all
}
