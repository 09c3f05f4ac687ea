//go:build e2e && linux

package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// pythonDevice is where the device lives that was written from the protocol's text and vectors alone.
const pythonDevice = "../../wire/testdata/python"

// news is the topic of these tests.
const news = "broadcast/news"

// process is a program under test whose lines are read as they come.
type process struct {
	t       *testing.T
	command *exec.Cmd
	lines   chan string // closed at the end of the output
}

// launch starts a program. Its standard error is read if logs is set, else its standard output.
func launch(t *testing.T, logs bool, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, command: exec.Command(program, args...), lines: make(chan string, 4096)}
	p.command.Dir = pythonDevice
	// No bytecode beside the sources.
	p.command.Env = []string{"PATH=" + os.Getenv("PATH"), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1"}
	pipe := p.command.StdoutPipe
	if logs {
		pipe = p.command.StderrPipe
	} else {
		p.command.Stderr = os.Stderr
	}
	out, err := pipe()
	require.NoError(t, err)
	require.NoError(t, p.command.Start())
	t.Cleanup(func() { _ = p.command.Process.Kill() })
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// line is the next line; false at the end of the output.
func (p *process) line() (string, bool) {
	p.t.Helper()
	select {
	case l, ok := <-p.lines:
		return l, ok
	case <-time.After(patience):
		require.Fail(p.t, "no line in time", "%s", p.command)
		return "", false
	}
}

// ends reads what is left and is the exit code.
func (p *process) ends() int {
	p.t.Helper()
	for ok := true; ok; {
		_, ok = p.line()
	}
	_ = p.command.Wait() // how it ended is in ProcessState
	return p.command.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.command.Process.Signal(s))
}

// happening is one event that the Python device prints.
type happening struct {
	Event, Topic, Payload, Life, Code, Address string
	Position, Count, Reason, Next              uint64
	Hops                                       int
}

// until is the first event of a kind that comes from now on. No event may be a jump in what the device counts.
func (p *process) until(kind string) happening {
	p.t.Helper()
	for {
		l, ok := p.line()
		require.True(p.t, ok, "%s ended before %s", p.command, kind)
		var h happening
		require.NoError(p.t, json.Unmarshal([]byte(l), &h), l)
		require.NotEqual(p.t, "jump", h.Event, l)
		if h.Event == kind {
			return h
		}
	}
}

// pythonRun starts gateways and Python devices.
type pythonRun struct {
	t              *testing.T
	binary, python string
}

func newPythonRun(t *testing.T) pythonRun {
	t.Helper()
	binary := os.Getenv("BELLWIRE_BINARY")
	require.NotEmpty(t, binary, "make e2e says which binary")
	python, err := exec.LookPath("python3")
	require.NoError(t, err, "these tests run the device in wire/testdata/python: install python3 (3.11 or later)")
	return pythonRun{t, binary, python}
}

// gateway starts one and waits until it serves.
func (f pythonRun) gateway(args ...string) (p *process, address string) {
	f.t.Helper()
	p = launch(f.t, true, f.binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "off", "--central", "off", "--log-format", "json"}, args...)...)
	for said := ""; ; {
		l, ok := p.line()
		require.True(f.t, ok, "the gateway ended before it served, and said: %s", said)
		said = l
		if found := served.FindStringSubmatch(l); found != nil {
			return p, found[1]
		}
	}
}

// device starts bellwire_device.py for some servers.
func (f pythonRun) device(servers []string, args ...string) *process {
	f.t.Helper()
	all := []string{"bellwire_device.py"}
	for _, s := range servers {
		all = append(all, "--server", s)
	}
	return launch(f.t, false, f.python, append(all, args...)...)
}

// publish has a Python device publish count messages of news, payload-1 and so on, and awaits their ACKs.
func (f pythonRun) publish(server, payload string, count int) {
	f.t.Helper()
	p := f.device([]string{server}, "pub", news, payload+"-{n}", "--ack", "--count", strconv.Itoa(count))
	require.Equal(f.t, 0, p.ends())
}

// The codec and the counting of the Python device agree with the vectors, and the gateway refuses what they say.
func TestPythonVectors(t *testing.T) {
	f := newPythonRun(t)
	_, address := f.gateway()
	run := exec.Command(f.python, "-m", "unittest", "-v")
	run.Dir = pythonDevice
	run.Env = []string{"PATH=" + os.Getenv("PATH"), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1", "BELLWIRE_GATEWAY=" + address}
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "test_refusals (test_vectors.Gateway.test_refusals) ... ok")
	require.NotContains(t, string(out), "skipped")
}

