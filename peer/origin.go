package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// maxCached is how many streams of an origin are remembered, so that a message costs no look-up of names in Streams.
const maxCached = 1 << 17

// origin is one life of another gateway, as this one receives it. Everything that calls Streams and Stream does it under
// mu, which the reader of a link holds while it waits for publish credit: so calls are one at a time and in order, also
// when a new link takes over.
type origin struct {
	core   *core
	member *member
	life   wire.Life
	// whole: it began when this gateway was there already, and not longer ago than peers are remembered. Whoever has
	// subscribed here is owed its streams from their first message on, as it may have been there before.
	whole bool
	last  atomic.Uint64 // the last batch that is held whole
	due   atomic.Int64  // when tick has something to do, +1; 0: nothing
	what  atomic.Uint32 // told, for those without the lock

	mu      sync.Mutex
	link    *link
	told    Change
	never   bool          // nothing has been told
	lostAt  time.Duration // when it is lost, if it has no link
	streams map[string]*remote
	key     []byte    // scratch
	plain   []byte    // scratch: a batch, decompressed
	reader  entries   // scratch
	places  []*remote // scratch: the dictionary of a batch
	holes   holes
}

// remote is one stream of an origin. A stream that is refused has the code, and is asked about again in each batch.
type remote struct {
	tenant, topic []byte
	run           uint32
	stream        Stream
	hole          *hole
	known         bool   // it has begun here
	began         uint64 // the first message that came while nothing was known of it here
	filled        bool   // what is older has been asked for
}

func newOrigin(c *core, m *member, life wire.Life) *origin {
	return &origin{core: c, member: m, life: life, never: true, streams: make(map[string]*remote)}
}

func (o *origin) change(what Change) {
	o.told, o.never = what, false
	o.what.Store(uint32(what))
	o.core.cfg.Streams.Changed(o.life, o.member.name, what)
}

// attach gives it a link.
func (o *origin) attach(l *link) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != l {
		o.suspend()
	}
	if o.never || o.link == nil {
		o.change(Met)
	}
	o.link, o.lostAt = l, 0
	o.schedule()
}

// detach takes a link away. What was asked for on it is asked for again if there is another one before the origin is lost.
func (o *origin) detach(l *link, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != l {
		return
	}
	o.link = nil
	if o.told == Left {
		o.abandon(now)
	}
	o.suspend()
	o.lostAt = now + o.core.cfg.Hold
	if o.core.cfg.without.hold {
		o.lostAt = now
	}
	o.schedule()
}

// restarted says that another life has taken over.
func (o *origin) restarted(now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandon(now)
	o.link, o.lostAt = nil, 0
	o.change(Restarted)
	o.schedule()
}

// leave notes that everything of it has come. What is still asked for will not, and is announced before.
func (o *origin) leave(now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandon(now)
	o.change(Left)
}

// state is how it is without a link.
func (o *origin) state() string {
	switch Change(o.what.Load()) {
	case Lost:
		return "lost"
	case Left:
		return "left"
	case Met, Restarted:
	}
	return "away"
}

// schedule sets when tick has something to do.
func (o *origin) schedule() {
	at := o.holes.deadline()
	if o.link == nil && o.told == Met && !o.never && (at == 0 || o.lostAt < at) {
		at = o.lostAt
	}
	if at != 0 {
		at++
	}
	o.due.Store(int64(at))
}

func (o *origin) dueAt(now time.Duration) bool {
	due := o.due.Load()
	return due != 0 && int64(now) >= due-1
}

// tick gives up what was not answered in time, and says that the origin is lost. If somebody is at work for this origin
// it is left to the next tick.
func (o *origin) tick(now time.Duration) {
	if !o.mu.TryLock() {
		return
	}
	defer o.mu.Unlock()
	if o.link == nil || o.link.reading.Load() == 0 {
		o.expire(o.core.ctx, now)
	}
	if o.link == nil && o.told == Met && !o.never && now >= o.lostAt {
		o.abandon(now)
		o.change(Lost)
	}
	o.schedule()
}

// batch takes a BATCH. An error ends the link; the batch has not been taken then, and comes again.
func (o *origin) batch(ctx context.Context, now time.Duration, body []byte) error {
	seq, flags, raw, err := parseBatch(body)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	last := o.last.Load()
	if seq <= last && !o.core.cfg.without.oldBatch {
		o.member.tally.duplicateBatches.Add(1)
		return nil
	}
	if seq > last+1 && !o.core.cfg.without.oldBatch {
		return &CloseError{Why: Broken, Text: fmt.Sprintf("batch %d comes after %d", seq, last)}
	}
	if flags&flagS2 != 0 {
		if o.plain, err = expand(o.plain, raw, o.core.cfg.without.bomb); err != nil {
			return err
		}
		raw = o.plain
	}
	if err := o.messages(ctx, now, raw); err != nil {
		return err
	}
	o.last.Store(seq)
	o.schedule()
	if cap(o.plain) > 4*fullBatch {
		o.plain = nil
	}
	return nil
}

