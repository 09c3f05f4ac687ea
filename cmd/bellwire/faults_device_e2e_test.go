//go:build e2e && linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/peer/history"
	"github.com/bellwire/bellwire/wire"
)

// trialDevice subscribes, and tells the history what it sees.
type trialDevice struct {
	rec    *recorder
	name   string
	home   *member
	others []*member // where it goes when home is gone; none: it waits
	client *client.Client

	connected atomic.Bool
	left      atomic.Bool // it was away once
	frames    atomic.Int64
	taken     atomic.Int64
}

// connect dials, and subscribes each topic, before ctx ends. It listens until life ends.
func (d *trialDevice) connect(life, ctx context.Context, wait *sync.WaitGroup, topics []string) error {
	addresses := []string{}
	for _, m := range d.others {
		addresses = append(addresses, m.listen)
	}
	c, err := client.Dial(ctx, d.home.listen, client.WithDevice(d.name), client.WithServers(addresses...), client.WithOnState(d.onState),
		client.WithBackoff(100*time.Millisecond, time.Second), client.WithDialer(d.dial))
	if err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	d.client = c
	for _, topic := range topics {
		sub, err := c.Subscribe(ctx, topic, client.WithBuffer(512))
		if err != nil {
			return fmt.Errorf("%s: %s: %w", d.name, topic, err)
		}
		d.rec.add(history.Event{Kind: history.Subscribed, Who: d.name, Gateway: d.home.name, Topic: topic})
		for _, p := range sub.Cursor() {
			d.rec.add(history.Event{Kind: history.Had, Who: d.name, Topic: topic, Life: p.Life, Offset: p.Offset})
		}
		wait.Go(func() { d.listen(life, sub) })
	}
	return nil
}

// dial connects, where its gateway's devices do, and counts what comes.
func (d *trialDevice) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := d.home.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: c, frames: &d.frames}, nil
}

// onState tells when the connection is lost and when another one is there.
func (d *trialDevice) onState(s client.State) {
	switch {
	case s.Phase == client.Connected && d.left.Load():
		d.connected.Store(true)
		d.rec.add(history.Event{Kind: history.Back, Who: d.name, Gateway: d.at(s.Server).name})
	case s.Phase == client.Connected:
		d.connected.Store(true)
	case s.Phase == client.Reconnecting && d.connected.CompareAndSwap(true, false):
		d.left.Store(true)
		d.rec.add(history.Event{Kind: history.Away, Who: d.name})
	}
}

// at is the gateway at an address.
func (d *trialDevice) at(address string) *member {
	for _, m := range d.others {
		if m.listen == address {
			return m
		}
	}
	return d.home
}

// listen tells all that a subscription sees, until the device is closed.
func (d *trialDevice) listen(ctx context.Context, sub *client.Subscription) {
	for {
		event, err := sub.Next(ctx)
		if err != nil {
			return
		}
		e := history.Event{Who: d.name}
		switch event := event.(type) {
		case client.Message:
			d.taken.Add(1)
			e.Kind, e.Topic, e.Life, e.Offset = history.Message, event.Topic, event.Life, event.Offset
			if origin, number, err := history.ParsePayload(event.Payload); err == nil {
				e.Origin, e.Number = d.rec.origin(origin), number
			}
		case client.Gap:
			e.Kind, e.Topic, e.Life, e.Count, e.Reason = history.Gap, event.Topic, event.Life, event.Count, event.Reason
			if event.Count > 0 {
				e.Offset = placeIn(sub.Cursor(), event.Life)
			}
		case client.End:
			e.Kind, e.Topic, e.Life, e.How = history.End, event.Topic, event.Life, event.How
		}
		d.rec.add(e)
	}
}

// placeIn is the place in a life, 0 if there is none.
func placeIn(cursor []client.TopicPosition, life wire.Life) uint64 {
	if i := slices.IndexFunc(cursor, func(p client.TopicPosition) bool { return p.Life == life }); i >= 0 {
		return cursor[i].Offset
	}
	return 0
}

// countedConn counts the MESSAGE frames that come over a connection: the client drops what it had before, so what it hands
// on does not show what was sent twice.
type countedConn struct {
	net.Conn
	frames *atomic.Int64
	head   []byte // a header of which a part has come
	skip   uint64 // of a body
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.count(b[:n])
	return n, err
}

func (c *countedConn) count(b []byte) {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, uint64(len(b)))
			c.skip, b = c.skip-n, b[n:]
			continue
		}
		c.head, b = append(c.head, b[0]), b[1:]
		if len(c.head) < 2 || c.head[len(c.head)-1]&0x80 != 0 {
			continue
		}
		c.skip, _ = binary.Uvarint(c.head[1:])
		if c.head[0]&0xF0 == byte(wire.TypeMessage) {
			c.frames.Add(1)
		}
		c.head = c.head[:0]
	}
}
