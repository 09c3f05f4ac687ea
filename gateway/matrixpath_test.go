package gateway

import (
	"bytes"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// matrixCell is one question on its way through a gateway.
type matrixCell struct {
	*sim
	who   matrixIdentity
	rules *access.Policy
	topic string
	sent  int
}

const matrixPayload = "canary-"

// join is a session of the cell's identity; free: not by its token.
func (c *matrixCell) join(free bool) *simConn {
	p := c.who.proof
	if free {
		p = nil
	}
	return c.joinAs(hello("x"), c.who.id, p)
}

func (c *matrixCell) say() {
	c.t.Helper()
	c.sent++
	_, err := c.g.Publish(c.t.Context(), c.who.id.Tenant, c.topic, fmt.Appendf(nil, "%s%d", matrixPayload, c.sent))
	require.NoError(c.t, err)
	c.drain()
}

// reload puts the policy, and for a session the token, into force.
func (c *matrixCell) reload(d *simConn) {
	if c.who.proof != nil && d != nil {
		d.s.proof = &proof{Proof: c.who.proof}
	}
	require.NoError(c.t, c.g.Reload(Config{Policy: c.rules}))
	c.drain()
}

func (c *matrixCell) subscribe(d *simConn, q wire.Subscribe) {
	q.Sub, q.Track = 1, true
	d.write(q.Append(nil))
	c.drain()
}

// told is what a device has received: the code that answers it, and how many
// messages. It also looks for what no frame may hold.
func (c *matrixCell) told(d *simConn) (code wire.Code, messages int, leaks bool) {
	raw := bytes.Clone(d.got)
	leaks = bytes.Contains(raw, []byte(c.topic)) || bytes.Contains(raw, []byte(matrixPayload))
	for {
		f, ok := d.next()
		if !ok {
			return code, messages, leaks
		}
		switch f.t.Base() {
		case wire.TypeSubscribed:
			s, err := wire.ParseSubscribed(f.body)
			require.NoError(c.t, err)
			code = s.Code
		case wire.TypeUnsubscribed:
			u, err := wire.ParseUnsubscribed(f.body)
			require.NoError(c.t, err)
			code = u.Code
		case wire.TypeAck:
			a, err := wire.ParseAck(f.body)
			require.NoError(c.t, err)
			code = a.Code
		case wire.TypeMessage:
			messages++
		case wire.TypeStream, wire.TypeGap, wire.TypeTopic:
			leaks = true
		case wire.TypeLive, wire.TypePong:
		default:
			require.Fail(c.t, "unexpected", "%s", decoded(c.t, f))
		}
	}
}

// matrixPath is one way to a topic. run returns the code and the messages that came;
// want is both where it is granted.
type matrixPath struct {
	name     string
	run      func(c *matrixCell) (wire.Code, int)
	action   access.Action
	wildcard bool // whether the subscription stands is about the filter
	messages int
}

// checked is told of a path on which nothing may leak when nothing is delivered.
func (c *matrixCell) checked(d *simConn) (wire.Code, int) {
	code, messages, leaks := c.told(d)
	if messages == 0 {
		require.False(c.t, leaks, "something of the topic left")
	}
	return code, messages
}

func (c *matrixCell) publish(p wire.Publish) (wire.Code, int) {
	d := c.join(false)
	p.Ack, p.Seq, p.Payload = true, 1, []byte(matrixPayload)
	d.write(p.Append(nil))
	c.drain()
	code, _, _ := c.told(d)
	ten, err := c.g.tenants.get(c.who.id.Tenant)
	require.NoError(c.t, err)
	t := ten.index.Lookup([]byte(c.topic))
	if t == nil {
		return code, 0
	}
	return code, int(t.Stream().Next()) - 1
}

func (c *matrixCell) replay(start wire.Start) (wire.Code, int) {
	c.say()
	c.say()
	d := c.join(false)
	q := wire.Subscribe{Filter: []byte(c.topic), Start: start}
	if start == wire.StartCursor {
		q.Cursor = q.Cursor.AppendPosition(wire.Position{Life: c.g.life, Offset: 1})
	}
	c.subscribe(d, q)
	return c.checked(d)
}

var all = []byte("broadcast/#")

func matrixPaths() []matrixPath {
	return []matrixPath{
		{name: "publish", messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			return c.publish(wire.Publish{Name: []byte(c.topic)})
		}},
		{name: "publish by id", messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			ten, err := c.g.tenants.get(c.who.id.Tenant)
			require.NoError(c.t, err)
			t, err := ten.index.Ensure([]byte(c.topic))
			require.NoError(c.t, err)
			return c.publish(wire.Publish{Topic: wire.TopicID(t.ID())})
		}},
		{name: "publish only", run: func(c *matrixCell) (wire.Code, int) {
			d := c.join(false)
			c.subscribe(d, wire.Subscribe{Filter: []byte(c.topic), PublishOnly: true})
			c.say()
			return c.checked(d)
		}},
		{name: "subscribe", action: access.Subscribe, messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			d := c.join(false)
			c.subscribe(d, wire.Subscribe{Filter: []byte(c.topic)})
			c.say()
			return c.checked(d)
		}},
		{name: "wildcard", action: access.Subscribe, wildcard: true, messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			d := c.join(false)
			c.subscribe(d, wire.Subscribe{Filter: all})
			c.say()
			return c.checked(d)
		}},
		{name: "behind", action: access.Subscribe, wildcard: true, messages: 2, run: func(c *matrixCell) (wire.Code, int) {
			d := c.join(false)
			c.subscribe(d, wire.Subscribe{Filter: all})
			return c.whileBehind(d)
		}},
		{name: "behind, lossless", action: access.Subscribe, wildcard: true, messages: 2, run: func(c *matrixCell) (wire.Code, int) {
			d := c.join(false)
			c.subscribe(d, wire.Subscribe{Filter: all, Policy: wire.Lossless})
			return c.whileBehind(d)
		}},
		{name: "named", action: access.Subscribe, wildcard: true, messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			h := hello("x")
			h.Names = 0
			d := c.joinAs(h, c.who.id, c.who.proof)
			c.subscribe(d, wire.Subscribe{Filter: all})
			c.say()
			return c.checked(d)
		}},
		{name: "kept", action: access.Subscribe, messages: 2, run: func(c *matrixCell) (wire.Code, int) { return c.replay(wire.StartKept) }},
		{name: "last", action: access.Subscribe, messages: 1, run: func(c *matrixCell) (wire.Code, int) { return c.replay(wire.StartLast) }},
		{name: "cursor", action: access.Subscribe, messages: 1, run: func(c *matrixCell) (wire.Code, int) { return c.replay(wire.StartCursor) }},
		{name: "resume after reload", action: access.Subscribe, messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			require.NoError(c.t, c.g.Reload(Config{}))
			d := c.join(true)
			c.subscribe(d, wire.Subscribe{Filter: []byte(c.topic)})
			c.say()
			_ = d.Close()
			c.reload(nil)
			c.say()
			d = c.join(false)
			c.subscribe(d, wire.Subscribe{
				Filter: []byte(c.topic), Start: wire.StartCursor,
				Cursor: wire.Cursor{}.AppendPosition(wire.Position{Life: c.g.life, Offset: 1}),
			})
			return c.checked(d)
		}},
		{name: "reload", action: access.Subscribe, messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			return c.reloaded(wire.Subscribe{Filter: []byte(c.topic)}, false)
		}},
		{name: "reload, wildcard", action: access.Subscribe, wildcard: true, messages: 1, run: func(c *matrixCell) (wire.Code, int) {
			return c.reloaded(wire.Subscribe{Filter: all}, false)
		}},
		{name: "reload, waiting", action: access.Subscribe, messages: 2, run: func(c *matrixCell) (wire.Code, int) {
			return c.reloaded(wire.Subscribe{Filter: []byte(c.topic)}, true)
		}},
		{name: "reload, waiting, wildcard", action: access.Subscribe, wildcard: true, messages: 2, run: func(c *matrixCell) (wire.Code, int) {
			return c.reloaded(wire.Subscribe{Filter: all}, true)
		}},
		{name: "reload, in its ring", action: access.Subscribe, wildcard: true, messages: 2, run: func(c *matrixCell) (wire.Code, int) {
			return c.reloaded(wire.Subscribe{Filter: all, Policy: wire.Lossless}, true)
		}},
	}
}

// block fills a device's socket.
func (c *matrixCell) block(d *simConn) {
	d.take(0)
	d.write([]byte{byte(wire.TypePing), 0})
	require.NotZero(c.t, c.g.loops[0].slots.at(d.s.n).flags&flagBehind)
}

func (c *matrixCell) whileBehind(d *simConn) (wire.Code, int) {
	c.block(d)
	c.say()
	c.say()
	d.take(-1)
	c.drain()
	return c.checked(d)
}

// reloaded subscribes while everything is granted, then the rules come: before one
// more message, or while one waits.
func (c *matrixCell) reloaded(q wire.Subscribe, waits bool) (wire.Code, int) {
	require.NoError(c.t, c.g.Reload(Config{}))
	d := c.join(true)
	c.subscribe(d, q)
	_, _, _ = c.told(d)
	if waits {
		c.block(d)
		c.say()
	}
	c.reload(d)
	c.say()
	d.take(-1)
	c.drain()
	return c.checked(d)
}
