//go:build !linux

package gateway

import (
	"errors"
	"net"
)

// errNotLinux: the gateway is built on epoll, client and tools are not.
var errNotLinux = errors.New("the gateway runs on Linux only")

func descriptorLimit() (int, error) { return 0, errNotLinux }

func openDescriptors() int { return 0 }

func wakePair() (net.Conn, int32, error) { return nil, 0, errNotLinux }

func closeDescriptor(int32) {}
