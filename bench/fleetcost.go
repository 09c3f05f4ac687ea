package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The quantities of what a message costs in a fleet. Bytes are for each message
// and other gateway.
const (
	messageCost   = "CPU per message"
	peerCost      = "CPU per message and peer"
	wireBytes     = "bytes of a batch per message"
	readBytes     = "bytes that a peer reads per message"
	beyondPayload = ", beyond the payload"
	idleCost      = "CPU between the slices"
	meanBatch     = "messages per batch"
	savedShare    = "bytes saved by compression"
	compressTime  = "time of compression per message" // by the clock: not only CPU
	restOfCost    = 150 * time.Millisecond            // for acknowledgements, which come late
	noPeers       = "no peers"
	floorAlone    = "C joined"
	fleetTenPeers = "10 peers"
)

// fleetLoad is one load of a gateway.
type fleetLoad struct {
	payload, topics int
	body            string
	// ahead has the next messages follow when the gateway's own subscribers have the
	// ones before, wherever those are that go to other gateways.
	ahead bool
	// every compares all numbers of other gateways; else the greatest one.
	every bool
}

func fleetLoads() []fleetLoad {
	return []fleetLoad{
		{payload: 64, topics: 1, body: bodyRandom, every: true},
		{payload: 64, topics: 1, body: bodyRandom, ahead: true},
		{payload: 64, topics: 32, body: bodyRandom},
		{payload: 1024, topics: 1, body: bodyRandom},
		{payload: 64, topics: 1, body: bodyJSON},
		{payload: 1024, topics: 1, body: bodyJSON},
	}
}

func (l fleetLoad) String() string {
	words := []string{fmt.Sprintf("%d B", l.payload)}
	if l.payload%1024 == 0 {
		words[0] = fmt.Sprintf("%d KiB", l.payload/1024)
	}
	if l.body == bodyJSON {
		words = append(words, "of JSON")
	}
	if l.topics > 1 {
		words = append(words, fmt.Sprintf("to %d topics in turn", l.topics))
	}
	if l.ahead {
		words = append(words, "ahead of the peers")
	}
	return strings.Join(words, " ")
}

// known are the bytes of a message that are not counted: its payload, unless that
// shrinks on its way.
func (l fleetLoad) known() float64 {
	if l.body == bodyJSON {
		return 0
	}
	return float64(l.payload)
}

// bytes is a quantity of bytes of a message, without those that are known.
func (l fleetLoad) bytes(quantity string) string {
	if l.known() > 0 {
		return quantity + beyondPayload
	}
	return quantity
}

func peersLabel(n int) string {
	switch n {
	case 0:
		return noPeers
	case 1:
		return "1 peer"
	}
	return fmt.Sprintf("%d peers", n)
}

// originCost measures what the other gateways cost the one that a message enters:
// the CPU time of its process with them against that of another one that is alone,
// under the same load, in turns.
func (b *fleetBed) originCost(ctx context.Context) error {
	b.r.set("in flight", b.Windows[0])
	b.r.set("subscribers of the gateway, for each topic", b.Subscribers)
	b.r.set("subscribers of each peer, for each topic", 1)
	b.r.set("slice, at least", b.Slice)
	b.r.set("for acknowledgements after each slice", b.rest())
	b.bar.expect(len(fleetLoads()) * b.Pairs)
	for _, l := range fleetLoads() {
		if err := b.loadCost(ctx, l); err != nil {
			return fmt.Errorf("%v: %w", l, err)
		}
	}
	return nil
}

// rest is how long is waited after a slice for what comes late.
func (b *fleetBed) rest() time.Duration { return min(restOfCost, b.Slice) }

// loadCost measures one load, on gateways of its own.
func (b *fleetBed) loadCost(ctx context.Context, l fleetLoad) error {
	defer b.clear()
	links := b.conf.Links
	if !l.every {
		links = links[len(links)-1:]
	}
	var arms, floors []*gathered
	for _, n := range append([]int{0}, links...) {
		g, err := b.gather(ctx, peersLabel(n), n)
		if err != nil {
			return err
		}
		arms = append(arms, g)
	}
	if l.every {
		var err error
		if floors, err = b.fleetFloors(ctx, links[len(links)-1]); err != nil {
			return err
		}
	}
	all := slices.Concat(arms, floors)
	for _, g := range all {
		if err := b.warm(ctx, g, l); err != nil {
			return err
		}
	}
	for pair := range b.Pairs {
		if err := b.costPair(ctx, l, all, len(arms), pair%2 == 1); err != nil {
			return err
		}
	}
	if err := b.quiet(ctx); err != nil {
		return err
	}
	return b.concludeCost(l, arms, floors)
}

