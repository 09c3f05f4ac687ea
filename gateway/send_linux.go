package gateway

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendNow is one send on a descriptor that never blocks. RawSyscall, because the
// scheduler's bookkeeping around a system call costs a tenth of the call, and
// this one cannot block. The caller has made sure, on the session's own loop,
// that the descriptor is still the session's.
func sendNow(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
			uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func again(err error) bool { return errors.Is(err, unix.EAGAIN) }

// finish ends our side of the stream. A failure means that it has ended already.
func finish(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

// unsent is how many bytes the kernel still holds for a socket; a failure counts
// as none.
func unsent(fd int32) int {
	n, _ := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	return n
}

// tune sets the options of a device's socket that a listener does not pass on.
// A failure leaves the kernel's default, which is slower to notice dead links.
func tune(fd int, userTimeoutMillis int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeoutMillis)
}
