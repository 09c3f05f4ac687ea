package gateway

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// tenant is a name space of topics.
type tenant struct {
	name   string
	number uint32 // among the tenants of this process
	index  *fanout.Index
	lent   atomic.Int64 // publish credit under way
	names  *rate.Limiter
	usage  usage
	// unnamed: messages of the central service were thrown away for want of ids, and nobody was told yet.
	unnamed atomic.Bool
}

// mostTenants bounds what names of tenants can make the gateway hold: some 10 KB each.
const mostTenants = 16384

// tenants are made when their first device or message comes and stay.
type tenants struct {
	g  *Gateway
	mu sync.RWMutex
	by map[string]*tenant
}

func (t *tenants) get(name string) (*tenant, error) {
	if have := t.find(name); have != nil {
		return have, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.by[name]; have != nil {
		return have, nil
	}
	if len(t.by) >= mostTenants {
		t.g.full.Do(func() {
			t.g.log.Error("there are too many tenants: they stay until a restart", "tenants", len(t.by))
		})
		return nil, &wire.Error{Code: wire.CodeOverload, Field: "too many tenants"}
	}
	lim := t.g.limits.Load()
	index, err := fanout.NewIndex(fanout.Config{
		Loops: t.g.cfg.Loops, Topics: lim.TopicsPerTenant, Life: uint64(t.g.life), Budget: t.g.rings,
		Links: lim.Links * t.g.cfg.Loops, PostOnly: func(topic string) bool { return !t.g.broadcast(topic) },
		Ring: fanout.RingLimits{
			Messages: lim.RingMessages, Bytes: lim.RingBytes, Age: uint32(lim.RingAge.Seconds()),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", name, err)
	}
	made := &tenant{name: name, number: uint32(len(t.by)), index: index, names: rate.NewLimiter(rate.Limit(lim.TopicRate), lim.TopicRate)}
	made.usage.set(quotaOf(t.g.rules.Load().quotas, name))
	t.by[name] = made
	return made, nil
}

// find is a tenant that is there already, or nil.
func (t *tenants) find(name string) *tenant {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.by[name]
}

func (t *tenants) all() []*tenant {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]*tenant, 0, len(t.by))
	for _, ten := range t.by {
		out = append(out, ten)
	}
	return out
}

// topic finds a checked name or makes it, within the limits on new names. The
// error is a *wire.Error with the code for the device.
func (g *Gateway) topic(t *tenant, name []byte) (*fanout.Topic, error) {
	if have := t.index.Lookup(name); have != nil {
		return have, nil
	}
	if !t.names.Allow() {
		return nil, &wire.Error{Code: wire.CodeThrottled, Field: "too many new topics"}
	}
	return g.makeTopic(t, name)
}

// makeTopic is topic without the limit on new names by time, which the gateway has
// applied where a message entered the fleet.
func (g *Gateway) makeTopic(t *tenant, name []byte) (*fanout.Topic, error) {
	g.naming.Lock()
	defer g.naming.Unlock()
	if have := t.index.Lookup(name); have != nil {
		return have, nil // another loop was first
	}
	if g.topics.Load() >= int64(g.limits.Load().Topics) {
		return nil, g.topicsFull(t)
	}
	made, err := t.index.Ensure(name)
	switch {
	case errors.Is(err, fanout.ErrTooManyLinks):
		g.crowded(t)
		return nil, &wire.Error{Code: wire.CodeThrottled, Field: "too many wildcards for another topic"}
	case err != nil:
		return nil, g.topicsFull(t)
	}
	g.topics.Add(1)
	return made, nil
}

// crowded says in the log that a tenant has used up its links. Its devices hear
// "throttled by tenant" (43): nobody else is concerned, and when some of its
// wildcards have left the same request succeeds. "Too many subscriptions" (C2)
// would be about the device itself, and for ever.
func (g *Gateway) crowded(t *tenant) {
	g.full.Do(func() {
		g.log.Error("a tenant has too many topics × matching wildcards: raise limits.links or use fewer wildcards", "tenant", t.name)
	})
}

func (g *Gateway) topicsFull(t *tenant) error {
	g.full.Do(func() {
		g.log.Error("no topic ids are left: ids are never given again, restart the gateway or raise limits.topics", "tenant", t.name)
	})
	return &wire.Error{Code: wire.CodeOverload, Field: "no topic ids are left"}
}

// broadcast reports whether a checked topic is delivered from the gateway's own
// table; it is decided from what is here alone (BC-D4).
func (g *Gateway) broadcast(topic string) bool { return g.classes().broadcast(topic) }
