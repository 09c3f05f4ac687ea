//go:build e2e && linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// network is a bridge with namespaces at it, each of which is a machine of its own to those in it.
type network struct {
	t      *testing.T
	bridge string
	spaces []*namespace
}

// namespace is one machine: a network namespace with an address on the bridge and a loopback.
type namespace struct {
	t       *testing.T
	name    string
	address string
	inside  string // the end of its cable in it
	outside string // and the end at the bridge
	bridge  string
}

// newNetwork makes a network of so many machines, which is gone when the test is.
func newNetwork(t *testing.T, machines int) *network {
	t.Helper()
	needRoot(t, "network namespaces")
	// Names of links are at most 15 bytes; those of another run on this machine are others.
	id := strconv.Itoa(os.Getpid() % 100000)
	n := &network{t: t, bridge: "bwb" + id}
	t.Cleanup(n.remove)
	command(t, "ip", "link", "add", n.bridge, "type", "bridge")
	command(t, "ip", "link", "set", n.bridge, "up")
	for i := range machines {
		s := &namespace{
			t: t, name: fmt.Sprintf("bw%sg%d", id, i+1), address: fmt.Sprintf("10.213.77.%d", i+1),
			inside: fmt.Sprintf("v%di%s", i+1, id), outside: fmt.Sprintf("v%do%s", i+1, id), bridge: n.bridge,
		}
		n.spaces = append(n.spaces, s)
		command(t, "ip", "netns", "add", s.name)
		command(t, "ip", "link", "add", s.inside, "type", "veth", "peer", "name", s.outside)
		command(t, "ip", "link", "set", s.inside, "netns", s.name)
		command(t, "ip", "link", "set", s.outside, "master", n.bridge, "up")
		s.ip("link", "set", "lo", "up")
		s.ip("addr", "add", s.address+"/24", "dev", s.inside)
		s.ip("link", "set", s.inside, "up")
	}
	for _, from := range n.spaces {
		for _, to := range n.spaces {
			if from != to {
				require.Eventually(t, func() bool { return from.reaches(to) }, 10*time.Second, 10*time.Millisecond, "%s does not reach %s", from.name, to.name)
			}
		}
	}
	return n
}

// remove takes everything away that was made; a cable goes with its namespace.
func (n *network) remove() {
	for _, s := range n.spaces {
		quietly("ip", "netns", "del", s.name)
		quietly("ip", "link", "del", s.outside)
	}
	quietly("ip", "link", "del", n.bridge)
}

// ip runs ip in the namespace.
func (s *namespace) ip(args ...string) {
	s.t.Helper()
	command(s.t, "ip", append([]string{"-n", s.name}, args...)...)
}

// within calls f on a thread that is in the namespace. Sockets stay in the one in which they are made.
func (s *namespace) within(f func() error) error {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(home)
	there, err := unix.Open("/run/netns/"+s.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(there)
	runtime.LockOSThread()
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	failed := f()
	if err := unix.Setns(home, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("the thread stays in %s, so it is not given back: %w", s.name, err)
	}
	runtime.UnlockOSThread()
	return failed
}

// dial connects from the namespace.
func (s *namespace) dial(ctx context.Context, addr string) (c net.Conn, err error) {
	err = s.within(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

// reaches says whether a packet gets from one machine to another; one way, with no answer.
func (s *namespace) reaches(to *namespace) bool {
	var listener, sender net.Conn
	err := to.within(func() error {
		l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(to.address)})
		if err == nil {
			listener = l
		}
		return err
	})
	require.NoError(s.t, err)
	defer listener.Close()
	err = s.within(func() error {
		sender, err = net.Dial("udp", listener.LocalAddr().String())
		return err
	})
	require.NoError(s.t, err)
	defer sender.Close()
	for range 3 { // the first one may wait for an address to be resolved
		_, _ = sender.Write([]byte("here")) // what fails does not arrive
		_ = listener.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := listener.Read(make([]byte, 16)); err == nil && n == 4 {
			return true
		}
	}
	return false
}

// sent is how many bytes have left the machine.
func (s *namespace) sent() uint64 {
	s.t.Helper()
	b, err := os.ReadFile("/sys/class/net/" + s.outside + "/statistics/rx_bytes")
	require.NoError(s.t, err)
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	require.NoError(s.t, err)
	return n
}

// unplug takes the machine off the bridge: nobody gets an error, as with a cable.
func (s *namespace) unplug() { command(s.t, "ip", "link", "set", s.outside, "nomaster") }

// plug puts it back.
func (s *namespace) plug() { command(s.t, "ip", "link", "set", s.outside, "master", s.bridge) }

// mute sends what goes to another machine into the void; what comes from there arrives.
func (s *namespace) mute(to *namespace) {
	s.ip("neigh", "replace", to.address, "lladdr", "02:00:00:00:00:99", "nud", "permanent", "dev", s.inside)
}

// unmute ends it.
func (s *namespace) unmute(to *namespace) { s.ip("neigh", "del", to.address, "dev", s.inside) }
