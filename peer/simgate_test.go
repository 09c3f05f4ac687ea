package peer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/bellwire/bellwire/fanout"
	judge "github.com/bellwire/bellwire/peer/history"
	"github.com/bellwire/bellwire/wire"
)

const (
	simTenant = "acme"
	// simCatchUp is how long a gateway waits for the TOPS of one that it has met, which a blip may hold up.
	simCatchUp = 1500 * time.Millisecond
)

// simSlot is the name of a gateway, which one process after the other runs under.
type simSlot struct {
	sim   *sim
	index int
	fleet int
	name  string
	gate  *simGate // the present or the last one; nil: none yet
	runs  int
}

// off reports whether the machine has no power: nothing that is sent there is answered in any way.
func (slot *simSlot) off() bool { return slot.gate != nil && slot.gate.dead && slot.gate.unplugged }

// simGate is a gateway: the production core, and around it in small what package gateway does with streams. It has one
// loop with a mailbox, and tells sessions STREAM, GAP, END and LIVE as the loops do.
type simGate struct {
	sim    *sim
	slot   *simSlot
	origin string // the name of this run
	life   wire.Life
	born   time.Duration
	core   *core
	cancel context.CancelFunc

	dead, unplugged bool
	leaving         bool
	saidBye         map[*simSlot]bool // who has seen that it leaves
	until           time.Duration     // it stands still until then
	isKicked        bool
	ends            []*simEnd
	dialers         []*simDialer
	credit          int // publish credit that the mesh holds

	index   *fanout.Index
	origins []*simOrigin
	mail    []simPost
	drains  bool
	subs    []*simSub // in the order in which they came
	numbers fanout.Sub
}

// simOrigin is a life of another gateway.
type simOrigin struct {
	*fanout.Origin
	name    string
	metAt   time.Duration
	ended   bool
	endedAt time.Duration
	kept    bool
	over    bool // ended, as far as the mailbox has come
	how     wire.How
}

// simPost is one entry of the mailbox: something of a stream, or a call.
type simPost struct {
	stream *fanout.Stream
	kind   simKind
	offset uint64 // of a message, the first of a gap, or where a stream begins
	count  uint64
	bytes  []byte
	call   func()
}

type simKind uint8

const (
	simCall simKind = iota
	simMessage
	simGap
	simBegins
)

// boot starts a gateway.
func (s *sim) boot(slot *simSlot) {
	slot.runs++
	g := s.gateway(slot, fmt.Sprintf("%s.%d", slot.name, slot.runs))
	slot.gate = g
	s.tell(judge.Event{Kind: judge.Born, Gateway: slot.name, Origin: g.origin, Life: g.life})
	g.start()
}

// impostor starts another gateway under the same name. It has no devices, and the checker is not told.
func (s *sim) impostor(slot *simSlot) *simGate {
	g := s.gateway(slot, slot.name+".impostor")
	g.start()
	return g
}

// gateway makes a process.
func (s *sim) gateway(slot *simSlot, origin string) *simGate {
	g := &simGate{
		sim: s, slot: slot, origin: origin, life: wire.Life(s.rng.Uint64()) &^ maxRun, born: s.now, saidBye: make(map[*simSlot]bool),
	}
	var err error
	g.index, err = fanout.NewIndex(fanout.Config{
		Loops: 1, Topics: 1 << 8, Life: uint64(g.life), Ring: s.plan.ring, Budget: fanout.NewBudget(s.plan.rings, 0),
	})
	if err != nil {
		s.problem("%v", err)
	}
	cfg := Config{
		Cluster: fmt.Sprintf("fleet%d", slot.fleet), Name: slot.name, Life: g.life, Streams: g, Source: g, Retain: s.plan.retain,
		Logger: slog.New(slog.DiscardHandler), without: s.plan.without, NoCompression: s.plan.plain,
	}
	if err := cfg.complete(); err != nil {
		s.problem("%v", err)
	}
	cfg.Most = max(cfg.Most, len(s.fleets[slot.fleet]))
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.core = cancel, newCore(ctx, cfg, nil)
	g.core.log.kick = g.kick
	g.core.log.arm = func() { s.after(slowWrite, g.overdue) }
	return g
}

// start has it look for the others.
func (g *simGate) start() {
	s, slot := g.sim, g.slot
	for _, other := range s.fleets[slot.fleet] {
		d := &simDialer{gate: g, to: other}
		g.dialers = append(g.dialers, d)
		if other != slot {
			s.after(s.between(0, firstPause), d.step)
		}
	}
	s.after(s.between(0, s.plan.tick), g.tick)
}

