package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func address(n int) net.IP { return net.IPv4(10, byte(n>>16), byte(n>>8), byte(n)) }

// nobody requires that nothing is counted any more.
func (m *sim) nobody() {
	m.t.Helper()
	_, unproven := m.g.sources.size()
	require.Zero(m.t, unproven, "unproven connections of networks")
	require.Zero(m.t, m.g.conns.Load())
	for _, l := range m.g.loops {
		require.Zero(m.t, l.strangers)
		require.Zero(m.t, l.slots.open)
	}
	for _, ten := range m.g.tenants.all() {
		require.Zero(m.t, ten.usage.sessions.Load())
	}
}

// BC-D6: a network has as many unproven connections as it may, is told 42, and
// others notice nothing. A fleet behind one address counts only until it is proven.
func TestUnprovenPerNetwork(t *testing.T) {
	m := newSim(t, Config{Limits: Limits{UnprovenPerNetwork: 3}})
	for n := range 100 {
		c := m.connectFrom(0, address(1))
		c.write(hello(fmt.Sprint(n)).Append(nil))
		require.Equal(t, wire.TypeWelcome, c.frame().t)
	}
	idle := []*simConn{}
	for range 3 {
		idle = append(idle, m.connectFrom(0, address(1)))
	}
	require.Equal(t, []string{"CLOSE 0 connect rate"}, m.connectFrom(0, address(1)).frames())
	require.Empty(t, m.connectFrom(0, address(2)).frames())
	require.NoError(t, idle[0].Close())
	require.Empty(t, m.connectFrom(0, address(1)).frames())

	m = newSim(t, Config{Limits: Limits{UnprovenPerNetwork: 3}, without: guards{sources: true}})
	for range 10 {
		require.Empty(t, m.connectFrom(0, address(1)).frames(), "without the limit")
	}
}

// A network that is beyond its limits neither spends the rate that all share nor
// has others make room.
func TestNetworkBeyondLimitsCostsNobody(t *testing.T) {
	m := newSim(t, Config{Limits: Limits{UnprovenPerNetwork: 1, ConnectRate: 5, Connections: 3}})
	victim := m.connectFrom(0, address(1))
	m.connectFrom(0, address(2))
	m.connectFrom(0, address(3))
	for range 100 {
		require.Equal(t, []string{"CLOSE 0 connect rate"}, m.connectFrom(0, address(3)).frames())
	}
	require.False(t, victim.closed, "it was not shed")
	require.EqualValues(t, 3, m.g.conns.Load())
	require.Empty(t, m.connectFrom(0, address(4)).frames(), "the rate is there for others")
	require.True(t, victim.closed, "a new network does shed the oldest")
}

// Every way and stage in which a connection ends gives its place back, once.
func TestPlaceIsGivenBackOnce(t *testing.T) {
	stages := map[string]func(m *sim) *simConn{
		"new":  func(m *sim) *simConn { return m.connectFrom(0, address(1)) },
		"open": func(m *sim) *simConn { return m.join(0, hello("d")) },
		"proving": func(m *sim) *simConn {
			c := m.connectFrom(0, address(1))
			c.s.stage = stageProving
			return c
		},
		"closing, never proven": func(m *sim) *simConn {
			c := m.connectFrom(0, address(1))
			c.write([]byte{0x40, 0x00})
			require.Equal(m.t, stageClosing, c.s.stage)
			_, unproven := m.g.sources.size()
			require.Equal(m.t, 1, unproven, "its descriptor is still held")
			return c
		},
		"closing, proven": func(m *sim) *simConn {
			c := m.join(0, hello("d"))
			c.write(wire.Close{}.Append(nil))
			return c
		},
		"before the PROXY header": func(m *sim) *simConn {
			c := m.connectFrom(0, net.IPv4(192, 0, 2, 1))
			require.Equal(m.t, stageHail, c.s.stage)
			return c
		},
		"TLS handshake": func(m *sim) *simConn {
			c := m.connectFrom(0, address(1))
			c.s.stage = stageShake
			c.s.secure = &secured{shake: &handshake{cancel: func(error) {}}}
			return c
		},
	}
	ends := map[string]func(m *sim, c *simConn){
		"the device closes": func(_ *sim, c *simConn) { _ = c.Close() },
		"the gateway closes": func(m *sim, c *simConn) {
			c.l.closeWith(c.s, wire.CodeOverload, "")
			m.pass(5)
		},
		"it is dropped, twice": func(_ *sim, c *simConn) { c.l.drop(c.s); c.l.drop(c.s) },
		"time":                 func(m *sim, _ *simConn) { m.pass(2000) },
		"its socket fails": func(_ *sim, c *simConn) {
			c.failed = true
			c.l.say(c.s, []byte{byte(wire.TypePing), 0})
			c.l.flushOne(c.s)
			_ = c.Close()
		},
	}
	for stage, open := range stages {
		for end, how := range ends {
			t.Run(stage+"/"+end, func(t *testing.T) {
				m := newSim(t, Config{
					Limits:    Limits{UnprovenPerNetwork: 5},
					ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
				})
				c := open(m)
				require.EqualValues(t, 1, m.g.conns.Load())
				how(m, c)
				m.nobody()
			})
		}
	}
}

