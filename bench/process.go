package bench

import (
	"bufio"
	"context"
	_ "embed" // the floor's source
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Placeholders in a server's command line; each becomes a free address of
// 127.0.0.1.
const (
	ListenPlaceholder = "{listen}" // the device port
	AdminPlaceholder  = "{admin}"  // /readyz and /metrics
)

const (
	startTime = 15 * time.Second       // for a server to be ready
	stopTime  = 500 * time.Millisecond // for a server to end before it is asked again, then killed
)

//go:embed floor/floor.c
var floorSource []byte

// process is a server under test, or a load generator.
type process struct {
	cmd    *exec.Cmd // nil: it runs already and is not ours to end
	other  int       // the process id if cmd is nil; 0: not known
	device netip.AddrPort
	secure netip.AddrPort // where devices speak TLS; zero: nowhere
	admin  string         // base URL; empty: it has none
	fleet  netip.AddrPort // where other gateways link to it; zero: nowhere
	errors *tail          // the last that it wrote to stderr
	ended  chan struct{}  // closed when the process is gone
}

// pid is the process id, 0 if it is not known.
func (p *process) pid() int {
	if p.cmd == nil {
		return p.other
	}
	return p.cmd.Process.Pid
}

// startServer starts a gateway on one CPU (any, if negative) and waits until it
// says that it is ready.
func startServer(ctx context.Context, command []string, cpu int) (*process, error) {
	line := strings.Join(command, " ")
	if !strings.Contains(line, ListenPlaceholder) || !strings.Contains(line, AdminPlaceholder) {
		return nil, fmt.Errorf("the server's command line %q must hold %s and %s, for the addresses it shall use", line, ListenPlaceholder, AdminPlaceholder)
	}
	device, admin, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	args := filled(command, ListenPlaceholder, device.String(), AdminPlaceholder, admin.String())
	return launch(ctx, &process{cmd: exec.Command(args[0], args[1:]...), device: device, admin: "http://" + admin.String()}, cpu)
}

// filled is a command line with a value in place of each placeholder, by which it comes.
func filled(command []string, placeholders ...string) []string {
	replace := strings.NewReplacer(placeholders...)
	args := make([]string, len(command))
	for i, a := range command {
		args[i] = replace.Replace(a)
	}
	return args
}

// launch starts a server and waits until it is ready.
func launch(ctx context.Context, p *process, cpu int) (*process, error) {
	if err := p.start(cpu); err != nil {
		return nil, err
	}
	if err := p.ready(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// commandLine is a command as results tell it: where the program lies on this
// machine is nobody's business.
func commandLine(command []string) string {
	if len(command) == 0 {
		return ""
	}
	return strings.Join(append([]string{filepath.Base(command[0])}, command[1:]...), " ")
}

// freeAddresses are two that nobody listens on now.
func freeAddresses() (a, b netip.AddrPort, err error) {
	free, err := freePorts(2)
	if err != nil {
		return a, b, err
	}
	return free[0], free[1], nil
}

// freePorts are addresses of 127.0.0.1 that nobody listens on now.
func freePorts(n int) ([]netip.AddrPort, error) {
	free := make([]netip.AddrPort, n)
	for i := range free {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		free[i] = l.Addr().(*net.TCPAddr).AddrPort()
	}
	return free, nil
}

func (p *process) start(cpu int) error {
	p.errors = &tail{}
	p.cmd.Stderr = p.errors
	if err := startOn(cpu, p.cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.cmd.Args[0], err)
	}
	p.ended = make(chan struct{})
	go func() {
		p.cmd.Wait() //nolint:errcheck // how it ended does not matter; what it said is in p.errors
		close(p.ended)
	}()
	return nil
}

func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if p.answers(ctx) {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it was ready: %s", p.cmd.Args[0], p.errors)
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready: %w: %s", p.cmd.Args[0], ctx.Err(), p.errors)
		case <-again.C:
		}
	}
}

// answers reports whether the server says that it is ready or, if it has no way
// to say so, takes connections.
func (p *process) answers(ctx context.Context) bool {
	if p.admin != "" {
		body, err := get(ctx, p.admin+"/readyz")
		if err == nil {
			body.Close()
		}
		return err == nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp4", p.device.String())
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// kill ends the process without a word.
func (p *process) kill() {
	if p.cmd != nil {
		p.cmd.Process.Kill() //nolint:errcheck // it may be gone already
		<-p.ended
	}
}

// restart starts the same command anew, on the same addresses, and does not wait
// until it is ready.
func (p *process) restart(cpu int) error {
	args := p.cmd.Args
	p.cmd = exec.Command(p.cmd.Path, args[1:]...)
	p.cmd.Args[0] = args[0]
	return p.start(cpu)
}

// stop ends the process, with patience for one that drains.
func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGTERM, os.Kill} {
		p.cmd.Process.Signal(s) //nolint:errcheck // it may be gone already
		select {
		case <-p.ended:
			return
		case <-time.After(stopTime):
		}
	}
	<-p.ended
}

// buildFloor compiles the floor into dir.
func buildFloor(ctx context.Context, dir, cc string) (binary string, err error) {
	source, binary := filepath.Join(dir, "floor.c"), filepath.Join(dir, "floor")
	if err := os.WriteFile(source, floorSource, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, cc, "-O2", "-o", binary, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the floor with %s: %w: %s", cc, err, out)
	}
	return binary, nil
}

// startFloor starts the floor; mode is single or joined. Restarted, it listens
// where it did before.
func startFloor(binary, mode string, cpu int, options ...string) (*process, error) {
	p := &process{cmd: exec.Command(binary, append([]string{mode}, options...)...)}
	defer func() {
		if p.device.IsValid() {
			p.cmd.Args = append(p.cmd.Args, fmt.Sprintf("port=%d", p.device.Port()))
		}
	}()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p.cmd.Stdout = w
	err = p.start(cpu)
	w.Close()
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err == nil {
		p.device, err = netip.ParseAddrPort(strings.TrimSpace(strings.TrimPrefix(line, "listening ")))
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the floor did not say where it listens: %w: %s", err, p.errors)
	}
	return p, nil
}

// get asks an admin address; the caller closes the body.
func get(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return answer.Body, nil
}

// tail keeps the last of what is written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	last []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if extra := len(t.last) - tailSize; extra > 0 {
		t.last = t.last[:copy(t.last, t.last[extra:])]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}
