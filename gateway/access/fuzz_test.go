package access_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// Any rules: they are refused with their place, or answer any topic and filter as the oracle does.
func FuzzPolicy(f *testing.F) {
	f.Add("acme", "lamp", "acme ac*", "lamp", "broadcast/# state/{tenant}/{device}", "broadcast/service/#", "", "broadcast/x", "broadcast/#")
	f.Add("t", "d", "", "d*", "{tenant}/+ {device}{device}", "+/d", "{device}/#", "t/d", "t/+")
	f.Add("+", "a/b", "*", "*", "x/{device}", "x/{tenant}/#", "#", "x/a/b", "x/#")
	f.Fuzz(func(t *testing.T, tenant, device, tenants, devices, allowed, denied, listed, topic, filter string) {
		rules := []access.Rule{{Tenants: strings.Fields(tenants), Topics: strings.Fields(allowed)}}
		if d := strings.Fields(denied); len(d) > 0 {
			rules = append(rules, access.Rule{Deny: true, Devices: strings.Fields(devices), Topics: d})
		}
		p, err := access.New(rules)
		if err != nil {
			var invalid *access.InvalidError
			require.True(t, errors.As(err, &invalid))
			require.True(t, strings.HasPrefix(err.Error(), "rules["), err.Error())
			return
		}
		s := access.Subject{ID: wire.Identity{Tenant: tenant, Device: device}}
		if list := strings.Fields(listed); len(list) > 0 {
			s.Limited, s.Publish, s.Subscribe = true, list, list
		}
		may := p.May(s, access.Publish, topic)
		p.Filter(s, access.Subscribe, filter) // of any subject: no panic
		if s.ID.Check() != nil || wire.CheckTopic([]byte(topic)) != nil {
			return
		}
		require.Equal(t, oracle{rules: rules}.may(s, access.Publish, topic), may)
		holdsToCover(t, p, s, topic, filter)
	})
}

// holdsToCover: what Filter says of a filter is so for a topic that it matches.
func holdsToCover(t *testing.T, p *access.Policy, s access.Subject, topic, filter string) {
	t.Helper()
	if wire.CheckFilter([]byte(filter)) != nil {
		require.Equal(t, access.None, p.Filter(s, access.Subscribe, filter))
		return
	}
	if !wire.Match(filter, topic) {
		return
	}
	may := p.May(s, access.Subscribe, topic)
	switch p.Filter(s, access.Subscribe, filter) {
	case access.None:
		require.False(t, may, "%q is of %q", topic, filter)
	case access.Whole:
		require.True(t, may, "%q is of %q", topic, filter)
	case access.Part:
		require.True(t, wire.IsWildcard([]byte(filter)), "an exact filter is never part")
	}
}

// Any two filters: what they share is what both match, and a filter that covers another matches all that it matches.
func FuzzFilters(f *testing.F) {
	f.Add("a/#", "a/+/c", "a/b/c")
	f.Add("/#", "+", "/")
	f.Add("+/+/#", "#", "a/")
	f.Fuzz(func(t *testing.T, a, b, topic string) {
		for _, filter := range []string{a, b} {
			if wire.CheckFilter([]byte(filter)) != nil {
				return
			}
		}
		both, some := access.Meet(a, b)
		back, _ := access.Meet(b, a)
		require.Equal(t, both, back)
		require.True(t, access.Covered(a, a))
		if some {
			require.True(t, access.Covered(both, a))
			require.True(t, access.Covered(both, b))
		}
		if wire.CheckTopic([]byte(topic)) != nil {
			return
		}
		inA, inB := wire.Match(a, topic), wire.Match(b, topic)
		require.Equal(t, inA && inB, some && wire.Match(both, topic), "%q and %q on %q", a, b, topic)
		if inA && access.Covered(a, b) {
			require.True(t, inB, "%q is covered by %q, but not %q", a, b, topic)
		}
	})
}
