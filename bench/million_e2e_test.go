//go:build e2e && linux

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMillionSmall(t *testing.T) {
	binary := served(t)[0]
	var progress strings.Builder
	r, err := Million(t.Context(), MillionConfig{
		Server: served(t), Load: []string{binary, "bench", "million-load"}, Devices: 2000, PerProcess: 1000, Broadcasts: 2, Settle: 200 * time.Millisecond,
	}, &progress)
	require.NoError(t, err, progress.String())
	require.NoError(t, r.check())
	require.Contains(t, progress.String(), "the last of 2,000 devices")
	value := func(name string) float64 {
		for _, f := range r.Figures {
			if f.Name == name {
				return f.Median
			}
		}
		t.Fatalf("no figure %q", name)
		return 0
	}
	require.Positive(t, value(millionCost))
	require.Positive(t, value(millionRSS))
	require.Positive(t, value(millionSlab))
	require.LessOrEqual(t, value(millionFirst), value(millionHalf))
	require.LessOrEqual(t, value(millionHalf), value(millionMost))
	require.LessOrEqual(t, value(millionMost), value(millionLast))
	require.Empty(t, childrenOf(t, os.Getpid()), "all processes have ended")
	var page strings.Builder
	require.NoError(t, HTML(&page, []Result{r}))
	require.Contains(t, page.String(), "Time to receive")
}

func TestMillionEndsWhatItStarted(t *testing.T) {
	binary := served(t)[0]
	cmd := exec.Command(binary, "bench", "million", "--devices", "400", "--per-process", "200", "--settle", "1m")
	require.NoError(t, cmd.Start())
	defer cmd.Wait()         //nolint:errcheck // it is killed
	defer cmd.Process.Kill() //nolint:errcheck // it may be gone already
	var children []int
	require.Eventually(t, func() bool {
		children = childrenOf(t, cmd.Process.Pid)
		return len(children) == 4
	}, 20*time.Second, 20*time.Millisecond, "two gateways and two generators")
	require.NoError(t, cmd.Process.Kill())
	for _, pid := range children {
		require.Eventually(t, func() bool { return unix.Kill(pid, 0) != nil || state(pid) == "Z" }, 5*time.Second, 20*time.Millisecond, "process %d outlives the harness", pid)
	}
}

// childrenOf are the processes that a process has started and that still run.
func childrenOf(t *testing.T, parent int) []int {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	var all []int
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		require.NoError(t, err)
		if f := fields(pid); len(f) > 1 && f[0] != "Z" && f[1] == strconv.Itoa(parent) {
			all = append(all, pid)
		}
	}
	return all
}

func state(pid int) string {
	if f := fields(pid); len(f) > 0 {
		return f[0]
	}
	return ""
}

// fields are those of /proc/PID/stat after the name: state, parent and more.
func fields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:])
}
