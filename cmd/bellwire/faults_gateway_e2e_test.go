//go:build e2e && linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/peer/history"
)

// member is a gateway of a fleet under test: a process that is started again and again.
type member struct {
	t     *testing.T
	rec   *recorder
	name  string
	space *namespace // nil: that of this process
	// Addresses; those for devices and admins are on loopback, of its namespace.
	listen, admin, peer string
	args                []string // what else serve gets

	http    *http.Client
	log     string
	starts  int
	process *exec.Cmd
	ended   chan struct{}
	origin  atomic.Pointer[string]
	usable  atomic.Bool // publishers may use it
}

// newMember makes a gateway that does not run yet.
func newMember(t *testing.T, rec *recorder, name string, space *namespace) *member {
	m := &member{t: t, rec: rec, name: name, space: space, log: filepath.Join(t.TempDir(), name+".log")}
	if space == nil {
		free, err := freeAddresses(3)
		require.NoError(t, err)
		m.listen, m.admin, m.peer = free[0], free[1], free[2]
	} else {
		m.listen, m.admin, m.peer = "127.0.0.1:7311", "127.0.0.1:7312", space.address+":7313"
	}
	m.http = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: m.dial}}
	t.Cleanup(m.destroy)
	return m
}

// dial connects to an address as its devices do.
func (m *member) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	if m.space != nil {
		return m.space.dial(ctx, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// dialerOf connects as the devices of a gateway do.
func dialerOf(m *member) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) { return m.dial(ctx, "tcp", addr) }
}

// command is how a gateway is started: the one place that knows the flags.
func (m *member) command() *exec.Cmd {
	args := []string{
		"serve", "--name", m.name, "--listen", m.listen, "--admin", m.admin, "--log-format", "json", "--drain-spread", "1ms", "--drain-within", "100ms",
	}
	if m.peer != "" {
		args = append(args, "--peer-listen", m.peer)
	}
	args = append(append([]string{faultBinary(m.t)}, args...), m.args...)
	if m.space != nil {
		args = append([]string{"ip", "netns", "exec", m.space.name}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// start has the gateway run, and waits until it serves.
func (m *member) start() {
	m.t.Helper()
	m.starts++
	origin := fmt.Sprintf("%s.%d", m.name, m.starts)
	m.origin.Store(&origin)
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(m.t, err)
	defer log.Close()
	m.process, m.ended = m.command(), make(chan struct{})
	m.process.Stdout, m.process.Stderr = log, log
	m.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	m.rec.add(history.Event{Kind: history.Born, Gateway: m.name, Origin: m.runs()})
	require.NoError(m.t, m.process.Start())
	go func(p *exec.Cmd, ended chan struct{}) {
		_ = p.Wait() // how it ended is in ProcessState
		close(ended)
	}(m.process, m.ended)
	m.await("it serves", func() bool { return m.answers("/readyz") })
	m.usable.Store(true)
}

// runs is the name of the run that is under way, or was the last.
func (m *member) runs() string { return *m.origin.Load() }

// await waits for something of the gateway, and shows its log if that does not come.
func (m *member) await(what string, is func() bool) {
	m.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(polling) {
		if is() {
			return
		}
		select {
		case <-m.ended:
			m.t.Fatalf("%s has ended (%s) while waiting until %s:\n%s", m.name, m.process.ProcessState, what, m.lastLog())
		default:
		}
	}
	m.t.Fatalf("%s: after %s it is not so that %s:\n%s", m.name, patience, what, m.lastLog())
}

func (m *member) lastLog() string {
	b, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}

func (m *member) answers(path string) bool {
	response, err := m.http.Get("http://" + m.admin + path)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// kill is kill -9. It returns when the process is gone, and has proven that it was this that ended it.
func (m *member) kill() {
	m.t.Helper()
	m.usable.Store(false)
	m.rec.add(history.Event{Kind: history.Died, Origin: m.runs()})
	require.NoError(m.t, syscall.Kill(-m.process.Process.Pid, syscall.SIGKILL))
	<-m.ended
	if state, ok := m.process.ProcessState.Sys().(syscall.WaitStatus); ok && state.Signaled() && state.Signal() == syscall.SIGKILL {
		m.rec.add(history.Event{Kind: history.Fault, Name: "kill", Count: 1})
	}
}

// pause stops the process for a while, and proves that it stood still.
func (m *member) pause(d time.Duration) {
	m.t.Helper()
	m.usable.Store(false)
	m.rec.add(history.Event{Kind: history.Paused, Gateway: m.name})
	require.NoError(m.t, syscall.Kill(-m.process.Process.Pid, syscall.SIGSTOP))
	until := time.Now().Add(d)
	m.await("it stands still", m.stopped)
	silent := !m.answers("/readyz") // which takes its time
	time.Sleep(time.Until(until))
	if silent && m.stopped() {
		m.rec.add(history.Event{Kind: history.Fault, Name: "pause", Count: 1})
	}
	require.NoError(m.t, syscall.Kill(-m.process.Process.Pid, syscall.SIGCONT))
	m.rec.add(history.Event{Kind: history.Continued, Gateway: m.name})
	m.usable.Store(true)
}

// stopped says whether the kernel has the process stopped.
func (m *member) stopped() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.process.Process.Pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "T")
}

// destroy ends the process, if it runs, and whatever it has started.
func (m *member) destroy() {
	if m.process == nil {
		return
	}
	_ = syscall.Kill(-m.process.Process.Pid, syscall.SIGKILL) // it may have ended
	<-m.ended
	if m.t.Failed() {
		m.t.Logf("the end of the log of %s:\n%s", m.name, m.lastLog())
	}
}

// fleet is what a gateway says of its fleet. Nothing is judged by it but how soon links notice, and that they are there
// before a trial begins.
func (m *member) fleet() (gateway.FleetStatus, error) {
	response, err := m.http.Get("http://" + m.admin + "/v1/fleet")
	if err != nil {
		return gateway.FleetStatus{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return gateway.FleetStatus{}, err
	}
	return readFleet(b)
}

// linked says whether there is a link to another gateway, as this one sees it.
func (m *member) linked(other string) bool {
	v, err := m.fleet()
	return err == nil && linkedIn(v, other)
}

func linkedIn(v gateway.FleetStatus, other string) bool {
	return slices.ContainsFunc(v.Links, func(l gateway.FleetLink) bool { return l.Name == other && l.State == "linked" })
}

// awaitLinks waits until each of them is linked to each other.
func awaitLinks(members []*member) {
	for _, m := range members {
		for _, other := range members {
			if m != other {
				m.await("it is linked to "+other.name, func() bool { return m.linked(other.name) })
			}
		}
	}
}
