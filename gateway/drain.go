package gateway

import (
	"math/bits"
	"time"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

const (
	// sliceTime is how long a loop delivers before it lets reads and accepts
	// have a turn.
	sliceTime = 250 * time.Microsecond
	// sliceCheck is the number of sends between two looks at the clock.
	sliceCheck = 32
	// roundBytes and roundNodes end gathering, so that the nodes of a round and
	// what one session is sent at once stay bounded.
	roundBytes = 256 * kib
	roundNodes = 512 * kib
	// joinBytes is the most that leaves in one send.
	joinBytes = 64 * kib
)

// run is a series of messages of one stream that stand next to each other in the
// mailbox. They share one walk and, for everyone who keeps up, the same bytes:
// that is what makes the 32nd message in flight almost free.
type run struct {
	walking bool
	direct  bool // nothing else was gathered: send while walking
	topic   *fanout.Topic
	stream  *fanout.Stream
	kind    entryKind
	missed  uint64 // positions that the entries are GAPs for
	entries []entry
	bytes   []byte
	log     uint8 // log2 of the largest frame, rounded up
	walk    fanout.Walk

	subs []fanout.Sub // the part of the walk that is under way
	link *fanout.Link
	skip int    // entries before the first one that link's group gets
	tell []byte // TOPIC and, if the group counts, STREAM that stand before bytes for link
	full []byte // tell + what the group gets of bytes
	tlog uint8  // as log, with TOPIC: whom it does not fit is never told
	slow slotFlags

	meter *tenant // who pays for the bytes; nil: nobody
	sent  int
}

// node is one piece of what a session has coming.
type node struct {
	b    []byte
	next uint32
}

// slice is the time that is left.
type slice struct {
	clock func() time.Time
	every int // sends between two looks at the clock
	end   time.Time
	n     int
}

func (l *loop) slice() slice {
	return slice{clock: l.clock, every: l.stride, end: l.clock().Add(sliceTime)}
}

func (s *slice) over(sends int) bool {
	if s.n += sends; s.n < s.every {
		return false
	}
	s.n = 0
	return !s.clock().Before(s.end)
}

// drain is the loop's turn: go on with the frames that wait, deliver what is in the
// mailbox, write each session once, and go on later when the time is over.
func (l *loop) drain() {
	l.readOn()
	sl := l.slice()
	if !l.deliver(&sl) {
		l.counters.yields.Add(1)
		l.wake()
		return
	}
	l.catchUp(&sl)
}

// catchUp gives those who are behind, or read from rings, their part. The tick
// calls it too, so that a mailbox that never empties does not keep them waiting.
func (l *loop) catchUp(sl *slice) {
	l.retryBehind()
	if !l.replaySome(sl) {
		l.wake()
	}
	if len(l.replays) > 0 {
		l.tickSoon()
	}
	l.reap()
}

// deliver works through the mailbox; false if the time was over first.
func (l *loop) deliver(sl *slice) bool {
	for {
		if l.run.walking && !l.walkOn(sl) {
			return false
		}
		if !l.resume(sl) {
			return false
		}
		l.recheckSome()
		l.tellEnds()
		if l.at == len(l.batch) || l.gotten >= roundBytes || len(l.nodes) >= roundNodes {
			if !l.flushAll(sl) {
				return false
			}
		}
		if l.at == len(l.batch) {
			clear(l.batch)
			l.batch = l.mail.take(l.batch[:0])
			l.at = 0
			if len(l.batch) == 0 {
				return true
			}
		}
		if e := &l.batch[l.at]; e.call != nil {
			l.at++
			e.call(l)
			continue
		}
		l.begin()
	}
}

// begin makes a run of the messages at the front of the batch.
func (l *loop) begin() {
	r := &l.run
	first := &l.batch[l.at]
	size, largest, missed, end := 0, 0, uint64(0), l.at
	for end < len(l.batch) {
		e := &l.batch[end]
		if e.stream != first.stream || e.kind != first.kind || e.call != nil || end > l.at && size+len(e.frame) > joinBytes {
			break
		}
		size += len(e.frame)
		missed += e.missed
		largest = max(largest, len(e.frame))
		end++
	}
	topic := first.stream.Topic()
	*r = run{
		walking: true, topic: topic, stream: first.stream, kind: first.kind, missed: missed, entries: l.batch[l.at:end], bytes: first.frame,
		log: logOf(largest), slow: flagsSlow, walk: topic.WalkFor(l.n, l.place(&l.batch[end-1])), direct: end == len(l.batch) && len(l.dirty) == 0,
	}
	if r.kind == entryStream {
		r.slow |= flagOpen // everybody: only who counts is told
	}
	if c := first.charge; c != nil && c.tenant.usage.meters() {
		r.meter = c.tenant
	}
	if len(r.entries) > 1 {
		start := len(l.arena)
		for i := range r.entries {
			l.arena = append(l.arena, r.entries[i].frame...)
		}
		r.bytes = l.arena[start:len(l.arena):len(l.arena)]
	}
	l.at = end
	l.gotten += size
	if l.runs++; l.runs == 0 {
		// The numbers begin anew: nobody may seem to have taken one of them.
		l.slots.forgetRuns()
		l.runs = 1
	}
}

// walkOn goes on with the walk over the run's subscribers.
func (l *loop) walkOn(sl *slice) bool {
	r := &l.run
	for {
		if len(r.subs) == 0 {
			var link *fanout.Link
			if r.subs, link = r.walk.Next(l.stride); len(r.subs) == 0 || link != nil && r.kind == entryStream {
				break // groups are told of a stream before the first that they get of it
			}
			l.follow(link)
		}
		subs := r.subs
		r.subs = nil
		l.deliverTo(subs)
		if sl.over(len(subs)) {
			return false
		}
	}
	if r.meter != nil {
		r.meter.usage.sent(r.sent)
	}
	for i := range r.entries {
		l.g.settle(r.entries[i].charge, l)
	}
	r.walking, r.entries, r.subs, r.topic, r.stream = false, nil, nil, nil, nil
	return true
}

// follow prepares what the members of a group get beside the run, if the walk
// has come to another group: being listed is being told (WIRE rule 6).
func (l *loop) follow(link *fanout.Link) {
	r := &l.run
	if link == r.link {
		return
	}
	r.link, r.tell, r.full, r.tlog, r.skip, r.slow = link, nil, r.bytes, r.log, 0, flagsSlow
	if link == nil {
		return
	}
	from, bytes := link.From(), r.bytes
	for r.skip < len(r.entries)-1 && l.place(&r.entries[r.skip]) < from {
		bytes = bytes[len(r.entries[r.skip].frame):]
		r.skip++
	}
	r.full = bytes
	t := r.topic
	if len(t.Name()) > alwaysFits && r.kind != entryCentral {
		r.tlog = max(r.log, logOf(topicFrame(t).Len()))
	}
	if r.kind == entryCentral || l.told(link, r.stream) || l.g.cfg.without.tell {
		return
	}
	r.slow |= flagPlain // who does not count is not told STREAM; or counts through another group
	start := len(l.arena)
	l.arena = topicFrame(t).Append(l.arena)
	if link.Group().Trackers() > 0 {
		l.arena = streamFrame(r.stream, r.entries[r.skip].offset).Append(l.arena)
	}
	end := len(l.arena)
	r.tell = l.arena[start:end:end]
	l.arena = append(l.arena, bytes...)
	r.full = l.arena[start:len(l.arena):len(l.arena)]
	l.setTold(link, r.stream)
}

// told reports whether a group was told about a stream since anyone joined it.
func (l *loop) told(link *fanout.Link, s *fanout.Stream) bool {
	o := s.Origin()
	if o == nil {
		return link.Told()
	}
	return link.ToldOf(o.Number(), l.era(o)) || l.g.cfg.without.told
}

// era is how often an origin has ended, as far as the mailbox has come.
func (l *loop) era(o *fanout.Origin) uint32 {
	if l.g.cfg.without.eras {
		return 0
	}
	return l.over[o.Number()].era
}

// place orders what was posted on a topic, whatever the stream.
func (l *loop) place(e *entry) uint64 {
	if l.g.cfg.without.numbers {
		return e.offset
	}
	return e.number
}

func (l *loop) setTold(link *fanout.Link, s *fanout.Stream) {
	o := s.Origin()
	if o == nil {
		link.SetTold()
		return
	}
	link.SetToldOf(o.Number(), l.era(o))
}

// alwaysFits is a length of names whose TOPIC frame fits every device.
const alwaysFits = 100

// deliverTo gives the run to some subscribers: the fast path of the product.
func (l *loop) deliverTo(subs []fanout.Sub) {
	r := &l.run
	b, log := r.full, r.tlog
	if r.link == nil {
		b, log = r.bytes, r.log
	}
	took := uint64(0)
	for i := len(subs) - 1; i >= 0; i-- {
		n := subs[i]
		s := l.slots.at(n)
		if s.taken == l.runs && !l.g.cfg.without.takeOnce {
			continue
		}
		s.taken = l.runs
		switch {
		case s.flags&r.slow != 0 || log > s.recv:
			l.deliverSlow(n, s)
			continue
		case r.direct && s.flags&flagDirty == 0:
			out := b
			if s.flags&flagSealed != 0 {
				l.sealed = s.sess.secure.Seal(l.sealed[:0], b)
				out = l.sealed
			}
			if sent, err := l.send(s.fd, out); err != nil || sent < len(out) {
				l.sentPart(s, out[max(sent, 0):], err)
			}
		default:
			l.gather(n, s, b)
		}
		took++
	}
	switch r.kind {
	case entryMessage, entryCentral:
		l.counters.messages.Add(took * uint64(len(r.entries)-r.skip))
	case entryGap:
		l.counters.gap(wire.ReasonLost, took*r.missed)
	case entryStream:
	}
	r.sent += int(took) * len(b)
	if r.direct {
		l.counters.sends.Add(took)
	}
}

// gather adds bytes to what a session has coming. They must stay as they are
// until the flush: shared frames and the arena do.
func (l *loop) gather(n fanout.Sub, s *slot, b []byte) {
	i := uint32(len(l.nodes))
	l.nodes = append(l.nodes, node{b: b})
	if s.head == 0 {
		s.head = i
	} else {
		l.nodes[s.tail].next = i
	}
	s.tail = i
	if s.flags&flagDirty == 0 {
		s.flags |= flagDirty
		l.dirty = append(l.dirty, n)
	}
}

// flushAll writes each session that has something coming; false if the time was
// over first.
func (l *loop) flushAll(sl *slice) bool {
	for l.flushed < len(l.dirty) {
		n := l.dirty[l.flushed]
		l.flushed++
		l.flush(l.slots.at(n))
		if sl.over(1) {
			return false
		}
	}
	l.dirty, l.flushed, l.gotten = l.dirty[:0], 0, 0
	clear(l.nodes)
	l.nodes, l.arena = l.nodes[:1], l.arena[:0]
	l.run.full, l.run.tell, l.run.bytes = nil, nil, nil
	if cap(l.arena) > 4*roundBytes {
		l.arena = nil
	}
	if cap(l.nodes) > roundNodes/8 {
		l.nodes = make([]node, 1, 64)
	}
	return true
}

// flush writes what one session has coming, joined.
func (l *loop) flush(s *slot) {
	head := s.head
	s.head, s.tail = 0, 0
	s.flags &^= flagDirty
	if head == 0 || s.flags&flagOpen == 0 {
		return
	}
	for head != 0 {
		b := l.nodes[head].b
		head = l.nodes[head].next
		if head != 0 && len(b) < joinBytes {
			l.scratch = append(l.scratch[:0], b...)
			for head != 0 && len(l.scratch)+len(l.nodes[head].b) <= joinBytes {
				l.scratch = append(l.scratch, l.nodes[head].b...)
				head = l.nodes[head].next
			}
			b = l.scratch
		}
		l.write(s, b)
	}
}

// logOf is the log2 of the smallest frame limit that n bytes fit.
func logOf(n int) uint8 { return uint8(bits.Len(uint(n - 1))) }
