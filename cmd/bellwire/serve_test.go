package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lockedBuffer may be read while a command writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// testPatience is how long a test waits for what must come.
const testPatience = 10 * time.Second

// running is a command that runs beside the test.
type running struct {
	out, errs lockedBuffer
	signals   chan<- os.Signal
	ended     chan exitCode
}

// started runs a command line with signals that the test sends.
func started(t *testing.T, variables map[string]string, stdin io.Reader, args ...string) *running {
	t.Helper()
	r := &running{ended: make(chan exitCode, 1)}
	return r.start(t, variables, stdin, &r.out, args...)
}

// start is started with any standard output.
func (r *running) start(t *testing.T, variables map[string]string, stdin io.Reader, stdout io.Writer, args ...string) *running {
	t.Helper()
	watched := make(chan chan<- os.Signal, 1)
	e := &env{
		getenv: getenvOf(variables), stdin: stdin, stdout: stdout, stderr: &r.errs,
		terminal: func(io.Writer) bool { return false },
		notify:   func(c chan<- os.Signal, _ ...os.Signal) { watched <- c },
	}
	go func() { r.ended <- run(args, e) }()
	select {
	case r.signals = <-watched:
	case code := <-r.ended:
		t.Fatalf("%v ended with %d: %s", args, code, r.errs.String())
	}
	return r
}

func (r *running) wait(t *testing.T, want exitCode) {
	t.Helper()
	select {
	case code := <-r.ended:
		require.Equal(t, want, code, r.errs.String())
	case <-time.After(testPatience):
		t.Fatalf("has not ended: %s", r.errs.String())
	}
}

func (r *running) until(t *testing.T, b *lockedBuffer, pattern string) []string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	require.Eventually(t, func() bool { return want.MatchString(b.String()) }, testPatience, time.Millisecond, "%s in:\n%s", pattern, b.String())
	return want.FindStringSubmatch(b.String())
}

// needsGateway skips a test that starts a gateway where there is none.
func needsGateway(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the gateway is a Linux product")
	}
}

// gatewayFor starts `serve` on free ports and returns its addresses.
func gatewayFor(t *testing.T, variables map[string]string, args ...string) (r *running, listen, admin string) {
	t.Helper()
	needsGateway(t)
	r = started(t, variables, nil, append([]string{"serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--loops=1", "--drain-spread=0s", "--central=off"}, args...)...)
	found := r.until(t, &r.errs, `"msg":"serving".*"listen":"([^"]*)","admin":"([^"]*)"`)
	return r, found[1], found[2]
}

func TestServeSubPub(t *testing.T) {
	gw, listen, admin := gatewayFor(t, nil)
	server := "--server=" + listen
	sub := started(t, nil, nil, "sub", "broadcast/#", server, "--count=3", "--cursor="+filepath.Join(t.TempDir(), "place.json"))
	require.Eventually(t, func() bool {
		_, stdout, _ := ran(nil, "status", "--json", "--admin="+admin)
		return strings.Contains(stdout, `"subscriptions": 1,`)
	}, testPatience, time.Millisecond)
	code, stdout, stderr := ran(nil, "pub", "broadcast/a", "once", server)
	require.Equal(t, exitDone, code, stderr)
	require.Empty(t, stdout)
	lines := started(t, nil, strings.NewReader("one\ntwo\n"), "pub", "broadcast/b", "-", server)
	lines.wait(t, exitDone)
	sub.wait(t, exitDone)
	require.Equal(t, "broadcast/a once\nbroadcast/b one\nbroadcast/b two\n", sub.out.String())

	code, _, stderr = ran(nil, "pub", "other/a", "x", server)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "broadcast/#")
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)
	require.Contains(t, gw.errs.String(), `"msg":"stopped"`)
}

// fullDisk takes so many writes.
type fullDisk struct{ room atomic.Int32 }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room.Add(-1) < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

