package gateway

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// Wildcards and topics beyond the limit of links are refused with "throttled by
// tenant"; who is there already goes on, other tenants are not concerned, and
// when wildcards leave there is room again.
func TestLinksAreALimit(t *testing.T) {
	const links = 20
	m := newSim(t, Config{Loops: 1, Limits: Limits{Links: links}})
	for i := range links / 2 {
		m.publish(fmt.Sprintf("broadcast/%d", i), nil)
	}
	index := m.defaultTenant().index
	d := m.join(0, hello("d"))
	for i, filter := range []string{"broadcast/#", "broadcast/+", "#"} {
		d.write(wire.Subscribe{Sub: uint32(i + 1), Filter: []byte(filter)}.Append(nil))
	}
	require.Len(t, d.s.subs, 2, "the third does not fit")
	require.EqualValues(t, 1, m.g.loops[0].counters.refusals[wire.CodeThrottled].Load())
	_, err := m.g.Publish(t.Context(), DefaultTenant, "broadcast/new", nil)
	require.ErrorContains(t, err, "too many wildcards")
	require.Equal(t, wire.CodeThrottled, wire.CodeOf(err))
	m.publish("broadcast/0", nil)
	_, err = m.g.Publish(t.Context(), "other", "broadcast/new", nil)
	require.NoError(t, err)

	e := m.join(0, hello("e"))
	e.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(nil))
	require.Len(t, e.s.subs, 1, "a wildcard that is there costs no link")

	d.write(wire.Unsubscribe{Sub: 2}.Append(nil))
	m.publish("broadcast/new", nil)
	require.Equal(t, links/2+1, index.Len())
	m.drain()
	require.False(t, d.closed)
}

// The tick drops what topics hold of wildcards that are gone.
func TestTickSweepsLinks(t *testing.T) {
	m := newSim(t, Config{})
	d := m.join(0, hello("d"))
	d.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(nil))
	m.publish("broadcast/0", nil)
	m.drain()
	d.write(wire.Unsubscribe{Sub: 1}.Append(nil))
	m.drain()
	m.g.sweep()
	require.Zero(t, m.defaultTenant().index.Sweep(sweepAtOnce), "the tick has done it")
}
