package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// A gateway came back with a new life, and was cut from after STREAM, before a
// message or LIVE: the end of the old life is told all the same, and in its place.
func TestRestartThenCut(t *testing.T) {
	for name, filter := range map[string]string{"exact": "broadcast/a", "wildcard": "broadcast/#"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(0xA1)
				c, f := start(t, g)
				s := subscribe(t, c, filter)
				g.Publish("broadcast/a", "a1")
				require.Equal(t, "a1", short(next(t, s)))

				after := newGateway(0xB2)
				after.Publish("broadcast/a", "b1")
				cuts := 2
				after.onFrame = func(p *peer, ft wire.Type, body []byte) bool {
					if ft != wire.TypeSubscribe || cuts == 0 {
						return false
					}
					cuts--
					q, _ := wire.ParseSubscribe(body)
					p.send(wire.Subscribed{Sub: q.Sub, Topic: 1}.Append(nil), after.tell(after.stream("broadcast/a"), 1), nil)
					return true
				}
				f.put("gw", after)
				g.kick()
				pass(time.Minute)
				require.Zero(t, cuts)
				if filter != "broadcast/a" {
					require.Equal(t, unseenMissing, next(t, s))
				}
				for _, want := range []client.Event{
					client.Gap{Topic: "broadcast/a", Reason: wire.ReasonNotKept, Life: 0xA1},
					client.End{Topic: "broadcast/a", How: wire.EndRestarted, Life: 0xA1},
					client.Message{Topic: "broadcast/a", Payload: []byte("b1"), Life: 0xB2, Offset: 1, Replayed: true},
				} {
					require.Equal(t, want, next(t, s))
				}
				require.Equal(t, []client.TopicPosition{at("broadcast/a", 0xB2, 1)}, s.Cursor())
			})
		})
	}
}

// A cursor that was stored between carries the old life over a crash of the device.
func TestRestartThenCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xB2)
		g.Publish("broadcast/a", "b1")
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.WithCursor(at("", 0xA1, 2), at("", 0xB2, 0)))
		for _, want := range []string{"gap 0", "restarted 00000000000000a1", "b1"} {
			require.Equal(t, want, short(next(t, s)))
		}
	})
}

// A topic that the gateway knows nothing of is over as well, and nobody knows how
// it ended [W-6.8].
func TestLifeThatIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xB2)
		g.onFrame = func(p *peer, ft wire.Type, body []byte) bool {
			if ft != wire.TypeSubscribe {
				return false
			}
			q, _ := wire.ParseSubscribe(body)
			p.send(wire.Subscribed{Sub: q.Sub, Topic: 1}.Append(nil), wire.Live{Sub: q.Sub}.Append(nil))
			return true
		}
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.WithCursor(at("", 0xA1, 2)))
		for _, want := range []string{"gap 0", "lost 00000000000000a1"} {
			require.Equal(t, want, short(next(t, s)))
		}
		require.Empty(t, s.Cursor())
	})
}
