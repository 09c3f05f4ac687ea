package gateway

import "github.com/bellwire/bellwire/fanout"

// slot is the part of a session that a delivery touches. Slots lie densely in
// chunks, 48 bytes each, so that a fan-out walks few cache lines.
type slot struct {
	fd    int32
	gen   uint32 // counts the sessions that had this slot
	taken uint32 // number of the last run of messages that it took
	flags slotFlags
	recv  uint8 // log2 of the largest frame the device takes

	head, tail uint32 // what was gathered for it this turn: nodes, 0: none

	next, prev fanout.Sub // wheel links, slot + 1
	due        uint32     // second at which the wheel looks
	seen       uint32     // second of the last whole frame received

	sess *session
}

type slotFlags uint16

const (
	flagOpen     slotFlags = 1 << iota // the socket may be written to
	flagBehind                         // the socket is full: what comes is queued
	flagNamed                          // deliveries to its wildcards carry the name
	flagNoEcho                         // some subscription wants no echo
	flagReplay                         // some topic is read from its ring
	flagSealed                         // a transport seals what is sent
	flagDirty                          // it is on the loop's dirty list
	flagPlain                          // some wildcard of it is not tracked
	flagWaits                          // its frames wait for their turn: read events leave them
	flagPicky                          // some wildcard is granted in part: each message is asked for
	flagProxied                        // a PROXY header is due first
	flagStranger                       // it has not proven who it is
)

// flagsSlow: deliveries need a closer look than the fast path takes.
const flagsSlow = flagBehind | flagNamed | flagNoEcho | flagReplay | flagPicky

const slotChunk = 1024

// slots are the slots of one loop. They grow by chunks, never move and never
// shrink.
type slots struct {
	chunks []*[slotChunk]slot
	free   []fanout.Sub
	open   int
	anyone bool // handles reach whoever has the slot now; tests only
}

func (t *slots) at(n fanout.Sub) *slot { return &t.chunks[n/slotChunk][n%slotChunk] }

// get is the slot's session if it is still that of the handle.
func (t *slots) get(h handle) *session {
	if int(h.slot/slotChunk) >= len(t.chunks) {
		return nil
	}
	if s := t.at(h.slot); s.gen == h.gen || t.anyone {
		return s.sess
	}
	return nil
}

func (t *slots) alloc() (fanout.Sub, *slot) {
	if len(t.free) == 0 {
		base := fanout.Sub(len(t.chunks) * slotChunk)
		t.chunks = append(t.chunks, new([slotChunk]slot))
		for i := fanout.Sub(slotChunk); i > 0; i-- {
			t.free = append(t.free, base+i-1)
		}
	}
	n := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.open++
	s := t.at(n)
	*s = slot{gen: (s.gen + 1) & genMask}
	return n, s
}

func (t *slots) release(n fanout.Sub) {
	s := t.at(n)
	*s = slot{fd: -1, gen: s.gen}
	t.free = append(t.free, n)
	t.open--
}

// forgetRuns makes all slots as if they had taken no run yet.
func (t *slots) forgetRuns() {
	for _, c := range t.chunks {
		for i := range c {
			c[i].taken = 0
		}
	}
}

// each calls fn for every session.
func (t *slots) each(fn func(*session)) {
	for _, c := range t.chunks {
		for i := range c {
			if s := c[i].sess; s != nil {
				fn(s)
			}
		}
	}
}
