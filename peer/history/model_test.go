package history

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// The model is a fleet that keeps the promise by magic: gateways copy from each other what is still held, subscribers read
// from the copy of theirs whatever they have not had. A seed tells a history, which must pass; the same one with something
// taken out of it must not.
type model struct {
	rng      *rand.Rand
	now      int64
	gateways []*modelGateway
	subs     []*modelSubscriber
	cut      map[[2]int]bool
	births   int
	events   []Event
}

const (
	modelStep = 10_000_000 // 10 ms
	modelHold = 50         // steps
	modelRing = 8
)

var modelTopics = []string{"t/1", "t/2"}

// modelRules are those that the model keeps.
func modelRules() Rules {
	return Rules{Late: 1e9, EndWithin: 3e9, Settle: 2e9, Prompt: 100_000_000}
}

type modelGateway struct {
	index  int
	up     bool
	origin string
	life   wire.Life
	copies []*modelCopy
	silent map[int]int // steps since the gateway of an index was heard of
}

// modelCopy is what a gateway has of a stream.
type modelCopy struct {
	topic  string
	life   wire.Life
	origin string
	next   uint64
	kept   map[uint64]uint64 // numbers by offset
	over   bool
	how    wire.How
}

type modelSubscriber struct {
	name, topic string
	at          *modelGateway
	away        int // steps
	had         map[wire.Life]uint64
	ended       map[wire.Life]bool
	done        map[wire.Life]bool // ended, and of no more use [W-6.5]
}

func (m *model) add(e Event) {
	e.At = m.now
	m.events = append(m.events, e)
}

func (g *modelGateway) name() string { return fmt.Sprintf("g%d", g.index) }

func (g *modelGateway) find(topic string, life wire.Life) *modelCopy {
	for _, c := range g.copies {
		if c.topic == topic && c.life == life {
			return c
		}
	}
	return nil
}

// take has the copy take a position; number 0: it is not to be had any more.
func (c *modelCopy) take(number uint64) {
	if number != 0 {
		c.kept[c.next] = number
	}
	c.next++
	delete(c.kept, c.next-1-modelRing)
}

// tell makes the history of a seed.
func tell(seed uint64, steps int) []Event {
	m := &model{rng: rand.New(rand.NewPCG(seed, 11)), cut: map[[2]int]bool{}}
	for i := range 3 {
		g := &modelGateway{index: i}
		m.gateways = append(m.gateways, g)
		m.bear(g)
	}
	for i := range 6 {
		s := &modelSubscriber{
			name: fmt.Sprintf("s%d", i), topic: modelTopics[i%len(modelTopics)], at: m.gateways[i%3],
			had: map[wire.Life]uint64{}, ended: map[wire.Life]bool{}, done: map[wire.Life]bool{},
		}
		m.subs = append(m.subs, s)
		m.add(Event{Kind: Subscribed, Who: s.name, Gateway: s.at.name(), Topic: s.topic})
	}
	for range steps {
		m.step(true)
	}
	for pair := range m.cut {
		m.heal(pair)
	}
	for range 400 { // to rest
		m.step(false)
	}
	m.add(Event{Kind: Gauge, Name: "rest"})
	return m.events
}

func (m *model) step(load bool) {
	m.now += modelStep
	if load {
		m.disturb()
		if g := m.gateways[m.rng.IntN(3)]; g.up {
			m.publish(g, modelTopics[m.rng.IntN(len(modelTopics))])
		}
	}
	for _, g := range m.gateways {
		if !g.up {
			if !load || m.rng.IntN(100) == 0 {
				m.bear(g)
			}
			continue
		}
		for _, other := range m.gateways {
			m.link(g, other)
		}
	}
	for _, s := range m.subs {
		m.serve(s)
	}
}

// disturb does something bad now and then.
func (m *model) disturb() {
	a, b := m.rng.IntN(3), m.rng.IntN(3)
	switch g := m.gateways[a]; m.rng.IntN(60) {
	case 0:
		if !g.up {
			return
		}
		m.add(Event{Kind: Died, Origin: g.origin})
		*g = modelGateway{index: a}
		for _, s := range m.subs {
			if s.at == g {
				m.leave(s)
			}
		}
	case 1:
		if pair := [2]int{min(a, b), max(a, b)}; a != b && !m.cut[pair] {
			m.cut[pair] = true
			m.add(Event{Kind: Cut, Gateway: g.name(), Other: m.gateways[b].name()})
		}
	case 2, 3, 4:
		if pair := [2]int{min(a, b), max(a, b)}; m.cut[pair] {
			m.heal(pair)
		}
	case 5:
		m.leave(m.subs[m.rng.IntN(len(m.subs))])
	}
}

