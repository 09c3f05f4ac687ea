package gateway

import (
	"encoding/binary"
	"fmt"

	"github.com/bellwire/bellwire/wire"
)

// counter is a device that counts, as chapter 11.2 of PROTOCOL.md says, beside an
// account of what it is owed. It complains about everything that the text does
// not allow.
type counter struct {
	m    *model
	name string
	// had outlives connections [W-6.7].
	had map[string]uint64

	recv  uint8
	names uint32
	c     *simConn
	nth   int // connection

	// What dies with a connection.
	subs     map[uint32]*counted // sent and not ended yet
	nextSub  uint32
	nameOf   map[wire.TopicID]string
	bound    map[wire.TopicID]*boundStream
	resuming map[wire.TopicID]bool
	accounts map[string]*account
	loose    bool   // positions behind gaps without an id cannot be accounted any more
	nameless uint64 // positions in gaps with id 0
	lacking  uint64 // positions that such gaps must have announced
	blocked  bool   // its socket was full once
	closing  bool
	seq      uint64
}

// counted is a subscription as its device sees it.
type counted struct {
	q          wire.Subscribe
	answered   bool
	live, ends bool // LIVE was said; UNSUBSCRIBE was sent
	alone      bool // no other one matched its filter when it was asked for
	from       map[string]uint64
}

type boundStream struct{ next uint64 }

func (d *counter) problem(format string, args ...any) {
	d.m.problem(d.name+": "+format, args...)
}

func (d *counter) connect(loop int) {
	d.nth++
	d.subs, d.nameOf, d.bound = map[uint32]*counted{}, map[wire.TopicID]string{}, map[wire.TopicID]*boundStream{}
	d.resuming, d.accounts = map[wire.TopicID]bool{}, map[string]*account{}
	d.loose, d.nameless, d.lacking, d.blocked, d.closing = false, 0, 0, false, false
	d.c = d.m.connect(loop)
	h := hello(d.name)
	h.Recv, h.Names = d.recv, d.names
	d.c.write(h.Append(nil))
}

func (d *counter) open() bool { return d.c != nil && !d.c.closed && !d.closing }

// subscribe sends one, with a cursor if it has one and is asked for it.
func (d *counter) subscribe(q wire.Subscribe) {
	d.nextSub++
	q.Sub = d.nextSub
	if q.Start == wire.StartCursor {
		q.Cursor = wire.Cursor{}
		if had, ok := d.had[string(q.Filter)]; ok {
			q.Cursor = q.Cursor.AppendPosition(wire.Position{Life: d.m.g.life, Offset: had})
		}
	}
	alone := !d.wants(string(q.Filter), nil)
	d.subs[q.Sub] = &counted{q: q, alone: alone}
	d.c.write(q.Append(nil))
}

func (d *counter) wants(topic string, which func(*counted) bool) bool {
	for _, s := range d.subs {
		if wire.Match(string(s.q.Filter), topic) && (which == nil || which(s)) {
			return true
		}
	}
	return false
}

func (d *counter) tracks(topic string) bool {
	return d.wants(topic, func(s *counted) bool { return s.q.Track && (!wire.IsWildcard(s.q.Filter) || d.names > 0) })
}

// read handles everything that has come.
func (d *counter) read() {
	if d.c == nil {
		return
	}
	for {
		f, ok := d.c.next()
		if !ok {
			return
		}
		if n := 1 + wire.VarintLen(uint64(len(f.body))) + len(f.body); n > 1<<d.recv {
			d.problem("%s of %d bytes does not fit", f.t, n)
		}
		d.m.note("%s < %s", d.name, decoded(d.m.t, f))
		d.frame(f)
	}
}

