package gateway

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// descriptorLimit is the number of descriptors that this process may have. Go
// has raised the soft limit to the hard one at its start.
func descriptorLimit() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("descriptor limit: %w", err)
	}
	return int(min(r.Cur, 1<<30)), nil
}

// openDescriptors counts what this process has open: whoever embeds a gateway has
// files and sockets of its own. Without /proc it is 0, and the reserve has to do.
func openDescriptors() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // an error leaves what was read until then
	return len(names)
}

// wakePair is how a loop wakes itself up after other events: near is given to
// gnet, a byte sent to the descriptor far comes out of it.
func wakePair() (near net.Conn, far int32, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("socket pair: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "loop")
	defer f.Close()
	if near, err = net.FileConn(f); err != nil {
		closeDescriptor(int32(fds[1]))
		return nil, 0, fmt.Errorf("socket pair: %w", err)
	}
	return near, int32(fds[1]), nil
}

// closeDescriptor closes a descriptor of our own; there is nothing to do about
// an error.
func closeDescriptor(fd int32) { _ = unix.Close(int(fd)) }
