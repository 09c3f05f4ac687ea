package peer

import (
	"container/list"
	"context"
	"slices"
	"time"

	"github.com/bellwire/bellwire/wire"
)

const (
	maxFetches   = maxAsked        // questions under way to one origin
	fetchWithin  = 2 * time.Second // for an answer: on a slow line it comes behind what is under way
	maxHeld      = 256             // messages that wait behind a hole, per stream
	maxHeldBytes = 4 << 20         // of all streams of an origin, held and older ones that are on their way
	olderWanted  = 256             // messages that are asked for of a stream that is not known
	maxWanted    = maxCached       // streams that wait until they may ask
)

// hole is what a stream lacks, while it is asked for: messages that are delivered when they come (a gap between what is
// known and what came), or older ones that only rings keep.
type hole struct {
	stream   *remote
	from, to uint64
	upTo     uint64 // where the question that is under way ends: to, as it was then
	older    bool
	top      uint64        // what the origin says comes next; what lacks up to there is asked for after this
	asked    time.Duration // when; 0: it waits for its turn
	held     []Kept        // live ones behind it; or the older ones that have come so far
	bytes    int           // of held
	place    *list.Element // in wanted, while it is there
}

// holes are those of one origin, in the order in which they ask.
type holes struct {
	asked  []*hole   // oldest first
	wanted list.List // of *hole. A peer chooses how many and which go early, so none may cost a walk
	bytes  int
}

// deadline is when the oldest question is given up; 0: none is under way.
func (h *holes) deadline() time.Duration {
	if len(h.asked) == 0 {
		return 0
	}
	return h.asked[0].asked + fetchWithin
}

// unlist takes one from the list that it is in, if any.
func (h *holes) unlist(one *hole) {
	if one.place != nil {
		h.wanted.Remove(one.place)
		one.place = nil
		return
	}
	if i := slices.Index(h.asked, one); i >= 0 {
		h.asked = slices.Delete(h.asked, i, i+1)
	}
}

// want begins to ask for what a stream lacks. It reports whether it may.
func (o *origin) want(now time.Duration, h *hole) bool {
	if o.link == nil || o.holes.wanted.Len() >= maxWanted || o.core.cfg.without.fetch {
		return false
	}
	h.stream.hole = h
	h.place = o.holes.wanted.PushBack(h)
	o.holes.bytes += h.bytes
	o.askNext(now)
	return true
}

// askNext sends questions as long as there may be more under way.
func (o *origin) askNext(now time.Duration) {
	for o.holes.wanted.Len() > 0 && len(o.holes.asked) < maxFetches && o.link != nil {
		h := o.holes.wanted.Front().Value.(*hole)
		o.holes.unlist(h)
		o.askFor(now, h)
	}
}

func (o *origin) askFor(now time.Duration, h *hole) {
	h.asked, h.upTo = now, h.to
	o.holes.asked = append(o.holes.asked, h)
	q := o.question(h)
	o.link.say(q.append(nil))
}

func (o *origin) question(h *hole) fetch {
	r := h.stream
	return fetch{life: o.life | wire.Life(r.run), tenant: r.tenant, topic: r.topic, from: h.from, to: h.to}
}

// hold keeps a live message that is not the next one of its stream, and asks for what lies before.
func (o *origin) hold(ctx context.Context, now time.Duration, r *remote, offset uint64, payload []byte) error {
	h, top := r.hole, uint64(0)
	if h != nil && h.older {
		top = h.top
		if err := o.close(ctx, now, h, false); err != nil {
			return err
		}
		h = nil
	}
	if h == nil {
		h = &hole{stream: r, from: r.stream.Next(), to: offset, top: top}
		o.member.tally.holes.Add(1)
		if !o.want(now, h) {
			return o.giveUpFor(ctx, r, offset, payload)
		}
	}
	if len(h.held) >= maxHeld || o.holes.bytes+len(payload) > maxHeldBytes {
		if err := o.close(ctx, now, h, false); err != nil {
			return err
		}
		return o.giveUpFor(ctx, r, offset, payload)
	}
	if len(h.held) == 0 && offset < h.to {
		// The origin has said that it stands beyond: what comes live lacks no more.
		h.top, h.to = max(h.top, h.to), offset
	}
	h.held = append(h.held, Kept{Offset: offset, Payload: append([]byte(nil), payload...)})
	h.bytes += len(payload)
	o.holes.bytes += len(payload)
	return nil
}

