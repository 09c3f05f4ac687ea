package gateway

import (
	"fmt"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Limits bound everything that a stranger, a device or a tenant can make a
// gateway hold. The zero value of a field takes the default that its comment
// names. All but those marked "fixed" follow Gateway.Reload.
type Limits struct {
	// Connections is the most devices at once. Default: what the descriptor
	// limit leaves after those that are open when New is called, five for each
	// loop, 16 for the admin API, and 64 + 5 % (at most 1,024) for everything
	// else, because one failed accept would stop the engine. More than that is
	// lowered to it, with a warning in the log.
	Connections int
	// Frame is the largest frame taken from a device, header included, a power
	// of two within 1 KiB–1 MiB; fixed. Default 64 KiB: one read of a loop.
	Frame int
	// Subscriptions per session. Default 64: a device that wants more wants a
	// wildcard.
	Subscriptions int
	// Topics over all tenants; fixed. Ids are never given again, so this counts
	// all topics since the start. Default 1,000,000, about 250 MB.
	Topics int
	// TopicsPerTenant; fixed. Default 100,000: one tenant cannot use up the ids.
	TopicsPerTenant int
	// TopicRate is new topics per second and tenant. Default 10,000: names are
	// for ever, so a runaway naming scheme is slowed down.
	TopicRate int
	// Links are topics × groups of one wildcard on one loop that may match them,
	// of one tenant, for each loop: beyond it new wildcards and new topics are
	// refused; fixed. Default 2,000,000, about 64 MB per loop: twenty wildcards
	// that match all of TopicsPerTenant.
	Links int
	// PendingBytes may wait for one session that is behind. Default 256 KiB: a
	// slow device costs no more than this beside its socket buffer, and as much
	// (at least 64 KiB) in answers to what it asks without reading: more of those
	// closes it.
	PendingBytes int
	// PendingMessages may wait for one session that is behind, like
	// PendingBytes. Default 2,048: an item of a small message is larger than its
	// frame. A session with four times as many messages, gaps and answers is
	// closed: policies cannot keep it small.
	PendingMessages int
	// PendingAge is how old a waiting message gets before it is dropped.
	// Default 10 s: older news is replaced by newer.
	PendingAge time.Duration
	// StuckAfter closes a session whose socket took nothing for so long.
	// Default 5 s: it can come back and resume, its buffers are given free.
	StuckAfter time.Duration
	// PublishCredit is the bytes of PUBLISH frames that one device may have
	// under way; fixed. Default 16 KiB, raised to twice Frame if that is larger.
	PublishCredit int
	// CreditPool is the memory of messages under way in the whole gateway:
	// their bytes, 128 for each and 96 for each loop that it is posted to;
	// fixed. Default 32 MiB: this bounds all mailboxes together. One tenant
	// takes at most half.
	CreditPool int
	// AuthenticateWithin is the time from accept to proven. Default 5 s: a
	// stranger holds a descriptor no longer.
	AuthenticateWithin time.Duration
	// Authenticating bounds the calls of Authenticate under way. Default 4,096:
	// each holds a goroutine.
	Authenticating int
	// Handshakes bounds the TLS handshakes under way; when there are more, the
	// oldest goes. Default 4,096: each holds a goroutine and, with an ordinary
	// hello, at most 32 KiB.
	Handshakes int
	// UnprovenPerNetwork bounds the connections of one source network, which is
	// an IPv4 address or 64 bits of IPv6, that have not proven who they are.
	// Default: none on loopback, else 256. Negative: none.
	UnprovenPerNetwork int
	// ConnectRatePerNetwork is accepted connections per second of one source
	// network. Default: none on loopback, else 100. Negative: none.
	ConnectRatePerNetwork int
	// ConnectRate is accepted connections per second. Default: none on
	// loopback, else 1,000. Negative: none.
	ConnectRate int
	// PublishRate is publishes per second and device. Default: none on
	// loopback, else 1,000. Negative: none.
	PublishRate int
	// KeepaliveMin, KeepaliveMax and Keepalive bound and default the interval
	// that a device asks for. Defaults 30 s, 1 h, 10 min: shorter costs radio,
	// longer than NATs remember costs the connection.
	KeepaliveMin, KeepaliveMax, Keepalive time.Duration
	// UserTimeout is TCP_USER_TIMEOUT: how long data may stay unacknowledged
	// before a link counts as dead. Default 30 s.
	UserTimeout time.Duration
	// SendBuffer is SO_SNDBUF of a device; fixed. Default 64 KiB (the kernel
	// doubles it): what waits there is out of every policy's reach.
	SendBuffer int
	// RingMessages, RingBytes and RingAge bound the replay ring of one stream;
	// fixed. Defaults 256, 256 KiB, 120 s.
	RingMessages, RingBytes int
	RingAge                 time.Duration
	// RingTotal bounds all rings together; fixed. Default 64 MiB; one tenant
	// holds at most half.
	RingTotal int
	// Replays is the most topics of one session that are read from rings at
	// once. Default 64, as many as subscriptions.
	Replays int
}

// mostLinks times the most loops is a number on 32-bit systems as well.
const mostLinks = 1 << 24

const (
	kib = 1 << 10
	mib = 1 << 20
)

// DefaultLimits are the limits that a zero Limits stands for on loopback, but
// for Connections, which the descriptor limit decides.
func DefaultLimits() Limits {
	return Limits{
		Frame: 64 * kib, Subscriptions: 64, Topics: 1_000_000, TopicsPerTenant: 100_000, TopicRate: 10_000, Links: 2_000_000,
		PendingBytes: 256 * kib, PendingMessages: 2048, PendingAge: 10 * time.Second, StuckAfter: 5 * time.Second,
		PublishCredit: 16 * kib, CreditPool: 32 * mib,
		AuthenticateWithin: 5 * time.Second, Authenticating: 4096, Handshakes: 4096,
		ConnectRate: -1, PublishRate: -1, UnprovenPerNetwork: -1, ConnectRatePerNetwork: -1,
		KeepaliveMin: 30 * time.Second, KeepaliveMax: time.Hour, Keepalive: 10 * time.Minute,
		UserTimeout: 30 * time.Second, SendBuffer: 64 * kib,
		RingMessages: 256, RingBytes: 256 * kib, RingAge: 120 * time.Second, RingTotal: 64 * mib,
		Replays: 64,
	}
}

// What is the default where strangers can connect.
const (
	rateElsewhere        = 1000
	unprovenElsewhere    = 256
	networkRateElsewhere = 100
)

// withDefaults fills the zero fields.
func (l Limits) withDefaults(loopback bool) Limits {
	d := DefaultLimits()
	if !loopback {
		d.ConnectRate, d.PublishRate = rateElsewhere, rateElsewhere
		d.UnprovenPerNetwork, d.ConnectRatePerNetwork = unprovenElsewhere, networkRateElsewhere
	}
	for _, f := range l.numbers(&d) {
		if *f.value == 0 {
			*f.value = *f.preset
		}
	}
	for _, f := range l.durations(&d) {
		if *f.value == 0 {
			*f.value = *f.preset
		}
	}
	l.PublishCredit = max(l.PublishCredit, 2*l.Frame, 4*kib) // a device may count on 4 KiB [W-3.2]
	return l
}

type field[T any] struct {
	name          string
	value, preset *T
	atLeast       T
}

func (l *Limits) numbers(d *Limits) []field[int] {
	return []field[int]{
		{"frame", &l.Frame, &d.Frame, 1 << wire.MinGatewayFrameLog},
		{"subscriptions", &l.Subscriptions, &d.Subscriptions, 1},
		{"topics", &l.Topics, &d.Topics, 1},
		{"topics_per_tenant", &l.TopicsPerTenant, &d.TopicsPerTenant, 1},
		{"topic_rate", &l.TopicRate, &d.TopicRate, 1},
		{"links", &l.Links, &d.Links, 1},
		{"pending_bytes", &l.PendingBytes, &d.PendingBytes, 1 * kib},
		{"pending_messages", &l.PendingMessages, &d.PendingMessages, 1},
		{"publish_credit", &l.PublishCredit, &d.PublishCredit, 4 * kib},
		{"credit_pool", &l.CreditPool, &d.CreditPool, 64 * kib},
		{"authenticating", &l.Authenticating, &d.Authenticating, 1},
		{"handshakes", &l.Handshakes, &d.Handshakes, 1},
		{"unproven_per_network", &l.UnprovenPerNetwork, &d.UnprovenPerNetwork, -1},
		{"connect_rate_per_network", &l.ConnectRatePerNetwork, &d.ConnectRatePerNetwork, -1},
		{"connect_rate", &l.ConnectRate, &d.ConnectRate, -1},
		{"publish_rate", &l.PublishRate, &d.PublishRate, -1},
		{"send_buffer", &l.SendBuffer, &d.SendBuffer, 4 * kib},
		{"ring_messages", &l.RingMessages, &d.RingMessages, 1},
		{"ring_bytes", &l.RingBytes, &d.RingBytes, 1},
		{"ring_total", &l.RingTotal, &d.RingTotal, 1},
		{"replays", &l.Replays, &d.Replays, 1},
	}
}

func (l *Limits) durations(d *Limits) []field[time.Duration] {
	return []field[time.Duration]{
		{"pending_age", &l.PendingAge, &d.PendingAge, time.Second},
		{"stuck_after", &l.StuckAfter, &d.StuckAfter, time.Second},
		{"authenticate_within", &l.AuthenticateWithin, &d.AuthenticateWithin, time.Second},
		{"keepalive_min", &l.KeepaliveMin, &d.KeepaliveMin, time.Second},
		{"keepalive_max", &l.KeepaliveMax, &d.KeepaliveMax, time.Second},
		{"keepalive", &l.Keepalive, &d.Keepalive, time.Second},
		{"user_timeout", &l.UserTimeout, &d.UserTimeout, time.Second},
		{"ring_age", &l.RingAge, &d.RingAge, time.Second},
	}
}

// validate says what is wrong with filled limits, naming the field.
func (l Limits) validate() error {
	for _, f := range l.numbers(&l) {
		if *f.value < f.atLeast {
			return fmt.Errorf("limits.%s: %d: want at least %d", f.name, *f.value, f.atLeast)
		}
	}
	for _, f := range l.durations(&l) {
		if *f.value < f.atLeast {
			return fmt.Errorf("limits.%s: %s: want at least %s", f.name, *f.value, f.atLeast)
		}
	}
	switch {
	case l.Connections < 0:
		return fmt.Errorf("limits.connections: %d: want 0 (from the descriptor limit) or more", l.Connections)
	case l.Frame&(l.Frame-1) != 0 || l.Frame > 1<<wire.MaxFrameLog:
		return fmt.Errorf("limits.frame: %d: want a power of two up to 1 MiB, because WELCOME states it as one", l.Frame)
	case l.TopicsPerTenant > l.Topics:
		return fmt.Errorf("limits.topics_per_tenant: %d: want at most limits.topics, %d", l.TopicsPerTenant, l.Topics)
	case l.Links > mostLinks:
		return fmt.Errorf("limits.links: %d: want at most %d", l.Links, mostLinks)
	case l.KeepaliveMin > l.Keepalive || l.Keepalive > l.KeepaliveMax:
		return fmt.Errorf("limits.keepalive: %s: want it within keepalive_min %s and keepalive_max %s", l.Keepalive, l.KeepaliveMin, l.KeepaliveMax)
	case l.KeepaliveMax > 12*time.Hour:
		return fmt.Errorf("limits.keepalive_max: %s: want at most 12h", l.KeepaliveMax)
	}
	return nil
}

// fixedFrom keeps the fixed fields of an earlier Limits.
func (l Limits) fixedFrom(old Limits) Limits {
	l.Frame, l.Topics, l.TopicsPerTenant = old.Frame, old.Topics, old.TopicsPerTenant
	l.PublishCredit, l.Links = old.PublishCredit, old.Links
	l.CreditPool, l.SendBuffer, l.RingTotal = old.CreditPool, old.SendBuffer, old.RingTotal
	l.RingMessages, l.RingBytes, l.RingAge = old.RingMessages, old.RingBytes, old.RingAge
	return l
}
