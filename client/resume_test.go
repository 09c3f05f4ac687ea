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

// unseenMissing is what a wildcard says when it resumes: topics that it has not seen
// may have had messages.
var unseenMissing = client.Gap{Reason: wire.ReasonNotKept}

// A wildcard resumes the topics that it has seen: exactly, before itself, and
// only until their replay is done.
func TestWildcardResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/#")
		topics := []string{"broadcast/a", "broadcast/b", "broadcast/c"}
		for _, topic := range topics {
			g.Publish(topic, "1 "+topic)
			require.Equal(t, "1 "+topic, short(next(t, s)))
		}
		var asked []string
		g.on(func(_ *peer, ft wire.Type, body []byte) bool {
			if ft == wire.TypeSubscribe {
				q, _ := wire.ParseSubscribe(body)
				asked = append(asked, string(q.Filter))
				for p := range q.Cursor.Positions() {
					asked = append(asked, fmt.Sprint(p))
				}
			}
			return false
		})
		g.kick()
		for _, topic := range topics {
			g.Publish(topic, "2 "+topic)
		}
		require.Equal(t, unseenMissing, next(t, s), "in its place: before all that comes next")
		for range topics {
			m := next(t, s).(client.Message)
			require.Equal(t, "2 "+m.Topic, string(m.Payload))
			require.Equal(t, uint64(2), m.Offset)
			require.True(t, m.Replayed)
		}
		pos := fmt.Sprint(wire.Position{Life: 0xA1, Offset: 1})
		synctest.Wait()
		require.Equal(t, []string{"broadcast/c", pos, "broadcast/b", pos, "broadcast/a", pos, "broadcast/#"}, asked)
		require.Len(t, g.peers[0].subs, 1, "the helpers are gone")
		for _, topic := range topics {
			g.Publish(topic, "3 "+topic)
			require.Equal(t, "3 "+topic, short(next(t, s)))
		}
		require.Equal(t, []client.TopicPosition{at(topics[0], 0xA1, 3), at(topics[1], 0xA1, 3), at(topics[2], 0xA1, 3)}, s.Cursor())
	})
}

// What does not fit the gateway's subscriptions is one gap without a topic; the
// topics heard of last are resumed.
func TestWildcardResumesWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		g.welcome.MaxSubs = 5
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/#")
		subscribe(t, c, "broadcast/exact")
		const topics = 8
		for i := range topics {
			g.Publish(fmt.Sprint("broadcast/", i), "1")
			next(t, s)
		}
		synctest.Wait()
		g.kick()
		synctest.Wait()
		for i := range topics {
			g.Publish(fmt.Sprint("broadcast/", i), "2")
		}
		require.Equal(t, client.Gap{Reason: wire.ReasonNotKept}, next(t, s))
		got := make(map[string]bool)
		for range 3 { // 5 less the two of the application
			got[next(t, s).(client.Message).Topic] = true
		}
		require.Equal(t, map[string]bool{"broadcast/5": true, "broadcast/6": true, "broadcast/7": true}, got)
		pass(time.Minute)
		for i := range topics {
			g.Publish(fmt.Sprint("broadcast/", i), "3")
			require.Equal(t, client.Message{Topic: fmt.Sprint("broadcast/", i), Payload: []byte("3"), Life: 0xA1, Offset: 3}, next(t, s))
		}
	})
}

// What was published while nobody listened on a topic that was never seen is one gap
// without a topic, also if that topic stays silent from then on.
func TestWildcardSaysWhatItMayHaveMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		g.Publish("broadcast/old", "before")
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/#")
		synctest.Wait()
		g.Publish("broadcast/old", "x")
		require.Equal(t, "x", short(next(t, s)), "nothing is missing on the first connection")
		g.kick()
		synctest.Wait()
		g.Publish("broadcast/unseen", "missed")
		pass(time.Minute)
		require.Equal(t, unseenMissing, next(t, s))
		g.Publish("broadcast/new", "y")
		require.Equal(t, "y", short(next(t, s)))
		g.Publish("broadcast/unseen", "z")
		require.Equal(t, "z", short(next(t, s)), "and it is not told twice")
	})
}

// Several connections may be needed before the wildcard begins anew: nothing of it
// came between, so it is one gap.
func TestWildcardSaysItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, f := start(t, g)
		s := subscribe(t, c, "broadcast/#")
		g.Publish("broadcast/a", "1")
		require.Equal(t, "1", short(next(t, s)))
		refusals := 3
		g.on(func(p *peer, ft wire.Type, body []byte) bool {
			if ft != wire.TypeSubscribe || refusals == 0 {
				return false
			}
			if q, _ := wire.ParseSubscribe(body); !wire.IsWildcard(q.Filter) {
				return false
			}
			refusals--
			p.send(nil) // gone before it agrees
			return true
		})
		g.kick()
		pass(time.Hour)
		require.Len(t, f.dialed(), 5)
		require.Equal(t, unseenMissing, next(t, s))
		g.Publish("broadcast/a", "2")
		require.Equal(t, "2", short(next(t, s)))
		g.kick()
		require.Equal(t, unseenMissing, next(t, s), "the next loss is another one")
	})
}

