package peer

import (
	"net"

	"golang.org/x/sys/unix"
)

// userTimeoutMillis is how long what was sent may stay unacknowledged, or the other side's window shut. HEARTBEATs are
// faster; a peer that waits for publish credit shuts its window and is not gone.
const userTimeoutMillis = 15_000

// tune has the kernel give up on a peer that acknowledges nothing, and send small frames at once.
func tune(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true)
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeoutMillis)
	})
}