func (m *model) heal(pair [2]int) {
	delete(m.cut, pair)
	m.add(Event{Kind: Healed, Gateway: m.gateways[pair[0]].name(), Other: m.gateways[pair[1]].name()})
}

func (m *model) bear(g *modelGateway) {
	m.births++
	g.up, g.silent = true, map[int]int{}
	g.life = wire.Life(m.births) << 24
	g.origin = fmt.Sprintf("%s.%d", g.name(), m.births)
	g.copies = nil
	m.add(Event{Kind: Born, Gateway: g.name(), Origin: g.origin})
}

func (m *model) publish(g *modelGateway, topic string) {
	c := g.find(topic, g.life)
	if c == nil {
		c = &modelCopy{topic: topic, life: g.life, origin: g.origin, next: 1, kept: map[uint64]uint64{}}
		g.copies = append(g.copies, c)
	}
	e := Event{Kind: Publish, Origin: g.origin, Topic: topic, Number: c.next}
	m.add(e)
	c.take(c.next)
	e.Kind = Accepted
	m.add(e)
}

// link brings a gateway what another one has published, or has it notice that it hears nothing.
func (m *model) link(g, other *modelGateway) {
	if g == other {
		return
	}
	if !other.up || m.cut[[2]int{min(g.index, other.index), max(g.index, other.index)}] {
		g.silent[other.index]++
		if g.silent[other.index] == modelHold {
			g.over(other, wire.EndLost)
		}
		return
	}
	g.silent[other.index] = 0
	g.over(other, wire.EndRestarted)
	for _, theirs := range other.copies {
		if theirs.life != other.life {
			continue
		}
		c := g.find(theirs.topic, theirs.life)
		if c == nil {
			c = &modelCopy{topic: theirs.topic, life: theirs.life, origin: theirs.origin, next: 1, kept: map[uint64]uint64{}}
			g.copies = append(g.copies, c)
		}
		c.over = false
		for c.next < theirs.next {
			c.take(theirs.kept[c.next])
		}
	}
}

// over ends the streams of a gateway: all of them, or only those of its earlier lives.
func (g *modelGateway) over(other *modelGateway, how wire.How) {
	for _, c := range g.copies {
		if c.origin[:2] == other.name() && (how == wire.EndLost || c.life != other.life) && !c.over {
			c.over, c.how = true, how
		}
	}
}

func (m *model) leave(s *modelSubscriber) {
	if s.away == 0 {
		m.add(Event{Kind: Away, Who: s.name})
		s.away = 1 + m.rng.IntN(30)
	}
}

// serve has a subscriber come back, and tells it what it has not had.
func (m *model) serve(s *modelSubscriber) {
	if s.away > 0 {
		if s.away--; s.away > 0 {
			return
		}
		if s.at = m.gateways[m.rng.IntN(3)]; !s.at.up {
			s.away = 1
			return
		}
		m.add(Event{Kind: Back, Who: s.name, Gateway: s.at.name()})
		m.forgotten(s)
	}
	for _, c := range s.at.copies {
		if c.topic == s.topic && !s.done[c.life] {
			m.read(s, c)
		}
	}
}

// read tells a subscriber what its gateway has of a stream.
func (m *model) read(s *modelSubscriber, c *modelCopy) {
	if c.next > s.had[c.life]+1 {
		s.ended[c.life] = false
	}
	for s.had[c.life]+1 < c.next {
		at := s.had[c.life] + 1
		e := Event{Kind: Message, Who: s.name, Topic: s.topic, Life: c.life, Offset: at, Origin: c.origin, Number: c.kept[at]}
		if e.Number == 0 {
			e = Event{Kind: Gap, Who: s.name, Topic: s.topic, Life: c.life, Reason: wire.ReasonNotKept}
			for ; at < c.next && c.kept[at] == 0; at++ {
				e.Count++
			}
			at--
			if m.rng.IntN(2) == 0 {
				e.Offset = at
			}
		}
		s.had[c.life] = at
		m.add(e)
	}
	if c.over && !s.ended[c.life] && s.had[c.life] > 0 {
		s.ended[c.life], s.done[c.life] = true, c.how == wire.EndRestarted
		m.add(Event{Kind: End, Who: s.name, Topic: s.topic, Life: c.life, How: c.how})
	}
}

// forgotten tells a subscriber which lives its gateway does not know: nobody knows how they went on.
func (m *model) forgotten(s *modelSubscriber) {
	for _, life := range slices.Sorted(maps.Keys(s.had)) {
		if s.ended[life] || s.at.find(s.topic, life) != nil {
			continue
		}
		s.ended[life] = true
		m.add(Event{Kind: Gap, Who: s.name, Topic: s.topic, Life: life, Reason: wire.ReasonNotKept})
		m.add(Event{Kind: End, Who: s.name, Topic: s.topic, Life: life, How: wire.EndLost})
	}
}
