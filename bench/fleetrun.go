package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Placeholders in the arguments by which a gateway is one of a fleet.
const (
	NamePlaceholder  = "{name}"  // its name, which no other has
	PeerPlaceholder  = "{peer}"  // where the other gateways link to it; a free address of 127.0.0.1
	OtherPlaceholder = "{other}" // that address of the gateway that it links to
)

// FleetConfig says what Fleet measures. Zero values mean the defaults. Of Config
// it takes Server, Generator, Command, Pin and Topic, Subscribers of the gateway
// that the messages enter, Windows, Pairs and Slice for what a message costs,
// Rate for the latency of a hop, and Topics to subscribe to.
type FleetConfig struct {
	Config
	// Join are the arguments by which Server takes links, with NamePlaceholder and
	// PeerPlaceholder.
	Join []string
	// Link are further ones, of a gateway that links to another, with
	// OtherPlaceholder.
	Link []string
	// Many are further ones that let each device subscribe to PerDevice topics.
	Many []string
	// PerDevice is how many topics one device subscribes to. Default 1,000.
	PerDevice int
	// Links are the numbers of other gateways to compare with none. Default 1, 3, 10.
	Links []int
	// Runs are those of the latency of a hop. Default 5.
	Runs int
	// Run is how long each is. Default 10 s.
	Run time.Duration
	// Parts are what is measured: cost, hop, topics. Default: all.
	Parts []string
}

// The parts of a fleet run.
const (
	fleetCost   = "cost"   // what a message costs the gateway that it enters, for each other gateway
	fleetHop    = "hop"    // how much later it is at another gateway
	fleetTopics = "topics" // what the others notice of subscriptions
)

// fleetParts are what Fleet can measure.
func fleetParts() []string { return []string{fleetCost, fleetHop, fleetTopics} }

func (c FleetConfig) withDefaults() (FleetConfig, error) {
	c.Floors = []string{NoFloor}
	c.Config = c.Config.over(Config{
		Subscribers: 1, Topics: 100_000, Payload: 64, Windows: []int{32}, Pairs: 24, Slice: 250 * time.Millisecond, Rate: 1000,
	})
	c.PerDevice, c.Runs, c.Run = cmp.Or(c.PerDevice, 1000), cmp.Or(c.Runs, 5), cmp.Or(c.Run, 10*time.Second)
	if len(c.Links) == 0 {
		c.Links = []int{1, 3, 10}
	}
	if len(c.Parts) == 0 {
		c.Parts = fleetParts()
	}
	c.Links = slices.Compact(slices.Sorted(slices.Values(c.Links)))
	line := strings.Join(slices.Concat(c.Server, c.Join, c.Link), " ")
	for _, p := range []string{ListenPlaceholder, AdminPlaceholder, NamePlaceholder, PeerPlaceholder, OtherPlaceholder} {
		if !strings.Contains(line, p) {
			return c, fmt.Errorf("the gateways' command line %q must hold %s", line, p)
		}
	}
	switch {
	case len(c.Windows) != 1:
		return c, errors.New("a fleet is measured with one number of messages in flight")
	case c.Links[0] < 1:
		return c, fmt.Errorf("%d other gateways: take at least one", c.Links[0])
	case c.PerDevice < 1 || c.Runs < 1 || c.Run <= 0:
		return c, errors.New("topics of a device, runs and their time: take some of each")
	}
	for _, part := range c.Parts {
		if !slices.Contains(fleetParts(), part) {
			return c, fmt.Errorf("a fleet run has no part %q: take some of %v", part, fleetParts())
		}
	}
	return c, c.check()
}

// Quick is a configuration with the smallest sizes: to know that it works, not for
// figures.
func (c FleetConfig) Quick() FleetConfig {
	c.Links, c.Pairs, c.Slice = []int{1, 2}, 1, 40*time.Millisecond
	c.Runs, c.Run, c.Rate = 1, 200*time.Millisecond, 500
	c.Topics, c.PerDevice = 500, 50
	return c
}

