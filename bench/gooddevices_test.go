//go:build linux

package bench

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// accepting has a function of the test take each connection to an address, until the test ends.
func accepting(t *testing.T, take func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			take(c)
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// echoing is a gateway for good devices: what comes back is what back makes of a message, the n-th of its device.
func echoing(t *testing.T, back func(n int, frame []byte) (frames [][]byte, end bool)) goodOrder {
	at := accepting(t, func(c net.Conn) { go echo(c, back) })
	a, err := newAuthority()
	require.NoError(t, err)
	roots, err := a.encode(false)
	require.NoError(t, err)
	return goodOrder{Plain: secret{Remote: at, Sources: 2}, TLS: secret{Remote: netip.AddrPort{}, Roots: roots}, Devices: 3, Topic: "t", Payload: 20}
}

func echo(c net.Conn, back func(n int, frame []byte) ([][]byte, bool)) {
	defer c.Close()
	var kept []byte
	published := 0
	for in := make([]byte, 4096); ; {
		n, err := c.Read(in)
		if err != nil {
			return
		}
		kept = append(kept, in[:n]...)
		for {
			typ, body, rest, err := wire.Next(kept, maxFrame)
			if err != nil {
				break
			}
			kept = append([]byte(nil), rest...)
			switch {
			case typ == wire.TypeHello:
				c.Write(wire.Welcome{Version: wire.Version, Recv: 12, Credit: 1 << 20}.Append(nil)) //nolint:errcheck // the test would fail
			case typ == wire.TypeSubscribe:
				c.Write(wire.Subscribed{Sub: 1, Topic: 9}.Append(nil)) //nolint:errcheck // the test would fail
			case typ.Base() == wire.TypePublish:
				p, err := wire.ParsePublish(typ, body)
				if err != nil {
					return
				}
				frames, end := back(published, wire.Message{Topic: 9, Payload: p.Payload}.Append(nil))
				published++
				for _, f := range frames {
					c.Write(f) //nolint:errcheck // the test would fail
				}
				if end {
					return
				}
			}
		}
	}
}

func exchanged(t *testing.T, o goodOrder, x exchangeOrder) (outcome, error) {
	g, err := newGood(t.Context(), o)
	require.NoError(t, err)
	defer g.close()
	return g.exchange(t.Context(), x)
}

var shortExchange = exchangeOrder{Every: 20 * time.Millisecond, For: 100 * time.Millisecond, LostAfter: 300 * time.Millisecond}

func TestGoodDevicesCountWhatComesBack(t *testing.T) {
	o := echoing(t, func(_ int, f []byte) ([][]byte, bool) { return [][]byte{f}, false })
	g, err := newGood(t.Context(), o)
	require.NoError(t, err)
	defer g.close()
	for range 2 { // a second exchange begins where the first has ended
		x := shortExchange
		x.Newcomers = 30 * time.Millisecond
		a, err := g.exchange(t.Context(), x)
		require.NoError(t, err)
		require.EqualValues(t, 15, a.Messages)
		require.EqualValues(t, 15, a.Deliveries)
		require.Zero(t, a.Lost)
		require.Zero(t, a.Gone)
		require.Len(t, a.Joined, 3)
		require.Less(t, a.Joined[0], joinWithin)
		require.Len(t, a.Latency, len(latencyPercentiles))
		require.Positive(t, a.Latency[0])
	}
	_, err = g.exchange(t.Context(), exchangeOrder{})
	require.ErrorContains(t, err, "positive rate")
}

func TestGoodDevicesNoticeWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name string
		back func(n int, f []byte) ([][]byte, bool)
		want string
	}{
		{"twice", func(_ int, f []byte) ([][]byte, bool) { return [][]byte{f, f}, false }, "came back where"},
		{"altered", func(_ int, f []byte) ([][]byte, bool) { f[len(f)-1]++; return [][]byte{f}, false }, "altered"},
		{"short", func(_ int, f []byte) ([][]byte, bool) {
			return [][]byte{wire.Message{Topic: 9, Payload: []byte("x")}.Append(nil)}, false
		}, "altered"},
		{"from the future", func(_ int, f []byte) ([][]byte, bool) { f[len(f)-20]++; return [][]byte{f}, false }, "came back where"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := exchanged(t, echoing(t, test.back), shortExchange)
			require.ErrorContains(t, err, test.want)
		})
	}
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		a, err := exchanged(t, echoing(t, func(n int, f []byte) ([][]byte, bool) {
			if n == 1 {
				return nil, false
			}
			return [][]byte{f}, false
		}), shortExchange)
		require.NoError(t, err)
		require.EqualValues(t, 3, a.Lost, "one of each device")
		require.EqualValues(t, 12, a.Deliveries)
	})
	t.Run("disconnected", func(t *testing.T) {
		t.Parallel()
		a, err := exchanged(t, echoing(t, func(n int, f []byte) ([][]byte, bool) { return [][]byte{f}, n == 2 }), shortExchange)
		require.NoError(t, err)
		require.Equal(t, 3, a.Gone)
		require.Contains(t, a.Why, "good device 1")
	})
}

func TestGoodDevicesAlternate(t *testing.T) {
	for _, test := range []struct{ devices, tls int }{{1000, 500}, {10, 0}, {10, 10}, {7, 3}} {
		n := 0
		for i := range test.devices {
			if (goodOrder{Devices: test.devices, OverTLS: test.tls}).overTLS(i) {
				n++
			}
		}
		require.Equal(t, test.tls, n)
	}
	_, err := newGood(t.Context(), goodOrder{Devices: 1, OverTLS: 2, Payload: 8})
	require.ErrorContains(t, err, "nothing to exchange")
}
