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

func at(topic string, life wire.Life, offset uint64) client.TopicPosition {
	return client.TopicPosition{Topic: topic, Position: wire.Position{Life: life, Offset: offset}}
}

// answers replies to every SUBSCRIBE with what f says, until f says nil.
func answers(f func(q wire.Subscribe) []byte) func(*peer, wire.Type, []byte) bool {
	return func(p *peer, ft wire.Type, body []byte) bool {
		if ft != wire.TypeSubscribe {
			return false
		}
		q, _ := wire.ParseSubscribe(body)
		b := f(q)
		if b != nil {
			p.send(b)
		}
		return b != nil
	}
}

func TestSubscribeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.onFrame = answers(func(q wire.Subscribe) []byte {
			if q.Sub%2 == 1 {
				return wire.Subscribed{Sub: q.Sub, Code: wire.CodeNotGranted}.Append(nil)
			}
			return wire.Refusal{Code: wire.CodeBadTopic, Type: wire.TypeSubscribe, Number: uint64(q.Sub)}.Append(nil)
		})
		c, _ := start(t, g)
		for _, want := range []wire.Code{wire.CodeNotGranted, wire.CodeBadTopic, wire.CodeNotGranted} {
			_, err := c.Subscribe(t.Context(), "broadcast/a")
			require.Equal(t, &client.RefusedError{Code: want, What: "subscribing broadcast/a"}, err)
		}
		for _, filter := range []string{"", "a/#/b", "$x"} {
			_, err := c.Subscribe(t.Context(), filter)
			require.Error(t, err, "%q", filter)
		}
		_, err := c.Subscribe(t.Context(), "broadcast/#", client.WithCursor(at("other", 1, 1)))
		require.ErrorContains(t, err, `cursor has topic "other"`)
	})
}

func TestSubscribeIsRepeatedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		n := 0
		g.onFrame = answers(func(q wire.Subscribe) []byte {
			if n++; n == 1 {
				return wire.Subscribed{Sub: q.Sub, Code: wire.CodeReplayBusy, Retry: 700}.Append(nil)
			}
			return nil
		})
		c, _ := start(t, g)
		began := time.Now()
		subscribe(t, c, "broadcast/a")
		require.Equal(t, 700*time.Millisecond, time.Since(began))
	})
}

func TestSubscribeGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.onFrame = func(_ *peer, ft wire.Type, _ []byte) bool { return ft == wire.TypeSubscribe || ft == wire.TypePing }
		c, f := start(t, g)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Subscribe(ctx, "broadcast/a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, f.dialed(), 1, "the session lives on")
	})
}

// A topic that the gateway does not count is agreed on when PONG comes first.
func TestSubscribeToWhatIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.welcome.Flags = 0 // without rings nothing is tracked
		g.onFrame = answers(func(q wire.Subscribe) []byte {
			return wire.Subscribed{Sub: q.Sub, Code: wire.CodeOKCentralAway, Topic: 9}.Append(nil)
		})
		c, _ := start(t, g)
		s := subscribe(t, c, "central/a")
		g.say(wire.Message{Topic: 9, Payload: []byte("x")}.Append(nil), wire.Gap{Topic: 9, Reason: wire.ReasonCentral}.Append(nil),
			wire.Message{Name: []byte("central/a"), Payload: []byte("y")}.Append(nil))
		require.Equal(t, client.Message{Topic: "central/a", Payload: []byte("x")}, next(t, s))
		require.Equal(t, client.Gap{Topic: "central/a", Reason: wire.ReasonCentral}, next(t, s))
		require.Equal(t, client.Message{Topic: "central/a", Payload: []byte("y")}, next(t, s))
		require.Empty(t, s.Cursor())
		g.kick()
		require.Equal(t, client.Gap{Topic: "central/a", Reason: wire.ReasonNotKept}, next(t, s), "nothing can be resumed")
	})
}

// A subscription that is closed is none at the gateway either [W-4.6].
func TestUnsubscribe(t *testing.T) { // BC-15
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a")
		require.Len(t, g.peers[0].subs, 1)
		require.NoError(t, s.Close())
		synctest.Wait()
		require.Empty(t, g.peers[0].subs)

		// The same topic again, on the same connection: it goes on where it is.
		g.Publish("broadcast/a", "unheard")
		s = subscribe(t, c, "broadcast/a")
		g.Publish("broadcast/a", "heard")
		require.Equal(t, uint64(2), next(t, s).(client.Message).Offset)
	})
}

func TestGrantIsWithdrawn(t *testing.T) { // BC-12
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a")
		g.Publish("broadcast/a", "x")
		g.say(wire.Unsubscribed{Sub: 1, Code: wire.CodeNotGranted}.Append(nil))
		require.Equal(t, "x", string(next(t, s).(client.Message).Payload))
		for range 2 {
			_, err := s.Next(t.Context())
			require.Equal(t, &client.RefusedError{Code: wire.CodeNotGranted, What: "subscribing broadcast/a"}, err)
		}
		g.kick()
		pass(time.Minute)
		require.Empty(t, g.peers[0].subs, "it is not asked again")
	})
}

