package gateway

import (
	"context"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// copied is a stream of another gateway: it meets peer.Stream.
type copied struct {
	g      *Gateway
	tenant *tenant
	stream *fanout.Stream
	number uint32 // of its origin
}

// Next implements peer.Stream.
func (c *copied) Next() uint64 { return c.stream.Next() }

// Accept implements peer.Stream: what the origin did at publish, but for the offset,
// which is there already.
func (c *copied) Accept(ctx context.Context, offset uint64, payload []byte) (peer.Verdict, error) {
	g := c.g
	if offset == 0 || offset >= wire.MaxVarint {
		return 0, errOffset // devices could not be told of it
	}
	switch next := c.stream.Next(); {
	case next == 0 || offset == next:
	case offset < next:
		return peer.Duplicate, nil
	default:
		return peer.Hole, nil
	}
	t := c.stream.Topic()
	held := g.charge(c.tenant, len(payload)+len(t.Name()))
	if err := g.credit.wait(ctx, g.ctx.Done(), c.tenant, held.lend(t)); err != nil {
		g.charges.Put(held)
		return 0, err
	}
	return peer.Verdict(c.accept(offset, payload, held)), nil
}

// accept delivers a message that has its offset. held is taken from the pool.
func (c *copied) accept(offset uint64, payload []byte, held *charge) fanout.Verdict {
	held.left.Store(1)
	v := c.stream.Accept(offset, c.g.now.Load(), func(offset uint64, tracked bool) fanout.Entry {
		m := wire.Message{Topic: wire.TopicID(c.stream.Topic().ID()), Origin: c.number, Offset: offset, Payload: payload}
		switch {
		case c.stream.Sparse():
			m.Form = wire.OffsetFull // nobody can tell it from the one before
		case tracked:
			m.Form = wire.OffsetLow
		}
		frame := m.Append(make([]byte, 0, m.Len()))
		return fanout.Entry{Frame: frame, Body: len(frame) - len(payload)}
	}, c.begins, func(loops, number uint64, e fanout.Entry) {
		c.g.post(loops, entry{stream: c.stream, frame: e.Frame, body: int32(e.Body), offset: e.Offset, number: number, charge: held})
	})
	c.g.settle(held, nil)
	return v
}

// begins tells those who subscribed by name that the stream begins, or goes on after
// its origin had ended.
func (c *copied) begins(loops, number, next uint64) {
	if c.g.cfg.without.begins {
		return
	}
	c.g.post(loops, entry{kind: entryStream, stream: c.stream, frame: streamFrame(c.stream, next).Append(nil), offset: next, number: number})
}

// errOffset refuses a message whose place, or the one behind it, is none.
var errOffset = &wire.Error{Code: wire.CodeMalformed, Field: "offset out of range"}

// Miss implements peer.Stream.
func (c *copied) Miss(next uint64) {
	if next > wire.MaxVarint {
		return
	}
	c.stream.Miss(next, c.begins, func(loops, number, first, count uint64) {
		if c.g.cfg.without.gapOfOthers {
			return
		}
		gap := wire.Gap{Topic: wire.TopicID(c.stream.Topic().ID()), Origin: c.number, Reason: wire.ReasonLost, Count: count}
		c.g.post(loops, entry{kind: entryGap, stream: c.stream, frame: gap.Append(nil), missed: count, offset: first, number: number})
	})
}

// Backfill implements peer.Stream. A ring entry that was never delivered has no
// frame before its payload.
func (c *copied) Backfill(older []peer.Kept) {
	now := c.g.now.Load()
	entries := make([]fanout.Entry, len(older))
	for i, k := range older {
		entries[i] = fanout.Entry{Offset: k.Offset, At: now - min(k.Age, now-1), Frame: append([]byte(nil), k.Payload...)}
	}
	c.stream.Backfill(now, entries)
}
