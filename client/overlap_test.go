package client_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// An exact subscription and a wildcard that is behind it have the same topic. While
// it is replayed for the first, the wildcard's own replay waits, and what comes is
// not for it: it gets all that the gateway holds, without a Gap.
func TestWildcardBehindAnExactReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		for i := range 6 {
			g.Publish("broadcast/a", fmt.Sprint(i+1))
		}
		g.on(func(p *peer, ft wire.Type, body []byte) bool {
			q, _ := wire.ParseSubscribe(body)
			if ft != wire.TypeSubscribe || q.Sub > 1 {
				return false
			}
			p.subs = append(p.subs, wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")})
			p.send(wire.Subscribed{Sub: 1, Topic: 1}.Append(nil), g.tell(g.stream("broadcast/a"), 5))
			return true // the replay takes its time
		})
		c, _ := start(t, g)
		exact := subscribe(t, c, "broadcast/a", client.WithCursor(at("broadcast/a", 0xA1, 4)))
		wild := subscribe(t, c, "broadcast/#", client.WithCursor(at("broadcast/a", 0xA1, 2)))
		full := func(off uint64) []byte {
			return wire.Message{Topic: 1, Origin: 1, Form: wire.OffsetFull, Offset: off, Payload: fmt.Append(nil, off)}.Append(nil)
		}
		g.say(full(5), full(6), wire.Live{Sub: 1}.Append(nil))
		synctest.Wait()
		g.Publish("broadcast/a", "7")
		for _, want := range []string{"5", "6", "7"} {
			require.Equal(t, want, short(next(t, exact)))
		}
		require.Equal(t, unseenMissing, next(t, wild))
		for _, want := range []string{"3", "4", "5", "6", "7"} {
			require.Equal(t, want, short(next(t, wild)))
		}
		require.Nil(t, try(t, exact), "each once")
		require.Nil(t, try(t, wild), "each once")
	})
}

// A helper that is told to come later has the wildcard wait for it in that topic.
func TestHelperComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/#")
		g.Publish("broadcast/a", "1")
		require.Equal(t, "1", short(next(t, s)))
		refusals := 2
		g.on(answers(func(q wire.Subscribe) []byte {
			if wire.IsWildcard(q.Filter) || refusals == 0 {
				return nil
			}
			refusals--
			return wire.Subscribed{Sub: q.Sub, Code: wire.CodeReplayBusy, Retry: 700}.Append(nil)
		}))
		g.kick()
		g.Publish("broadcast/a", "2")
		require.Equal(t, unseenMissing, next(t, s))
		synctest.Wait()
		g.Publish("broadcast/a", "3")
		g.Publish("broadcast/b", "other topics go on")
		require.Equal(t, "other topics go on", short(next(t, s)))
		pass(time.Minute)
		g.Publish("broadcast/a", "4")
		for _, want := range []string{"2", "3", "4"} {
			require.Equal(t, want, short(next(t, s)))
		}
	})
}

// Of a topic that had to make room while its helper waited, nothing comes again: what
// came meanwhile is a Gap.
func TestTopicForgottenWhileItsHelperWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/#", client.WithBuffer(client.MaxTopics+10))
		g.Publish("broadcast/a", "1")
		require.Equal(t, "1", short(next(t, s)))
		refused := false
		g.on(answers(func(q wire.Subscribe) []byte {
			if wire.IsWildcard(q.Filter) || refused {
				return nil
			}
			refused = true
			return wire.Subscribed{Sub: q.Sub, Code: wire.CodeReplayBusy, Retry: 700}.Append(nil)
		}))
		g.kick()
		require.Equal(t, unseenMissing, next(t, s))
		synctest.Wait()
		g.Publish("broadcast/a", "2")
		for i := range client.MaxTopics {
			g.Publish(fmt.Sprint("broadcast/new/", i), "new")
		}
		for range client.MaxTopics {
			require.Equal(t, "new", short(next(t, s)))
		}
		pass(time.Minute)
		g.Publish("broadcast/a", "3")
		require.Equal(t, client.Gap{Topic: "broadcast/a", Reason: wire.ReasonNotKept}, next(t, s))
		require.Equal(t, "3", short(next(t, s)))
	})
}