// warm connects the devices of a load and sends a first burst, which finds buffers
// that have yet to grow.
func (b *fleetBed) warm(ctx context.Context, g *gathered, l fleetLoad) error {
	of := load{Topics: (Config{Topic: b.Topic, Topics: l.topics}).topicNames(), Payload: l.payload, AtOnce: b.AtOnce, Body: l.body}
	if err := b.devices(ctx, g, of); err != nil {
		return err
	}
	_, err := b.costOf(ctx, g, l, min(turn, b.Slice))
	return err
}

// costPair takes a sample of each gateway and floor, there and back again, so that
// none always follows the same one, and adds what each peer costs.
func (b *fleetBed) costPair(ctx context.Context, l fleetLoad, all []*gathered, arms int, back bool) error {
	costs := make([]float64, len(all))
	for i := range all {
		if back {
			i = len(all) - 1 - i
		}
		cost, err := b.sampleCost(ctx, all[i], l)
		if err != nil {
			return err
		}
		costs[i] = cost
	}
	for i, g := range all[1:arms] {
		b.add(g.system, b.named(l, peerCost), "µs", (costs[i+1]-costs[0])/float64(g.peers))
	}
	for i := arms; i+1 < len(all); i += 2 {
		b.add(all[i+1].system, b.named(l, peerCost), "µs", (costs[i+1]-costs[i])/float64(all[i+1].peers))
	}
	b.bar.step("%s: %s µs per message alone, %s µs with %s", b.named(l, "CPU"), number(costs[0]), number(costs[arms-1]), all[arms-1].label)
	return nil
}

// named is a quantity of a load.
func (b *fleetBed) named(l fleetLoad, quantity string) string {
	return fmt.Sprintf("%v, %s", l, inFlight(b.Windows[0], quantity))
}

// fleetFloors are the C loop that joins messages, alone and with as many further
// subscribers as there are peers: what the sends themselves cost, if one process
// receives them all.
func (b *fleetBed) fleetFloors(ctx context.Context, peers int) ([]*gathered, error) {
	binary, err := buildFloor(ctx, b.dir, b.CC)
	if err != nil {
		b.bar.say("the C loop is left out: %s", shortened(err.Error(), 120))
		b.r.set("C joined", "left out: "+shortened(err.Error(), 120))
		return nil, nil
	}
	cpu, _ := b.cpus()
	var floors []*gathered
	for _, n := range []int{0, peers} {
		label := floorAlone
		if n > 0 {
			label = fmt.Sprintf("C joined with %d more subscribers", n)
		}
		s, err := b.start(ctx, candidate{label, "bellwire", false, func(context.Context) (*process, error) {
			return startFloor(binary, "joined", cpu, b.FloorOptions...)
		}}, label)
		if err != nil {
			return nil, err
		}
		floors = append(floors, &gathered{system: s, peers: n})
	}
	return floors, nil
}

// spentOn is what messages came to.
type spentOn struct {
	cpu      time.Duration
	idle     time.Duration // in as long a time as is waited for what comes late
	messages float64
}

// costOf publishes for a time and tells what that cost the gateway, with what it
// does shortly after, but for what it does then in any case: links have heartbeats.
func (b *fleetBed) costOf(ctx context.Context, g *gathered, l fleetLoad, atLeast time.Duration) (spent spentOn, err error) {
	before, err := processCPU(g.pid())
	if err != nil {
		return spent, err
	}
	a, err := g.do(ctx, order{Burst: &burstOrder{Window: b.Windows[0], AtLeast: atLeast, Near: l.ahead}})
	if err != nil {
		return spent, err
	}
	if err := pause(ctx, b.rest()); err != nil {
		return spent, err
	}
	after, err := processCPU(g.pid())
	if err != nil {
		return spent, err
	}
	if err := pause(ctx, b.rest()); err != nil {
		return spent, err
	}
	idle, err := processCPU(g.pid())
	// A burst of one is sent first.
	return spentOn{cpu: after - before - (idle - after), idle: idle - after, messages: float64(a.Messages + 1)}, err
}