func (d *counter) frame(f simFrame) {
	switch f.t.Base() {
	case wire.TypeSubscribed:
		s, err := wire.ParseSubscribed(f.body)
		d.m.must(err)
		d.subscribed(s)
	case wire.TypeUnsubscribed:
		u, err := wire.ParseUnsubscribed(f.body)
		d.m.must(err)
		if s := d.subs[u.Sub]; s != nil {
			delete(d.subs, u.Sub)
			d.end(s)
		}
		for id := range d.bound {
			if _, tracked := d.due(d.nameOf[id]); tracked == 0 {
				delete(d.bound, id)
			}
		}
	case wire.TypeTopic:
		p, err := wire.ParseTopic(f.body)
		d.m.must(err)
		if d.names == 0 { // [W-4.7]
			d.problem("TOPIC to a device without room for names")
		}
		d.nameOf[p.Topic] = string(p.Name)
	case wire.TypeStream:
		s, err := wire.ParseStream(f.body)
		d.m.must(err)
		d.stream(s)
	case wire.TypeGap:
		g, err := wire.ParseGap(f.body)
		d.m.must(err)
		d.gap(g)
	case wire.TypeMessage:
		m, err := wire.ParseMessage(f.t, f.body)
		d.m.must(err)
		d.message(m)
	case wire.TypeLive:
		l, err := wire.ParseLive(f.body)
		d.m.must(err)
		s := d.subs[l.Sub]
		switch {
		case s == nil:
			d.problem("LIVE for %d, which is not in use", l.Sub)
		case s.live || s.q.Start == wire.StartNow || wire.IsWildcard(s.q.Filter):
			d.problem("LIVE for %d, which awaits none", l.Sub)
		default:
			s.live = true
			for id, name := range d.nameOf {
				if name == string(s.q.Filter) {
					d.resuming[id] = false
				}
			}
		}
	case wire.TypeClose:
		c, err := wire.ParseClose(f.body)
		d.m.must(err)
		if c.Code != wire.CodeSlow || !d.blocked {
			d.problem("CLOSE %s", c.Code)
		}
		d.closing = true
	case wire.TypeWelcome, wire.TypeAck, wire.TypeCredit:
	default:
		d.problem("%s came", f.t)
	}
}

func (d *counter) subscribed(s wire.Subscribed) {
	sub := d.subs[s.Sub]
	if sub == nil || sub.answered {
		d.problem("SUBSCRIBED %d answers nothing", s.Sub)
		return
	}
	sub.answered = true
	if s.Code == wire.CodeReplayBusy && d.m.g.limits.Load().Replays == 1 {
		delete(d.subs, s.Sub)
		return
	}
	if s.Code.Class() != wire.ClassFine {
		d.problem("SUBSCRIBED %d: %s", s.Sub, s.Code)
		return
	}
	d.begin(sub)
	if s.Topic != 0 {
		d.nameOf[s.Topic] = string(sub.q.Filter)
		d.resuming[s.Topic] = sub.q.Start == wire.StartCursor && s.Code != wire.CodeOKLiveOnly
	}
}

func (d *counter) stream(s wire.Stream) {
	name, ok := d.nameOf[s.Topic]
	switch {
	case !ok:
		d.problem("STREAM of id %d, which was not told", s.Topic)
		return
	case !d.tracks(name):
		d.problem("STREAM of %s, which nothing tracks", name)
		return
	case s.Origin != ownOrigin || s.Flags != wire.StreamMain || s.Life != d.m.g.life:
		d.problem("STREAM %+v", s)
	}
	old := d.bound[s.Topic]
	if a := d.accounts[name]; old != nil && a != nil && a.tracked != 0 && a.tracked <= old.next && s.Next > max(old.next, a.due) {
		d.problem("STREAM of %s goes on at %d, but nothing said what became of %d…", name, s.Next, old.next)
	}
	d.bound[s.Topic] = &boundStream{next: s.Next}
	had, ok := d.had[name]
	if !ok {
		if had = s.Next - 1; d.resuming[s.Topic] {
			had = 0
		}
		d.had[name] = had
	}
	if s.Next > had+1 {
		d.had[name] = s.Next - 1
	}
}

func (d *counter) gap(g wire.Gap) {
	name := d.nameOf[g.Topic]
	if g.Topic != 0 && name == "" {
		d.problem("GAP of id %d, which was not told", g.Topic)
		return
	}
	switch g.Reason {
	case wire.ReasonSlow, wire.ReasonSuperseded:
		if !d.blocked {
			d.problem("GAP %s of %s, but it never was behind", g.Reason, name)
		}
	case wire.ReasonOwn:
		if !d.wants(name, func(s *counted) bool { return s.q.NoEcho }) || !d.tracks(name) {
			d.problem("GAP own of %s", name)
		}
	case wire.ReasonTooBig:
		if d.recv > wire.MinFrameLog {
			d.problem("GAP too big of %s", name)
		}
	case wire.ReasonNotKept:
		if !d.m.smallRings {
			d.problem("GAP not kept of %s", name)
		}
	default:
		d.problem("GAP %s", g.Reason)
	}
	if g.Count == 0 {
		d.problem("GAP of no known size")
	}
	if g.Topic == 0 {
		d.nameless += g.Count
		return
	}
	if s := d.bound[g.Topic]; s != nil {
		s.next += g.Count
		if s.next-1 > d.had[name] {
			d.had[name] = s.next - 1
		}
	}
	if a := d.accounts[name]; a != nil && g.Reason != wire.ReasonOwn {
		a.pending += g.Count
	}
}