// giveUpFor announces what lies before a message and delivers it.
func (o *origin) giveUpFor(ctx context.Context, r *remote, offset uint64, payload []byte) error {
	o.miss(r, offset)
	_, err := o.accept(ctx, r, offset, payload)
	return err
}

func (o *origin) miss(r *remote, next uint64) {
	if at := r.stream.Next(); at != 0 && next > at {
		o.member.tally.missed.Add(next - at)
	}
	r.stream.Miss(next)
}

// remove takes a hole from the lists.
func (o *origin) remove(h *hole) {
	h.stream.hole = nil
	o.holes.unlist(h)
	o.holes.bytes -= h.bytes
}

// close ends a hole: what has not come is missed, and what was held goes on. again: what lacks then may be asked for. If
// ctx ends the rest stays held, for whoever abandons it.
func (o *origin) close(ctx context.Context, now time.Duration, h *hole, again bool) error {
	o.remove(h)
	defer o.askNext(now)
	r := h.stream
	if h.older {
		o.fill(h)
		h.held = nil
	} else {
		o.miss(r, h.to)
	}
	for i, k := range h.held {
		verdict, err := o.accept(ctx, r, k.Offset, k.Payload)
		if err == nil && verdict == Hole {
			if again && o.want(now, h.behind(i)) {
				o.member.tally.holes.Add(1)
				return nil
			}
			o.miss(r, k.Offset)
			_, err = o.accept(ctx, r, k.Offset, k.Payload)
		}
		if err != nil {
			rest := h.behind(i)
			rest.asked, r.hole = now, rest
			o.holes.asked, o.holes.bytes = append(o.holes.asked, rest), o.holes.bytes+rest.bytes
			return err
		}
	}
	if known := r.stream.Next(); again && known != 0 && known < h.top {
		o.member.tally.holes.Add(1)
		if !o.want(now, &hole{stream: r, from: known, to: h.top}) {
			o.miss(r, h.top)
		}
	}
	return nil
}

// behind is the hole in front of what is held from i on.
func (h *hole) behind(i int) *hole {
	next := &hole{stream: h.stream, from: h.stream.stream.Next(), to: h.held[i].Offset, held: h.held[i:], top: h.top}
	for _, k := range next.held {
		next.bytes += len(k.Payload)
	}
	return next
}

// fill keeps the older messages that have come, and has the stream begin behind them if it has not yet.
func (o *origin) fill(h *hole) {
	r := h.stream
	if r.stream.Next() == 0 {
		r.stream.Miss(h.to)
	}
	older := h.held
	end := h.to
	if r.began != 0 {
		end = min(end, r.began)
	}
	for len(older) > 0 && older[len(older)-1].Offset >= end {
		older = older[:len(older)-1]
	}
	if len(older) > 0 && older[len(older)-1].Offset == end-1 {
		o.member.tally.backfilled.Add(uint64(len(older)))
		r.stream.Backfill(older)
	}
}

// fetched takes an answer.
func (o *origin) fetched(ctx context.Context, now time.Duration, q fetch, kept []Kept, more bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.schedule()
	var h *hole
	if life := q.life; life&^maxRun == o.life {
		if r := o.find(q.tenant, q.topic, uint32(life&maxRun)); r != nil {
			h = r.hole
		}
	}
	if h == nil || h.asked == 0 || q.from != h.from || q.to != h.upTo {
		o.member.tally.unasked.Add(1)
		return nil
	}
	o.member.tally.fetchedMessages.Add(uint64(len(kept)))
	if h.older {
		return o.fetchedOlder(ctx, now, h, kept, more)
	}
	for _, k := range kept {
		if k.Offset >= h.to {
			more = false
			break // it is held
		}
		o.miss(h.stream, k.Offset)
		if _, err := o.accept(ctx, h.stream, k.Offset, k.Payload); err != nil {
			return err // what was held is left to abandon
		}
	}
	if more {
		o.again(now, h, kept[len(kept)-1].Offset+1)
		return nil
	}
	return o.close(ctx, now, h, true)
}

