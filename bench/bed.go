package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// gatewayName is the server under test in series; floors have their mode, peers
// their name.
const gatewayName = "gateway"

// serverName is one that runs already, whatever it is.
const serverName = "server"

// candidate is a server that can be started.
type candidate struct {
	name     string
	protocol string
	peer     bool // it may fail, and is then left out
	launch   func(context.Context) (*process, error)
}

// system is one server with its devices.
type system struct {
	candidate
	label string // in series: its name, and a condition if there are several of it
	*process
	gen     generator
	devices int  // subscribers that are connected
	out     bool // it failed and is left out
}

// bed is what a scenario measures on: the servers of one run, and its result.
type bed struct {
	Config
	r          *Result
	bar        *progress
	dir        string // temporary
	candidates []candidate
	systems    []*system
}

// newBed finds the servers of a run; close ends all that was started.
func newBed(ctx context.Context, cfg Config, r *Result, w io.Writer) (*bed, error) {
	dir, err := os.MkdirTemp("", "bellwire-bench-")
	if err != nil {
		return nil, err
	}
	b := &bed{Config: cfg, r: r, dir: dir, bar: newProgress(w, 1)}
	if err := b.find(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) find(ctx context.Context) error {
	cpu, _ := b.cpus()
	if len(b.Server) > 0 {
		b.candidates = append(b.candidates, candidate{gatewayName, "bellwire", false, func(ctx context.Context) (*process, error) {
			return startServer(ctx, b.Server, cpu)
		}})
	}
	if b.Address != "" {
		at, err := net.ResolveTCPAddr("tcp4", b.Address)
		if err != nil {
			return fmt.Errorf("address of the server: %w", err)
		}
		b.candidates = append(b.candidates, candidate{serverName, b.Protocol, false, func(context.Context) (*process, error) {
			ip, _ := netip.AddrFromSlice(at.IP.To4())
			return &process{other: b.PID, device: netip.AddrPortFrom(ip, uint16(at.Port)), errors: &tail{}}, nil
		}})
	}
	for _, name := range b.Peers {
		p, err := peerByName(name)
		if err != nil {
			return err
		}
		path, err := p.find(b.Tools)
		if err != nil {
			b.r.set(name, err)
			b.bar.say("%s is left out: %v", name, err)
			continue
		}
		b.r.set(name, p.says(ctx, path))
		b.candidates = append(b.candidates, candidate{name, p.protocol, true, func(ctx context.Context) (*process, error) {
			return p.start(ctx, path, b.dir, cpu)
		}})
	}
	if len(b.Floors) == 0 {
		return nil
	}
	floor, err := buildFloor(ctx, b.dir, b.CC)
	if err != nil {
		return err
	}
	for _, mode := range b.Floors {
		b.candidates = append(b.candidates, candidate{mode, "bellwire", false, func(context.Context) (*process, error) {
			return startFloor(floor, mode, cpu, b.FloorOptions...)
		}})
	}
	return nil
}

// close ends all servers and generators.
func (b *bed) close() {
	for _, s := range b.systems {
		s.end()
	}
	os.RemoveAll(b.dir)
}

// start starts a server and a generator for it.
func (b *bed) start(ctx context.Context, c candidate, label string) (*system, error) {
	s := &system{candidate: c, label: label}
	p, err := c.launch(ctx)
	if err != nil {
		return s, fmt.Errorf("%s: %w", label, err)
	}
	s.process = p
	b.systems = append(b.systems, s)
	if len(b.Generator) == 0 {
		s.gen = &hand{}
		return s, nil
	}
	_, cpu := b.cpus()
	r, err := startGenerator(b.Generator, cpu)
	if err != nil {
		return s, fmt.Errorf("load generator: %w", err)
	}
	s.gen = r
	return s, nil
}

// end stops the server and its generator; a system may end twice.
func (s *system) end() {
	if s.gen != nil {
		s.gen.close()
		s.gen = nil
	}
	if s.process != nil {
		s.stop()
	}
}

func (s *system) do(ctx context.Context, o order) (outcome, error) {
	a, err := s.gen.do(ctx, o)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: %w", s.label, err)
		if said := s.errors.String(); said != "" {
			err = fmt.Errorf("%w: the server said: %s", err, said)
		}
	}
	return a, err
}

// attempt does something with a system. A peer that fails is left out from then
// on, and the result says why; any other failure is the run's.
func (b *bed) attempt(ctx context.Context, s *system, something func() error) error {
	if s.out {
		return nil
	}
	err := something()
	if err == nil || !s.peer || ctx.Err() != nil {
		return err
	}
	reason := shortened(err.Error(), 300)
	b.bar.say("%s failed and is left out: %s", s.label, reason)
	b.r.set(s.label+" failed", reason)
	for _, o := range b.systems {
		if o.name == s.name { // its other conditions compare with nothing any more
			o.out = true
			b.r.drop(o.label)
			o.end()
		}
	}
	s.out = true
	b.candidates = slices.DeleteFunc(b.candidates, func(c candidate) bool { return c.name == s.name })
	return nil
}

