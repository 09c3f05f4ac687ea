package history

import "github.com/bellwire/bellwire/wire"

// topic is all that was published under one name.
type topic struct {
	name    string
	feeds   map[*origin]*feed
	streams []*stream
}

// feed is what one origin published to one topic, by number.
type feed struct {
	pubs    []pub
	certain uint64    // how many of them are in a stream
	refused uint64    // how many are in none
	streams []*stream // the lives of it, in the order in which they were seen
}

// pub is one message.
type pub struct {
	at     int64
	offset uint64 // 0: not known
	fate   fate
}

// fate is what is known of whether a message is in its stream.
type fate uint32

const (
	sent fate = iota // it may be
	accepted
	refused
	seen // somebody got it
)

// stream is one life of a topic.
type stream struct {
	topic   *topic
	life    wire.Life
	origin  *origin // nil until it is known
	feed    *feed   // nil until it is known
	numbers []uint64
	shift   int64 // what to add to an offset to have its number, as was last seen
}

func (c *Checker) topic(name string) *topic {
	t := c.topics[name]
	if t == nil {
		t = &topic{name: name, feeds: map[*origin]*feed{}}
		c.topics[name] = t
	}
	return t
}

func (t *topic) feed(o *origin) *feed {
	f := t.feeds[o]
	if f == nil {
		f = &feed{}
		t.feeds[o] = f
	}
	return f
}

// stream finds or makes a life of a topic.
func (c *Checker) stream(t *topic, life wire.Life) *stream {
	for i := len(t.streams) - 1; i >= 0; i-- {
		if st := t.streams[i]; st.life == life {
			c.bind(st)
			return st
		}
	}
	st := &stream{topic: t, life: life}
	t.streams = append(t.streams, st)
	c.bind(st)
	return st
}

// bind finds out whose stream it is, once something of that origin was delivered.
func (c *Checker) bind(st *stream) {
	if st.origin != nil {
		return
	}
	if st.origin = c.fleet.of(st.life); st.origin != nil {
		st.feed = st.topic.feed(st.origin)
		st.feed.streams = append(st.feed.streams, st)
	}
}

// learn notes that a position holds a message, and says what is wrong with that.
func (st *stream) learn(offset, number uint64) (Rule, string) {
	for uint64(len(st.numbers)) < offset {
		st.numbers = append(st.numbers, 0)
	}
	p := &st.feed.pubs[number-1]
	switch known := &st.numbers[offset-1]; {
	case *known == 0 && p.offset == 0:
		*known, p.offset = number, offset
		st.shift = int64(number) - int64(offset)
	case *known == 0:
		return Unique, "it was seen at another position as well"
	case *known != number:
		return True, "others got another message at this position"
	}
	st.feed.becomes(p, seen)
	return "", ""
}

// at is what is known of a position: nil if no message can be there.
func (st *stream) at(offset uint64) *pub {
	if st.feed == nil || offset == 0 {
		return nil
	}
	number := int64(offset) + st.shift
	if offset <= uint64(len(st.numbers)) && st.numbers[offset-1] != 0 {
		number = int64(st.numbers[offset-1])
	}
	if number < 1 || number > int64(len(st.feed.pubs)) {
		return nil
	}
	return &st.feed.pubs[number-1]
}

// top is the last position that surely holds a message, and most the last one that may.
func (st *stream) top() (sure, most uint64) {
	if st.feed == nil {
		return 0, 0
	}
	known := uint64(len(st.numbers))
	possible := uint64(len(st.feed.pubs)) - st.feed.refused
	if len(st.feed.streams) > 1 {
		return known, max(known, possible) // nobody may have seen where the one went over into the other
	}
	return max(known, st.feed.certain), max(known, possible)
}

// highest is an offset that nothing published lies beyond.
func (st *stream) highest() uint64 {
	if st.feed == nil {
		return 0
	}
	return uint64(max(len(st.numbers), len(st.feed.pubs)))
}

// becomes notes what is known of a message.
func (f *feed) becomes(p *pub, what fate) {
	if p.fate == refused || p.fate == seen {
		return
	}
	if p.fate == sent && what != refused {
		f.certain++
	}
	if what == refused {
		f.refused++
	}
	p.fate = what
}
