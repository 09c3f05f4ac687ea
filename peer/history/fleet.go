package history

import "github.com/bellwire/bellwire/wire"

// forever is a time that does not come.
const forever = 1<<63 - 1

// fleet is the gateways, and what was done to them.
type fleet struct {
	gateways map[string]*gateway
	list     []*gateway
	origins  map[string]*origin
	all      []*origin             // in the order in which they were born
	byBoot   map[wire.Life]*origin // by a life of run 0
	events   []Event               // all that happened to gateways
}

// gateway is a name that is started again and again.
type gateway struct {
	name  string
	index int
	runs  int
	born  int64  // its present run
	woke  int64  // when it went on after it had stood still
	ways  []*way // to others, by index, itself among them
}

// origin is one run of a gateway.
type origin struct {
	name    string
	gateway *gateway
	died    int64 // forever: it is alive
	left    bool  // in good order
}

// way is what lies between two gateways.
type way struct {
	faults int   // in force
	whole  int64 // since when there is none
	ever   bool  // there was one, or an end of it was born again
}

// boot is the life of run 0 of the same start of a gateway.
func boot(life wire.Life) wire.Life { return life &^ (1<<24 - 1) }

func newFleet() fleet {
	return fleet{gateways: map[string]*gateway{}, origins: map[string]*origin{}, byBoot: map[wire.Life]*origin{}}
}

func (f *fleet) gateway(name string) *gateway {
	g := f.gateways[name]
	if g != nil {
		return g
	}
	g = &gateway{name: name, index: len(f.list)}
	f.gateways[name] = g
	f.list = append(f.list, g)
	for _, other := range f.list {
		w := &way{}
		g.ways = append(g.ways, w)
		if other != g {
			other.ways = append(other.ways, w)
		}
	}
	return g
}

// way is what lies between two gateways; both ends share it.
func (g *gateway) way(other *gateway) *way { return g.ways[other.index] }

// begin is a fault between the two.
func (w *way) begin() { w.faults++; w.ever = true }

// end is one fault less.
func (w *way) end(at int64) {
	w.faults = max(w.faults-1, 0)
	w.whole = at
}

// since is when what is between them was whole again, settling included; forever while it is not.
func (w *way) since(settle int64) int64 {
	switch {
	case w.faults > 0:
		return forever
	case !w.ever:
		return 0
	}
	return w.whole + settle
}

// bear has a gateway run.
func (f *fleet) bear(e Event) {
	g := f.gateway(e.Gateway)
	g.runs++
	g.born = e.At
	for _, w := range g.ways {
		w.whole, w.ever = max(w.whole, e.At), w.ever || e.At > 0
	}
	o := &origin{name: e.Origin, gateway: g, died: forever}
	f.origins[e.Origin] = o
	f.all = append(f.all, o)
	if e.Life != 0 {
		f.byBoot[boot(e.Life)] = o
	}
}

// of is the origin of a life, nil if nothing of it was delivered yet.
func (f *fleet) of(life wire.Life) *origin { return f.byBoot[boot(life)] }

// claim is whose life it is: that of o, if nothing of it was seen yet.
func (f *fleet) claim(life wire.Life, o *origin) *origin {
	if f.of(life) == nil {
		f.byBoot[boot(life)] = o
	}
	return f.of(life)
}

// apart is Cut and Healed, Paused and Continued.
func (f *fleet) apart(e Event) {
	g := f.gateway(e.Gateway)
	ways := g.ways
	if e.Kind == Continued {
		g.woke = e.At
	}
	if e.Kind == Cut || e.Kind == Healed {
		ways = []*way{g.way(f.gateway(e.Other))}
	}
	for _, w := range ways {
		if e.Kind == Cut || e.Kind == Paused {
			w.begin()
		} else {
			w.end(e.At)
		}
	}
}

// alive says whether an origin runs at a time.
func (o *origin) alive(at int64) bool { return at < o.died }
