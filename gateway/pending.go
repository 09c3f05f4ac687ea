package gateway

import (
	"bytes"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// outbound is what a session holds while it is behind or reads from rings. It
// holds references to shared frames, not copies.
type outbound struct {
	items    []item
	bytes    int // of the frames in items
	messages int // in items
	answers  int // bytes of the control frames in items
	joined   int // control frames beyond the first of their items
	first    int // no message stands before this index

	moved    uint32 // second at which the socket last took something
	buffered int    // what gnet held when we last looked
	listed   bool   // it is on the loop's list of those behind

	loose bool // gaps stand anywhere; only a test of the rule has it so

	replays  []replay
	replayed bool // it is on the loop's list of those that replay
}

type itemKind uint8

const (
	itemNone    itemKind = iota
	itemControl          // never dropped
	itemMessage
	itemGap
)

// item is one thing that waits, in order.
type item struct {
	kind   itemKind
	reason wire.Reason // of a gap
	policy wire.Policy // of a message
	at     uint32      // second at which it came
	id     wire.TopicID
	origin uint32
	count  uint64 // positions in a gap, or control frames beyond the first
	frame  []byte
	topic  *fanout.Topic
}

// itemsPerMessage times limits.pending_messages are the items that end a session
// that is behind with more than policies can keep small: gaps of very many topics,
// or answers that it does not read. Between any two messages may stand a gap, and
// squeezing has to leave half of the room.
const itemsPerMessage = 4

// pendingItems is the most that waits for one session.
func (l *Limits) pendingItems() int { return itemsPerMessage * l.PendingMessages }

// pendingAnswers is the most bytes of answers that wait for one session: no policy
// drops them, so they have a bound of their own. It is never less than what leaves
// in one send.
func (l *Limits) pendingAnswers() int { return max(l.PendingBytes, joinBytes) }

// mergeReach is how far back a gap looks for one to join.
const mergeReach = 64

func (o *outbound) push(it item) {
	switch it.kind {
	case itemMessage:
		o.messages++
	case itemControl:
		o.answers += len(it.frame)
	case itemNone, itemGap:
	}
	o.items = append(o.items, it)
	o.bytes += len(it.frame)
}

// joinedAnswers is how large an item gets that holds several answers.
const joinedAnswers = 1 * kib

// answer queues a copy of a control frame. Those next to each other share an item:
// most are much smaller than one is. t is the topic that it is about; nil: none.
func (o *outbound) answer(t *fanout.Topic, b []byte) {
	if last := len(o.items) - 1; last >= 0 {
		if it := &o.items[last]; it.kind == itemControl && it.topic == t && len(it.frame)+len(b) <= joinedAnswers {
			it.frame = append(it.frame, b...)
			it.count++
			o.joined++
			o.bytes += len(b)
			o.answers += len(b)
			return
		}
	}
	o.push(item{kind: itemControl, topic: t, frame: bytes.Clone(b)})
}

// pushMessage queues a message under its subscription's policy, within so many
// bytes and messages, and returns how many were dropped for it. What is dropped
// leaves a gap in its place.
func (o *outbound) pushMessage(it item, bytes, messages int) (dropped int) {
	if it.policy == wire.LatestOnly {
		for i := len(o.items) - 1; i >= 0; i-- {
			if old := &o.items[i]; old.kind == itemMessage && old.topic == it.topic && old.policy == wire.LatestOnly {
				o.toGap(i, wire.ReasonSuperseded)
				dropped++
				break
			}
		}
	}
	o.push(it)
	for o.messages > 0 && (o.bytes > bytes || o.messages > messages) {
		o.dropOldest()
		dropped++
	}
	return dropped
}

// dropOldest turns the oldest message into a gap; there is one.
func (o *outbound) dropOldest() {
	for o.items[o.first].kind != itemMessage {
		o.first++
	}
	o.toGap(o.first, wire.ReasonSlow)
}

// expire drops messages that came before a second.
func (o *outbound) expire(before uint32) (dropped int) {
	for o.messages > 0 {
		for o.items[o.first].kind != itemMessage {
			o.first++
		}
		if int32(o.items[o.first].at-before) >= 0 {
			break
		}
		o.dropOldest()
		dropped++
	}
	return dropped
}

// pushGap queues a gap that never was a message.
func (o *outbound) pushGap(t *fanout.Topic, id wire.TopicID, origin uint32, r wire.Reason, n uint64) {
	o.items = append(o.items, item{kind: itemGap, topic: t, id: id, origin: origin, reason: r, count: n})
	last := len(o.items) - 1
	if o.merge(last); o.items[last].kind == itemNone {
		o.items = o.items[:last]
	}
}

// toGap turns the message at i into a gap.
func (o *outbound) toGap(i int, r wire.Reason) {
	it := &o.items[i]
	o.bytes -= len(it.frame)
	o.messages--
	*it = item{kind: itemGap, topic: it.topic, id: it.id, origin: it.origin, reason: r, count: 1}
	if o.loose {
		o.items = append(o.items, *it)
		*it = item{}
		return
	}
	o.merge(i)
}

// merge joins the gap at i with one of the same stream before it. Gaps of other
// streams may stand between, since they say nothing about this one; control
// frames may not: STREAM sets the position anew.
func (o *outbound) merge(i int) {
	g := &o.items[i]
	for j := i - 1; j >= max(0, i-mergeReach); j-- {
		switch p := &o.items[j]; p.kind {
		case itemNone:
		case itemGap:
			if p.topic == g.topic && p.id == g.id && p.origin == g.origin && p.reason == g.reason {
				p.count += g.count
				*g = item{}
				return
			}
		case itemControl, itemMessage:
			return
		}
	}
}

// take appends what goes out next to dst, at most most bytes unless the first
// item alone is larger.
func (o *outbound) take(dst []byte, most int) []byte {
	i := 0
	for ; i < len(o.items); i++ {
		switch it := &o.items[i]; it.kind {
		case itemNone:
		case itemGap:
			if len(dst)+wire.MaxControl > most && len(dst) > 0 {
				return o.cut(i, dst)
			}
			dst = wire.Gap{Topic: it.id, Origin: it.origin, Reason: it.reason, Count: it.count}.Append(dst)
		case itemControl, itemMessage:
			if len(dst)+len(it.frame) > most && len(dst) > 0 {
				return o.cut(i, dst)
			}
			dst = append(dst, it.frame...)
			o.bytes -= len(it.frame)
			if it.kind == itemMessage {
				o.messages--
			} else {
				o.answers -= len(it.frame)
				o.joined -= int(it.count)
			}
		}
	}
	return o.cut(i, dst)
}

// forget throws away what is about topics that may is false for.
func (o *outbound) forget(may func(*fanout.Topic) bool) {
	kept := o.items[:0]
	for _, it := range o.items {
		if it.topic != nil && !may(it.topic) {
			o.bytes -= len(it.frame)
			switch it.kind {
			case itemMessage:
				o.messages--
			case itemControl:
				o.answers -= len(it.frame)
				o.joined -= int(it.count)
			case itemNone, itemGap:
			}
			continue
		}
		kept = append(kept, it)
	}
	clear(o.items[len(kept):])
	o.items, o.first = kept, 0
}

func (o *outbound) cut(n int, dst []byte) []byte {
	rest := copy(o.items, o.items[n:])
	clear(o.items[rest:])
	o.items = o.items[:rest]
	o.first = 0
	return dst
}

// squeeze removes the holes that merging left, and merges what stands too far
// apart for merge.
func (o *outbound) squeeze() {
	type stream struct {
		topic  *fanout.Topic
		id     wire.TopicID
		origin uint32
		reason wire.Reason
	}
	gaps := map[stream]int{} // since the last message or control frame: where
	kept := o.items[:0]
	for _, it := range o.items {
		switch it.kind {
		case itemNone:
			continue
		case itemGap:
			of := stream{it.topic, it.id, it.origin, it.reason}
			if at, ok := gaps[of]; ok {
				kept[at].count += it.count
				continue
			}
			gaps[of] = len(kept)
		case itemControl, itemMessage:
			clear(gaps)
		}
		kept = append(kept, it)
	}
	clear(o.items[len(kept):])
	o.items, o.first = kept, 0
}