func (g *simGate) alive() bool { return !g.dead && !g.leaving }

// ready reports whether devices may come: it has met everybody who was there before it, and has what their rings hold.
// What those publish before is older than the gateway for all that it can tell: it is kept for those who resume later, and
// not delivered to who is there.
func (g *simGate) ready() bool {
	for _, slot := range g.sim.fleets[g.slot.fleet] {
		other := slot.gate
		if g.sim.plan.hasty || other == g || !other.alive() || other.born > g.born {
			continue
		}
		o := g.originOf(other.life)
		if o == nil || g.sim.now-o.metAt < simCatchUp {
			return false
		}
		if m := g.core.members[slot.name]; m != nil && m.origin != nil && len(m.origin.holes.asked)+m.origin.holes.wanted.Len() > 0 {
			return false
		}
	}
	return g.alive()
}

// now is the gateway's own clock.
func (g *simGate) now() time.Duration { return g.sim.now - g.born }

// second is the time as fanout knows it.
func (g *simGate) second() uint32 { return uint32(g.sim.now/time.Second) + 1 }

// later has something happen when the gateway goes on, if it stands still.
func (g *simGate) later(do func()) bool {
	if g.dead || g.sim.now >= g.until {
		return false
	}
	g.sim.at(g.until, do)
	return true
}

// kick is called by the log, under its lock.
func (g *simGate) kick() {
	if !g.isKicked {
		g.isKicked = true
		g.sim.kicked = append(g.sim.kicked, g)
	}
}

func (g *simGate) seal() {
	g.isKicked = false
	if g.dead || g.later(g.kick) {
		return
	}
	g.core.log.seal(g.now())
}

func (g *simGate) overdue() {
	if g.dead || g.later(g.overdue) {
		return
	}
	g.core.log.overdue(g.now())
}

func (g *simGate) tick() {
	if g.dead || g.later(g.tick) {
		return
	}
	s := g.sim
	g.core.tick(g.now(), func(f func()) { f() })
	g.measure()
	g.sweep()
	s.after(s.plan.tick, g.tick)
}

// measure looks at all that has a limit (G8).
func (g *simGate) measure() {
	s := g.sim
	log := g.core.log
	largest := 0
	for i := range log.kept {
		largest = max(largest, log.kept[i].size())
	}
	s.gauge("retained bytes", log.bytes, mostKept*log.retain+largest)
	for _, e := range g.ends {
		s.gauge("bytes of control frames", len(e.link.out), maxControl)
		s.gauge("questions of a peer", len(e.link.asked), maxAsked)
		if o := e.link.origin; o != nil {
			s.gauge("held bytes", o.holes.bytes, maxHeldBytes+maxFetched+maxPayload)
			s.gauge("questions under way", len(o.holes.asked), maxFetches)
			s.gauge("questions that wait", o.holes.wanted.Len(), maxWanted+maxFetches)
			for _, h := range o.holes.asked {
				s.gauge("messages held of a stream", len(h.held), maxKept)
			}
		}
	}
	s.gauge("members", len(g.core.members), 4*max(DefaultPeers, g.core.cfg.Most))
}

// lost is a connection of which both halves have ended.
func (g *simGate) lost(e *simEnd) {
	if g.dead {
		return
	}
	g.core.gone(e.link, g.now(), e.err)
	g.forgetEnd(e)
	if c := e.link.cause(); g.leaving && c.Theirs && c.Why == Bye {
		g.saidBye[e.to.gate.slot] = true
	}
	for _, d := range g.dialers {
		if d.to == e.to.gate.slot {
			d.linkGone(e)
		}
	}
}

func (g *simGate) forgetEnd(e *simEnd) {
	if i := slices.Index(g.ends, e); i >= 0 {
		g.ends = slices.Delete(g.ends, i, i+1)
	}
	if l := e.link; l.member != nil && l.member.link == nil {
		g.count(l.member)
	}
}

// count takes a peer's counters into the sum, once.
func (g *simGate) count(m *member) {
	t := &m.tally
	g.sim.repeated += t.duplicateBatches.Swap(0)
	g.sim.holes += t.holes.Swap(0)
	g.sim.fetched += t.fetchedMessages.Swap(0)
	g.sim.beyond += t.missed.Swap(0)
}

// kill ends the process. With power the system closes its connections, some in the middle of what they hold; without it
// nobody is told anything.
func (g *simGate) kill(unplugged bool) {
	s := g.sim
	s.tell(judge.Event{Kind: judge.Died, Origin: g.origin})
	g.end(unplugged)
}

