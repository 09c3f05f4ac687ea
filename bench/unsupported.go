//go:build !linux

package bench

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"syscall"
	"time"
)

var errUnsupported = errors.New("measuring needs Linux: epoll, /proc and the CPU clock of another process")

type devices struct{ tally }

func processModes(int) (user, kernel time.Duration, err error) { return 0, 0, errUnsupported }

type memory struct{ rss, anon, slab uint64 }

func connect(context.Context, netip.AddrPort, string, int, int) (*devices, error) {
	return nil, errUnsupported
}

func (*devices) burst(context.Context, int) error { return errUnsupported }
func (*devices) quiet(context.Context) error      { return errUnsupported }
func (*devices) close()                           {}

type hand struct{}

func (*hand) do(context.Context, order) (outcome, error) { return outcome{}, errUnsupported }
func (*hand) close()                                     {}

func processCPU(int) (time.Duration, error) { return 0, errUnsupported }
func processRead(int) (uint64, error)       { return 0, errUnsupported }
func processMemory(int) (memory, error)     { return memory{}, errUnsupported }
func processDescriptors(int) (int, error)   { return 0, errUnsupported }
func descriptorLimit() uint64               { return 0 }
func startOn(int, *exec.Cmd) error          { return errUnsupported }
func pinSelf(int) (func(), error)           { return nil, errUnsupported }

func bindLate(string, string, syscall.RawConn) error { return nil }

func (*good) exchange(context.Context, exchangeOrder) (outcome, error) {
	return outcome{}, errUnsupported
}

func (*sealer) measure(cpu, size int, atLeast time.Duration, same bool) (time.Duration, error) {
	return 0, errUnsupported
}
