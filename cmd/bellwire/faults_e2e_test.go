//go:build e2e && linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/peer/history"
)

// The parts of TestFaults do something bad to gateways that are processes, while devices publish and subscribe, and have
// peer/history judge what the devices saw. `make e2e` runs a short form of each, `make faults` the full one. What they
// have in common:
//
//   - A trial is a fleet, its load, and the history of it. What is done to gateways is told to the history before it is
//     done, and proven to have taken hold: a trial without its faults, or below its load, is void, which is red.
//   - Each has its controls: the same history less one thing that guards hold up is red as well (control).
//   - Nothing is skipped. Who lacks the rights for namespaces or mounts gets a sentence and a red test.

func TestFaults(t *testing.T) {
	if inFull() {
		needRoot(t, "network namespaces and file systems") // now, not after the parts that need neither
	}
	out := bench.NewResult("faults", "make faults", "bellwire serve")
	parts := []struct {
		name string
		run  func(t *testing.T, out *bench.Result)
	}{
		{"kill", faultKill},
		{"partition", faultPartition},
		{"pause", faultPause},
		{"central", faultCentral},
		{"disk", faultDisk},
		{"interest", faultInterest},
	}
	ran := 0
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			ran++
			part.run(t, out)
		})
	}
	if path := os.Getenv("BELLWIRE_FAULTS_RESULT"); path != "" && ran == len(parts) && !t.Failed() {
		require.NoError(t, out.Summarize())
		require.NoError(t, out.WriteFile(path))
	}
}

// inFull says that the full form was asked for.
func inFull() bool { return os.Getenv("BELLWIRE_FAULTS") == "full" }

// sized is one of two values.
func sized[T any](short, full T) T {
	if inFull() {
		return full
	}
	return short
}

// faultBinary is the gateway under test.
func faultBinary(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("BELLWIRE_BINARY")
	require.NotEmpty(t, binary, "make e2e, or make faults, says which binary")
	return binary
}

// needRoot fails where namespaces or mounts cannot be made: a fault test that is skipped looks like one that has passed.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("this test makes %s, which takes root: run it as root, for example with sudo make faults", what)
	}
	for _, tool := range []string{"ip", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this test needs the program %s (Debian: apt-get install iproute2 mount): %v", tool, err)
		}
	}
}

// faultRules are what every trial keeps. What a device gets late for want of a processor is no fault of the fleet, so the
// bounds are wider than what is reported, which results have.
func faultRules() history.Rules {
	return history.Rules{
		Late: int64(3 * time.Second), EndWithin: int64(8 * time.Second), Settle: int64(4 * time.Second),
		Linking: int64(3 * time.Second), Joining: int64(2 * time.Second), Prompt: int64(500 * time.Millisecond),
	}
}

// command runs a program to its end.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
}

// keepHistory writes the excerpt of the first finding where it outlives the test.
func keepHistory(t *testing.T, r history.Report) {
	t.Helper()
	if len(r.Findings) == 0 {
		return
	}
	dir := os.Getenv("BELLWIRE_HISTORIES")
	if dir == "" {
		dir = os.TempDir()
	}
	file, err := os.CreateTemp(dir, filepath.Base(t.Name())+"-*.jsonl")
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, r.Excerpt(r.Findings[0]).Write(file))
	t.Logf("the first finding's history is kept in %s", file.Name())
}

// quietly runs a program whose failing does not matter: it takes away what may be gone.
func quietly(name string, args ...string) { _ = exec.Command(name, args...).Run() }
