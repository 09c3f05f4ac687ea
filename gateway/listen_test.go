package gateway_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
)

// hasIPv6 reports whether this system has IPv6 at all.
func hasIPv6(t *testing.T) bool {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	require.NoError(t, l.Close())
	return true
}

// An address that stands for all addresses takes devices by each IP version that
// it names, and the gateway says what it listens on.
func TestListenOnWildcards(t *testing.T) {
	for _, c := range []struct {
		listen, says string
		ipv4, ipv6   bool
	}{
		{"127.0.0.1:0", "127.0.0.1", true, false},
		{"0.0.0.0:0", "0.0.0.0", true, false},
		{":0", "[::]", true, true},
		{"[::]:0", "[::]", true, true},
		{"[::1]:0", "[::1]", false, true},
	} {
		t.Run(c.listen, func(t *testing.T) {
			have6 := hasIPv6(t)
			switch {
			case have6:
			case !c.ipv4:
				return // nothing of it is left without IPv6
			case c.ipv6:
				c.says, c.ipv6 = "0.0.0.0", false
			}
			g := gatewaytest.Start(t, gateway.Config{Loops: 2, Listen: c.listen, Insecure: true})
			port := g.Addr().(*net.TCPAddr).Port
			require.Equal(t, fmt.Sprintf("%s:%d", c.says, port), g.Addr().String())
			for _, by := range []struct {
				network, host string
				want          bool
			}{{"tcp4", "127.0.0.1", c.ipv4}, {"tcp6", "::1", c.ipv6}} {
				address := net.JoinHostPort(by.host, strconv.Itoa(port))
				if by.want {
					to, err := net.ResolveTCPAddr(by.network, address)
					require.NoError(t, err)
					gatewaytest.Join(t, to, by.network).Ping()
					continue
				}
				conn, err := net.Dial(by.network, address)
				if err == nil {
					_ = conn.Close()
				}
				require.Error(t, err, address)
			}
			if c.ipv4 {
				row := sessions(t, g, "")[0]
				require.Contains(t, row.Remote, "127.0.0.1:", "an IPv4 device is shown as one")
			}
		})
	}
}

// A second gateway on the same port is refused also where one of the two
// addresses only contains the other.
func TestSecondServeOnAWildcard(t *testing.T) {
	addresses := []string{"127.0.0.1", "0.0.0.0", "", "[::]", "[::1]"}
	if !hasIPv6(t) {
		addresses = addresses[:3]
	}
	versions := map[string][2]bool{
		"127.0.0.1": {true, false}, "0.0.0.0": {true, false}, "": {true, true}, "[::]": {true, true}, "[::1]": {false, true},
	}
	for _, one := range addresses {
		for _, two := range addresses {
			t.Run(one+" then "+two, func(t *testing.T) {
				first := gatewaytest.Start(t, gateway.Config{Loops: 2, Listen: one + ":0", Insecure: true})
				listen := fmt.Sprintf("%s:%d", two, first.Addr().(*net.TCPAddr).Port)
				err := serveUntilReady(t, gateway.Config{Loops: 2, Listen: listen, Insecure: true})
				a, b := versions[one], versions[two]
				if a[0] && b[0] || a[1] && b[1] {
					require.ErrorContains(t, err, "address already in use")
					return
				}
				require.NoError(t, err, "IPv4 only and IPv6 only share a port")
			})
		}
	}
}

// serveUntilReady serves until the gateway is ready, and returns why it is not.
func serveUntilReady(t *testing.T, cfg gateway.Config) error {
	t.Helper()
	g, err := gateway.New(cfg)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- g.Serve(t.Context()) }()
	select {
	case err := <-served:
		return errors.Join(err, g.Close())
	case <-g.Ready():
		return errors.Join(g.Close(), <-served)
	}
}