// When the gateway is full the oldest connection that is not proven makes room and
// is told so; one that is proven never does. When all are proven, who comes is told.
func TestShedOldest(t *testing.T) {
	const most = 6
	m := newSim(t, Config{Limits: Limits{Connections: most}})
	var proven, strangers []*simConn
	for n := range most / 2 {
		strangers = append(strangers, m.connect(0))
		proven = append(proven, m.join(0, hello(fmt.Sprint(n))))
	}
	for n := range 50 {
		oldest := strangers[0]
		strangers = append(strangers[1:], m.connect(0))
		require.True(t, oldest.closed, "%d", n)
		require.Equal(t, []string{"CLOSE 0 overload"}, oldest.frames())
		require.EqualValues(t, most, m.g.conns.Load())
	}
	for n, c := range strangers {
		require.False(t, c.closed)
		c.write(hello(fmt.Sprint("late", n)).Append(nil))
		require.Equal(t, wire.TypeWelcome, c.frame().t)
	}
	require.Equal(t, []string{"CLOSE 0 overload"}, m.connect(0).frames())
	require.EqualValues(t, most, m.g.conns.Load())
	for _, c := range append(proven, strangers...) {
		require.False(t, c.closed)
		require.Equal(t, stageOpen, c.s.stage)
	}

	// One that was refused and lingers is not proven either.
	require.NoError(t, proven[0].Close())
	lingers := m.connect(0)
	lingers.write([]byte{0x40, 0x00})
	require.Equal(t, stageClosing, lingers.s.stage)
	require.Empty(t, m.connect(0).frames())
	require.True(t, lingers.closed)

	m = newSim(t, Config{Limits: Limits{Connections: most}, without: guards{connectionCap: true}})
	for range 2 * most {
		require.Empty(t, m.connect(0).frames(), "without the cap")
	}
	require.EqualValues(t, 2*most, m.g.conns.Load())
}

// The list of strangers is not longer than there are strangers, about, whatever has
// come and gone: here a million, each of which is gone, proven or stays a while.
func TestStrangersStayBounded(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	var here []*session
	longest := 0
	for n := range 1_000_000 {
		i, sl := l.slots.alloc()
		s := &session{n: i}
		sl.sess = s
		l.stranger(s)
		here = append(here, s)
		if len(here) == 100 {
			for _, s := range here {
				l.uncount(s)
				l.slots.release(s.n)
			}
			here = here[:0]
		}
		if longest = max(longest, len(l.unproven)); n == 0 {
			require.Equal(t, 1, longest)
		}
	}
	require.LessOrEqual(t, longest, 2*100+65)
	require.LessOrEqual(t, cap(l.unproven), 1024)
	require.Zero(t, l.strangers)
}

// A hundred thousand connections of as many networks leave nothing behind.
func TestConnectionsLeaveNothing(t *testing.T) {
	m := newSim(t, Config{Limits: Limits{UnprovenPerNetwork: 2, ConnectRatePerNetwork: 100}})
	for n := range 100_000 {
		c := m.connectFrom(0, address(n))
		switch n % 4 {
		case 0:
			c.write(hello("d").Append(nil))
		case 1:
			c.write([]byte{0x40, 0x00})
		}
		_ = c.Close()
		delete(m.conns, c.fd)
	}
	m.drain()
	m.nobody()
	networks, _ := m.g.sources.size()
	require.Equal(t, 100_000, networks)
	m.g.sources.sweep(m.g.now.Load() + 2)
	networks, _ = m.g.sources.size()
	require.Zero(t, networks)
	require.Less(t, len(m.g.loops[0].unproven), 100)
}