func (o *origin) fetchedOlder(ctx context.Context, now time.Duration, h *hole, kept []Kept, more bool) error {
	for _, k := range kept {
		if more || len(h.held) > 0 {
			k.Payload = append([]byte(nil), k.Payload...)
			h.bytes += len(k.Payload)
			o.holes.bytes += len(k.Payload)
		}
		h.held = append(h.held, k)
	}
	if more && o.holes.bytes <= maxHeldBytes {
		o.again(now, h, kept[len(kept)-1].Offset+1)
		return nil
	}
	return o.close(ctx, now, h, true)
}

// again asks for the rest of what a hole is.
func (o *origin) again(now time.Duration, h *hole, from uint64) {
	if from >= h.to {
		from = h.to - 1
	}
	bytes := h.bytes
	o.remove(h)
	h.bytes = bytes
	o.holes.bytes += bytes
	h.from, h.stream.hole = from, h
	o.askFor(now, h)
}

// expire gives up questions that were not answered in time.
func (o *origin) expire(ctx context.Context, now time.Duration) {
	for len(o.holes.asked) > 0 && now >= o.holes.deadline() {
		if o.close(ctx, now, o.holes.asked[0], true) != nil {
			return
		}
	}
}

// postpone gives answers more time, as nothing has been read for so long.
func (o *origin) postpone(waited time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.holes.asked {
		h.asked += waited
	}
	o.schedule()
}

// suspend has all questions wait for another link: the one that they went to is gone.
func (o *origin) suspend() {
	for _, h := range slices.Backward(o.holes.asked) {
		h.asked, h.place = 0, o.holes.wanted.PushFront(h)
	}
	o.holes.asked = nil
}

// resume asks again, as soon as a link is up.
func (o *origin) resume(l *link, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link == l {
		o.askNext(now)
		o.schedule()
	}
}

// abandon gives up all questions: nobody is there to answer.
func (o *origin) abandon(now time.Duration) {
	link := o.link
	o.link = nil // so that nothing more is asked
	o.suspend()
	for o.holes.wanted.Len() > 0 {
		h := o.holes.wanted.Front().Value.(*hole)
		if o.close(o.core.ctx, now, h, false) != nil {
			break // the mesh closes: nothing goes on
		}
		if known := h.stream.stream.Next(); known != 0 && known < h.top {
			o.miss(h.stream, h.top)
		}
	}
	o.link = link
}

// tops takes a TOPS: where streams of the origin stand. What lacks here is asked for.
func (o *origin) tops(ctx context.Context, now time.Duration, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.schedule()
	f := fields{t: typeTops, b: body}
	for {
		t, ok := f.nextTop()
		if !ok {
			return f.end()
		}
		r := o.remote(t.tenant, t.topic, t.run)
		if r == nil {
			continue
		}
		if r.hole != nil {
			r.hole.top = max(r.hole.top, t.next)
			continue
		}
		if err := o.top(ctx, now, r, t.next); err != nil {
			return err
		}
	}
}

func (o *origin) top(ctx context.Context, now time.Duration, r *remote, next uint64) error {
	known := r.stream.Next()
	if known == 0 || r.began != 0 && !r.filled {
		to := next
		if known != 0 {
			to = r.began
		}
		r.filled = true
		if to > 1 && o.want(now, &hole{stream: r, older: true, from: max(to, olderWanted+1) - olderWanted, to: to, top: next}) {
			return nil
		}
		if known == 0 {
			r.stream.Miss(next)
		}
	}
	if known != 0 && known < next {
		o.member.tally.holes.Add(1)
		if !o.want(now, &hole{stream: r, from: known, to: next}) {
			o.miss(r, next)
		}
	}
	return ctx.Err()
}

// settled reports whether nothing is asked for.
func (o *origin) settled() bool {
	if !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	return len(o.holes.asked) == 0 && o.holes.wanted.Len() == 0
}