// The starts of a subscription, and that each event comes once.
func TestStarts(t *testing.T) {
	for name, c := range map[string]struct {
		opts []client.SubOption
		want []string
	}{
		"now":             {nil, nil},
		"last":            {[]client.SubOption{client.WithStart(wire.StartLast)}, []string{"5"}},
		"kept":            {[]client.SubOption{client.WithStart(wire.StartKept)}, []string{"3", "4", "5"}},
		"cursor":          {[]client.SubOption{client.WithCursor(at("", 0xA1, 4))}, []string{"5"}},
		"cursor, too old": {[]client.SubOption{client.WithCursor(at("broadcast/a", 0xA1, 1))}, []string{"gap 1", "3", "4", "5"}},
		"empty cursor":    {[]client.SubOption{client.WithCursor()}, []string{"gap 2", "3", "4", "5"}},
		"cursor of another life": {
			[]client.SubOption{client.WithCursor(at("", 0xEE, 9))}, []string{"gap 2", "gap 0", "restarted 00000000000000ee", "3", "4", "5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(0xA1)
				g.kept = 3
				for i := range 5 {
					g.Publish("broadcast/a", fmt.Sprint(i+1))
				}
				cl, _ := start(t, g)
				s := subscribe(t, cl, "broadcast/a", c.opts...)
				g.Publish("broadcast/a", "6")
				for _, want := range append(c.want, "6") {
					require.Equal(t, want, short(next(t, s)))
				}
			})
		})
	}
}

// short is an event in a word.
func short(e client.Event) string {
	switch e := e.(type) {
	case client.Message:
		return string(e.Payload)
	case client.Gap:
		return fmt.Sprint("gap ", e.Count)
	case client.End:
		return fmt.Sprint(e.How, " ", e.Life)
	}
	return "?"
}

func TestCursorUnusable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.onFrame = answers(func(q wire.Subscribe) []byte {
			if q.Start == wire.StartCursor {
				return wire.Subscribed{Sub: q.Sub, Code: wire.CodeCursorUnusable}.Append(nil)
			}
			return nil
		})
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.WithCursor(at("", 1, 77)))
		g.Publish("broadcast/a", "x")
		require.Equal(t, client.Gap{Topic: "broadcast/a", Reason: wire.ReasonNotKept}, next(t, s))
		require.Equal(t, client.Message{Topic: "broadcast/a", Payload: []byte("x"), Life: 1, Offset: 1}, next(t, s))
	})
}

// The cursor is what Next has returned: an application that crashes sees again
// what it did not store, and misses nothing.
func TestCrashRepeatsAndNeverLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, f := start(t, g)
		s := subscribe(t, c, "broadcast/a")
		require.Equal(t, []client.TopicPosition{at("broadcast/a", 0xA1, 0)}, s.Cursor(), "where it began")
		for i := range 10 {
			g.Publish("broadcast/a", fmt.Sprint(i))
		}
		synctest.Wait()
		for range 4 {
			next(t, s)
		}
		stored := s.Cursor()
		next(t, s)
		next(t, s)
		require.NoError(t, c.Close()) // the crash

		c, err := client.Dial(t.Context(), "gw", client.WithDialer(f.dial))
		require.NoError(t, err)
		defer c.Close()
		s = subscribe(t, c, "broadcast/a", client.WithCursor(stored...))
		for i := 4; i < 10; i++ {
			require.Equal(t, fmt.Sprint(i), string(next(t, s).(client.Message).Payload))
		}
	})
}

// The device's own messages take a position and are no event.
func TestOwnMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.WithNoEcho())
		require.True(t, g.peers[0].subs[0].NoEcho)
		own := wire.Gap{Topic: 1, Origin: 1, Reason: wire.ReasonOwn, Count: 2}.Append(nil)
		g.say(own, wire.Message{Topic: 1, Form: wire.OffsetLow, Offset: 3, Payload: []byte("theirs")}.Append(nil), own)
		require.Equal(t, client.Message{Topic: "broadcast/a", Payload: []byte("theirs"), Life: 1, Offset: 3}, next(t, s))
		synctest.Wait()
		require.Equal(t, []client.TopicPosition{at("broadcast/a", 1, 5)}, s.Cursor())
	})
}

func TestUntracked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.Untracked(), client.WithPolicy(wire.LatestOnly))
		require.Equal(t, wire.LatestOnly, g.peers[0].subs[0].Policy)
		require.False(t, g.peers[0].subs[0].Track)
		g.Publish("broadcast/a", "x")
		require.Equal(t, client.Message{Topic: "broadcast/a", Payload: []byte("x")}, next(t, s))
		g.kick()
		require.Equal(t, client.Gap{Topic: "broadcast/a", Reason: wire.ReasonNotKept}, next(t, s))
		require.Empty(t, s.Cursor())
	})
}

// Two subscriptions of one topic at different places: while it is replayed for
// one the other waits, and each sees everything once.
func TestTwoSubscriptionsOfOneTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		for i := range 5 {
			g.Publish("broadcast/a", fmt.Sprint(i+1))
		}
		c, _ := start(t, g)
		now := subscribe(t, c, "broadcast/a")
		all := subscribe(t, c, "broadcast/a", client.WithStart(wire.StartKept))
		wild := subscribe(t, c, "broadcast/+")
		plain := subscribe(t, c, "broadcast/a", client.Untracked())
		g.Publish("broadcast/a", "6")
		for round := range 3 {
			for i := range 7 {
				if n := i + 1; n == 6 || n > 6 && round > 0 {
					continue
				} else if round == 0 && n < 6 {
					require.Equal(t, fmt.Sprint(n), short(next(t, all)))
				}
			}
			want := fmt.Sprint(6 + round)
			if round > 0 {
				require.Equal(t, unseenMissing, next(t, wild))
			}
			for _, s := range []*client.Subscription{now, all, wild} {
				require.Equal(t, want, short(next(t, s)))
			}
			if round > 0 {
				require.Equal(t, "gap 0", short(next(t, plain)))
			}
			if round == 0 {
				require.Equal(t, want, short(next(t, plain)))
			}
			if round < 2 {
				synctest.Wait()
				g.kick()
				g.Publish("broadcast/a", fmt.Sprint(7+round))
			}
		}
	})
}
