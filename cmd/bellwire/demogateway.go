package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bellwire/bellwire/gateway"
)

// demoGateway is one gateway of the demo's fleet: a process of this same program.
type demoGateway struct {
	program     string
	name        string
	listen      string // for devices
	admin       string
	peer        string // for the other gateways
	central     string // of the fleet's central service
	holds       bool   // offers it
	connections int
	others      []*demoGateway

	process *demoProcess // the last one; nil: never started
}

// newDemoGateways are the gateways of a fleet; the first one holds the central service. Their addresses are free ones of
// the loopback interface.
func newDemoGateways(program string, n, connections int) ([]*demoGateway, error) {
	addresses, err := freeAddresses(3*n + 1)
	if err != nil {
		return nil, err
	}
	all := make([]*demoGateway, n)
	for i := range all {
		all[i] = &demoGateway{
			program: program, name: "gw-" + strconv.Itoa(i+1), listen: addresses[3*i], admin: addresses[3*i+1], peer: addresses[3*i+2],
			central: addresses[3*n], holds: i == 0, connections: connections,
		}
	}
	for i, g := range all {
		for k, other := range all {
			if k != i {
				g.others = append(g.others, other)
			}
		}
	}
	return all, nil
}

// The ports that are tried. Systems take those of outgoing connections from higher ones, so a gateway that starts again
// finds its own still free, however many devices have connected meanwhile.
const (
	demoPorts     = 20_000
	demoPortsEnd  = 32_000
	demoPortTries = 1_000
)

func freeAddresses(n int) ([]string, error) {
	found := map[string]bool{}
	for range demoPortTries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(demoPorts+rand.IntN(demoPortsEnd-demoPorts)))
		listener, err := net.Listen("tcp", address)
		if err != nil || found[address] {
			continue
		}
		_ = listener.Close() // nobody has connected
		if found[address] = true; len(found) == n {
			break
		}
	}
	if len(found) < n {
		return nil, fmt.Errorf("no %d free ports were found on 127.0.0.1 from %d to %d", n, demoPorts, demoPortsEnd)
	}
	return slices.Collect(maps.Keys(found)), nil
}

// args are those of its process.
func (g *demoGateway) args() []string {
	args := []string{
		"serve", "--name=" + g.name, "--listen=" + g.listen, "--admin=" + g.admin, "--cluster=demo", "--peer-listen=" + g.peer,
		"--log-level=warn", "--log-format=text", "--limits-connections=" + strconv.Itoa(g.connections),
	}
	for _, other := range g.others {
		args = append(args, "--peer="+other.peer)
	}
	if g.holds {
		return append(args, "--central=embedded", "--central-listen="+g.central)
	}
	return append(args, "--central=nats://"+g.central)
}

// start starts its process and waits until it serves.
func (g *demoGateway) start(ctx context.Context) error {
	p, err := startDemoProcess(g.program, g.args())
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	g.process = p
	return g.until(ctx, g.ready)
}

// demoStarting is how long a gateway may take for what it should do at once.
const demoStarting = 20 * time.Second

// until waits for something that the gateway should do soon.
func (g *demoGateway) until(ctx context.Context, done func(context.Context) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoStarting, errSlowGateway)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !done(ctx) {
		select {
		case <-look.C:
		case <-g.process.ended:
			return fmt.Errorf("%s has ended: %s", g.name, g.process.said.text())
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, errSlowGateway) {
				return err
			}
			return fmt.Errorf("%s: %w: %s", g.name, errSlowGateway, g.process.said.text())
		}
	}
	return nil
}

var errSlowGateway = fmt.Errorf("it is not where it should be after %s", demoStarting)

func (g *demoGateway) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// view is how it sees the fleet.
func (g *demoGateway) view(ctx context.Context) (gateway.FleetStatus, error) {
	answer, err := (&adminFlags{Admin: g.admin}).get(ctx, "/v1/fleet", nil)
	if err != nil {
		return gateway.FleetStatus{}, err
	}
	return readFleet(answer)
}

// linked waits until it is linked to so many others.
func (g *demoGateway) linked(ctx context.Context, others int) error {
	var last error
	err := g.until(ctx, func(ctx context.Context) bool {
		view, err := g.view(ctx)
		if ctx.Err() == nil {
			last = err
		}
		return err == nil && linkedTo(view) >= others
	})
	switch {
	case err != nil && last != nil:
		return fmt.Errorf("%w (its view of the fleet: %w)", err, last)
	case err != nil:
		return fmt.Errorf("%w (it is not linked to %d others)", err, others)
	}
	return nil
}

// kill ends its process as kill -9 does, and waits until it is gone.
func (g *demoGateway) kill() {
	if g.process != nil {
		g.process.kill()
	}
}

// running says whether it has a process.
func (g *demoGateway) running() bool {
	if g.process == nil {
		return false
	}
	select {
	case <-g.process.ended:
		return false
	default:
		return true
	}
}

// demoProcess is a process of this program; it cannot outlive the demo where the system helps.
type demoProcess struct {
	command *exec.Cmd
	said    *lastWords
	ended   chan struct{} // closed when it is gone
}

func startDemoProcess(program string, args []string) (*demoProcess, error) {
	p := &demoProcess{command: exec.Command(program, args...), said: new(lastWords), ended: make(chan struct{})}
	p.command.Env = []string{} // the demo's own variables are not meant for it
	p.command.Stderr = p.said
	bindToParent(p.command)
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // what it said is in said
	}()
	return p, nil
}

func (p *demoProcess) kill() {
	_ = p.command.Process.Kill() // it may have ended
	<-p.ended
}

// lastWords keeps the end of what a process says.
type lastWords struct {
	mu   sync.Mutex
	kept []byte
}

const mostWords = 4 << 10

func (w *lastWords) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, b...)
	w.kept = w.kept[max(0, len(w.kept)-mostWords):]
	return len(b), nil
}

func (w *lastWords) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := strings.TrimSpace(string(w.kept)); text != "" {
		return text
	}
	return "it said nothing"
}