func TestWildcardWithoutCounting(t *testing.T) {
	for name, c := range map[string]struct {
		flags uint8
		opts  []client.SubOption
	}{
		"untracked":               {wire.WelcomeResumes, []client.SubOption{client.Untracked()}},
		"a gateway without rings": {0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(1)
				g.welcome.Flags = c.flags
				cl, _ := start(t, g)
				s := subscribe(t, cl, "broadcast/#", c.opts...)
				g.kick()
				require.Equal(t, client.Gap{Reason: wire.ReasonNotKept}, next(t, s))
			})
		})
	}
}

// A wildcard goes on after a crash with the cursor that was stored.
func TestWildcardCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		for i := range 3 {
			g.Publish("broadcast/a", fmt.Sprint("a", i+1))
			g.Publish("broadcast/b", fmt.Sprint("b", i+1))
		}
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/+", client.WithCursor(at("broadcast/a", 0xA1, 1), at("broadcast/b", 0xA1, 2)))
		require.Equal(t, unseenMissing, next(t, s))
		got := []string{short(next(t, s)), short(next(t, s)), short(next(t, s))}
		require.ElementsMatch(t, []string{"a2", "a3", "b3"}, got)
		pass(time.Second)
		g.Publish("broadcast/a", "a4")
		require.Equal(t, "a4", short(next(t, s)))
	})
}

// A helper that is refused leaves a gap for its topic only.
func TestHelperIsRefused(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeNotGranted, wire.CodeOKLiveOnly, wire.CodeCursorUnusable} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(0xA1)
				c, _ := start(t, g)
				s := subscribe(t, c, "broadcast/#")
				g.Publish("broadcast/a", "1")
				next(t, s)
				g.on(answers(func(q wire.Subscribe) []byte {
					if wire.IsWildcard(q.Filter) {
						return nil
					}
					f := wire.Subscribed{Sub: q.Sub, Code: code}
					if code == wire.CodeOKLiveOnly {
						f.Topic = 1
					}
					return f.Append(nil)
				}))
				g.kick()
				synctest.Wait()
				g.Publish("broadcast/a", "missed")
				require.Equal(t, unseenMissing, next(t, s))
				require.Equal(t, client.Gap{Topic: "broadcast/a", Reason: wire.ReasonNotKept}, next(t, s))
				pass(time.Minute)
				g.Publish("broadcast/a", "3")
				require.Equal(t, "3", short(next(t, s)))
			})
		})
	}
}

// A jump that nobody announced is told, logged, and repaired by resuming.
func TestUnannouncedJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		var st states
		c, f := start(t, g, client.WithOnState(st.add))
		s := subscribe(t, c, "broadcast/a")
		g.mu.Lock()
		g.drops = 1
		g.mu.Unlock()
		g.Publish("broadcast/a", "dropped without a word")
		g.Publish("broadcast/a", "2")
		require.Equal(t, client.Gap{Topic: "broadcast/a", Reason: wire.ReasonLost, Life: 0xA1}, next(t, s))
		require.Equal(t, "dropped without a word", short(next(t, s)))
		require.Equal(t, "2", short(next(t, s)))
		require.Len(t, f.dialed(), 2)
		synctest.Wait()
		require.ErrorIs(t, st.all[1].Err, client.ErrProtocol)
	})
}

// Without the comparison the same loss goes unseen.
func TestUnannouncedJumpWithoutTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, f := start(t, g, client.WithoutCheck)
		s := subscribe(t, c, "broadcast/a")
		g.mu.Lock()
		g.drops = 1
		g.mu.Unlock()
		g.Publish("broadcast/a", "dropped without a word")
		g.Publish("broadcast/a", "2")
		m := next(t, s).(client.Message)
		require.Equal(t, "2", string(m.Payload))
		require.Equal(t, uint64(1), m.Offset, "wrong, and nobody noticed")
		require.Len(t, f.dialed(), 1)
	})
}

