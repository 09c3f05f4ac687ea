package gateway

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The kernel's queue shows that a device reads, also while the socket takes no
// more: that is what tells slow from stuck.
func TestUnsentShowsTheReader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	device, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer device.Close()
	require.NoError(t, device.(*net.TCPConn).SetReadBuffer(32*kib))
	c, err := l.Accept()
	require.NoError(t, err)
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	onFD := func(do func(fd int32)) { require.NoError(t, raw.Control(func(fd uintptr) { do(int32(fd)) })) }

	var full error
	last := 0
	onFD(func(fd int32) {
		for full == nil {
			_, full = sendNow(fd, make([]byte, 4*kib))
		}
		last = unsent(fd)
	})
	require.ErrorIs(t, full, syscall.EAGAIN)
	require.NotZero(t, last)
	require.NoError(t, device.SetReadDeadline(time.Now().Add(10*time.Second)))
	falls := 0
	for last > 0 {
		_, err := device.Read(make([]byte, 8*kib))
		require.NoError(t, err)
		var now int
		onFD(func(fd int32) { now = unsent(fd) })
		require.LessOrEqual(t, now, last)
		if now < last {
			falls++
		}
		last = now
	}
	require.Greater(t, falls, 1)
	require.Zero(t, unsent(-1))
}