// TestWhatWasNotPrintedIsNotSaved: the place in the cursor file is never ahead of what was printed.
func TestWhatWasNotPrintedIsNotSaved(t *testing.T) {
	gw, listen, _ := gatewayFor(t, nil)
	path := filepath.Join(t.TempDir(), "place.json")
	saved := func() uint64 {
		positions, err := readCursor(path)
		require.NoError(t, err)
		if len(positions) == 0 {
			return 0
		}
		return positions[0].Offset
	}
	var disk fullDisk
	disk.room.Store(1)
	sub := (&running{ended: make(chan exitCode, 1)}).start(t, nil, nil, &disk, "sub", "broadcast/x", "--server="+listen, "--cursor="+path)
	publish := func() {
		code, _, stderr := ran(nil, "pub", "broadcast/x", "y", "--server="+listen)
		require.Equal(t, exitDone, code, stderr)
	}
	require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, testPatience, time.Millisecond, "where it begins is saved")
	publish()
	require.Eventually(t, func() bool { return saved() == 1 }, testPatience, time.Millisecond)
	publish()
	sub.wait(t, exitFailed)
	require.Contains(t, sub.errs.String(), "cannot print")
	require.EqualValues(t, 1, saved(), "the second one comes again")
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)
}

// TestInterrupts: a subscriber, and a publisher whose input is silent.
func TestInterrupts(t *testing.T) {
	gw, listen, _ := gatewayFor(t, nil)
	silent, writer := io.Pipe()
	defer writer.Close()
	for _, r := range []*running{
		started(t, nil, nil, "sub", "broadcast/#", "--server="+listen),
		started(t, nil, silent, "pub", "broadcast/x", "-", "--server="+listen),
	} {
		r.signals <- os.Interrupt
		r.wait(t, exitInterrupted)
		require.Empty(t, r.errs.String())
	}
	gw.signals <- os.Interrupt
	gw.wait(t, exitDone)
}

func TestServeReloads(t *testing.T) {
	file := writeFile(t, "limits:\n  connections: 11\n")
	gw, _, admin := gatewayFor(t, nil, "--config="+file)
	limit := func() float64 {
		_, stdout, _ := ran(nil, "status", "--json", "--admin="+admin)
		var status map[string]any
		require.NoError(t, json.Unmarshal([]byte(stdout), &status))
		return status["connections_max"].(float64)
	}
	require.EqualValues(t, 11, limit())
	for _, step := range []struct {
		text, log string
		want      int
	}{
		{"limits:\n  connections: 9\nlog:\n  level: debug\nname: new\n", `"changed":"log.level limits.connections"`, 9},
		{"limits:\n  connections: 12\nlog:\n  level: debug\nname: new\n", `"changed":"limits.connections"`, 12},
		{"limits:\n  connections: many\n", `"level":"ERROR".*old ones stay`, 12},
		{"limits:\n  keepalive:\n    min: 2h\n", `"level":"ERROR".*limits.keepalive.default`, 12},
	} {
		require.NoError(t, os.WriteFile(file, []byte(step.text), 0o600))
		gw.signals <- syscall.SIGHUP
		gw.until(t, &gw.errs, step.log)
		require.EqualValues(t, step.want, limit())
	}
	require.Contains(t, gw.errs.String(), `"msg":"these settings change at a restart","settings":"name"`)
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)
}

// TestServeReloadsWhenAsked: by an admin, who is told what is wrong.
func TestServeReloadsWhenAsked(t *testing.T) {
	file := writeFile(t, "limits:\n  connections: 11\n")
	gw, _, admin := gatewayFor(t, nil, "--config="+file)
	post := func() (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+admin+"/v1/reload", nil)
		require.NoError(t, err)
		w, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer w.Body.Close()
		text, err := io.ReadAll(w.Body)
		require.NoError(t, err)
		return w.StatusCode, string(text)
	}
	require.NoError(t, os.WriteFile(file, []byte("limits:\n  connections: 9\n"), 0o600))
	code, text := post()
	require.Equal(t, http.StatusNoContent, code, text)
	_, stdout, _ := ran(nil, "status", "--json", "--admin="+admin)
	require.Contains(t, stdout, `"connections_max": 9,`)
	require.NoError(t, os.WriteFile(file, []byte("limits:\n  connections: many\n"), 0o600))
	code, text = post()
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, text, "limits.connections")
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)
}