// BC-7: a device that reads too slowly is told how many messages it missed, and every position is a message or lies in a gap.
func TestPythonDeviceSeesAGap(t *testing.T) {
	const published = 400
	f := newPythonRun(t)
	_, address := f.gateway("--limits-frame", "4KiB", "--limits-pending-bytes", "4KiB", "--limits-send-buffer", "4KiB")
	sub := f.device([]string{address}, "--recv", "12", "sub", news, "--slow-ms", "10")
	first := sub.until("stream")
	f.publish(address, strings.Repeat("x", 1024), published)
	taken, missed := uint64(0), uint64(0)
	for taken+missed < published {
		l, ok := sub.line()
		require.True(t, ok)
		var h happening
		require.NoError(t, json.Unmarshal([]byte(l), &h), l)
		switch h.Event {
		case "message":
			require.Equal(t, first.Next+taken+missed, h.Position)
			require.True(t, strings.HasSuffix(h.Payload, "-"+strconv.FormatUint(h.Position, 10)), l)
			taken++
		case "gap":
			require.Equal(t, uint64(1), h.Reason, "slow")
			require.Positive(t, h.Count)
			missed += h.Count
		default:
			require.Fail(t, "neither a message nor a gap", l)
		}
	}
	require.Positive(t, missed)
	require.Positive(t, taken)
	require.Equal(t, uint64(published), taken+missed)
	sub.signal(syscall.SIGINT)
	require.Equal(t, 0, sub.ends())
}

// A device that was away goes on after the positions in its cursor file.
func TestPythonDeviceResumes(t *testing.T) {
	f := newPythonRun(t)
	_, address := f.gateway()
	cursor := filepath.Join(t.TempDir(), "cursor")
	sub := f.device([]string{address}, "sub", news, "--cursor-file", cursor, "--count", "2")
	sub.until("stream")
	f.publish(address, "before", 2)
	require.Equal(t, 0, sub.ends())

	f.publish(address, "away", 3)
	sub = f.device([]string{address}, "sub", news, "--cursor-file", cursor, "--count", "4")
	for i := range uint64(3) {
		m := sub.until("message")
		require.Equal(t, happening{
			Event: "message", Topic: news, Life: m.Life, Position: 3 + i, Payload: "away-" + strconv.FormatUint(i+1, 10),
		}, m)
	}
	sub.until("live")
	f.publish(address, "back", 1)
	require.Equal(t, "back-1", sub.until("message").Payload)
	require.Equal(t, 0, sub.ends())
}

// A gateway that drains sends its devices on, and they go to the next one of their list: the loop of [W-11.1], as somebody
// wrote it who had only the text.
func TestPythonDeviceObeysGoaway(t *testing.T) {
	f := newPythonRun(t)
	leaving, from := f.gateway("--drain-spread", "500ms", "--drain-within", "5s")
	_, to := f.gateway()
	sub := f.device([]string{from, to}, "sub", "broadcast/#", "--count", "1")
	sub.until("subscribed")
	leaving.signal(syscall.SIGTERM)
	sub.until("goaway")
	require.Equal(t, "61", sub.until("close").Code)
	next := sub.until("reconnect")
	require.Equal(t, to, next.Address)
	require.Equal(t, 1, next.Hops)
	require.Equal(t, 0, leaving.ends())
	sub.until("subscribed")
	f.publish(to, "here", 1)
	require.Equal(t, "here-1", sub.until("message").Payload)
	require.Equal(t, 0, sub.ends())
}

// A device that was written from the text alone finds its way through TLS as well [W-1.1]: it checks the gateway,
// shows its certificate or its token, and does not go on with a gateway that it does not believe.
func TestPythonDeviceSpeaksTLS(t *testing.T) {
	f, p := newPythonRun(t), newPKI(t)
	config := &tls.Config{Certificates: []tls.Certificate{p.gateway}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"bellwire/1"}, MinVersion: tls.VersionTLS13}
	g := newOneMessage(t, config, nil)
	pub := func(args ...string) int {
		return f.device([]string{g.address}, append(args, "pub", news, "x", "--ack")...).ends()
	}
	require.Equal(t, 0, pub("--ca", p.file("ca.pem"), "--cert", p.file("both.pem")))
	seen := <-g.saw
	require.Equal(t, uint16(tls.VersionTLS13), seen.tls.Version)
	require.Equal(t, "bellwire/1", seen.tls.NegotiatedProtocol)
	require.Equal(t, "bellwire://acme/kitchen", seen.tls.PeerCertificates[0].URIs[0].String())
	require.Equal(t, wire.AuthCertificate, seen.hello.Method)

	require.Equal(t, 0, pub("--ca", p.file("ca.pem"), "--token", "e30.c2ln"))
	seen = <-g.saw
	require.Equal(t, "e30.c2ln", string(seen.hello.Auth))
	require.Empty(t, seen.tls.PeerCertificates)

	stranger := f.device([]string{g.address}, "--ca", p.file("other.pem"), "pub", news, "x", "--ack")
	stranger.until("reconnect")
	stranger.signal(syscall.SIGTERM)
	stranger.ends()
	require.Empty(t, g.saw, "no HELLO")
}
