package history

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// The oracle judges what is unique, ordered and honest by sets of positions, one stream of one subscriber after the other.
type oracle struct {
	events []Event
	pubs   map[string]map[uint64]int64 // when, by origin, topic and offset, which in the model is the number
	owner  map[wire.Life]string
	dead   map[string]bool
	now    int64
}

// streamOf is one stream of one subscriber.
type streamOf struct {
	who, topic string
	life       wire.Life
}

type verdicts map[streamOf]map[Rule]bool

func (v verdicts) add(key streamOf, rule Rule) {
	if v[key] == nil {
		v[key] = map[Rule]bool{}
	}
	v[key][rule] = true
}

func newOracle(events []Event) *oracle {
	o := &oracle{events: events, pubs: map[string]map[uint64]int64{}, owner: map[wire.Life]string{}, dead: map[string]bool{}}
	for _, e := range events {
		o.now = max(o.now, e.At)
		switch e.Kind {
		case Publish:
			key := e.Origin + " " + e.Topic
			if o.pubs[key] == nil {
				o.pubs[key] = map[uint64]int64{}
			}
			o.pubs[key][e.Number] = e.At
		case Message:
			o.owner[e.Life] = e.Origin
		case Died:
			o.dead[e.Origin] = true
		}
	}
	return o
}

func (o *oracle) judge() verdicts {
	all := verdicts{}
	streams := map[streamOf][]Event{}
	away := map[string]bool{}
	for _, e := range o.events {
		switch e.Kind {
		case Message, Gap:
			key := streamOf{e.Who, e.Topic, e.Life}
			streams[key] = append(streams[key], e)
		case Away, Back:
			away[e.Who] = e.Kind == Away
		}
	}
	for key, events := range streams {
		o.stream(all, key, events, away[key.who])
	}
	return all
}

func (o *oracle) stream(all verdicts, key streamOf, events []Event, away bool) {
	when := o.pubs[o.owner[key.life]+" "+key.topic]
	delivered, announced := map[uint64]bool{}, map[uint64]bool{}
	var most uint64
	pardoned := int64(-1) // what was published before is not owed
	check := func(upTo uint64, before int64) {
		for at := uint64(1); at <= upTo; at++ {
			if published, ok := when[at]; ok && !delivered[at] && !announced[at] && published > pardoned && published < before {
				all.add(key, Honest)
			}
		}
	}
	unsure := false
	for _, e := range events {
		switch {
		case e.Kind == Gap && (e.Count == 0 || unsure && e.Offset == 0):
			pardoned, unsure = e.At, true
			continue
		case e.Kind == Gap:
			last := e.Offset
			if last == 0 {
				last = most + e.Count
			}
			check(last-min(e.Count, last), forever)
			for at := last - e.Count + 1; at <= last; at++ {
				announced[at] = true
			}
			most = max(most, last)
		case delivered[e.Offset]:
			all.add(key, Unique)
			continue
		case e.Offset <= most:
			all.add(key, Ordered)
			continue
		default:
			check(e.Offset-1, forever)
			most, delivered[e.Offset] = e.Offset, true
		}
		unsure = false
		for at := uint64(1); at <= most; at++ {
			if !delivered[at] {
				announced[at] = true // it was complained of once
			}
		}
	}
	if o.dead[o.owner[key.life]] || away {
		return
	}
	top := uint64(len(when))
	check(top, o.now+1-modelRules().Late)
}

// mangle drops, repeats and moves what subscribers see, as often as ops says.
func mangle(events []Event, rng *rand.Rand, ops int) []Event {
	for range ops {
		at := rng.IntN(len(events))
		for events[at].Kind != Message && events[at].Kind != Gap {
			at = (at + 1) % len(events)
		}
		e := events[at]
		later := at + 1 + rng.IntN(min(40, len(events)-at))
		switch rng.IntN(3) {
		case 0:
			events = slices.Delete(events, at, at+1)
		case 1:
			e.At = events[later-1].At
			events = slices.Insert(events, later, e)
		case 2:
			e.At = events[later-1].At
			events = slices.Insert(events, later, e)
			events = slices.Delete(events, at, at+1)
		}
	}
	return events
}

func compare(t *testing.T, seed uint64, ops int) {
	t.Helper()
	events := mangle(tell(seed, 200), rand.New(rand.NewPCG(seed, 3)), ops)
	r := judge(events)
	if len(r.Findings) == mostFindings {
		return
	}
	want, got := newOracle(events).judge(), verdicts{}
	for _, f := range r.Findings {
		got.add(streamOf{f.Event.Who, f.Event.Topic, f.Event.Life}, f.Rule)
	}
	for key, rules := range want {
		for rule := range rules {
			require.True(t, got[key][rule], "seed %d, %d: %v: the oracle says %s\n%s", seed, ops, key, rule, r.String())
		}
	}
	for key, rules := range got {
		for _, rule := range []Rule{Unique, Ordered} {
			require.False(t, rules[rule] && !want[key][rule], "seed %d, %d: %v: the oracle does not say %s\n%s", seed, ops, key, rule, r.String())
		}
	}
}

func TestOracleAgrees(t *testing.T) {
	for seed := range uint64(60) {
		compare(t, seed, int(seed%8))
	}
}

func FuzzOracleAgrees(f *testing.F) {
	f.Add(uint64(1), uint8(1))
	f.Add(uint64(9), uint8(7))
	f.Fuzz(func(t *testing.T, seed uint64, ops uint8) { compare(t, seed, int(ops%16)) })
}
