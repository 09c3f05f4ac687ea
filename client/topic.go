package client

import (
	"maps"
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// topic is what one connection knows of a topic. Its numbers die with it.
type topic struct {
	name    string
	origins []*origin // told by STREAM
	main    *origin   // of messages that name no origin

	// Which subscriptions match; found again when the connection's generation moved on.
	generation uint64
	intakes    []*intake
	replaying  bool // some of them are between SUBSCRIBE and LIVE
	listed     bool // some are not: live messages come whatever the replay does
}

// origin is one stream of a topic, counted.
type origin struct {
	index  uint32
	life   wire.Life
	next   uint64 // the offset of the next live message
	sparse bool   // offsets have holes that mean nothing; every message carries its own
	over   bool   // END was told

	// unplaced positions were announced by GAP while a replay and live messages
	// were mixed: the next check byte tells whether they were live.
	unplaced uint64
	// unsure: a GAP of unknown size was told; the next STREAM or check byte is believed.
	unsure bool
}

func (t *topic) origin(index uint32) *origin {
	if index == 0 {
		return t.main
	}
	for _, o := range t.origins {
		if o.index == index {
			return o
		}
	}
	return nil
}

func (t *topic) has(life wire.Life) bool {
	for _, o := range t.origins {
		if o.life == life && !o.over {
			return true
		}
	}
	return false
}

func (t *topic) sparse(life wire.Life) bool {
	for _, o := range t.origins {
		if o.life == life {
			return o.sparse
		}
	}
	return false
}

// count gives a live message its offset [W-6.2]. again is true for one that was
// counted before.
func (o *origin) count(m wire.Message, check bool) (offset uint64, again bool, err error) {
	offset = o.next
	switch m.Form {
	case wire.OffsetNone:
	case wire.OffsetLow:
		if d := uint64(byte(m.Offset) - byte(o.next)); d != 0 && check {
			if !o.unsure && d > o.unplaced {
				return 0, false, violated("message of life %v has check byte %#02x, %d was next", o.life, byte(m.Offset), o.next)
			}
			offset += d
		}
	default:
		if m.Offset < o.next {
			return m.Offset, true, nil
		}
		if d := m.Offset - o.next; !o.sparse && !o.unsure && d > o.unplaced && check {
			return 0, false, violated("message of life %v has offset %d, %d was next", o.life, m.Offset, o.next)
		}
		offset = m.Offset
	}
	if offset >= wire.MaxVarint {
		return 0, false, violated("offsets of life %v are used up", o.life)
	}
	o.unplaced -= min(o.unplaced, offset-o.next)
	return offset, false, nil
}

// match finds the subscriptions that a topic's messages go to.
func (s *session) match(t *topic) {
	if t.generation == s.generation {
		return
	}
	t.generation, t.intakes, t.replaying, t.listed = s.generation, t.intakes[:0], false, false
	for _, l := range s.exact[t.name] {
		s.matched(t, l)
	}
	for _, l := range s.wildcards {
		if wire.Match(l.in.filter, t.name) {
			s.matched(t, l)
		}
	}
}

func (s *session) matched(t *topic, l *link) {
	if !l.agreed || l.leaving {
		return
	}
	if l.replaying {
		t.replaying = true
	} else {
		t.listed = true
	}
	for _, in := range t.intakes {
		if in == l.in {
			return
		}
	}
	t.intakes = append(t.intakes, l.in)
}

func (s *session) onTopic(f wire.Topic) error {
	if known := s.topics[f.Topic]; known != nil {
		if known.name != string(f.Name) {
			return violated("topic id %d was %q and is %q", f.Topic, known.name, f.Name)
		}
		return nil
	}
	_, err := s.name(f.Topic, string(f.Name))
	return err
}

// name gives a topic its id on this connection.
func (s *session) name(id wire.TopicID, name string) (*topic, error) {
	if t := s.topics[id]; t != nil {
		if t.name != name {
			return nil, violated("topic id %d was %q and is %q", id, t.name, name)
		}
		return t, nil
	}
	if id == 0 {
		return nil, violated("topic %q has id 0", name)
	}
	if len(s.topics) >= maxNames {
		s.nameless = true
		return nil, nil
	}
	t := &topic{name: name}
	s.topics[id] = t
	return t, nil
}

func (s *session) onStream(f wire.Stream) error {
	t := s.topics[f.Topic]
	if t == nil {
		if s.nameless {
			return nil
		}
		return violated("STREAM of topic id %d, which was not told", f.Topic)
	}
	if f.Origin == 0 || f.Next == 0 || f.Next > wire.MaxVarint {
		return violated("STREAM of %q: origin %d, next %d", t.name, f.Origin, f.Next)
	}
	s.match(t)
	o, renewed := t.origin(f.Origin), false
	switch {
	case o == nil:
		o = &origin{index: f.Origin, life: f.Life, next: f.Next}
		t.origins = append(t.origins, o)
	case o.life != f.Life:
		if !o.over && !s.opts.without.life {
			for _, in := range t.intakes {
				s.out.add(in, item{event: Gap{t.name, wire.ReasonNotKept, 0, o.life}})
				in.end(&s.out, t.name, o.life, wire.EndRestarted)
			}
		}
		*o, renewed = origin{index: f.Origin, life: f.Life, next: f.Next}, true
	default:
		o.next, o.over = max(o.next, f.Next), false
	}
	o.sparse = f.Flags&wire.StreamSparse != 0
	if f.Flags&wire.StreamMain != 0 {
		t.main = o
	}
	for _, in := range t.intakes {
		in.stream(&s.out, t, o, renewed)
	}
	o.unsure = false
	return nil
}

func (s *session) onMessage(f wire.Message) error {
	t := s.topics[f.Topic]
	if f.Name != nil {
		t = s.named(string(f.Name))
	} else if t == nil {
		if s.nameless {
			s.everyone(Gap{Reason: wire.ReasonTooBig, Count: 1}, true)
			return nil
		}
		return violated("MESSAGE of topic id %d, which was not told", f.Topic)
	}
	s.match(t)
	if len(t.intakes) == 0 {
		return nil // it was under way when the last subscription ended
	}
	full := f.Form >= wire.OffsetFull
	o := t.origin(f.Origin)
	// Every message of a sparse stream carries its offset, so nothing tells its replay apart.
	replayed := full && t.replaying && (o == nil || !o.sparse)
	m := received{replayed: replayed, payload: append([]byte{}, f.Payload...)}
	if o == nil {
		for _, in := range t.intakes {
			in.plain(&s.out, t.name, m)
		}
		return nil
	}
	m.life = o.life
	if m.replayed {
		if f.Offset == 0 || f.Offset >= wire.MaxVarint {
			return violated("replayed message of %q has offset %d", t.name, f.Offset)
		}
		m.offset = f.Offset
		if !t.listed {
			o.next = max(o.next, m.offset+1) // the only count there is
		}
	} else {
		offset, again, err := o.count(f, !s.opts.without.check)
		if err != nil {
			s.jumped(t, o)
			return err
		}
		if !again {
			s.skip(t, o, offset)
			o.next = offset + 1
		}
		m.offset, o.unsure = offset, false
	}
	for _, in := range t.intakes {
		in.message(&s.out, t, m)
	}
	return nil
}

// skip places what a GAP announced without its place.
func (s *session) skip(t *topic, o *origin, to uint64) {
	if o.sparse || to == o.next || !o.unsure {
		return
	}
	for _, in := range t.intakes {
		if pos, known := in.had.at(t.name, o.life); known && pos+1 == o.next && in.replays[t.name] == nil {
			in.reach(&s.out, t.name, o.life, to-1)
		}
	}
}

// jumped tells that messages are missing which nobody announced.
func (s *session) jumped(t *topic, o *origin) {
	for _, in := range t.intakes {
		s.out.add(in, item{event: Gap{t.name, wire.ReasonLost, 0, o.life}})
	}
}

func (s *session) onGap(f wire.Gap) error {
	if f.Topic == 0 {
		// A name that does not fit concerns wildcards only.
		s.everyone(Gap{Reason: f.Reason, Count: f.Count}, f.Reason == wire.ReasonTooBig)
		return nil
	}
	t := s.topics[f.Topic]
	if t == nil {
		if s.nameless {
			return nil
		}
		return violated("GAP of topic id %d, which was not told", f.Topic)
	}
	s.match(t)
	o := t.origin(f.Origin)
	if o == nil || f.Count == 0 {
		gap := Gap{Topic: t.name, Reason: f.Reason, Count: f.Count}
		if o != nil {
			gap.Life, o.unsure = o.life, true
		}
		for _, in := range t.intakes {
			s.out.add(in, item{event: gap})
		}
		return nil
	}
	if f.Count > wire.MaxVarint-o.next {
		return violated("GAP of %d messages of %q", f.Count, t.name)
	}
	if t.replaying && t.listed {
		s.unplaced(t, o, f)
		return nil
	}
	o.next += f.Count
	for _, in := range t.intakes {
		in.gap(&s.out, t, o, o.next-1, f.Count, f.Reason)
	}
	return nil
}

// unplaced keeps a gap that may belong to a replay or to the live messages that
// come beside it. Replayed messages carry their offset and live ones a check
// byte, so the next message shows where it was.
func (s *session) unplaced(t *topic, o *origin, f wire.Gap) {
	for _, in := range t.intakes {
		if r := in.replays[t.name]; r != nil {
			r.reason = f.Reason
		}
	}
	if f.Reason != wire.ReasonNotKept {
		o.unplaced += f.Count
	}
}

// everyone tells a gap that concerns no single topic.
func (s *session) everyone(g Gap, wildcardsOnly bool) {
	for _, in := range s.intakes {
		if in.wildcard || !wildcardsOnly {
			s.out.add(in, item{event: g})
		}
	}
}

func (s *session) onEnd(f wire.End) error {
	if f.Topic != 0 {
		if t := s.topics[f.Topic]; t != nil {
			s.endOf(t, f)
		}
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(s.topics)) {
		s.endOf(s.topics[id], f)
	}
	return nil
}

func (s *session) endOf(t *topic, f wire.End) {
	o := t.origin(f.Origin)
	if o == nil || o.over {
		return
	}
	o.over = true
	s.match(t)
	for _, in := range t.intakes {
		in.end(&s.out, t.name, o.life, f.How)
	}
}