func (o *origin) messages(ctx context.Context, now time.Duration, raw []byte) error {
	r := &o.reader
	r.f, r.next = fields{t: typeBatch, b: raw}, r.next[:0]
	places := o.places[:0]
	n := uint64(0)
	for {
		e, ok := r.take()
		if !ok {
			break
		}
		if e.fresh {
			places = append(places, o.place(&e))
		}
		n++
		if to := places[e.stream]; to != nil {
			if err := o.deliver(ctx, now, to, e.offset, e.payload); err != nil {
				return err
			}
		}
	}
	o.places = places
	o.member.tally.batchesIn.Add(1)
	o.member.tally.messagesIn.Add(n)
	return r.f.err
}

// place is the stream of a new dictionary entry; nil if its messages are refused.
func (o *origin) place(e *entry) *remote {
	if e.foreign && !o.core.cfg.without.foreign {
		o.member.tally.forged.Add(1)
		return nil
	}
	return o.remote(e.tenant, e.topic, e.run)
}

// remote finds or makes a stream; nil if it is refused.
func (o *origin) remote(tenant, topic []byte, run uint32) *remote {
	if r := o.find(tenant, topic, run); r != nil {
		return r
	}
	err := checkTenant(tenant)
	if err == nil {
		err = wire.CheckTopic(topic)
	}
	if err != nil {
		o.member.tally.refuse(wire.CodeBadTopic)
		return nil
	}
	stream, err := o.core.cfg.Streams.Stream(o.life|wire.Life(run), tenant, topic)
	if err != nil {
		o.member.tally.refuse(wire.CodeOf(err))
		return nil
	}
	if len(o.streams) >= maxCached {
		o.uncache()
	}
	if o.whole && stream.Next() == 0 && !o.core.cfg.without.whole {
		stream.Miss(1) // it begins there
	}
	r := &remote{tenant: append([]byte(nil), tenant...), topic: append([]byte(nil), topic...), run: run, stream: stream}
	o.streams[string(o.key)] = r
	return r
}

// find leaves the stream's key in o.key.
func (o *origin) find(tenant, topic []byte, run uint32) *remote {
	o.key = append(append(append(o.key[:0], tenant...), '/'), topic...)
	if run != 0 {
		o.key = append(o.key, 0, byte(run), byte(run>>8), byte(run>>16))
	}
	return o.streams[string(o.key)]
}

// uncache forgets all streams but those that wait for something.
func (o *origin) uncache() {
	for key, r := range o.streams {
		if r.hole == nil {
			delete(o.streams, key)
		}
	}
}

// deliver gives a live message to its stream. The only errors are those that end the link.
func (o *origin) deliver(ctx context.Context, now time.Duration, r *remote, offset uint64, payload []byte) error {
	if r.hole != nil && len(r.hole.held) > 0 {
		return o.hold(ctx, now, r, offset, payload)
	}
	if !r.known {
		r.known = true
		if r.stream.Next() == 0 {
			r.began = offset
		}
	}
	switch verdict, err := o.accept(ctx, r, offset, payload); {
	case err != nil:
		return err
	case verdict == Hole:
		return o.hold(ctx, now, r, offset, payload)
	default:
		return nil
	}
}

// accept gives a message to its stream. An error that is not that of ctx is the message's alone: it is counted, and the
// next one goes on.
func (o *origin) accept(ctx context.Context, r *remote, offset uint64, payload []byte) (Verdict, error) {
	verdict, err := r.stream.Accept(ctx, offset, payload)
	switch {
	case err != nil && ctx.Err() != nil:
		return verdict, &CloseError{Why: Failed, Text: "while it waited for publish credit"}
	case err != nil:
		o.member.tally.refuse(refusal(err))
		return Duplicate, nil
	case verdict == Duplicate:
		o.member.tally.duplicates.Add(1)
	}
	return verdict, nil
}

// refusal is the code of an error of a stream.
func refusal(err error) wire.Code {
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return wire.CodeOverload
}

// skip takes a SKIP: these batches will not come.
func (o *origin) skip(from, to uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := o.last.Load()
	if from > last+1 {
		return &CloseError{Why: Broken, Text: fmt.Sprintf("it skips from %d after %d", from, last)}
	}
	if to > last {
		if last > 0 { // else they were before this gateway's time
			o.member.tally.skippedIn.Add(to - last)
		}
		o.last.Store(to)
	}
	return nil
}
