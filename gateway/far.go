package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

const (
	// farMessages and farBytes bound a page: what is read of a central stream at once,
	// for one session.
	farMessages = 64
	farBytes    = 64 * kib
	// farReaders is how many pages are read at the same time.
	farReaders = 32
	// farPatience is how long a page may take.
	farPatience = 10 * time.Second
)

// bounds are the central streams that topics are bound to.
type bounds struct {
	streams CentralStreams // nil: there are none
	origins *lives
	readers chan struct{}
}

func newBounds(c Central) bounds {
	streams, _ := c.(CentralStreams)
	return bounds{streams: streams, origins: newLives(), readers: make(chan struct{}, farReaders)}
}

// boundTo is where the stream stands that a topic is bound to.
func (g *Gateway) boundTo(tenant, topic string) (wire.Position, bool) {
	if g.bounds.streams == nil {
		return wire.Position{}, false
	}
	return g.bounds.streams.Bound(tenant, topic)
}

// boundCopy is a topic's copy of the central stream with that life.
func (g *Gateway) boundCopy(t *fanout.Topic, life wire.Life) *fanout.Stream {
	return t.CopyOf(g.bounds.origins.get(life, func() *fanout.Origin {
		return fanout.NewSparseOrigin(uint64(life), g.originNumber())
	}))
}

// acceptBound delivers a message of a topic that is bound to a central stream. held is
// taken from the pool.
func (g *Gateway) acceptBound(t *fanout.Topic, at wire.Position, payload []byte, held *charge) {
	stream := g.boundCopy(t, at.Life)
	c := copied{g: g, tenant: held.tenant, stream: stream, number: originOf(stream)}
	c.accept(at.Offset, payload, held)
}

// CentralEnded says that a stream of the central service is no more: what comes of its
// topics has another life, or none.
func (g *Gateway) CentralEnded(life wire.Life) {
	if o := g.bounds.origins.find(life); o != nil {
		o.End()
		g.originEnds(o, wire.EndRestarted, new(atomic.Int32))
	}
}

// subscribeBound lists a session for an exact topic that is bound to a central stream,
// which stands at a position.
func (l *loop) subscribeBound(s *session, q wire.Subscribe, t *fanout.Topic, sub subscription, at wire.Position) {
	stream := l.g.boundCopy(t, at.Life)
	stream.BeginAt(at.Offset + 1)
	if q.Track {
		sub.flags |= subTracks
		t.Track(1)
	}
	had := s.interest(t, nil)
	l.noEcho(s, q)
	if !s.listed(t, -1) {
		t.Add(l.n, s.n)
	}
	s.subs = append(s.subs, sub)
	l.counters.subscriptions.Add(1)
	code := wire.CodeOK
	if q.Start == wire.StartLast {
		code, q.Start = wire.CodeOKLiveOnly, wire.StartNow
	}
	l.say(s, wire.Subscribed{Sub: q.Sub, Code: code, Topic: wire.TopicID(t.ID())}.Append(l.enc[:0]))
	if q.Start == wire.StartNow {
		l.startNow(s, t, had)
		return
	}
	from := uint64(1)
	if p, ok := q.Cursor.Find(at.Life); ok && q.Start == wire.StartCursor {
		from = p.Offset + 1
	}
	l.startKeptStream(s, q, stream, from, had)
}

// far is how a session reads a stream that the central service keeps: page by page.
type far struct {
	next   uint64 // position behind what was sent
	page   []farMessage
	upTo   uint64 // the page is all that there is up to here
	asking bool
	holed  wire.Reason // something before the page is missing; 0: nothing
}

type farMessage struct {
	offset  uint64
	payload []byte
}

// waits reports whether a page is on its way.
func (f *far) waits() bool { return f != nil && f.asking }

// readFar appends what has come of a page to b, and asks for the next one, or joins the
// live list if that has nothing before it.
func (l *loop) readFar(s *session, r *replay, d *replaying, b []byte) []byte {
	if r.far == nil {
		r.far = &far{next: r.reader.Offset()}
		l.askFar(s, r)
		return b
	}
	f := r.far
	if f.holed != 0 {
		b = l.replayedGap(b, d, f.holed, 0)
		next := f.upTo + 1
		if len(f.page) > 0 {
			next = f.page[0].offset
		}
		if d.in.track {
			b = streamFrame(r.stream, next).Append(b)
		}
		f.holed = 0
	}
	for len(f.page) > 0 && len(b) < replayBytes {
		m := f.page[0]
		f.page = f.page[1:]
		b = l.replayed(b, d, fanout.Entry{Offset: m.offset, Frame: m.payload})
		f.next = m.offset + 1
	}
	if len(f.page) > 0 {
		return b
	}
	f.next = max(f.next, f.upTo+1)
	joined := false
	r.stream.Mark(func(next uint64) {
		if joined = f.next >= next; joined {
			r.phase, r.next, r.far = replayWaits, f.next, nil
			r.marker = l.postMarker(s, r.stream)
		}
	})
	if !joined {
		l.askFar(s, r)
	}
	return b
}

// askFar has the next page read, by a goroutine.
func (l *loop) askFar(s *session, r *replay) {
	r.far.asking = true
	g, h, stream := l.g, l.handle(s), r.stream
	tenant, topic := s.tenant.name, stream.Topic().Name()
	from := wire.Position{Life: wire.Life(stream.Life()), Offset: r.far.next - 1}
	go func() {
		page, upTo, holed := g.readPage(tenant, topic, from)
		l.mail.post(entry{call: func(l *loop) { l.farCame(h, stream, page, upTo, holed) }})
	}()
}

// readPage reads what is behind a position. If it cannot, that is a hole as well, up to
// where the stream stands as far as is known here.
func (g *Gateway) readPage(tenant, topic string, from wire.Position) (page []farMessage, upTo uint64, holed wire.Reason) {
	if g.bounds.streams == nil {
		return nil, from.Offset, wire.ReasonCentral // it crosses over, and nobody keeps it
	}
	ctx, cancel := context.WithTimeout(g.ctx, farPatience)
	defer cancel()
	select {
	case g.bounds.readers <- struct{}{}:
		defer func() { <-g.bounds.readers }()
	case <-ctx.Done():
		return nil, from.Offset, wire.ReasonCentral
	}
	size := 0
	end, whole, err := g.bounds.streams.Replay(ctx, tenant, topic, from, farMessages, func(offset uint64, payload []byte) bool {
		page = append(page, farMessage{offset, payload})
		size += len(payload)
		return size < farBytes
	})
	if err != nil || end.Life != from.Life {
		return nil, from.Offset, wire.ReasonCentral
	}
	if !whole {
		holed = wire.ReasonNotKept
	}
	return page, end.Offset, holed
}

// farCame takes a page.
func (l *loop) farCame(h handle, stream *fanout.Stream, page []farMessage, upTo uint64, holed wire.Reason) {
	s := l.slots.get(h)
	if s == nil || s.closed {
		return
	}
	r := s.out.replayOf(stream)
	if r == nil || !r.far.waits() {
		return
	}
	f := r.far
	f.asking, f.page, f.upTo, f.holed = false, page, upTo, holed
	if holed == wire.ReasonCentral {
		// What was not read is announced; the live list goes on where it stands.
		f.upTo = max(upTo, stream.Next()-1)
	}
	l.readSoon(s)
}