// A life that ends while connected, in all its ways [W-6.5].
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a")
		low := func(off uint64, payload string) []byte {
			return wire.Message{Topic: 1, Form: wire.OffsetLow, Offset: off, Payload: []byte(payload)}.Append(nil)
		}
		stream := func(life wire.Life, next uint64) []byte {
			return wire.Stream{Topic: 1, Origin: 1, Flags: wire.StreamMain, Life: life, Next: next}.Append(nil)
		}
		g.say(low(1, "a1"), wire.End{Topic: 1, Origin: 1, How: wire.EndRestarted}.Append(nil), stream(0xB2, 1), low(1, "b1"),
			stream(0xC3, 3), low(3, "c3"), wire.End{Topic: 0, Origin: 1, How: wire.EndLost}.Append(nil), stream(0xC3, 5), low(5, "c5"))
		for _, want := range []client.Event{
			client.Message{Topic: "broadcast/a", Payload: []byte("a1"), Life: 0xA1, Offset: 1},
			client.End{Topic: "broadcast/a", How: wire.EndRestarted, Life: 0xA1},
			client.Message{Topic: "broadcast/a", Payload: []byte("b1"), Life: 0xB2, Offset: 1},
			client.End{Topic: "broadcast/a", How: wire.EndRestarted, Life: 0xB2}, // by STREAM [W-6.3]
			client.Message{Topic: "broadcast/a", Payload: []byte("c3"), Life: 0xC3, Offset: 3},
			client.End{Topic: "broadcast/a", How: wire.EndLost, Life: 0xC3},
			client.Gap{Topic: "broadcast/a", Reason: wire.ReasonNotKept, Count: 1, Life: 0xC3},
			client.Message{Topic: "broadcast/a", Payload: []byte("c5"), Life: 0xC3, Offset: 5},
		} {
			require.Equal(t, want, next(t, s))
		}
		require.Equal(t, []client.TopicPosition{at("broadcast/a", 0xC3, 5)}, s.Cursor())
	})
}

// A message of a stream that was not told, on a tracked topic, is an error: what
// it stands for is repaired by resuming [W-6.7]. One subscription that does not
// count makes it a plain message, until it is let go.
func TestMessageOfAnUntoldStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		var st states
		c, f := start(t, g, client.WithOnState(st.add))
		s := subscribe(t, c, "broadcast/a")
		plain := subscribe(t, c, "broadcast/+", client.Untracked())
		untold := wire.Message{Topic: 1, Origin: 2, Payload: []byte("untold")}.Append(nil)
		g.say(untold)
		require.Equal(t, "untold", short(next(t, s)))
		require.Equal(t, "untold", short(next(t, plain)))

		var last *peer
		g.on(func(p *peer, ft wire.Type, _ []byte) bool {
			if ft == wire.TypeUnsubscribe {
				last = p
			}
			return last != nil && p == last
		})
		require.NoError(t, plain.Close())
		synctest.Wait()
		g.say(untold) // sent before UNSUBSCRIBE was read
		require.Equal(t, "untold", short(next(t, s)))
		g.say(wire.Unsubscribed{Sub: 2}.Append(nil), untold)
		require.Equal(t, client.Gap{Topic: "broadcast/a", Reason: wire.ReasonLost}, next(t, s))
		pass(time.Minute)
		require.Len(t, f.dialed(), 2)
		require.ErrorIs(t, st.all[1].Err, client.ErrProtocol)
		g.Publish("broadcast/a", "1")
		require.Equal(t, "1", short(next(t, s)))
	})
}

// A topic of the central service: its offsets are told in full and have holes.
func TestSparseStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a")
		full := func(off uint64) []byte {
			return wire.Message{Topic: 1, Form: wire.OffsetFull, Offset: off}.Append(nil)
		}
		g.say(wire.Stream{Topic: 1, Origin: 1, Flags: wire.StreamMain | wire.StreamSparse, Life: 0xCC, Next: 10}.Append(nil),
			full(12), full(40), full(12), full(41))
		var got []uint64
		for len(got) < 3 {
			if m, is := next(t, s).(client.Message); is {
				got = append(got, m.Offset)
			}
		}
		require.Equal(t, []uint64{12, 40, 41}, got)
	})
}

// A life that has ended for ever may still be kept by the next gateway, which replays
// it: what the device has had does not come twice, and its end is told once [W-6.5].
func TestLifeThatIsOverIsReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		g.Publish("broadcast/a", "a1")
		c, f := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.WithCursor())
		require.Equal(t, "a1", short(next(t, s)))
		g.say(wire.End{Topic: 1, Origin: 1, How: wire.EndRestarted}.Append(nil))
		require.Equal(t, "restarted 00000000000000a1", short(next(t, s)))
		require.Empty(t, s.Cursor(), "for the application it is of no more use")

		other := newGateway(0xA1) // it keeps one message more than the device had
		other.Publish("broadcast/a", "a1")
		other.Publish("broadcast/a", "a2")
		f.put("gw", other)
		g.kick()
		require.Equal(t, "a2", short(next(t, s)))
		other.say(wire.End{Topic: 1, Origin: 1, How: wire.EndRestarted}.Append(nil))

		after := newGateway(0xB2) // it knows nothing of that life
		after.Publish("broadcast/a", "b1")
		f.put("gw", after)
		other.kick()
		require.Equal(t, "b1", short(next(t, s)))
		require.Equal(t, []client.TopicPosition{at("broadcast/a", 0xB2, 1)}, s.Cursor())
	})
}