func (g *simGate) end(unplugged bool) {
	s := g.sim
	g.dead, g.unplugged = true, unplugged
	g.cancel()
	for _, m := range g.core.members {
		g.count(m)
	}
	for _, e := range g.ends {
		e.over = true
		switch {
		case unplugged:
			e.queue = nil
		case s.chance(0.3):
			e.queue = nil
			s.after(s.way(g.slot, e.to.gate.slot).delay, e.to.resetIfReached)
		default:
			e.fin()
		}
	}
	for _, sub := range slices.Clone(g.subs) {
		sub.device.lostGateway()
	}
}

// resetIfReached is a reset that comes over the line.
func (e *simEnd) resetIfReached() {
	if e.over || e.gate.later(e.resetIfReached) {
		return
	}
	if e.sim.way(e.to.gate.slot, e.gate.slot).cuts == 0 {
		e.reset()
		return
	}
	e.sim.after(200*time.Millisecond, e.resetIfReached)
}

// leave has it go in good order: its devices first, then what it has for its peers. done is called at the end.
func (g *simGate) leave(patience time.Duration, done func()) {
	s := g.sim
	g.leaving = true
	for _, sub := range slices.Clone(g.subs) {
		sub.device.lostGateway()
	}
	g.core.leave(g.now())
	until := s.now + patience
	s.every(time.Millisecond, func() bool {
		if !g.dead && len(g.ends) > 0 && s.now < until {
			return true
		}
		if g.dead {
			return false
		}
		if g.everybodyKnows() {
			s.tell(judge.Event{Kind: judge.Left, Origin: g.origin})
		} else {
			s.tell(judge.Event{Kind: judge.Died, Origin: g.origin})
		}
		g.end(false)
		done()
		return false
	})
}

// everybodyKnows reports whether all others have seen that it leaves.
func (g *simGate) everybodyKnows() bool {
	for _, other := range g.sim.fleets[g.slot.fleet] {
		if other != g.slot && other.gate.alive() && !g.saidBye[other] {
			return false
		}
	}
	return true
}

// publish is a device's message that enters here.
func (g *simGate) publish(name string, size int) {
	s := g.sim
	t, err := g.index.Ensure([]byte(name))
	if err != nil {
		s.problem("%v", err)
		return
	}
	number := t.Stream().Next()
	e := judge.Event{Kind: judge.Publish, Gateway: g.slot.name, Origin: g.origin, Topic: name, Life: g.life, Offset: number, Number: number}
	s.tell(e)
	payload := judge.AppendPayload(nil, g.origin, number, size)
	t.Stream().Publish(g.second(), func(uint64, bool) fanout.Entry {
		return fanout.Entry{Frame: payload}
	}, func(loops, _ uint64, e fanout.Entry) {
		if loops != 0 {
			g.post(simPost{stream: t.Stream(), kind: simMessage, offset: e.Offset, bytes: payload})
		}
		g.credit++
		g.core.log.add(&Message{
			Key: uint64(t.ID()), Tenant: simTenant, Topic: name, Offset: e.Offset, Payload: payload,
			Held: release(func() { g.credit-- }),
		})
	})
	e.Kind = judge.Accepted
	s.tell(e)
}

// Stream implements Streams.
func (g *simGate) Stream(life wire.Life, tenant, topic []byte) (Stream, error) {
	o := g.originOf(life)
	if o == nil || string(tenant) != simTenant {
		return nil, &wire.Error{Code: wire.CodeOutOfOrder}
	}
	t, err := g.index.Ensure(topic)
	if err != nil {
		return nil, err
	}
	return &simCopy{g: g, stream: t.CopyOf(o.Origin)}, nil
}

func (g *simGate) originOf(life wire.Life) *simOrigin {
	for _, o := range g.origins {
		if o.Life() == uint64(life) {
			return o
		}
	}
	return nil
}

