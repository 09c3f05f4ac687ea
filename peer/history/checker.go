package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// Checker judges a history while it happens. It is for one goroutine at a time.
type Checker struct {
	rules Rules
	now   int64

	fleet       fleet
	topics      map[string]*topic
	subscribers map[string]*subscriber
	order       []*subscriber

	counts   Counts
	delays   Spread
	epochs   []*Settling
	faults   map[string]uint64 // proven, by sort
	findings []Finding
	perRule  map[Rule]uint64
	void     []string
	first    int64 // when the first and the last message were published
	last     int64
}

// New makes a checker.
func New(rules Rules) *Checker {
	return &Checker{
		rules: rules, fleet: newFleet(), topics: map[string]*topic{}, subscribers: map[string]*subscriber{},
		faults: map[string]uint64{}, perRule: map[Rule]uint64{},
	}
}

// Add tells what happened next. What makes no sense makes the run void.
func (c *Checker) Add(e Event) {
	c.now = max(c.now, e.At)
	switch e.Kind {
	case Born, Died, Left, Cut, Healed, Paused, Continued, Fault, Gauge:
		c.fleetEvent(e)
	case Publish, Accepted, Refused:
		c.publication(e)
	case Subscribed:
		c.subscribed(e)
		c.keep(e)
	case Had, Away, Back, Stream, Message, Gap, End:
		c.keep(e)
		c.subscriberEvent(e)
	default:
		c.broken("there is no event %q", e.Kind)
	}
}

func (c *Checker) fleetEvent(e Event) {
	c.fleet.events = append(c.fleet.events, e)
	switch {
	case e.Kind == Born && (c.fleet.origins[e.Origin] != nil || e.Origin == "" || e.Gateway == ""):
		c.broken("a gateway is born without a name, or as %q again", e.Origin)
	case e.Kind == Born:
		c.fleet.bear(e)
		if c.fleet.gateway(e.Gateway).runs > 1 {
			c.begin(e)
		}
	case e.Kind == Died, e.Kind == Left:
		c.over(e)
	case e.Kind == Fault:
		c.faults[e.Name] += e.Count
	case e.Kind == Gauge && e.Count > e.Offset:
		c.find(Bounded, e, "%s is at %d, its limit is %d", e.Name, e.Count, e.Offset)
	case e.Kind == Gauge:
	default:
		c.fleet.apart(e)
		c.begin(e)
	}
}

// over is that a gateway runs no more.
func (c *Checker) over(e Event) {
	o := c.fleet.origins[e.Origin]
	if o == nil || o.died != forever {
		c.broken("%q dies, and does not live", e.Origin)
		return
	}
	o.died, o.left = e.At, e.Kind == Left
	c.begin(e)
}

// publication is what a publisher says.
func (c *Checker) publication(e Event) {
	o := c.fleet.origins[e.Origin]
	if o == nil {
		c.broken("%q publishes, and does not live", e.Origin)
		return
	}
	t := c.topic(e.Topic)
	f := t.feed(o)
	if e.Kind != Publish {
		if e.Number == 0 || e.Number > uint64(len(f.pubs)) {
			c.broken("number %d of %s and %s is answered, and was not published", e.Number, e.Origin, e.Topic)
			return
		}
		what := accepted
		if e.Kind == Refused {
			what = refused
			c.counts.Refused++
		} else {
			c.counts.Accepted++
		}
		f.becomes(&f.pubs[e.Number-1], what)
		return
	}
	if e.Number != uint64(len(f.pubs))+1 {
		c.broken("number %d of %s and %s is published after %d", e.Number, e.Origin, e.Topic, len(f.pubs))
		return
	}
	f.pubs = append(f.pubs, pub{at: e.At})
	if c.counts.Published == 0 {
		c.first = e.At
	}
	c.counts.Published++
	c.last = max(c.last, e.At)
	if e.Offset > 0 {
		c.known(t, f, o, e)
	}
}

// known is that a publisher knows the place of its message.
func (c *Checker) known(t *topic, f *feed, o *origin, e Event) {
	if first := c.fleet.claim(e.Life, o); first != o {
		c.broken("life %s is of %s, and %s publishes in it", e.Life, first.name, o.name)
		return
	}
	if e.Offset > uint64(len(f.pubs)) {
		c.broken("%s publishes at offset %d as its number %d", e.Origin, e.Offset, e.Number)
		return
	}
	if rule, text := c.stream(t, e.Life).learn(e.Offset, e.Number); rule != "" {
		c.broken("%s publishes number %d at %d: %s", e.Origin, e.Number, e.Offset, text)
	}
}

// subscriberEvent is what one subscriber sees.
func (c *Checker) subscriberEvent(e Event) {
	s := c.subscribers[e.Who]
	if s == nil {
		c.broken("%q sees something and has not subscribed", e.Who)
		return
	}
	switch {
	case e.Kind == Away:
		c.unsettled(s, e.At)
		s.away = true
		return
	case e.Kind == Back:
		c.unsettled(s, e.At)
		s.away, s.fresh, s.gateway = false, e.At, c.fleet.gateway(e.Gateway)
		return
	case e.Kind == Gap && e.Topic == "":
		c.unsettled(s, e.At)
		for _, sub := range s.subs {
			c.unplaced(sub, e.At)
		}
		return
	}
	sub := s.subscription(e.Topic)
	switch {
	case max(e.Offset, e.Count) > wire.MaxVarint:
		c.find(True, e, "there is no such position")
	case sub == nil:
		c.find(True, e, "it has not subscribed to that")
	case e.Kind == Had:
		c.had(sub, e)
	case e.Kind == Stream:
		c.told(s, sub, e)
	case e.Kind == Message:
		c.message(s, sub, e)
	case e.Kind == Gap:
		c.gap(s, sub, e)
	case e.Kind == End:
		c.end(s, sub, e)
	}
}

// broken notes that the history itself makes no sense.
func (c *Checker) broken(format string, args ...any) {
	if len(c.void) < mostFindings {
		c.void = append(c.void, "the history is not whole: "+fmt.Sprintf(format, args...))
	}
}

// sorted is the topics by name.
func (c *Checker) sorted() []*topic {
	return slices.SortedFunc(maps.Values(c.topics), func(a, b *topic) int { return cmp.Compare(a.name, b.name) })
}
