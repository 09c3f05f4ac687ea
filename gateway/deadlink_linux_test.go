package gateway_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// deafen makes the kernel drop everything that comes for a socket before TCP sees
// it, so that nothing is acknowledged any more: to the other end the link is dead.
// A classic filter needs no rights, which a network namespace would.
func deafen(t *testing.T, c net.Conn) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	require.NoError(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	}))
	require.NoError(t, err)
}

// A link that is dead while data is under way is given up after TCP_USER_TIMEOUT.
// Without it the kernel tries for a quarter of an hour, and since the little that
// waits fits the socket, the device does not even look slow.
func TestDeadLink(t *testing.T) {
	bothWays(t, "userTimeout", "still connected", func(t *testing.T, guard string) error {
		g := gatewaytest.Start(t, gateway.Config{Limits: gateway.Limits{UserTimeout: time.Second}}.Without(guard))
		check := witness(t, g)
		d := gatewaytest.Join(t, g.Addr(), "dead")
		d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/flood")})
		deafen(t, d.Conn)
		flood(t, g, 1)
		begun := time.Now()
		for g.Status().Sessions > 1 {
			if time.Since(begun) > 5*time.Second {
				return errors.Join(errors.New("still connected"), check())
			}
			if err := check(); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
		if took := time.Since(begun); took < 900*time.Millisecond {
			return fmt.Errorf("given up after %s", took)
		}
		return check()
	})
}
