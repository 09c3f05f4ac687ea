package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// classes are those in force.
func (g *Gateway) classes() *classes { return g.rules.Load().classes }

// FiltersHash is what gateways compare: filters that are the same have the same hash,
// whatever their order.
func (g *Gateway) FiltersHash() uint64 { return g.classes().hash }

// SetBroadcast puts other broadcast filters in the place of Config.Broadcast. While
// also is not nil, topics that match filters and not also, or the other way round, come
// both ways: what other gateways broadcast is taken, and what the central service
// brings. So a fleet changes its filters from old to new without a loss in three steps,
// each of them at all gateways before the next one: (old, new), (new, old), (new, nil).
//
// An exact subscription to a topic that is a broadcast now, or is none any more, is
// ended with CodeRestart, so that its device subscribes again at once, and is told that
// it may miss something until it has; a tracking wildcard is told the END of what became
// central. If the change is not one of those steps, devices with wildcards are told as
// well that an unknown number of messages may be missing.
//
// It returns when all sessions have been asked about, and later publishes of devices
// go the new way; before Serve at once. Its error is a filter that is wrong, or that ctx
// or the gateway has ended meanwhile: then it is in force, and the sessions follow.
func (g *Gateway) SetBroadcast(ctx context.Context, filters, also []string) error {
	if err := checkBroadcast("broadcast", filters); err != nil {
		return err
	}
	if err := checkBroadcast("also", also); err != nil {
		return err
	}
	asked := g.replaceClasses(newClasses(slices.Clone(filters), slices.Clone(also)))
	if asked == nil {
		return nil // they are in force
	}
	select {
	case <-g.ready:
	default:
		return nil // there are no sessions
	}
	select {
	case <-asked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("broadcast: sessions are still being asked about: %w", context.Cause(ctx))
	case <-g.done:
		return ErrClosed
	}
}

// replaceClasses puts others in force and has all sessions asked about; nil: they are.
func (g *Gateway) replaceClasses(next *classes) (asked <-chan struct{}) {
	g.changing.Lock()
	defer g.changing.Unlock()
	r := *g.rules.Load()
	if r.classes.is(next) {
		return nil
	}
	before := *r.classes
	before.before, before.turned = nil, nil
	next.before = &before
	r.classes = next
	g.turnTopics(&r)
	if !before.leadsTo(next) && !g.cfg.without.leadsTo {
		g.centralMissed(ending{central: true, wild: true})
	}
	if next.also == nil {
		g.endCrossing()
	}
	if g.mesh != nil {
		g.mesh.SetFilters(next.hash)
	}
	return g.recheckAll()
}

// turnTopics gives the topics that are there their new class, and puts the rules in
// force. Each topic turns under the lock of its streams: what was stamped before has been
// posted to everybody, and nothing is stamped after.
func (g *Gateway) turnTopics(r *rules) {
	g.classing.Lock()
	defer g.classing.Unlock()
	g.naming.Lock() // new topics get their class by the rules in force
	defer g.naming.Unlock()
	turned := map[*tenant][]*fanout.Topic{}
	for _, ten := range g.tenants.all() {
		for _, t := range g.classes().turned[ten] {
			if !r.classes.broadcast(t.Name()) {
				turned[ten] = append(turned[ten], t)
			}
		}
		ten.index.Each(func(t *fanout.Topic) bool {
			central := !r.classes.broadcast(t.Name())
			if own := t.Own(); central && !t.PostsOnly() && own != nil && own.Published() != 0 {
				turned[ten] = append(turned[ten], t)
			}
			t.PostOnly(central)
			return true
		})
	}
	r.classes.turned = turned
	g.rules.Store(r)
}

// crossed reports whether an exact subscription is to a topic whose class is another one
// than when it was made.
func (l *loop) crossed(sub *subscription, c *classes) bool {
	return sub.topic != nil && sub.flags&subMute == 0 && c.broadcast(sub.topic.Name()) == (sub.flags&subCentral != 0) && !l.g.cfg.without.crossed
}

// endCrossed ends such a subscription; its device asks again at once [W-8.3]. Nobody
// counts what it misses until then, so that is said before.
func (l *loop) endCrossed(s *session, i int) {
	if !l.g.cfg.without.crossedGap {
		l.say(s, wire.Gap{Origin: ownOrigin, Reason: wire.ReasonCentral}.Append(l.enc[:0]))
	}
	l.endSubscription(s, i, wire.CodeRestart)
}

// recross has the central service bring what a subscription needs of it now, and nothing
// else.
func (l *loop) recross(s *session, sub *subscription, c *classes) {
	if sub.topic != nil {
		l.wantBoth(s, sub)
		return
	}
	l.want(s, sub, subCentral, l.g.cfg.Central != nil && !c.allBroadcast(sub.filter()))
}

// wantBoth has the central service bring the topic of an exact subscription, too, while
// it changes its class.
func (l *loop) wantBoth(s *session, sub *subscription) {
	if sub.flags&(subMute|subCentral) == 0 && l.g.cfg.Central != nil {
		l.want(s, sub, subBoth, l.g.classes().both(sub.topic.Name()) && !l.g.cfg.without.both)
	}
}

// want has the central service bring a filter or not; flag says that it does. A filter
// that it refuses it carries for nobody, so nothing is lost.
func (l *loop) want(s *session, sub *subscription, flag subFlags, needs bool) {
	switch has := sub.flags&flag != 0; {
	case needs && !has && l.g.wanted.add(s.tenant.name, sub.filter()) == nil:
		sub.flags |= flag
	case has && !needs:
		sub.flags &^= flag
		l.g.wanted.drop(s.tenant.name, sub.filter())
	}
}

// endTurned tells a session the end of this gateway's streams of topics that have become
// central, as far as wildcards count them: what comes now belongs to no stream. It
// reports whether classes have changed since the session was asked about last.
func (l *loop) endTurned(s *session) bool {
	if l.before == nil || l.before.classes == l.rules.classes {
		return false
	}
	for _, t := range l.rules.classes.turned[s.tenant] {
		if s.interest(t, nil).groupTracks && !l.g.cfg.without.endTurned {
			l.tell(s, t, wire.End{Topic: wire.TopicID(t.ID()), Origin: ownOrigin, How: wire.EndComplete}.Append(l.enc[:0]))
		}
	}
	return true
}

// crossing counts what the central service brings of topics that are broadcasts here, so
// that it does not count for any gateway's stream. It is a life without a memory.
type crossing struct {
	life   wire.Life
	offset atomic.Uint64
}

func newCrossing() *crossing { return &crossing{life: wire.Life(rand.Uint64() << 24)} }

func (c *crossing) next() wire.Position {
	return wire.Position{Life: c.life, Offset: c.offset.Add(1)}
}

// endCrossing says that nothing more of it will come; what does all the same is of
// another life.
func (g *Gateway) endCrossing() {
	was := g.crossing.Swap(newCrossing())
	if o := g.bounds.origins.find(was.life); o != nil {
		o.End()
		g.originEnds(o, wire.EndComplete, new(atomic.Int32))
	}
}