// sampleCost adds a sample of what a message costs a gateway, and of what goes to
// the others.
func (b *fleetBed) sampleCost(ctx context.Context, g *gathered, l fleetLoad) (cost float64, err error) {
	if len(g.others) == 0 {
		spent, err := b.costOf(ctx, g, l, b.Slice)
		return b.addCost(g, l, spent), err
	}
	before, readBefore, err := b.counters(ctx, g)
	if err != nil {
		return 0, err
	}
	spent, err := b.costOf(ctx, g, l, b.Slice)
	if err != nil {
		return 0, err
	}
	after, readAfter, err := b.counters(ctx, g)
	if err != nil {
		return 0, err
	}
	was, is := before.sent(), after.sent()
	messages := float64(is.Messages - was.Messages)
	if want := spent.messages * float64(g.peers); messages != want || is.Resent+is.Skipped > 0 {
		return 0, fmt.Errorf("%s: %g messages went to other gateways, %d batches again and %d not at all: the links did not carry what was published, which is %g",
			g.label, messages, is.Resent, is.Skipped, want)
	}
	made, saved := float64(after.Batches.Bytes-before.Batches.Bytes), float64(after.Batches.Saved-before.Batches.Saved)
	for _, of := range []struct {
		quantity, unit string
		v              float64
	}{
		{l.bytes(wireBytes), "B", float64(is.Bytes-was.Bytes)/messages - l.known()},
		{l.bytes(readBytes), "B", float64(readAfter-readBefore)/messages - l.known()},
		{meanBatch, "", messages / float64(is.Batches-was.Batches)},
		{savedShare, "%", 100 * saved / (made + saved)},
		{compressTime, "µs", float64(after.Batches.Micros-before.Batches.Micros) / spent.messages},
	} {
		b.add(g.system, b.named(l, of.quantity), of.unit, of.v)
	}
	return b.addCost(g, l, spent), nil
}

func (b *fleetBed) addCost(g *gathered, l fleetLoad, spent spentOn) (cost float64) {
	cost = micro(spent.cpu) / spent.messages
	b.add(g.system, b.named(l, messageCost), "µs", cost)
	b.add(g.system, b.named(l, idleCost), "ms/s", milli(spent.idle)/b.rest().Seconds())
	return cost
}

// counters are those of a gateway's links, and how many bytes the others have read.
func (b *fleetBed) counters(ctx context.Context, g *gathered) (s fleetStatus, read uint64, err error) {
	for _, p := range g.others {
		n, err := processRead(p.pid())
		if err != nil {
			return s, 0, err
		}
		read += n
	}
	s, err = fleetOf(ctx, g.process)
	return s, read, err
}

// concludeCost makes the figures of a load. Only the full number of gateways
// answers a target, and only if each part has a CPU to itself.
func (b *fleetBed) concludeCost(l fleetLoad, arms, floors []*gathered) error {
	var err error
	state := func(g *gathered, of, target string) {
		name := g.label + ", " + b.named(l, of)
		err = errors.Join(err, b.r.figure(name, target, name))
	}
	for i := len(arms) - 1; i > 0; i-- {
		for _, of := range []string{peerCost, l.bytes(wireBytes), l.bytes(readBytes), meanBatch, savedShare, compressTime} {
			state(arms[i], of, b.costTarget(l, arms[i].label, of))
		}
	}
	for _, g := range floors {
		if g.peers > 0 {
			state(g, peerCost, "")
			name := b.named(l, peerCost)
			most := arms[len(arms)-1].label
			err = errors.Join(err, b.r.ratio(most+" / "+g.label+", "+name, "", most+", "+name, g.label+", "+name))
		}
	}
	for _, g := range slices.Concat(arms, floors) {
		state(g, messageCost, "")
		if l.every {
			state(g, idleCost, "")
		}
	}
	return err
}

func (b *fleetBed) costTarget(l fleetLoad, peers, quantity string) string {
	if !b.Pin || b.Subscribers != 1 || peers != fleetTenPeers || b.Windows[0] != 32 || b.Slice < 100*time.Millisecond {
		return ""
	}
	return map[string]string{
		"64 B, " + peerCost:                                       "fleet-cost",
		"64 B, " + wireBytes + beyondPayload:                      "fleet-bytes",
		"64 B to 32 topics in turn, " + wireBytes + beyondPayload: "fleet-bytes-topics",
		"64 B ahead of the peers, " + peerCost:                    "fleet-cost-ahead",
		"1 KiB, " + peerCost:                                      "fleet-cost-1k",
		"1 KiB of JSON, " + savedShare:                            "fleet-saved-1k",
		"1 KiB of JSON, " + compressTime:                          "fleet-s2-1k",
		"64 B of JSON, " + savedShare:                             "fleet-saved",
		"64 B of JSON, " + compressTime:                           "fleet-s2",
		"64 B, " + compressTime:                                   "fleet-s2-random",
	}[fmt.Sprintf("%v, %s", l, quantity)]
}
