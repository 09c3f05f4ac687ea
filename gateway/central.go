package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// toCentral forwards what is not a broadcast (BC-5).
func (g *Gateway) toCentral(t *tenant, name string, payload []byte) wire.Code {
	if g.cfg.Central == nil {
		return wire.CodeNoCentral
	}
	return centralCode(g.cfg.Central.Publish(t.name, name, bytes.Clone(payload)))
}

// centralCode is what a device is told of the central service's answer.
func centralCode(err error) wire.Code {
	if err == nil {
		return wire.CodeOK
	}
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return wire.CodeCentralAway
}

// wanted are the filters whose messages the central service is to bring: each once,
// however many devices of this gateway have it.
type wanted struct {
	central Central

	mu sync.Mutex
	by map[want]*wants
}

type want struct{ tenant, filter string }

type wants struct {
	subscriptions int
	cancel        func()
}

// add counts one more subscription; its error is the central service's.
func (w *wanted) add(tenant, filter string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := want{tenant, filter}
	if have := w.by[key]; have != nil {
		have.subscriptions++
		return nil
	}
	cancel, err := w.central.Subscribe(tenant, filter)
	if err != nil {
		return err
	}
	w.by[key] = &wants{subscriptions: 1, cancel: cancel}
	return nil
}

func (w *wanted) drop(tenant, filter string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := want{tenant, filter}
	have := w.by[key]
	if have.subscriptions--; have.subscriptions == 0 {
		delete(w.by, key)
		have.cancel()
	}
}

func (w *wanted) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.by)
}

// subscribeCentral lists a session for an exact topic of the central service. Unless
// the topic is bound, its messages belong to no stream, so that there is nothing to
// count and nothing to replay [W-6.9].
func (l *loop) subscribeCentral(s *session, q wire.Subscribe, t *fanout.Topic) {
	sub := subscription{topic: t, num: q.Sub, policy: q.Policy, flags: flagsOf(q) &^ subTracks}
	code := wire.CodeOK
	if !q.PublishOnly {
		if err := l.g.wanted.add(s.tenant.name, t.Name()); err != nil {
			l.refuseSub(s, q, centralCode(err))
			return
		}
		sub.flags |= subCentral
		if at, ok := l.g.boundTo(s.tenant.name, t.Name()); ok {
			l.subscribeBound(s, q, t, sub, at)
			return
		}
		if !s.listed(t, -1) {
			t.Add(l.n, s.n)
		}
		l.noEcho(s, q)
		switch {
		case q.Start != wire.StartNow:
			code = wire.CodeOKLiveOnly
		case l.g.centralAway.Load():
			code = wire.CodeOKCentralAway
		}
	}
	s.subs = append(s.subs, sub)
	l.counters.subscriptions.Add(1)
	l.say(s, wire.Subscribed{Sub: q.Sub, Code: code, Topic: wire.TopicID(t.ID())}.Append(l.enc[:0]))
}

// centralPart has the central service bring what a wildcard matches beyond the
// broadcast topics; CodeOK if it does, CodeOKCentralAway if it will.
func (l *loop) centralPart(s *session, q wire.Subscribe) wire.Code {
	if l.g.allBroadcast(string(q.Filter)) || l.g.cfg.Central == nil {
		return wire.CodeNoCentral
	}
	if code := centralCode(l.g.wanted.add(s.tenant.name, string(q.Filter))); code != wire.CodeOK {
		return code
	}
	if l.g.centralAway.Load() {
		return wire.CodeOKCentralAway
	}
	return wire.CodeOK
}

// deliverCentral gives messages of the central service to a session that the fast
// path passes over.
func (l *loop) deliverCentral(n fanout.Sub, sl *slot, in interest) {
	r := &l.run
	d := delivery{l: l, n: n, sl: sl, s: sl.sess, in: in, topic: r.topic, stream: r.stream, origin: ownOrigin, named: true, central: true}
	for i := r.skip; i < len(r.entries); i++ {
		if frame := r.entries[i].frame; logOf(len(frame)) > sl.recv {
			d.gap(wire.ReasonTooBig, 1)
		} else if !d.message(frame, 0) {
			return
		}
	}
	d.flushGap()
}

