package central

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/bellwire/bellwire/wire"
)

// following is how far one stream was read, and for whom.
type following struct {
	pokes chan struct{} // holds one: what is wanted may have changed

	mu      sync.Mutex
	begun   bool              // cursor counts
	cursor  uint64            // all that is wanted up to here was delivered
	top     uint64            // the last sequence that is known of
	exact   map[string]uint64 // subject: where it begins
	wild    map[string]uint64 // pattern: where it begins
	fresh   map[string]bool   // patterns and subjects whose beginning is not known yet
	edits   uint64            // of the subscriptions, as far as those were looked at
	begunAt uint64            // edits of which all has begun
	moved   chan struct{}     // closed when begunAt rises
}

func (f *following) init() {
	f.pokes = make(chan struct{}, 1)
	f.exact, f.wild, f.fresh, f.moved = map[string]uint64{}, map[string]uint64{}, map[string]bool{}, make(chan struct{})
}

func (f *following) poke() { signal(f.pokes) }

// want replaces what is wanted.
func (f *following) want(patterns []string, edits uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.edits = edits
	wanted := make(map[string]bool, len(patterns))
	for _, p := range patterns {
		wanted[p] = true
		if _, old := f.begins(p)[p]; !old {
			f.fresh[p] = true
		}
	}
	for _, m := range []map[string]uint64{f.exact, f.wild} {
		for p := range m {
			if !wanted[p] {
				delete(m, p)
			}
		}
	}
	for p := range f.fresh {
		if !wanted[p] {
			delete(f.fresh, p)
		}
	}
	if len(wanted) == 0 {
		f.begun = false
	}
	if len(f.fresh) == 0 {
		f.settle()
	}
}

// begins is where a pattern's beginning is noted.
func (f *following) begins(p string) map[string]uint64 {
	if isWild(p) {
		return f.wild
	}
	return f.exact
}

// isWild goes by tokens that are wildcards: an escaped subject has * and > nowhere else.
func isWild(p string) bool {
	return strings.ContainsAny(p, "*>")
}

// begin has what is fresh begin behind the last message that is in the stream.
func (f *following) begin(last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.top = max(f.top, last)
	for p := range f.fresh {
		f.begins(p)[p] = last
	}
	clear(f.fresh)
	f.settle()
}

// settle: all that is wanted has begun. The lock is held.
func (f *following) settle() {
	if f.begunAt != f.edits {
		f.begunAt = f.edits
		close(f.moved)
		f.moved = make(chan struct{})
	}
}

// wants reports whether a message is for anyone.
func (f *following) wants(subject string, seq uint64, whole bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.top = max(f.top, seq)
	if since, ok := f.exact[subject]; ok && (seq > since || whole) {
		return true
	}
	for p, since := range f.wild {
		if (seq > since || whole) && matches(p, subject) {
			return true
		}
	}
	return false
}

// settled reports whether all that was wanted after so many edits has begun; if not, what
// is closed when that may have changed.
func (f *following) settled(edits uint64) (bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begunAt >= edits, f.moved
}

func (f *following) position() (cursor uint64, begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor, f.begun
}

func (f *following) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.top
}

// ends takes note of where the stream does.
func (f *following) ends(last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.top = max(f.top, last)
}

func (f *following) advance(to uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = true
	f.cursor = max(f.cursor, to)
	f.top = max(f.top, to)
}

var errOtherStream = errors.New("another stream has its name")