// Changed implements Streams.
func (g *simGate) Changed(life wire.Life, name string, what Change) {
	o := g.originOf(life)
	if what == Met {
		for _, other := range g.origins {
			if other.name == name && other != o && !other.ended {
				g.sim.problem("%s met life %v of %s before it was told the end of life %x", g.origin, life, name, other.Life())
			}
		}
		switch {
		case o == nil:
			// Index 1 is the gateway itself.
			o = &simOrigin{Origin: fanout.NewOrigin(uint64(life), uint32(len(g.origins)+2)), name: name, metAt: g.sim.now}
			g.origins = append(g.origins, o)
		case o.ended:
			o.ended = false
			g.post(simPost{call: func() { o.over = false }})
		}
		return
	}
	if o == nil || o.ended {
		return
	}
	o.ended, o.endedAt, o.kept = true, g.sim.now, true
	o.End()
	how := map[Change]wire.How{Left: wire.EndComplete, Restarted: wire.EndRestarted, Lost: wire.EndLost}[what]
	g.post(simPost{call: func() {
		o.over, o.how = true, how
		for _, d := range g.sessions() {
			d.endOf(o.Number(), how)
			for _, sub := range g.subs {
				for _, r := range sub.replays {
					if sub.device == d && r.stream.Origin() == o.Origin {
						d.stream(sub.name, r.stream, r.position())
					}
				}
			}
		}
	}})
}

// sessions are the devices that are connected here.
func (g *simGate) sessions() (list []*simDevice) {
	for _, sub := range g.subs {
		if !slices.Contains(list, sub.device) {
			list = append(list, sub.device)
		}
	}
	return list
}

// sweep forgets the streams of those who ended longer ago than rings keep anything.
func (g *simGate) sweep() {
	for _, o := range g.origins {
		if o.ended && o.kept && g.sim.now-o.endedAt > fanout.DefaultRingAge*time.Second {
			g.index.Forget(o.Origin)
			o.kept = false
		}
	}
}

// Tops implements Source.
func (g *simGate) Tops(within uint32, fn func(tenant, topic string, next uint64) bool) {
	g.index.Each(func(t *fanout.Topic) bool {
		if s := t.Own(); s != nil && s.Published() != 0 && g.second()-s.Published() <= within {
			return fn(simTenant, t.Name(), s.Next())
		}
		return true
	})
}

// Read implements Source.
func (g *simGate) Read(life wire.Life, _, topic []byte, from, to uint64, fn func(Kept) bool) {
	t := g.index.Lookup(topic)
	if t == nil {
		return
	}
	now := g.second()
	t.Streams(func(s *fanout.Stream) {
		if wire.Life(s.Life()) != life {
			return
		}
		for r := s.Reader(from); ; {
			e, _, ok := r.Next(now)
			if !ok || e.Offset >= to || !fn(Kept{Offset: e.Offset, Age: now - min(e.At, now), Payload: e.Frame}) {
				return
			}
		}
	})
}

// simCopy is a stream of another gateway.
type simCopy struct {
	g      *simGate
	stream *fanout.Stream
	missed [][2]uint64 // positions that were announced as missing, the second one not included
}

// Next implements Stream.
func (c *simCopy) Next() uint64 { return c.stream.Next() }

// Accept implements Stream.
func (c *simCopy) Accept(_ context.Context, offset uint64, payload []byte) (Verdict, error) {
	v := c.stream.Accept(offset, c.g.second(), func(uint64, bool) fanout.Entry {
		return fanout.Entry{Frame: slices.Clone(payload)}
	}, c.begins, func(loops, _ uint64, e fanout.Entry) {
		if loops != 0 {
			c.g.post(simPost{stream: c.stream, kind: simMessage, offset: e.Offset, bytes: e.Frame})
		}
	})
	if v == fanout.Duplicate {
		if c.wasMissed(offset) {
			c.g.sim.needless++
		}
		if c.g.sim.plan.trusting {
			c.g.post(simPost{stream: c.stream, kind: simMessage, offset: offset, bytes: slices.Clone(payload)})
		}
	}
	return Verdict(v), nil
}

func (c *simCopy) wasMissed(offset uint64) bool {
	return slices.ContainsFunc(c.missed, func(m [2]uint64) bool { return m[0] <= offset && offset < m[1] })
}

func (c *simCopy) begins(loops, _, next uint64) {
	if loops != 0 {
		c.g.post(simPost{stream: c.stream, kind: simBegins, offset: next})
	}
}

// Miss implements Stream.
func (c *simCopy) Miss(next uint64) {
	c.stream.Miss(next, c.begins, func(loops, _, first, count uint64) {
		c.missed = append(c.missed, [2]uint64{first, next})
		if loops != 0 {
			c.g.post(simPost{stream: c.stream, kind: simGap, offset: first, count: count})
		}
	})
}

// Backfill implements Stream.
func (c *simCopy) Backfill(older []Kept) {
	now := c.g.second()
	entries := make([]fanout.Entry, len(older))
	for i, k := range older {
		entries[i] = fanout.Entry{Offset: k.Offset, At: now - min(k.Age, now-1), Frame: slices.Clone(k.Payload)}
	}
	c.stream.Backfill(now, entries)
}
