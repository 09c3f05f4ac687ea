package gateway

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/bellwire/bellwire/wire"
)

// counter is a device that counts, as chapter 11.2 of PROTOCOL.md says, beside an
// account of what it is owed. It complains about everything that the text does
// not allow.
type counter struct {
	m    *model
	name string
	// had outlives connections [W-6.7].
	had map[streamID]uint64

	recv  uint8
	names uint32
	c     *simConn
	nth   int // connection

	// What dies with a connection.
	subs     map[uint32]*counted // sent and not ended yet
	nextSub  uint32
	nameOf   map[wire.TopicID]string
	bound    map[bindID]*boundStream
	resuming map[wire.TopicID]bool
	told     map[streamID]bool // by STREAM
	accounts map[streamID]*account
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
	cursor     map[streamID]uint64
	from       map[streamID]uint64
	known      map[streamID]bool // to the gateway when it took it
}

// bindID is what STREAM binds to a life.
type bindID struct {
	id     wire.TopicID
	origin uint32
}

type boundStream struct{ next uint64 }

func (d *counter) problem(format string, args ...any) {
	d.m.problem(d.name+": "+format, args...)
}

func (d *counter) connect(loop int) {
	d.nth++
	d.subs, d.nameOf, d.bound = map[uint32]*counted{}, map[wire.TopicID]string{}, map[bindID]*boundStream{}
	d.resuming, d.accounts, d.told = map[wire.TopicID]bool{}, map[streamID]*account{}, map[streamID]bool{}
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
	s := &counted{alone: !d.wants(string(q.Filter), nil)}
	if q.Start == wire.StartCursor {
		q.Cursor, s.cursor = wire.Cursor{}, map[streamID]uint64{}
		d.m.of(string(q.Filter), func(id streamID, p *posted) {
			had, ok := d.had[id]
			if q.Track && id.origin != ownOrigin && d.m.rng.IntN(8) == 0 {
				had, ok = max(had, d.m.top(id)+d.m.rng.Uint64N(4)), true // elsewhere it has had more
				d.had[id] = had
			}
			if ok {
				q.Cursor, s.cursor[id] = q.Cursor.AppendPosition(wire.Position{Life: p.life, Offset: had}), had
			}
		})
		if d.m.peers != nil && d.m.rng.IntN(8) == 0 {
			q.Cursor = q.Cursor.AppendPosition(wire.Position{Life: 0xBEEF, Offset: 7}) // nobody here knows it
		}
	}
	s.q = q
	d.subs[q.Sub] = s
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
		for at := range d.bound {
			if _, tracked := d.due(d.streamAt(at)); tracked == 0 {
				delete(d.bound, at)
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
	case wire.TypeEnd:
		e, err := wire.ParseEnd(f.body)
		d.m.must(err)
		d.over(e)
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
			d.settle(s)
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

// streamAt is the stream that an id and an origin index mean.
func (d *counter) streamAt(at bindID) streamID { return streamID{d.nameOf[at.id], at.origin} }

func (d *counter) stream(s wire.Stream) {
	name, ok := d.nameOf[s.Topic]
	at, id := bindID{s.Topic, s.Origin}, streamID{name, s.Origin}
	p := d.m.streams[id]
	switch {
	case !ok:
		d.problem("STREAM of id %d, which was not told", s.Topic)
		return
	case !d.tracks(name):
		d.problem("STREAM of %s, which nothing tracks", id)
		return
	case p == nil || s.Life != p.life || (s.Origin == ownOrigin) != (s.Flags == wire.StreamMain):
		d.problem("STREAM %+v", s)
		return
	}
	old := d.bound[at]
	if a := d.account(id); old != nil && a != nil && a.tracked != 0 && a.tracked <= old.next && s.Next > max(old.next, a.due) {
		d.problem("STREAM of %s goes on at %d, but nothing said what became of %d…", id, s.Next, old.next)
	}
	if a := d.account(id); old == nil && a != nil && a.tracked != 0 && p.within(max(a.tracked, a.due, a.ended), s.Next) {
		d.problem("STREAM of %s begins at %d, it is owed from %d", id, s.Next, max(a.tracked, a.due, a.ended))
	}
	d.bound[at] = &boundStream{next: s.Next}
	if sub := d.resumes(name); sub != nil && !d.told[id] && sub.known[id] && s.Next > sub.cursor[id]+1 {
		d.problem("STREAM of %s begins at %d, the cursor was at %d", id, s.Next, sub.cursor[id])
	}
	d.told[id] = true
	if a := d.account(id); a != nil {
		a.ended = 0
	}
	if _, ok := d.had[id]; !ok {
		if d.had[id] = s.Next - 1; d.resuming[s.Topic] {
			d.had[id] = 0
		}
	}
	d.had[id] = max(d.had[id], s.Next-1)
}

// resumes is the subscription that alone brings a topic, from a cursor that is not
// done.
func (d *counter) resumes(name string) (only *counted) {
	for _, s := range d.subs {
		if !wire.Match(string(s.q.Filter), name) {
			continue
		}
		if only != nil || !s.alone || s.q.Start != wire.StartCursor || s.live || s.known == nil {
			return nil
		}
		only = s
	}
	return only
}

// over takes an END [W-6.5]. What was posted before must have come.
func (d *counter) over(e wire.End) {
	if e.Topic != 0 && d.nameOf[e.Topic] == "" {
		d.problem("END of id %d, which was not told", e.Topic)
	}
	if d.m.peers == nil || !d.m.peers.hasEnded(e.Origin, e.How) {
		d.problem("END %s of origin %d", e.How, e.Origin)
		return
	}
	for at, s := range d.bound {
		if at.origin != e.Origin || e.Topic != 0 && at.id != e.Topic {
			continue
		}
		id := d.streamAt(at)
		if a := d.account(id); a != nil && a.tracked != 0 {
			// When policies change, what waits for a subscription that is over is thrown away.
			over := d.m.closed != nil && d.wants(id.topic, func(s *counted) bool { return s.ends })
			if s.next >= a.due && !d.m.streams[id].ends[s.next] && !over {
				d.problem("END of %s at %d, which is not where it ended", id, s.next)
			}
			a.ended = max(s.next, a.due)
		}
		delete(d.bound, at)
	}
}

// settle drops what the gateway does not know of a cursor [W-6.8].
func (d *counter) settle(s *counted) {
	if !d.counts(s, string(s.q.Filter)) {
		return
	}
	for id := range s.cursor {
		if d.told[id] {
			continue
		}
		if s.known[id] {
			d.problem("LIVE of %d, but STREAM of %s never came", s.q.Sub, id)
		}
		delete(d.had, id)
	}
}

func (d *counter) gap(g wire.Gap) {
	name := d.nameOf[g.Topic]
	if g.Topic != 0 && name == "" {
		d.problem("GAP of id %d, which was not told", g.Topic)
		return
	}
	id := streamID{name, g.Origin}
	switch g.Reason {
	case wire.ReasonSlow, wire.ReasonSuperseded:
		if !d.blocked {
			d.problem("GAP %s of %s, but it never was behind", g.Reason, id)
		}
	case wire.ReasonOwn:
		if !d.wants(name, func(s *counted) bool { return s.q.NoEcho }) || !d.tracks(name) {
			d.problem("GAP own of %s", id)
		}
	case wire.ReasonTooBig:
		if d.recv > wire.MinFrameLog {
			d.problem("GAP too big of %s", id)
		}
	case wire.ReasonNotKept:
		if !d.m.smallRings && g.Origin == ownOrigin {
			d.problem("GAP not kept of %s", id)
		}
	case wire.ReasonLost:
		if g.Origin == ownOrigin {
			d.problem("GAP lost of %s", id)
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
	p := d.m.streams[id]
	if p == nil {
		d.problem("GAP of %s, which is not known", id)
		return
	}
	if s := d.bound[bindID{g.Topic, g.Origin}]; s != nil {
		d.fits(g, id, p, s.next)
		s.next += g.Count
		d.had[id] = max(d.had[id], s.next-1)
	}
	if a := d.account(id); a != nil && g.Reason != wire.ReasonOwn {
		a.pending += g.Count
	}
}

// fits checks that a gap stands where its reason is true. Of those that have waited
// together it may be another one's.
func (d *counter) fits(g wire.Gap, id streamID, p *posted, from uint64) {
	if d.blocked {
		return
	}
	for o := from; o < from+g.Count; o++ {
		e, ok := p.at[o]
		switch {
		case g.Reason == wire.ReasonNotKept && !d.m.smallRings && !p.loose && ok && !e.lost,
			g.Reason == wire.ReasonLost && !e.lost,
			g.Reason == wire.ReasonOwn && e.from != d.name,
			g.Reason != wire.ReasonNotKept && !ok && !p.older[o]:
			d.problem("GAP %s of %s, %d from %d on: not true of %d", g.Reason, id, g.Count, from, o)
			return
		}
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
	id := said.in
	if !ok || id.topic != name {
		d.problem("a message of %s came as %s", id, name)
		return
	}
	full := msg.Form == wire.OffsetFull
	if msg.Name == nil && msg.Origin != id.origin && (msg.Origin != 0 || id.origin != ownOrigin || full) {
		d.problem("a message of %s came from origin %d", id, msg.Origin)
		return
	}
	if !d.wants(name, nil) {
		d.problem("%s at %d came, which is not subscribed", id, said.offset)
	}
	if said.from == d.name && !d.wants(name, func(s *counted) bool { return !s.q.NoEcho }) {
		d.problem("%s at %d is its own", id, said.offset)
	}
	if full && msg.Offset != said.offset {
		d.problem("%s at %d says that it is %d", id, said.offset, msg.Offset)
	}
	if !full && d.onlyReplays(name) {
		d.problem("%s at %d is replayed without its offset", id, said.offset)
	}
	a := d.account(id)
	s := d.bound[bindID{msg.Topic, id.origin}]
	if msg.Name != nil {
		s = nil
	}
	if s == nil {
		if a != nil && a.tracked != 0 && said.offset >= a.tracked {
			d.problem("%s at %d came before STREAM", id, said.offset)
		}
		d.uncounted(id, said.offset, full, msg.Name != nil)
		return
	}
	if msg.Form == wire.OffsetLow && msg.Offset != s.next&0xFF {
		d.problem("%s: check byte %x at %d", id, msg.Offset, s.next)
	}
	if full && said.offset < s.next {
		return // twice
	}
	if said.offset != s.next {
		d.problem("%s at %d came where %d was due", id, said.offset, s.next)
	}
	s.next = said.offset + 1
	d.had[id] = max(d.had[id], said.offset)
	if a != nil {
		a.covered, a.pending = max(a.covered, said.offset), 0
	}
}

// onlyReplays reports whether all that brings the topic is one subscription that
// LIVE is still to come for.
func (d *counter) onlyReplays(name string) bool {
	if d.m.peers != nil {
		return false // live ones of other streams may come between
	}
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
	for _, id := range d.m.order {
		d.restOf(id)
	}
	loose := d.loose
	for _, a := range d.accounts {
		loose = loose || a.loose
	}
	if !loose && d.lacking > d.nameless {
		d.problem("%d positions are missing without a name, announced were %d", d.lacking, d.nameless)
	}
}

// restOf checks what has come of one stream.
func (d *counter) restOf(id streamID) {
	at, s := d.boundTo(id)
	if s != nil && d.m.peers.isOver(id.origin) {
		d.problem("END of %s never came", id)
	}
	a := d.account(id)
	if a == nil {
		return
	}
	p, top := d.m.streams[id], d.m.top(id)
	if a.tracked != 0 && (s != nil || a.ended != 0) {
		next := a.ended
		if s != nil {
			next = s.next
		}
		if max(next, a.due) != top {
			d.problem("%s (id %d) ends at %d, counted to %d", id, at.id, top, next)
		}
		return
	}
	if a.tracked != 0 && p.within(a.tracked, math.MaxUint64) {
		d.problem("%s was never told as a stream", id)
	}
	if d.tooLong(id.topic) {
		a.nameless = true
	}
	d.cover(a, id, top)
}

// within reports whether anything was posted from a position on and before another.
func (p *posted) within(from, to uint64) bool {
	for o := range p.at {
		if o >= from && o < to {
			return true
		}
	}
	return false
}

func (d *counter) tooLong(name string) bool {
	return wire.Topic{Topic: 1, Name: []byte(name)}.Len() > 1<<d.recv
}

func (d *counter) boundTo(id streamID) (bindID, *boundStream) {
	for at, s := range d.bound {
		if d.streamAt(at) == id {
			return at, s
		}
	}
	return bindID{}, nil
}

func (id streamID) String() string { return fmt.Sprintf("%.14s/%d", id.topic, id.origin) }

func (s *counted) String() string {
	return fmt.Sprintf("%d %s track %v start %d policy %s noecho %v", s.q.Sub, s.q.Filter, s.q.Track, s.q.Start, s.q.Policy, s.q.NoEcho)
}