// follow delivers what the stream takes and somebody wants, in the stream's order, until
// it is not bound any more. It goes on where it was when the service comes back.
func (c *Central) follow(b *binding) {
	said := ""
	for b.ctx.Err() == nil {
		l := c.nextLink()
		if l == nil {
			return
		}
		ctx, cancel := context.WithCancel(b.ctx)
		stop := context.AfterFunc(l.ctx, cancel)
		err := c.followOn(ctx, l, b)
		stop()
		cancel()
		if b.ctx.Err() != nil || l.ctx.Err() != nil {
			continue
		}
		if errors.Is(err, errOtherStream) || errors.Is(err, jetstream.ErrStreamNotFound) {
			signal(c.bound.again)
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			c.log.Warn("central: a stream cannot be read, it is tried again", "stream", b.name, "error", err)
		}
		select {
		case <-l.ctx.Done():
		case <-b.ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// followOn reads the stream until something is in the way, or ctx ends.
func (c *Central) followOn(ctx context.Context, l *link, b *binding) error {
	f := &b.following
	for {
		patterns, edits := c.wanted(b)
		f.want(patterns, edits)
		if len(patterns) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-f.pokes:
				continue
			}
		}
		r, err := c.open(ctx, l, b, patterns)
		if err != nil {
			return err
		}
		err = c.read(ctx, b, r)
		r.close()
		if err != nil {
			return err
		}
	}
}

// wanted are the subjects and patterns of the stream that somebody here subscribes to.
func (c *Central) wanted(b *binding) (all []string, edits uint64) {
	interests, edits := c.subs.all()
	for _, i := range interests {
		for _, subject := range c.names.filter(i.tenant, i.filter) {
			for _, s := range b.subjects {
				if p, ok := intersect(subject, s); ok {
					all = append(all, p)
				}
			}
		}
	}
	return all, edits
}

// reader is one consumer of a stream.
type reader struct {
	stream   jetstream.Stream
	consumer jetstream.Consumer
	messages jetstream.MessagesContext
	filters  []string // what it brings; empty: all
	seen     uint64   // how many it has brought
}

// open reads on from where the stream was left. What is wanted for the first time begins
// at what is the end now.
func (c *Central) open(ctx context.Context, l *link, b *binding, patterns []string) (*reader, error) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	f := &b.following
	stream, err := l.js.Stream(asking, b.name)
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	if lifeOf(info.Config.Name, info.Created) != b.life {
		return nil, errOtherStream
	}
	cursor, begun := f.position()
	if !begun {
		cursor = info.State.LastSeq
	} else if info.State.FirstSeq > cursor+1 || info.Config.MaxMsgsPerSubject > 0 && info.State.LastSeq > cursor {
		// The stream did not wait: what it dropped is not known.
		c.missed("", "", b.life)
		cursor = max(cursor, info.State.FirstSeq-1)
	}
	f.advance(cursor)
	f.begin(info.State.LastSeq)
	r := &reader{stream: stream}
	config := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: cursor + 1,
		InactiveThreshold: 30 * time.Second, MemoryStorage: true, Replicas: 1,
	}
	if filters, ok := cover(patterns); ok {
		config.FilterSubjects, r.filters = filters, filters
	}
	if r.consumer, err = stream.CreateConsumer(asking, config); err != nil {
		return nil, err
	}
	r.messages, err = r.consumer.Messages(jetstream.PullMaxBytes(4<<20), jetstream.PullExpiry(10*time.Second),
		jetstream.PullHeartbeat(2*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	return r, err
}

func (r *reader) close() {
	r.messages.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.stream.DeleteConsumer(ctx, r.consumer.CachedInfo().Name)
}

// brings reports whether the consumer's filters cover a pattern.
func (r *reader) brings(pattern string) bool {
	for _, f := range r.filters {
		if matches(f, pattern) {
			return true
		}
	}
	return len(r.filters) == 0
}

// noteEach is how often it is noted how far a stream was read that brings nothing.
const noteEach = 10 * time.Second

// read delivers until what is wanted is not covered any more.
func (c *Central) read(ctx context.Context, b *binding, r *reader) error {
	f := &b.following
	for ctx.Err() == nil {
		waiting, cancel := context.WithTimeout(ctx, noteEach)
		done := make(chan struct{})
		go func() { // a poke ends the wait for a message
			defer close(done)
			select {
			case <-f.pokes:
				cancel()
			case <-waiting.Done():
			}
		}()
		err := c.readOn(waiting, b, r)
		cancel()
		<-done
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		patterns, edits := c.wanted(b)
		covered := len(patterns) > 0
		for _, p := range patterns {
			covered = covered && r.brings(p)
		}
		if err := c.note(ctx, b, r); err != nil {
			return err
		}
		if !covered {
			return nil
		}
		f.want(patterns, edits)
		f.begin(f.last())
	}
	return nil
}

// readOn delivers until waiting ends, which is no error.
func (c *Central) readOn(waiting context.Context, b *binding, r *reader) error {
	f := &b.following
	for {
		m, err := r.messages.Next(jetstream.NextContext(waiting))
		if err != nil {
			if waiting.Err() != nil {
				return nil
			}
			return err
		}
		at, err := m.Metadata()
		if err != nil {
			return err
		}
		if at.Sequence.Consumer != r.seen+1 {
			return fmt.Errorf("message %d came when %d was next", at.Sequence.Consumer, r.seen+1)
		}
		r.seen++
		seq := at.Sequence.Stream
		if f.wants(m.Subject(), seq, c.cfg.without.since) {
			tenant, topic, err := c.names.parse(topicPart, m.Subject())
			if err != nil {
				c.refuse(err)
			} else {
				c.hand(tenant, topic, wire.Position{Life: b.life, Offset: seq}, m.Data())
			}
		}
		f.advance(seq)
	}
}

// note asks where the stream ends, and whether all up to there was read: then the next
// consumer need not begin before.
func (c *Central) note(ctx context.Context, b *binding, r *reader) error {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	end, err := r.stream.Info(asking)
	if err != nil {
		return err
	}
	if lifeOf(end.Config.Name, end.Created) != b.life {
		return errOtherStream
	}
	at, err := r.consumer.Info(asking)
	if err != nil {
		return err
	}
	if at.NumPending == 0 && at.Delivered.Consumer == r.seen {
		b.following.advance(end.State.LastSeq)
	}
	b.following.ends(end.State.LastSeq)
	return nil
}