// FromCentral delivers a message of the central service to the devices that
// subscribed to its topic; at is zero unless the topic is bound to a stream. It waits
// for publish credit until ctx ends. Whoever calls it for one topic does so in the
// order of its messages. payload is copied. The error says what is wrong with the
// topic, or is ctx's or ErrClosed: nothing was delivered.
func (g *Gateway) FromCentral(ctx context.Context, tenantName, topic string, at wire.Position, payload []byte) error {
	if err := wire.CheckTopic([]byte(topic)); err != nil {
		return fmt.Errorf("central: %w", err)
	}
	if !g.classes().brings(topic) {
		return fmt.Errorf("central: %s is a broadcast topic: publish it at a gateway", topic)
	}
	ten := g.tenants.find(tenantName)
	if ten == nil {
		return nil // nobody of this tenant has been here
	}
	t, err := g.centralTopic(ten, topic)
	if err != nil {
		return fmt.Errorf("central: %s: %w", topic, err)
	}
	held := g.charge(ten, len(payload)+len(topic))
	if err := g.credit.wait(ctx, g.ctx.Done(), ten, held.lend(t)); err != nil {
		g.charges.Put(held)
		return fmt.Errorf("central: %s: waiting for credit: %w", topic, err)
	}
	if at.Life != 0 {
		g.acceptBound(t, at, payload, held)
		return nil
	}
	m := wire.Message{Name: []byte(topic), Payload: payload}
	frame := m.Append(make([]byte, 0, m.Len()))
	held.left.Store(1)
	post := func(loops, number uint64) {
		g.post(loops, entry{kind: entryCentral, stream: t.Stream(), frame: frame, body: int32(len(frame) - len(payload)), number: number, charge: held})
	}
	posted := t.Post(post)
	if !posted && g.cfg.without.apart {
		t.Stream().Mark(func(uint64) { post(t.Loops(), 0) })
		posted = true
	}
	if posted {
		g.settle(held, nil)
		return nil
	}
	// Here it is a broadcast: who counts that must not take this for the next of
	// its stream.
	g.acceptBound(t, g.crossing.Load().next(), payload, held)
	return nil
}

// centralTopic finds or makes a topic of the central service. Names that only wildcards
// ask for, perhaps a new one with each message, may use up three quarters of the
// tenant's ids, which are given once: broadcasts and who names a topic have the rest.
// What is refused is announced within a second.
func (g *Gateway) centralTopic(ten *tenant, topic string) (*fanout.Topic, error) {
	if t := ten.index.Lookup([]byte(topic)); t != nil {
		return t, nil
	}
	if ten.index.Len() >= g.limits.Load().TopicsPerTenant/4*3 && !g.cfg.without.centralNames {
		g.namesLeft.Do(func() {
			g.log.Error("messages of the central service are not delivered: their topics have used up three quarters of the tenant's ids; subscribe to fewer wildcards, or raise limits.topics_per_tenant", "tenant", ten.name)
		})
		ten.unnamed.Store(true)
		return nil, &wire.Error{Code: wire.CodeOverload, Field: "too many topics of the central service"}
	}
	return g.makeTopic(ten, []byte(topic))
}

// CentralAway says that the connection to the central service has gone, or is back.
// When it goes the devices that subscribed to its topics are told that an unknown
// number of messages is missing, and until it is back others that it is away.
func (g *Gateway) CentralAway(away bool) {
	if g.centralAway.Swap(away) == away || !away {
		return
	}
	g.CentralMissed("")
}

// CentralMissed tells the devices of a tenant (empty: of all) that subscribed to
// topics of the central service that an unknown number of messages is missing.
func (g *Gateway) CentralMissed(tenant string) {
	g.centralMissed(ending{central: true, tenant: tenant})
}

func (g *Gateway) centralMissed(e ending) {
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) {
			l.endings = append(l.endings, e)
			l.tellEnds()
		}})
	}
}