// Fleet measures gateways that broadcast together: what a message costs the one
// that it enters, how much later it is at another one, and that subscriptions stay
// where they are. All gateways are processes of their own, linked to that one
// alone. It reports its progress to w; the figures are in the result.
func Fleet(ctx context.Context, cfg FleetConfig, w io.Writer) (Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Result{}, err
	}
	r := NewResult("fleet", cfg.Command, commandLine(slices.Concat(cfg.Server, cfg.Join)))
	plain := cfg.Config
	plain.Server = nil // each part starts its own
	b := &fleetBed{conf: cfg}
	if b.bed, err = newBed(ctx, plain, r, w); err != nil {
		return *r, err
	}
	defer b.close()
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{fleetCost, b.originCost}, {fleetHop, b.hop}, {fleetTopics, b.subscribing}} {
		if !slices.Contains(cfg.Parts, part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return *r, err
		}
	}
	b.describeFleet()
	return *r, nil
}

func (b *fleetBed) describeFleet() {
	origin, rest := "any", "any"
	if b.Pin {
		origin, rest = "0", "1"
	}
	b.r.set("CPU of the gateway that is measured", origin)
	b.r.set("CPU of the other gateways and the load", rest)
}

// fleetBed is a bed of gateways that are linked.
type fleetBed struct {
	*bed
	conf   FleetConfig
	others []*process // linked to one of the bed's systems
}

func (b *fleetBed) close() {
	b.clear()
	b.bed.close()
}

// clear ends all gateways, without the time that they take to say good-bye.
func (b *fleetBed) clear() {
	for _, p := range b.others {
		p.kill()
	}
	for _, s := range b.systems {
		s.kill()
		s.end()
	}
	b.systems, b.others = nil, nil
}

// gathered is a gateway with others that are linked to it alone.
type gathered struct {
	*system
	others []*process
	peers  int // others; of a floor subscribers that stand for them
}

// gather starts a gateway, others that link to it, and a generator.
func (b *fleetBed) gather(ctx context.Context, label string, links int, more ...string) (*gathered, error) {
	server, rest := b.cpus()
	command := slices.Concat(b.conf.Server, b.conf.Join, more)
	s, err := b.start(ctx, candidate{label, "bellwire", false, func(ctx context.Context) (*process, error) {
		return startLinked(ctx, command, "origin", netip.AddrPort{}, server)
	}}, label)
	if err != nil {
		return nil, err
	}
	g := &gathered{system: s, peers: links}
	command = slices.Concat(command, b.conf.Link)
	for i := range links {
		p, err := startLinked(ctx, command, fmt.Sprintf("peer-%d", i+1), s.fleet, rest)
		if err != nil {
			return nil, fmt.Errorf("%s: gateway %d of %d: %w", label, i+1, links, err)
		}
		b.others, g.others = append(b.others, p), append(g.others, p)
	}
	return g, linked(ctx, s.process, links)
}

// devices connects the subscribers of a gateway, of each other one a subscriber for
// each topic, and a publisher. At a floor all are its own.
func (b *fleetBed) devices(ctx context.Context, g *gathered, l load) error {
	for _, p := range g.others {
		l.Far = append(l.Far, p.device)
	}
	l.Devices = max(b.Subscribers, len(l.Topics)) + g.peers*len(l.Topics)
	l.Spin = false // the CPU is that of the other gateways
	return b.connect(ctx, g.system, l)
}

// startLinked starts a gateway of a fleet on one CPU (any, if negative) and waits
// until it says that it is ready.
func startLinked(ctx context.Context, command []string, name string, other netip.AddrPort, cpu int) (*process, error) {
	free, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	args := filled(command, ListenPlaceholder, free[0].String(), AdminPlaceholder, free[1].String(), PeerPlaceholder, free[2].String(),
		NamePlaceholder, name, OtherPlaceholder, other.String())
	return launch(ctx, &process{cmd: exec.Command(args[0], args[1:]...), device: free[0], admin: "http://" + free[1].String(), fleet: free[2]}, cpu)
}
