package peer

import (
	"encoding/binary"

	"github.com/bellwire/bellwire/wire"
)

// Bounds of a batch. Its body is: seq varint, flags u8, then entries, S2-compressed if the flags say so.
const (
	fullBatch  = 256 << 10 // bytes of entries from which on no further message is added
	dueBatch   = 64 << 10  // bytes from which on it is sealed though nobody is hungry
	maxEntries = 4096      // of the dictionary of one batch
	// maxBody bounds the entries of a batch, decompressed: a full batch but for its last message.
	maxBody = fullBatch + maxFrame

	flagS2      = 1
	flagForeign = 1 // of a dictionary entry: a life follows
)

// slot is a stream's place in the dictionary of the batch that gathers.
type slot struct {
	k    uint64
	next uint64 // the offset that needs no new entry
}

// gather is a batch that messages are added to. Each entry is the number of a stream in the batch's own dictionary,
// what it is if the number is new, and the payload with its length.
type gather struct {
	entries  []byte
	places   map[uint64]slot
	lastKey  uint64
	last     slot // of lastKey
	streams  uint64
	messages int
	held     []Held
}

func newGather() *gather { return &gather{places: make(map[uint64]slot)} }

// hasRoom reports whether one more message may be added.
func (g *gather) hasRoom(payload int) bool {
	return g.messages == 0 || g.streams < maxEntries && len(g.entries)+payload <= fullBatch
}

func (g *gather) add(m *Message, run uint32) {
	s := g.last
	if g.messages == 0 || m.Key != g.lastKey {
		var known bool
		if s, known = g.places[m.Key]; !known {
			s.next = 0
		}
		if g.messages > 0 {
			g.places[g.lastKey] = g.last
		}
		g.lastKey = m.Key
	}
	if s.next == m.Offset && m.Offset != 0 {
		g.entries = wire.AppendVarint(g.entries, s.k)
	} else {
		s.k = g.streams
		g.streams++
		g.entries = wire.AppendVarint(g.entries, s.k)
		g.entries = append(appendStr(appendStr(g.entries, m.Tenant), m.Topic), 0)
		g.entries = wire.AppendVarint(wire.AppendVarint(g.entries, uint64(run)), m.Offset)
	}
	g.entries = appendStr(g.entries, m.Payload)
	s.next = m.Offset + 1
	g.last = s
	g.messages++
}

// reset makes it ready for the next batch. What grew much is let go.
func (g *gather) reset() {
	if cap(g.entries) > 2*fullBatch {
		g.entries = nil
	}
	if g.streams > 256 {
		g.places = make(map[uint64]slot)
	} else {
		clear(g.places)
	}
	g.entries, g.streams, g.messages, g.held = g.entries[:0], 0, 0, nil
	g.last, g.lastKey = slot{}, 0
}

// entry is one message of a batch. stream is its place in the batch's dictionary; what follows is set if fresh.
type entry struct {
	stream  int
	offset  uint64
	payload []byte

	fresh         bool
	tenant, topic []byte
	foreign       bool // life is that of somebody else
	life          wire.Life
	run           uint32
}

// entries reads a batch. next is scratch that may be used again.
type entries struct {
	f    fields
	next []uint64 // offset that comes next, by stream
}

// take reads one message; ok is false at the end and if there is an error, which is f.err. The message aliases the batch.
func (r *entries) take() (e entry, ok bool) {
	f := &r.f
	if len(f.b) == 0 || f.err != nil {
		return e, false
	}
	k := f.bounded("stream", uint64(len(r.next)))
	if f.err != nil {
		return e, false
	}
	e.stream = int(k)
	if e.fresh = e.stream == len(r.next); e.fresh {
		r.name(&e)
	}
	if f.err == nil {
		e.offset = r.next[e.stream]
		r.next[e.stream]++
	}
	e.payload = f.bytes("payload", maxPayload)
	return e, f.err == nil
}

// name reads a new entry of the dictionary.
func (r *entries) name(e *entry) {
	f := &r.f
	if len(r.next) == maxEntries {
		f.fail("too many streams")
		return
	}
	e.tenant, e.topic = f.name("tenant", wire.MaxTenant), f.name("topic", wire.MaxName)
	flags := f.u8("flags")
	if e.foreign = flags&flagForeign != 0; e.foreign {
		e.life = wire.Life(f.u64("life"))
	}
	if flags&^flagForeign != 0 {
		f.fail("unknown flags")
	}
	e.run = uint32(f.bounded("run", maxRun))
	first := f.varint("offset")
	if first == 0 || first > wire.MaxVarint-maxBody {
		f.fail("offset is out of range")
	}
	if f.err == nil {
		r.next = append(r.next, first)
	}
}

// appendBatch makes the frame of a batch whose entries are as they are to be sent.
func appendBatch(dst []byte, seq uint64, flags uint8, entries []byte) []byte {
	n := wire.VarintLen(seq) + 1 + len(entries)
	dst = wire.AppendVarint(append(dst, byte(typeBatch)), uint64(n))
	dst = append(wire.AppendVarint(dst, seq), flags)
	return append(dst, entries...)
}

// parseBatch reads the head of a batch; entries are as they came.
func parseBatch(body []byte) (seq uint64, flags uint8, entries []byte, err error) {
	f := fields{t: typeBatch, b: body}
	seq, flags = f.varint("seq"), f.u8("flags")
	if flags&^flagS2 != 0 {
		f.fail("unknown flags")
	}
	if f.err == nil && seq == 0 {
		f.fail("seq is 0")
	}
	return seq, flags, f.b, f.err
}

// lifeBytes is a life as it is in frames.
func lifeBytes(dst []byte, l wire.Life) []byte { return binary.BigEndian.AppendUint64(dst, uint64(l)) }
