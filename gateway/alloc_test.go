package gateway

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// deliveryAllocs is what one publish from inside and its deliveries allocate.
func deliveryAllocs(t *testing.T, rules []access.Rule, subscribers int) float64 {
	cfg := Config{}
	if rules != nil {
		cfg.Policy = policyOf(t, rules...)
	}
	m := newSim(t, cfg)
	for n := range subscribers {
		c := m.subscribed(fmt.Sprint(n), wire.Subscribe{Filter: []byte("broadcast/#")})
		c.got = make([]byte, 0, 1<<20)
	}
	payload := []byte("payload")
	once := func() {
		m.publish("broadcast/a", payload)
		m.g.loops[0].drain()
	}
	for range 600 { // the ring is full, buffers have their size
		once()
	}
	return testing.AllocsPerRun(500, once)
}

// A delivery allocates nothing, whether the session has a policy, which grants its
// wildcard whole or in part, or none.
func TestDeliveryAllocatesNothing(t *testing.T) {
	base := deliveryAllocs(t, nil, 1)
	require.LessOrEqual(t, base, 2.0, "the frame and its charge")
	for name, rules := range map[string][]access.Rule{
		"no policy": nil, "whole": {allowAll}, "in part": {allowAll, denySecret},
	} {
		require.InDelta(t, base, deliveryAllocs(t, rules, 100), 0.5, name)
	}
}

// publishAllocs is what one publish of a device allocates.
func publishAllocs(t *testing.T, rules []access.Rule) float64 {
	cfg := Config{}
	if rules != nil {
		cfg.Policy = policyOf(t, rules...)
	}
	m := newSim(t, cfg)
	c := m.join(0, hello("c"))
	frame := wire.Publish{Name: []byte("broadcast/a"), Payload: []byte("payload")}.Append(nil)
	once := func() {
		c.write(frame)
		m.g.loops[0].drain()
		c.got = c.got[:0]
	}
	for range 600 {
		once()
	}
	return testing.AllocsPerRun(500, once)
}

// To ask for permission allocates nothing.
func TestPublishAllocatesNoMoreWithPolicy(t *testing.T) {
	require.InDelta(t, publishAllocs(t, nil), publishAllocs(t, []access.Rule{allowAll, denySecret}), 0.1)
}
