package client

import (
	"iter"
	"maps"
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// topic is what one connection knows of a topic. Its numbers die with it.
type topic struct {
	name    string
	origins []*origin // told by STREAM
	main    *origin   // of messages that name no origin
	// toldAll: the last announcement was for everyone, not for a subscription that replays.
	toldAll bool

	// Which subscriptions match; found again when the connection's generation moved on.
	generation uint64
	intakes    []*intake
	replaying  bool // some of them are between SUBSCRIBE with a start and LIVE
	tracked    bool // all count, also those that were unsubscribed and not let go yet
}

// origin is one stream of a topic, counted. On one connection there is one count:
// while a topic is replayed, its live messages wait at the gateway.
type origin struct {
	index  uint32
	life   wire.Life
	next   uint64 // the offset of what comes next; 0: unknown until the next STREAM
	high   uint64 // the highest that next ever was
	sparse bool   // offsets have holes that mean nothing; every message carries its own
	over   bool   // END was told
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

// count gives a message its offset [W-6.7]. again is true for one that was counted
// before.
func (o *origin) count(m wire.Message, check bool) (offset uint64, again bool, err error) {
	full := m.Form >= wire.OffsetFull
	switch {
	case o.sparse && !full:
		return 0, false, violated("message of the sparse life %v carries no offset", o.life)
	case o.sparse:
		offset = m.Offset
	case o.next == 0:
		return 0, false, violated("message of life %v, whose position was not told after a gap of unknown size", o.life)
	case full && m.Offset < o.next:
		return m.Offset, true, nil
	case full && m.Offset > o.next && check:
		return 0, false, violated("message of life %v has offset %d, %d was next", o.life, m.Offset, o.next)
	case m.Form == wire.OffsetLow && byte(m.Offset) != byte(o.next) && check:
		return 0, false, violated("message of life %v has check byte %#02x, %d was next", o.life, byte(m.Offset), o.next)
	default:
		offset = o.next
	}
	if offset == 0 || offset >= wire.MaxVarint {
		return 0, false, violated("message of life %v has offset %d", o.life, offset)
	}
	return offset, false, nil
}

// move sets the count.
func (o *origin) move(next uint64) {
	o.next, o.high = next, max(o.high, next)
}

// match finds the subscriptions that a topic's messages go to.
func (s *session) match(t *topic) {
	if t.generation == s.generation {
		return
	}
	t.generation, t.intakes, t.replaying = s.generation, t.intakes[:0], false
	t.tracked = s.welcome.Flags&wire.WelcomeResumes != 0
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
	t.tracked = t.tracked && !l.in.opts.untracked
	if l.leaving {
		return
	}
	t.replaying = t.replaying || l.replaying
	for _, in := range t.intakes {
		if in == l.in {
			return
		}
	}
	t.intakes = append(t.intakes, l.in)
}

// takers is the subscriptions that what comes now is for.
func (t *topic) takers() iter.Seq[*intake] {
	return func(yield func(*intake) bool) {
		for _, in := range t.intakes {
			if !in.awaits[t.name] && !yield(in) {
				return
			}
		}
	}
}

func (s *session) onTopic(f wire.Topic) error {
	t, err := s.name(f.Topic, string(f.Name))
	if t != nil {
		t.toldAll = true
	}
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
	o := t.origin(f.Origin)
	switch {
	case o == nil:
		o = &origin{index: f.Origin, life: f.Life}
		t.origins = append(t.origins, o)
	case o.life != f.Life:
		if !o.over && !s.opts.without.life {
			o.over = true
			for in := range t.takers() {
				in.end(&s.out, t.name, o.life, wire.EndRestarted)
			}
		}
		*o = origin{index: f.Origin, life: f.Life}
	default:
		o.over = false
	}
	o.move(f.Next)
	o.sparse = f.Flags&wire.StreamSparse != 0
	if f.Flags&wire.StreamMain != 0 {
		t.main = o
	}
	for in := range t.takers() {
		in.stream(&s.out, t, o)
		if !in.wildcard {
			s.placed(in)
		}
	}
	return nil
}

// onMessage places a message in its stream and hands it on: with onStream, onGap and
// onEnd the loop of level 1 [W-11.2].
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
	m := received{offset: f.Offset, replayed: f.Form >= wire.OffsetFull, payload: append([]byte{}, f.Payload...)}
	o := t.origin(f.Origin)
	if o == nil || o.over {
		if t.tracked && f.Name == nil {
			s.jumped(t, 0)
			return violated("message of %q, origin %d, which no STREAM told", t.name, f.Origin)
		}
		for in := range t.takers() {
			in.plain(&s.out, t, m)
		}
		return nil
	}
	offset, again, err := o.count(f, !s.opts.without.check)
	if err != nil {
		s.jumped(t, o.life)
		return err
	}
	if again && !s.opts.without.dedupe {
		return nil
	}
	m.offset = offset
	for in := range t.takers() {
		in.message(&s.out, t, o, m)
	}
	o.move(max(o.next, offset+1))
	return nil
}

// jumped tells that messages are missing which nobody announced [W-6.7].
func (s *session) jumped(t *topic, life wire.Life) {
	for in := range t.takers() {
		s.out.add(in, item{event: Gap{t.name, wire.ReasonLost, 0, life}})
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
	if o == nil || o.over || o.sparse || o.next == 0 || f.Count == 0 {
		gap := Gap{Topic: t.name, Reason: f.Reason, Count: f.Count}
		if o != nil {
			gap.Life = o.life
			if f.Count == 0 && !o.sparse {
				o.next = 0
			}
		}
		for in := range t.takers() {
			in.uncounted(&s.out, gap)
		}
		return nil
	}
	if f.Count > wire.MaxVarint-o.next {
		return violated("GAP of %d messages of %q", f.Count, t.name)
	}
	o.move(o.next + f.Count)
	for in := range t.takers() {
		in.gap(&s.out, t, o, o.next-1, f.Count, f.Reason)
	}
	return nil
}

// everyone tells a gap that concerns no single topic.
func (s *session) everyone(g Gap, wildcardsOnly bool) {
	some := slices.ContainsFunc(s.intakes, func(in *intake) bool { return in.wildcard })
	for _, in := range s.intakes {
		if in.wildcard || !wildcardsOnly || !some {
			in.uncounted(&s.out, g)
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
	for in := range t.takers() {
		in.end(&s.out, t.name, o.life, f.How)
	}
}
