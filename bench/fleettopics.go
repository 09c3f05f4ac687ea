package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// The quantities of subscriptions in a fleet.
const (
	topicsSent    = "batches and messages to and from the other gateway while topics are subscribed"
	topicsRead    = "bytes that the other gateway reads meanwhile"
	topicsBefore  = "bytes that it reads in as long a time in which nothing happens"
	topicsTime    = "time to subscribe"
	topicsSystem  = "subscriptions"
	leastIdleRead = 2 * time.Second // heartbeats come every half second
)

// subscribing counts what goes over a link while devices subscribe to very many
// topics. A message to one of them must then come over it: a link that is dead, or
// that counts nothing, would look the same.
func (b *fleetBed) subscribing(ctx context.Context) error {
	defer b.clear()
	b.r.set("topics subscribed", b.Topics)
	b.r.set("topics of each device", b.conf.PerDevice)
	g, err := b.gather(ctx, topicsSystem, 1, b.conf.Many...)
	if err != nil {
		return err
	}
	other := g.others[0]
	names := b.topicNames()
	b.bar.say("%d topics are subscribed", len(names))
	before, err := fleetOf(ctx, g.process)
	if err != nil {
		return err
	}
	readBefore, err := processRead(other.pid())
	if err != nil {
		return err
	}
	begin := time.Now()
	all, err := subscribeAll(ctx, g.device, names, b.conf.PerDevice)
	defer all.close()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	if err := pause(ctx, restOfCost); err != nil { // what was sent shall be there
		return err
	}
	length := time.Since(begin)
	readAfter, err := processRead(other.pid())
	if err != nil {
		return err
	}
	after, err := fleetOf(ctx, g.process)
	if err != nil {
		return err
	}
	idle, err := idleRead(ctx, other, length)
	if err != nil {
		return err
	}
	if err := b.carries(ctx, g, names[0]); err != nil {
		return err
	}
	was, is := before.sent(), after.sent()
	moved := is.Batches - was.Batches + is.Messages - was.Messages + is.Received - was.Received
	b.add(g.system, topicsSent, "", float64(moved))
	b.add(g.system, topicsRead, "B", float64(readAfter-readBefore))
	b.add(g.system, topicsBefore, "B", idle)
	b.add(g.system, topicsTime, "s", took.Seconds())
	return b.concludeTopics(g.label)
}

// idleRead is how many bytes a gateway reads in a time in which nothing happens.
func idleRead(ctx context.Context, p *process, length time.Duration) (float64, error) {
	begin := time.Now()
	before, err := processRead(p.pid())
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, max(length, leastIdleRead)); err != nil {
		return 0, err
	}
	after, err := processRead(p.pid())
	return float64(after-before) * length.Seconds() / time.Since(begin).Seconds(), err
}

// carries publishes a message to a topic and sees it come over the link, and be
// counted.
func (b *fleetBed) carries(ctx context.Context, g *gathered, topic string) error {
	before, err := fleetOf(ctx, g.process)
	if err != nil {
		return err
	}
	if err := b.devices(ctx, g, load{Topics: []string{topic}, Payload: b.Payload, AtOnce: b.AtOnce}); err != nil {
		return err
	}
	if _, err := g.do(ctx, order{Burst: &burstOrder{Window: 1}}); err != nil {
		return err
	}
	after, err := fleetOf(ctx, g.process)
	if err != nil {
		return err
	}
	if is, was := after.sent(), before.sent(); is.Messages-was.Messages != 2 || is.Batches == was.Batches {
		return fmt.Errorf("two messages to a subscribed topic counted as %d on the link: its counters say nothing of subscriptions either", is.Messages-was.Messages)
	}
	return nil
}

func (b *fleetBed) concludeTopics(label string) error {
	var err error
	for _, of := range []string{topicsSent, topicsRead, topicsBefore, topicsTime} {
		target := ""
		if b.Pin && b.Topics >= 100_000 {
			target = map[string]string{topicsSent: "fleet-topics", topicsRead: "fleet-topics-read", topicsBefore: "fleet-topics-before"}[of]
		}
		err = errors.Join(err, b.r.figure(label+", "+of, target, label+", "+of))
	}
	return err
}

// connections are devices that only stay.
type connections []*called

func (all connections) close() {
	for _, c := range all {
		c.Close()
	}
}

// subscribeAll subscribes to all topics, with so many for each device. What has
// connected is returned in any case.
func subscribeAll(ctx context.Context, remote netip.AddrPort, topics []string, each int) (all connections, err error) {
	for of := range slices.Chunk(topics, each) {
		c, err := (&caller{remote: remote, topic: of[0]}).call(ctx, len(all), nil)
		if err != nil {
			return all, err
		}
		all = append(all, c)
		if err := c.subscribe(ctx, of[1:]); err != nil {
			return all, fmt.Errorf("device %d with %d topics: %w", len(all), len(of), err)
		}
	}
	return all, nil
}

// subscribe subscribes to further topics, all in one write, and waits for the
// answers.
func (d *called) subscribe(ctx context.Context, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { d.tcp.SetDeadline(time.Unix(1, 0)) })() //nolint:errcheck // then it is closed
	var out []byte
	for i, t := range topics {
		out = wire.Subscribe{Sub: uint32(i + 2), Filter: []byte(t)}.Append(out) //nolint:gosec // an index; 1 was the greeting's
	}
	if _, err := d.Write(out); err != nil {
		return err
	}
	in := make([]byte, 64<<10)
	have := copy(in, d.rest)
	for left := len(topics); left > 0; {
		n, err := d.Read(in[have:])
		have += n
		used, answers, refused := subscribedIn(in[:have])
		if refused != nil {
			return refused
		}
		left -= answers
		have = copy(in, in[used:have])
		if err != nil {
			return fmt.Errorf("%d answers are missing: %w", left, err)
		}
	}
	return nil
}

// subscribedIn counts the SUBSCRIBED in whole frames.
func subscribedIn(b []byte) (used, answers int, err error) {
	for rest := b; ; {
		typ, body, next, err := wire.Next(rest, maxFrame)
		if errors.Is(err, wire.ErrShort) {
			return len(b) - len(rest), answers, nil
		}
		if err != nil {
			return 0, 0, err
		}
		rest = next
		switch {
		case typ == wire.TypeSubscribed:
			s, err := wire.ParseSubscribed(body)
			if err == nil && s.Code.Class() != wire.ClassFine {
				err = fmt.Errorf("a subscription was refused: %v", s.Code)
			}
			if err != nil {
				return 0, 0, err
			}
			answers++
		case typ == wire.TypeClose:
			return 0, 0, closed(body)
		}
	}
}