// TestServeWritesAnAuditFile: JSON lines behind what is there, for nobody else to read; when the file was moved away, a
// reload begins a new one. A file that cannot be written is an error at the start.
func TestServeWritesAnAuditFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	require.NoError(t, os.WriteFile(path, []byte("before\n"), 0o600))
	gw, listen, _ := gatewayFor(t, nil, "--audit="+path)
	refused := func(path, topic string) {
		t.Helper()
		code, _, _ := ran(nil, "sub", topic, "--server="+listen, "--device=d1")
		require.Equal(t, exitFailed, code)
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(text), `"event":"subscribe","code":"c9","means":"no central here","claimed":"default/d1","from":"127.0.0.1:`) &&
				strings.Contains(string(text), topic)
		}, testPatience, time.Millisecond)
	}
	refused(path, "orders/1")
	require.NoError(t, os.Rename(path, path+".1"))
	refused(path+".1", "orders/2")
	gw.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, testPatience, time.Millisecond)
	refused(path, "orders/3")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o027, "not for others, nor for the group to write")
	text, err := os.ReadFile(path + ".1")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "before\n{"))
	require.NotContains(t, string(text), "orders/3")
	require.NotContains(t, gw.errs.String(), `"msg":"audit"`)
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)

	code, _, stderr := ran(nil, "serve", "--listen=127.0.0.1:0", "--admin=off", "--audit="+t.TempDir())
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "audit: ")
	require.Contains(t, stderr, "or log, or off")
}

// TestServeHasASoftMemoryLimit: below the budget, unless the environment has one.
func TestServeHasASoftMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		variables map[string]string
		memory    string
		want      int64
	}{
		{map[string]string{"GOMEMLIMIT": "1GiB"}, "8GiB", before},
		{nil, "off", before},
		{nil, "8GiB", 8 << 30 / 100 * softMemory},
	} {
		gw, _, _ := gatewayFor(t, c.variables, "--limits-memory="+c.memory)
		require.Equal(t, c.want, debug.SetMemoryLimit(-1))
		gw.signals <- syscall.SIGTERM
		gw.wait(t, exitDone)
	}
}

func TestServeTellsTheServiceManager(t *testing.T) {
	needsGateway(t)
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer manager.Close()
	require.NoError(t, manager.SetReadDeadline(time.Now().Add(testPatience)))
	heard := func() string {
		b := make([]byte, 100)
		n, err := manager.Read(b)
		require.NoError(t, err)
		return string(b[:n])
	}
	gw, _, _ := gatewayFor(t, map[string]string{"NOTIFY_SOCKET": path})
	require.Equal(t, "READY=1", heard())
	gw.signals <- syscall.SIGTERM
	require.Equal(t, "STOPPING=1", heard())
	gw.wait(t, exitDone)

	require.NoError(t, tellManager(getenvOf(nil), notifyReady), "nobody asked")
	require.ErrorContains(t, tellManager(getenvOf(map[string]string{"NOTIFY_SOCKET": path + "x"}), notifyReady), "READY=1")
}

func TestServeWithAPortInUse(t *testing.T) {
	needsGateway(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, args := range [][]string{
		{"--listen=" + taken.Addr().String(), "--admin=off"},
		{"--listen=127.0.0.1:0", "--admin=" + taken.Addr().String()},
	} {
		r := started(t, nil, nil, append([]string{"serve"}, args...)...)
		r.wait(t, exitFailed)
		require.Contains(t, r.errs.String(), "something else listens there")
	}
}
