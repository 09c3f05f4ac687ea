package gateway

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// size is how many networks are remembered, and unproven connections counted.
func (s *sources) size() (networks, unproven int) {
	for i := range s.shards {
		networks += len(s.shards[i].by)
		for _, src := range s.shards[i].by {
			unproven += src.unproven
		}
	}
	return networks, unproven
}

// What one network is.
func TestNetworkOf(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
		{"::1", "::2", true},
		{"0.0.0.0", "::", false},
		{"192.0.2.1", "2001:db8::1", false},
	} {
		a, b := networkOf(netip.MustParseAddr(c.a)), networkOf(netip.MustParseAddr(c.b))
		require.Equal(t, c.same, a == b, "%s %s", c.a, c.b)
		require.NotZero(t, a)
	}
	require.NotZero(t, networkOf(netip.Addr{}), "0 is nobody")
}

// Limits of one network, second by second.
func TestSourceLimits(t *testing.T) {
	type come struct {
		at     uint32
		times  int
		leave  int // of those that were let in
		passed int
	}
	for _, c := range []struct {
		name            string
		most, perSecond int
		comes           []come
	}{
		{"as many as may be unproven", 3, -1, []come{{1, 5, 0, 3}, {1, 1, 1, 0}, {1, 2, 0, 1}}},
		{"no limits", -1, -1, []come{{1, 10_000, 0, 10_000}}},
		{"a second's worth at once, then by the second", -1, 10, []come{{1, 20, 0, 10}, {1, 1, 0, 0}, {2, 20, 0, 10}, {100, 20, 0, 10}}},
		{"both", 4, 3, []come{{1, 9, 0, 3}, {2, 9, 0, 1}, {3, 9, 4, 0}, {3, 9, 0, 3}}},
		{"one per second", -1, 1, []come{{1, 2, 0, 1}, {2, 2, 0, 1}, {3, 2, 0, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSources()
			for i, e := range c.comes {
				passed := 0
				for range e.times {
					if s.enter(7, e.at, c.most, c.perSecond) == wire.CodeOK {
						passed++
					}
				}
				require.Equal(t, e.passed, passed, "step %d", i)
				for range e.leave {
					s.leave(7)
				}
				require.Equal(t, wire.CodeOK, s.enter(uint64(1000+i), e.at, c.most, c.perSecond), "another network notices nothing")
			}
		})
	}
}

// A network is forgotten when it has nobody here and all of its rate again: never
// before, or coming anew would refill it.
func TestSourcesSweep(t *testing.T) {
	s := newSources()
	for range 5 {
		s.enter(7, 10, 4, 100)
	}
	s.enter(8, 10, 4, 1)
	require.Equal(t, wire.CodeConnectRate, s.enter(8, 10, 4, 1))
	s.leave(8)
	s.sweep(10)
	s.sweep(11)
	require.Equal(t, wire.CodeConnectRate, s.enter(8, 10, 4, 1))
	s.sweep(12)
	networks, unproven := s.size()
	require.Equal(t, 1, networks, "8 is forgotten")
	require.Equal(t, 4, unproven)
	for range 4 {
		s.leave(7)
	}
	s.sweep(13)
	networks, _ = s.size()
	require.Zero(t, networks)
	s.leave(7) // of one that is forgotten
}
