package gateway

import (
	"context"
	"fmt"
	"math/bits"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// publish is the origin's part of a broadcast's trip: credit, permission, class,
// then stamp and post [W-5.1].
func (l *loop) publish(s *session, p wire.Publish, frameLen int) error {
	if s.pub == nil {
		lim := l.g.limits.Load()
		s.pub = &publishing{
			tag: l.tag(s), credit: lim.PublishCredit,
			tokens: float32(lim.PublishRate), tokensAt: l.g.now.Load(),
		}
	}
	if s.pub.credit -= frameLen; s.pub.credit < 0 {
		return &wire.Error{Code: wire.CodeOverCredit, Type: p.Type(), Field: "more than the credit given"}
	}
	c := l.g.charge(s.tenant, frameLen)
	c.owner, c.device = l.handle(s), true
	code, underWay := l.publishCharged(s, p, c)
	if !underWay {
		s.pub.owed += frameLen
	}
	if code != wire.CodeOK {
		l.refusePublish(s, p, code)
		return nil
	}
	l.counters.published.Add(1)
	if p.Ack {
		l.accept(s, p.Seq)
	}
	return nil
}

// accept notes a sequence for the next ACK. A number that was sent again comes
// after higher ones, which ACK must not forget.
func (l *loop) accept(s *session, seq uint64) {
	if seq < s.pub.acked {
		l.say(s, wire.Ack{Seq: s.pub.acked}.Append(l.enc[:0]))
	}
	s.pub.acked = seq
}

// publishCharged does it, or says why not. If it is under way the pool holds the
// charge until it is settled, else nothing.
func (l *loop) publishCharged(s *session, p wire.Publish, c *charge) (code wire.Code, underWay bool) {
	g := l.g
	switch {
	case p.Confirmed:
		return wire.CodeNotSupported, false
	case !s.pub.token(g.limits.Load().PublishRate, g.now.Load()):
		return wire.CodePublishRate, false
	case !s.tenant.usage.mayPublish():
		return wire.CodeThrottled, false
	case g.memory.at() == stepDrop:
		return wire.CodeOverload, false
	}
	t, code := l.find(s.tenant, p)
	if code != wire.CodeOK {
		return code, false
	}
	var name string
	if t != nil {
		name = t.Name()
	} else {
		name = string(p.Name)
	}
	if !g.may(s, ActionPublish, name) {
		return wire.CodeNotGranted, false
	}
	if t == nil && !g.broadcast(name) || t != nil && t.PostsOnly() {
		return g.toCentral(s.tenant, name, p.Payload), false
	}
	if t == nil {
		var err error
		if t, err = g.topic(s.tenant, p.Name); err != nil {
			return wire.CodeOf(err), false
		}
	}
	if !g.credit.take(s.tenant, c.lend(t)) {
		return wire.CodeOverload, false
	}
	if g.stamp(t, p.Payload, s.pub.tag, c, l) == 0 { // it is no broadcast any more, since just now
		return g.toCentral(s.tenant, t.Name(), p.Payload), true
	}
	return wire.CodeOK, true
}

// find is the topic of a PUBLISH; nil for a checked name that is not known.
func (l *loop) find(ten *tenant, p wire.Publish) (*fanout.Topic, wire.Code) {
	if p.Name == nil {
		t := ten.index.ByID(uint32(p.Topic))
		if t == nil {
			return nil, wire.CodeUnknownID
		}
		return t, wire.CodeOK
	}
	if t := ten.index.Lookup(p.Name); t != nil {
		return t, wire.CodeOK
	}
	if wire.CheckTopic(p.Name) != nil && !l.g.cfg.without.topicCheck {
		return nil, wire.CodeBadTopic
	}
	return nil, wire.CodeOK
}

// stamp gives a message its offset, encodes the delivery once and posts it to
// every loop that has a subscriber, all under the stream's lock. l is the loop
// that this runs on, or nil. The offset is 0, and nothing was done, if the topic is
// not broadcast any more.
func (g *Gateway) stamp(t *fanout.Topic, payload []byte, from uint64, c *charge, l *loop) (offset uint64) {
	now := g.now.Load()
	stream := t.Stream()
	c.left.Store(1) // ours, so that a quick loop does not settle it before all have it
	offset = stream.Publish(now, func(offset uint64, tracked bool) fanout.Entry {
		m := wire.Message{Topic: wire.TopicID(t.ID()), Offset: offset, Payload: payload}
		if tracked {
			m.Form = wire.OffsetLow
		}
		frame := m.Append(make([]byte, 0, m.Len()))
		return fanout.Entry{Offset: offset, At: now, From: from, Frame: frame, Body: len(frame) - len(payload)}
	}, func(loops, number uint64, e fanout.Entry) {
		g.post(loops, entry{stream: stream, frame: e.Frame, body: int32(e.Body), offset: e.Offset, number: number, from: from, charge: c})
		if g.mesh != nil {
			c.left.Add(1)
			g.mesh.Broadcast(peer.Message{
				Key:    uint64(c.tenant.number)<<32 | uint64(t.ID()),
				Tenant: c.tenant.name, Topic: t.Name(), Offset: e.Offset, Payload: payload, Held: c,
			})
		}
	})
	g.settle(c, l)
	return offset
}

// post puts an entry into the mailbox of each loop of a mask. Its charge is held by
// each of them. It is called under the stream's lock.
func (g *Gateway) post(loops uint64, e entry) {
	if e.charge != nil {
		e.charge.left.Add(int32(bits.OnesCount64(loops)))
	}
	for ; loops != 0; loops &= loops - 1 {
		if !g.loops[bits.TrailingZeros64(loops)].mail.post(e) && e.charge != nil {
			e.charge.left.Add(-1)
		}
	}
}

func (l *loop) refusePublish(s *session, p wire.Publish, code wire.Code) {
	l.counters.refused(code)
	l.auditPublish(s, p, code)
	if p.Ack {
		l.say(s, wire.Ack{Seq: p.Seq, Code: code, Retry: retryMillis, Text: l.g.why(code)}.Append(l.enc[:0]))
		return
	}
	l.say(s, wire.Refusal{Code: code, Type: p.Type(), Text: l.g.why(code)}.Append(l.enc[:0]))
}

// token takes one publish from the device's rate, which refills by the second.
func (p *publishing) token(rate int, now uint32) bool {
	if rate < 0 {
		return true
	}
	if dt := now - p.tokensAt; dt > 0 {
		p.tokens = min(float32(rate), p.tokens+float32(dt)*float32(rate))
		p.tokensAt = now
	}
	if p.tokens < 1 {
		return false
	}
	p.tokens--
	return true
}

// sayAck acknowledges what was accepted since the last time, and gives back
// credit that no mailbox holds.
func (l *loop) sayAck(s *session) {
	if s.pub == nil {
		return
	}
	if s.pub.acked != 0 {
		l.say(s, wire.Ack{Seq: s.pub.acked}.Append(l.enc[:0]))
		s.pub.acked = 0
	}
	if l.creditDue(s) {
		l.sayCredit(s)
	}
}

// Receipt says where a message stands in its stream.
type Receipt struct {
	Life   wire.Life
	Offset uint64
}

// Publish broadcasts a message from inside the process. It waits for publish
// credit, so that a fast caller is slowed down to what the loops deliver; topics
// that are not broadcast go to Central, and their Receipt is zero. Safe for
// concurrent use; payload is copied.
//
// Nothing was published if there is an error: ErrClosed after Close; ctx's cause
// if ctx ended while it waited; what is wrong with the tenant, the topic or a
// payload of more than 1 MiB less 512 bytes; or a *wire.Error with
// CodeThrottled (the tenant makes new topics too fast, or has too many wildcards
// for another one; try again),
// CodeOverload (no topic ids are left), CodeNoCentral, CodeCentralAway, or the
// code of Central's own error.
func (g *Gateway) Publish(ctx context.Context, tenantName, topic string, payload []byte) (Receipt, error) {
	if err := (wire.Identity{Tenant: tenantName, Device: "x"}).Check(); err != nil {
		return Receipt{}, fmt.Errorf("publish: %w", err)
	}
	if err := wire.CheckTopic([]byte(topic)); err != nil {
		return Receipt{}, fmt.Errorf("publish: %w", err)
	}
	if most := 1<<wire.MaxFrameLog - 512; len(payload) > most {
		return Receipt{}, fmt.Errorf("publish %s: payload of %d bytes: want at most %d, the largest frame of any device", topic, len(payload), most)
	}
	if g.closing() {
		return Receipt{}, ErrClosed
	}
	ten, err := g.tenants.get(tenantName)
	if err != nil {
		return Receipt{}, fmt.Errorf("publish: %w", err)
	}
	if forwarded, err := g.forward(ten, topic, payload); forwarded {
		return Receipt{}, err
	}
	t, err := g.topic(ten, []byte(topic))
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", topic, err)
	}
	c := g.charge(ten, len(payload)+len(topic))
	if err := g.credit.wait(ctx, g.ctx.Done(), ten, c.lend(t)); err != nil {
		return Receipt{}, fmt.Errorf("publish %s: waiting for credit: %w", topic, err)
	}
	offset := g.stamp(t, payload, 0, c, nil)
	if offset == 0 { // it was a broadcast when this began
		_, err := g.forward(ten, topic, payload)
		return Receipt{}, err
	}
	g.external.Add(1)
	return Receipt{Life: wire.Life(t.Stream().Life()), Offset: offset}, nil
}

// forward publishes a message through the central service, unless its topic is a
// broadcast.
func (g *Gateway) forward(t *tenant, topic string, payload []byte) (forwarded bool, err error) {
	g.classing.RLock()
	defer g.classing.RUnlock()
	if g.broadcast(topic) {
		return false, nil
	}
	if code := g.toCentral(t, topic, payload); code != wire.CodeOK {
		return true, fmt.Errorf("publish %s: %w", topic, &wire.Error{Code: code, Type: wire.TypePublish, Field: "not a broadcast topic"})
	}
	return true, nil
}
