package client_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// After a reconnect the helpers of a wildcard take all that the gateway grants. They
// do not stay, so what is subscribed meanwhile waits for them.
func TestSubscribeWhileHelpersFillAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		g.welcome.MaxSubs = 4
		c, _ := start(t, g)
		w := subscribe(t, c, "broadcast/#")
		for i := range 6 {
			g.Publish(fmt.Sprint("broadcast/", i), "1")
			require.Equal(t, "1", short(next(t, w)))
		}
		// The replays take a second: the frame that ends them is held back.
		var held []func()
		g.on(func(p *peer, ft wire.Type, body []byte) bool {
			q, _ := wire.ParseSubscribe(body)
			if ft != wire.TypeSubscribe || q.Start != wire.StartCursor || len(p.subs) >= 4 {
				return false
			}
			q.Filter = append([]byte{}, q.Filter...)
			s := g.stream(string(q.Filter))
			p.subs = append(p.subs, q)
			p.send(wire.Subscribed{Sub: q.Sub, Topic: s.id}.Append(nil), g.tell(s, 2))
			held = append(held, func() { p.send(wire.Live{Sub: q.Sub}.Append(nil)) })
			return true
		})
		g.kick()
		pass(time.Minute)
		require.Len(t, g.peers[0].subs, 4)
		g.on(nil)
		began := time.Now()
		time.AfterFunc(time.Second, func() { held[0]() })
		other := subscribe(t, c, "broadcast/other")
		require.Equal(t, time.Second, time.Since(began))
		g.Publish("broadcast/other", "x")
		require.Equal(t, "x", short(next(t, other)))
		for _, live := range held[1:] {
			live()
		}
		synctest.Wait()
		require.Len(t, g.peers[0].subs, 2, "the helpers are gone")
	})
}

// With no helper to wait for, too many is an answer; a helper that is refused for
// another reason is none to wait for either.
func TestSubscribeTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		g.welcome.MaxSubs = 2
		c, _ := start(t, g)
		w := subscribe(t, c, "broadcast/#")
		g.Publish("broadcast/a", "1")
		require.Equal(t, "1", short(next(t, w)))
		var held func()
		g.on(func(p *peer, ft wire.Type, body []byte) bool {
			q, _ := wire.ParseSubscribe(body)
			switch {
			case ft != wire.TypeSubscribe || wire.IsWildcard(q.Filter):
				return false
			case q.Start == wire.StartCursor:
				held = func() { p.send(wire.Subscribed{Sub: q.Sub, Code: wire.CodeNotGranted}.Append(nil)) }
			default:
				p.send(wire.Subscribed{Sub: q.Sub, Code: wire.CodeTooManySubs}.Append(nil))
			}
			return true
		})
		g.kick()
		pass(time.Minute)
		began := time.Now()
		time.AfterFunc(time.Second, func() { held() })
		for _, wait := range []time.Duration{time.Second, 0} {
			ctx, cancel := context.WithTimeout(t.Context(), hour)
			_, err := c.Subscribe(ctx, "broadcast/b")
			cancel()
			require.Equal(t, &client.RefusedError{Code: wire.CodeTooManySubs, What: "subscribing broadcast/b"}, err)
			require.Equal(t, wait, time.Since(began))
			began = time.Now()
		}
	})
}
