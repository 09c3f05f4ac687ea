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

// wakePair is how a loop wakes itself up after other events: near is given to
// gnet, a byte written to far comes out of it.
func wakePair() (near net.Conn, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "loop")
	defer f.Close()
	far = os.NewFile(uintptr(fds[1]), "wake")
	if near, err = net.FileConn(f); err != nil {
		_ = far.Close()
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	return near, far, nil
}