// shortened is a text on one line of at most n bytes or so.
func shortened(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + " …"
	}
	return s
}

// startAll starts every candidate once, with its devices; of is what they are.
func (b *bed) startAll(ctx context.Context, condition string, of load) error {
	for _, c := range slices.Clone(b.candidates) {
		label := c.name
		if condition != "" {
			label += ", " + condition
		}
		s := &system{candidate: c, label: label}
		err := b.attempt(ctx, s, func() (err error) {
			if s, err = b.start(ctx, c, label); err != nil {
				return err
			}
			return b.connect(ctx, s, of)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bed) connect(ctx context.Context, s *system, of load) error {
	of.Remote, of.Protocol = s.device, s.protocol
	b.bar.say("%s: %d devices connect", s.label, of.Devices)
	_, err := s.do(ctx, order{Connect: &of})
	s.devices = of.Devices
	return err
}

// load is what the configuration says of the devices.
func (b *bed) load() load {
	return load{Topics: b.topicNames(), Devices: b.Subscribers, Payload: b.Payload, AtOnce: b.AtOnce, Spin: b.Pin}
}

// present are the systems that have not failed.
func (b *bed) present() []*system {
	return slices.DeleteFunc(slices.Clone(b.systems), func(s *system) bool { return s.out })
}

// each takes one sample of every candidate, pair by pair, each with a server of
// its own, there and back again, so that none always follows the same one.
func (b *bed) each(ctx context.Context, sample func(context.Context, *system) (said string, err error)) error {
	b.bar.expect(b.Pairs * len(b.candidates))
	for pair := range b.Pairs {
		order := slices.Clone(b.candidates)
		if pair%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			if !slices.ContainsFunc(b.candidates, func(o candidate) bool { return o.name == c.name }) {
				continue
			}
			s, said := &system{candidate: c, label: c.name}, "left out"
			err := b.attempt(ctx, s, func() (err error) {
				if s, err = b.start(ctx, c, c.name); err != nil {
					return err
				}
				said, err = sample(ctx, s)
				return err
			})
			s.end()
			b.systems = slices.DeleteFunc(b.systems, func(o *system) bool { return o == s })
			if err != nil {
				return err
			}
			b.bar.step("%s: %s", c.name, said)
		}
	}
	return nil
}

// quiet checks that nothing more comes from any server.
func (b *bed) quiet(ctx context.Context) error {
	for _, s := range b.present() {
		if err := b.attempt(ctx, s, func() error {
			_, err := s.do(ctx, order{Quiet: true})
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// add adds a sample of a system's quantity.
func (b *bed) add(s *system, quantity, unit string, v float64) {
	b.r.add(s.label+", "+quantity, unit, v)
}

// titleOf is how figures call a system.
func titleOf(name string) string {
	if name == "single" || name == "joined" {
		return "C " + name
	}
	return name
}

// compare makes the figures of a quantity, if anyone has samples of it: the
// ratios to the floors and peers, then each system alone. target says which one a
// figure answers, over what (nothing: alone); it may be nil.
func (b *bed) compare(quantity string, target func(name, over string) string) error {
	var err error
	have := b.having(quantity)
	for i, name := range have {
		for _, over := range have[i+1:] {
			// The gateway beside all, a peer beside the floors; the floors beside each
			// other tell the noise where they do the same.
			if name != gatewayName && name != serverName && !slices.Contains(b.Floors, over) {
				continue
			}
			if slices.Contains(b.Floors, name) {
				name, over = over, name
			}
			id := ""
			if target != nil {
				id = target(name, over)
			}
			err = errors.Join(err, b.r.ratio(fmt.Sprintf("%s / %s, %s", titleOf(name), titleOf(over), quantity), id,
				name+", "+quantity, over+", "+quantity))
		}
	}
	return errors.Join(err, b.state(quantity, target))
}

// state makes the figures of a quantity without ratios.
func (b *bed) state(quantity string, target func(name, over string) string) error {
	var err error
	for _, name := range b.having(quantity) {
		id := ""
		if target != nil {
			id = target(name, "")
		}
		err = errors.Join(err, b.r.figure(name+", "+quantity, id, name+", "+quantity))
	}
	return err
}

// having are the systems that have samples of a quantity.
func (b *bed) having(quantity string) []string {
	var have []string
	for _, c := range b.candidates {
		if _, err := b.r.series(c.name + ", " + quantity); err == nil {
			have = append(have, c.name)
		}
	}
	return have
}

// describe tells the conditions that all scenarios share.
func (b *bed) describe() {
	server, load := "any", "any"
	if b.Pin {
		server, load = "0", "1"
	}
	b.r.set("CPU of each server", server)
	b.r.set("CPU of the load", load)
	if len(b.Floors) > 0 {
		b.r.set("floor's socket options", strings.Join(b.FloorOptions, " "))
	}
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
func milli(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
