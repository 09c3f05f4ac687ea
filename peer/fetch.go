package peer

import (
	"encoding/binary"

	"github.com/bellwire/bellwire/wire"
)

// Bounds of what is asked for and answered.
const (
	maxFetched = 256 << 10 // bytes of an answer, if it has more than one message
	maxTops    = 32 << 10  // bytes of one TOPS
	maxKept    = 1 << 16   // messages of an answer
)

// fetch asks for the offsets from, up to but not including to, of a stream of any origin.
type fetch struct {
	life          wire.Life // with its run
	tenant, topic []byte
	from, to      uint64
}

func (q fetch) body(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(q.life))
	dst = appendStr(appendStr(dst, q.tenant), q.topic)
	return wire.AppendVarint(wire.AppendVarint(dst, q.from), q.to)
}

func (q fetch) append(dst []byte) []byte {
	at := len(dst)
	return finish(q.body(begin(dst)), at, typeFetch)
}

func (f *fields) fetch() fetch {
	q := fetch{life: wire.Life(f.u64("life")), tenant: f.name("tenant", wire.MaxTenant), topic: f.name("topic", wire.MaxName)}
	q.from, q.to = f.varint("from"), f.varint("to")
	if q.from == 0 || q.to <= q.from {
		f.fail("it asks for nothing")
	}
	return q
}

func parseFetch(body []byte) (fetch, error) {
	f := fields{t: typeFetch, b: body}
	q := f.fetch()
	return q, f.end()
}

// What an answer says of the offsets that are not in it.
const (
	restGone = 0 // they are not kept
	restMore = 1 // those behind the last one were not looked at: ask again
)

// answer builds a FETCHED: the question, then each message (1, offset, age in seconds, payload), then 0 and what is with
// the rest.
type answer struct {
	frame []byte
	at    int
	n     int
	more  bool
}

func (a *answer) begin(dst []byte, q fetch) {
	*a = answer{at: len(dst), frame: q.body(begin(dst))}
}

// add reports whether there was room.
func (a *answer) add(k Kept) bool {
	if a.n > 0 && len(a.frame)-a.at+len(k.Payload) > maxFetched || a.n == maxKept || len(k.Payload) > maxPayload {
		a.more = a.n > 0
		return false
	}
	a.n++
	a.frame = wire.AppendVarint(wire.AppendVarint(append(a.frame, 1), k.Offset), uint64(k.Age))
	a.frame = appendStr(a.frame, k.Payload)
	return true
}

func (a *answer) finish() []byte {
	rest := byte(restGone)
	if a.more {
		rest = restMore
	}
	return finish(append(a.frame, 0, rest), a.at, typeFetched)
}

// parseFetched reads a FETCHED. kept is appended to and aliases the body; offsets rise within what was asked for.
func parseFetched(body []byte, kept []Kept) (q fetch, _ []Kept, more bool, err error) {
	f := fields{t: typeFetched, b: body}
	q = f.fetch()
	last := q.from - 1
	for f.err == nil && f.bounded("mark", 1) == 1 {
		k := Kept{Offset: f.varint("offset"), Age: uint32(f.bounded("age", 1<<32-1)), Payload: f.bytes("payload", maxPayload)}
		if k.Offset <= last || k.Offset >= q.to || len(kept) >= maxKept {
			f.fail("an offset that was not asked for, or not in its place")
		}
		last = k.Offset
		kept = append(kept, k)
	}
	more = f.bounded("rest", restMore) == restMore
	if more && last < q.from {
		f.fail("more, but nothing so far")
	}
	return q, kept, more, f.end()
}

// top is where a stream of the sender stands.
type top struct {
	tenant, topic []byte
	run           uint32
	next          uint64
}

// topsWriter builds TOPS frames (28: any number of tenant str, topic str, run varint, next varint), each bounded.
type topsWriter struct {
	frames [][]byte
	open   []byte
}

func (w *topsWriter) add(tenant, topic string, next uint64) {
	if w.open == nil {
		w.open = begin(make([]byte, 0, 1<<10))
	}
	w.open = wire.AppendVarint(append(appendStr(appendStr(w.open, tenant), topic), 0), next)
	if len(w.open) > maxTops {
		w.close()
	}
}

func (w *topsWriter) close() {
	if w.open != nil {
		w.frames = append(w.frames, finish(w.open, 0, typeTops))
		w.open = nil
	}
}

// next reads one top; ok is false at the end and if there is an error.
func (f *fields) nextTop() (t top, ok bool) {
	if len(f.b) == 0 || f.err != nil {
		return t, false
	}
	t = top{tenant: f.name("tenant", wire.MaxTenant), topic: f.name("topic", wire.MaxName)}
	t.run, t.next = uint32(f.bounded("run", maxRun)), f.varint("next")
	if t.next == 0 {
		f.fail("next is 0")
	}
	return t, f.err == nil
}
