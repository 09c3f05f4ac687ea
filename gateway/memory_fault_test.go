//go:build linux

package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// childMemory is the budget of a child.
const childMemory = 256 << 20

// memoryLimits are those of a gateway whose queues alone would need twice
// childMemory; in its group it finds the budget itself.
func memoryLimits(cfg *gateway.Config, inGroup bool) {
	cfg.Admin = "127.0.0.1:0"
	if cfg.Memory = childMemory; inGroup {
		cfg.Memory = 0
	}
	cfg.Limits = gateway.Limits{PendingBytes: 16 << 20, PendingMessages: 1 << 20, PendingAge: time.Hour, StuckAfter: time.Hour}
	debug.SetGCPercent(50) // both as the command does
	debug.SetMemoryLimit(childMemory * 85 / 100 / memoryFactor)
}

// memoryGroup makes a memory cgroup (v1) with childMemory as its limit, or says
// that it cannot.
func memoryGroup(t *testing.T) (dir string, ok bool) {
	t.Helper()
	dir = filepath.Join("/sys/fs/cgroup/memory", fmt.Sprintf("bellwire-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", false
	}
	t.Cleanup(func() {
		// It is busy for as long as the child is one of its processes.
		for end := time.Now().Add(gatewaytest.Patience); os.Remove(dir) != nil && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte(strconv.Itoa(childMemory)), 0); err != nil {
		return "", false
	}
	return dir, true
}

// peak is the most memory that a process has had resident, 0 when it is gone.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			require.NoError(t, err)
			return kb << 10
		}
	}
	return 0 // it has ended and nobody has asked how
}

// Devices that read nothing and a publisher at full speed cost the gateway less than
// its budget: it is not killed, whoever keeps up is served, and the publisher too,
// though it may be told to wait. Without the steps the same load goes beyond the
// budget, and in a cgroup the kernel kills.
func TestMemoryBudgetHolds(t *testing.T) {
	for _, guard := range []string{"", "memory"} {
		t.Run("without "+guard, func(t *testing.T) {
			start, role := []string{os.Args[0]}, "memory "+guard
			group, grouped := memoryGroup(t)
			if grouped {
				sh, err := exec.LookPath("sh")
				require.NoError(t, err)
				start = []string{sh, "-c", `echo $$ > "$1"/cgroup.procs && exec "$0"`, os.Args[0], group}
				role = "memory-group " + guard
			}
			g := startCommand(t, role, start...)
			defer g.stop()
			most, ended := overload(t, g)
			t.Logf("in a group: %v; peak %d MiB of %d", grouped, most>>20, childMemory>>20)
			if guard != "" {
				if ended == nil {
					require.Greater(t, most, int64(childMemory), "it survived without its guard")
				}
				return
			}
			require.NoError(t, ended, "%s", g.output)
			if !grouped {
				// In a group the kernel has decided: what is resident counts pages of the binary as
				// well, which others may be charged for.
				require.Less(t, most, int64(childMemory))
			}
			good := gatewaytest.Connect(t, g.addr)
			good.Send(gatewaytest.Hello("good").Append(nil))
			f, err := good.Next(gatewaytest.Patience)
			require.NoError(t, err)
			require.Contains(t, []wire.Type{wire.TypeWelcome, wire.TypeClose}, f.Type)
			g.stop()
			require.NoError(t, <-g.ended, "%s", g.output)
			require.Contains(t, g.output.String(), "memory runs short")
		})
	}
}

// overload has devices that read nothing and one that publishes to each of them in
// turn, more than the budget in all, and returns the peak of the gateway's memory,
// and how it ended, if it did.
func overload(t *testing.T, g running) (most int64, ended error) {
	t.Helper()
	const devices, size, total = 64, 32 << 10, 2 * childMemory
	witness := gatewaytest.Join(t, g.addr, "witness")
	for i := range devices {
		d := gatewaytest.Join(t, g.addr, fmt.Sprintf("stuck%d", i)).Slow()
		d.Subscribe(wire.Subscribe{Sub: 1, Filter: fmt.Appendf(nil, "broadcast/%d", i)})
	}
	pub := gatewaytest.Join(t, g.addr, "pub")
	credit, payload := 128<<10, bytes.Repeat([]byte{1}, size)
	for sent, n := 0, 0; sent < total; n++ {
		b := wire.Publish{Name: fmt.Appendf(nil, "broadcast/%d", n%devices), Payload: payload}.Append(nil)
		for credit < len(b) {
			f, err := pub.Next(gatewaytest.Patience)
			if err != nil {
				return most, fmt.Errorf("the publisher: %w, the gateway: %w", err, <-g.ended)
			}
			if f.Type == wire.TypeCredit {
				c, err := wire.ParseCredit(f.Body)
				require.NoError(t, err)
				credit += int(c.Bytes)
			}
		}
		if _, err := pub.Conn.Write(b); err != nil {
			return most, fmt.Errorf("the publisher: %w, the gateway: %w", err, <-g.ended)
		}
		credit -= len(b)
		sent += len(b)
		if n%64 == 0 {
			most = max(most, peak(t, g.pid))
		}
	}
	witness.Ping()
	return max(most, peak(t, g.pid)), nil
}
