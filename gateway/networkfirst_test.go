package gateway

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// from is a connection's other end.
func (m *sim) from(host byte) *simConn {
	m.fds++
	l := m.g.loops[0]
	c := &simConn{m: m, l: l, fd: m.fds, room: -1}
	m.conns[c.fd] = c
	s, refusal := l.opened(hostConn{c, host}, int(c.fd))
	if s == nil {
		c.got, c.closed = refusal, true
		return c
	}
	s.conn, c.s = c, s
	return c
}

type hostConn struct {
	*simConn
	host byte
}

func (h hostConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, h.host), Port: 1}
}

// A network beyond its limits costs others nothing: it uses up neither the rate of
// all connections, nor does one that is being proven make room for it (MS-17).
func TestNetworkIsAskedFirst(t *testing.T) {
	for _, without := range []bool{false, true} {
		cfg := Config{Limits: Limits{Connections: 4, UnprovenPerNetwork: 2, ConnectRatePerNetwork: -1, ConnectRate: 10}}
		cfg.without.networkFirst = without
		m := newSim(t, cfg)
		good := m.from(1)
		m.from(2)
		m.from(2)
		m.from(3) // it is full now
		for range 20 {
			require.True(t, m.from(2).closed)
		}
		require.Equal(t, without, good.closed)
		late := m.from(4)
		require.Equal(t, without, late.closed, "its place is that of the oldest")
		if without {
			require.Equal(t, "CLOSE 0 "+wire.CodeConnectRate.String(), late.frames()[0][:len("CLOSE 0 ")+len(wire.CodeConnectRate.String())])
		}
	}
}
