package gateway

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// proxyHeader speaks for a TCP client of 203.0.113.7.
func proxyHeader() []byte {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	b = append(b, 203, 0, 113, 7, 192, 0, 2, 1)
	b = binary.BigEndian.AppendUint16(b, 40000)
	return binary.BigEndian.AppendUint16(b, 7315)
}

// What follows a PROXY header is read from where it is after the header was taken
// away, never from a buffer that gnet may have given to another connection by then.
// The simulated connection overwrites it, as that one would.
func TestProxyHeaderAndWhatFollows(t *testing.T) {
	whole := hello("a").Append(proxyHeader())
	for cut := range len(whole) {
		m := newSim(t, Config{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		c := m.connect(0)
		c.write(whole[:cut])
		c.write(whole[cut:])
		require.False(t, c.closed, "cut at %d", cut)
		require.Equal(t, wire.TypeWelcome, c.frame().t)
		require.Equal(t, "203.0.113.7:40000", addressOf(c.s).String())
	}
}