func (d *counter) message(msg wire.Message) {
	name := string(msg.Name)
	if msg.Name == nil {
		name = d.nameOf[msg.Topic]
	}
	if name == "" {
		d.problem("a message of id %d, which was not told", msg.Topic)
		return
	}
	said, ok := d.m.said[binary.BigEndian.Uint32(msg.Payload)]
	if !ok || said.topic != name {
		d.problem("a message of %s came as %s", said.topic, name)
		return
	}
	if !d.wants(name, nil) {
		d.problem("%s at %d came, which is not subscribed", name, said.offset)
	}
	if said.from == d.name && !d.wants(name, func(s *counted) bool { return !s.q.NoEcho }) {
		d.problem("%s at %d is its own", name, said.offset)
	}
	full := msg.Form == wire.OffsetFull
	if full && msg.Offset != said.offset {
		d.problem("%s at %d says that it is %d", name, said.offset, msg.Offset)
	}
	if !full && d.onlyReplays(name) {
		d.problem("%s at %d is replayed without its offset", name, said.offset)
	}
	a := d.accounts[name]
	s := d.bound[msg.Topic]
	if msg.Name != nil {
		s = nil
	}
	if s == nil {
		if a != nil && a.tracked != 0 && said.offset >= a.tracked {
			d.problem("%s at %d came before STREAM", name, said.offset)
		}
		d.uncounted(a, name, said.offset, full, msg.Name != nil)
		return
	}
	if msg.Form == wire.OffsetLow && msg.Offset != s.next&0xFF {
		d.problem("%s: check byte %x at %d", name, msg.Offset, s.next)
	}
	if full && said.offset < s.next {
		return // twice
	}
	if said.offset != s.next {
		d.problem("%s at %d came where %d was due", name, said.offset, s.next)
	}
	s.next = said.offset + 1
	d.had[name] = max(d.had[name], said.offset)
	if a != nil {
		a.covered, a.pending = max(a.covered, said.offset), 0
	}
}

// onlyReplays reports whether all that brings the topic is one subscription that
// LIVE is still to come for.
func (d *counter) onlyReplays(name string) bool {
	n, replays := 0, false
	for _, s := range d.subs {
		if !wire.Match(string(s.q.Filter), name) {
			continue
		}
		n++
		replays = s.alone && s.answered && s.q.Start != wire.StartNow && !wire.IsWildcard(s.q.Filter) && !s.live
	}
	return n == 1 && replays
}

// rest checks a device when all is quiet.
func (d *counter) rest() {
	if !d.open() {
		return
	}
	for _, s := range d.subs {
		if !s.answered {
			d.problem("SUBSCRIBE %d was never answered", s.q.Sub)
		}
		if s.q.Start != wire.StartNow && !wire.IsWildcard(s.q.Filter) && !s.live {
			d.problem("LIVE of %d never came", s.q.Sub)
		}
	}
	loose := d.loose
	for name, a := range d.accounts {
		loose = loose || a.loose
		top := d.m.next[name]
		if id, s := d.boundTo(name); s != nil && a.tracked != 0 {
			if max(s.next, a.due) != top {
				d.problem("%s (id %d) ends at %d, counted to %d", name, id, top, s.next)
			}
			continue
		}
		if a.tracked != 0 && a.tracked < top {
			d.problem("%s was never told as a stream", name)
		}
		if d.tooLong(name) {
			a.nameless = true
		}
		d.cover(a, name, top)
	}
	if !loose && d.lacking > d.nameless {
		d.problem("%d positions are missing without a name, announced were %d", d.lacking, d.nameless)
	}
}

func (d *counter) tooLong(name string) bool {
	return wire.Topic{Topic: 1, Name: []byte(name)}.Len() > 1<<d.recv
}

func (d *counter) boundTo(name string) (wire.TopicID, *boundStream) {
	for id, s := range d.bound {
		if d.nameOf[id] == name {
			return id, s
		}
	}
	return 0, nil
}

func (s *counted) String() string {
	return fmt.Sprintf("%d %s track %v start %d policy %s noecho %v", s.q.Sub, s.q.Filter, s.q.Track, s.q.Start, s.q.Policy, s.q.NoEcho)
}
