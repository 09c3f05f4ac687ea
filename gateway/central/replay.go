package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/bellwire/bellwire/wire"
)

// At is the stream that takes a topic's messages, and the last position in it that is
// known of; false: the topic has none. It never blocks.
func (c *Central) At(tenant, topic string) (wire.Position, bool) {
	b := c.bound.of(c.names.topic(tenant, topic))
	if b == nil {
		return wire.Position{}, false
	}
	return wire.Position{Life: b.life, Offset: b.following.last()}, true
}

// Replay calls fn with a topic's messages behind a position, rising, at most so many,
// until fn returns false. upTo is how far it came: where the stream ended when it was
// called, if it read all. If a filter that matches was subscribed to before, what comes behind the end is
// handed to Config.Deliver; some of what fn was given may be as well.
//
// whole says that nothing between from and upTo is missing. It is not when the stream
// does not keep it any more, or may not, and when from is of another life: then nothing
// is read, and upTo is the end. Its error is ErrAway; or wire.CodeNotSupported for a topic
// without a stream; or that of ctx.
func (c *Central) Replay(ctx context.Context, tenant, topic string, from wire.Position, most int, fn func(offset uint64, payload []byte) bool) (upTo wire.Position, whole bool, err error) {
	subject := c.names.topic(tenant, topic)
	b := c.bound.of(subject)
	l, _ := c.link()
	switch {
	case l == nil:
		return from, false, ErrAway
	case b == nil:
		return from, false, refuse(wire.CodeNotSupported, "no stream keeps the topic "+topic)
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	if err := b.following.wait(ctx, c.subs.edited()); err != nil {
		return from, false, fmt.Errorf("central: replay of %q: %w", topic, l.plain(err))
	}
	upTo, whole, err = replay(ctx, l, b, subject, from, most, fn)
	if err != nil {
		err = fmt.Errorf("central: replay of %q: %w", topic, l.plain(err))
	}
	return upTo, whole, err
}

// wait returns when all that was wanted after so many edits has begun.
func (f *following) wait(ctx context.Context, edits uint64) error {
	for {
		settled, moved := f.settled(edits)
		if settled {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

func replay(ctx context.Context, l *link, b *binding, subject string, from wire.Position, most int, fn func(uint64, []byte) bool) (wire.Position, bool, error) {
	stream, err := l.js.Stream(ctx, b.name)
	if err != nil {
		return from, false, err
	}
	info := stream.CachedInfo()
	if lifeOf(info.Config.Name, info.Created) != b.life {
		return from, false, errOtherStream
	}
	end := wire.Position{Life: b.life, Offset: info.State.LastSeq}
	if from.Life != b.life || from.Offset > end.Offset {
		return end, false, nil
	}
	whole, err := keeps(ctx, l, b.name, subject, from.Offset, info)
	if err != nil {
		return from, false, err
	}
	at := from
	for most > 0 {
		asked := min(most, mostChunk)
		last, n, more, err := chunk(ctx, stream, subject, at.Offset, end.Offset, asked, fn)
		at.Offset, most = last, most-n
		switch {
		case err != nil:
			return at, whole, err
		case !more:
			return at, whole, nil
		case n == asked:
			continue
		}
		// A replica that brought no more may lack the last ones; the leader does not.
		m, err := nextStored(ctx, l, b.name, subject, at.Offset+1)
		if err != nil {
			return at, whole, err
		}
		if m == nil || m.Seq > end.Offset { // what came since then comes live
			return end, whole, nil
		}
		if !fn(m.Seq, m.Data) {
			return at, whole, nil
		}
		at.Offset, most = m.Seq, most-1
	}
	return at, whole, nil
}

// mostChunk is how many messages a replay asks for at once.
const mostChunk = 256

// chunk calls fn with messages behind a sequence, up to an end. It returns the last that fn
// took, how many that were, and false if fn wants no more.
func chunk(ctx context.Context, stream jetstream.Stream, subject string, after, end uint64, most int, fn func(uint64, []byte) bool) (last uint64, n int, more bool, err error) {
	last = after
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		FilterSubject: subject, InactiveThreshold: 10 * time.Second, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return last, 0, true, err
	}
	info := consumer.CachedInfo()
	defer func() { _ = stream.DeleteConsumer(ctx, info.Name) }()
	if info.NumPending == 0 {
		return last, 0, true, nil
	}
	batch, err := consumer.FetchNoWait(most)
	if err != nil {
		return last, 0, true, err
	}
	for m := range batch.Messages() {
		at, err := m.Metadata()
		if err != nil {
			return last, n, true, err
		}
		if at.Sequence.Consumer != uint64(n)+1 {
			return last, n, true, fmt.Errorf("message %d came when %d was next", at.Sequence.Consumer, n+1)
		}
		if at.Sequence.Stream > end {
			return end, n, false, nil
		}
		if !fn(at.Sequence.Stream, m.Data()) {
			return last, n, false, nil
		}
		last, n = at.Sequence.Stream, n+1
	}
	return last, n, true, batch.Error()
}

// keeps reports whether a stream still has all of a subject that came behind a position.
// What a stream drops of a subject it drops from its beginning; so it does if the
// message at the position is there, or if it drops from its own beginning only, and has not
// come that far.
func keeps(ctx context.Context, l *link, stream, subject string, after uint64, info *jetstream.StreamInfo) (bool, error) {
	if after+1 >= info.State.FirstSeq && info.Config.MaxMsgsPerSubject <= 0 && info.State.NumDeleted == 0 {
		return true, nil
	}
	if after == 0 {
		return false, nil
	}
	m, err := nextStored(ctx, l, stream, subject, after)
	return m != nil && m.Seq == after, err
}

// stored is a message as a stream gives it.
type stored struct {
	Seq  uint64 `json:"seq"`
	Data []byte `json:"data"`
}

// nextStored is the first message of a subject from a sequence on; nil: there is none. It
// asks the stream's leader: a replica may not have the last ones yet, and what it lacks
// would be taken for the end.
func nextStored(ctx context.Context, l *link, stream, subject string, from uint64) (*stored, error) {
	ask, err := json.Marshal(map[string]any{"seq": from, "next_by_subj": subject})
	if err != nil {
		return nil, err
	}
	reply, err := l.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, ask)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Message *stored             `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Message == nil:
		return nil, errors.New("an answer without a message")
	}
	return answer.Message, nil
}
