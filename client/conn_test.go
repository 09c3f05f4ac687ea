package client_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// states collects what WithOnState is told.
type states struct {
	mu  sync.Mutex
	all []client.State
}

func (s *states) add(st client.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, st)
}

func (s *states) last() client.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[len(s.all)-1]
}

func (s *states) phases() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.all {
		all = append(all, st.Phase.String()+" "+st.Server)
	}
	return all
}

// HELLO says what the options ask for [W-3.1].
func TestHelloAndWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g, client.WithDevice("kitchen"), client.WithKeepalive(2*time.Minute), client.WithFrameLimit(5000))
		require.Equal(t, "kitchen", c.Identity())
		require.Equal(t, "gw", c.Server())
		require.NoError(t, c.Err())
		synctest.Wait()
		h := g.peers[0].hello
		require.Equal(t, uint32(120), h.Keepalive)
		require.Equal(t, uint8(12), h.Recv, "rounded down to a power of two")
		require.Equal(t, "kitchen", string(h.Auth))
		require.Equal(t, wire.AuthToken, h.Method)
		require.Equal(t, uint8(wire.HelloTracks), h.Flags)

		g.kick()
		pass(time.Minute)
		require.Equal(t, h.Incarnation, g.peers[0].hello.Incarnation, "one start of the device is one incarnation")
	})
}

func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		_, err := client.Dial(t.Context(), "a", client.WithServers("b"), client.WithDialer(f.dial))
		require.ErrorContains(t, err, "connecting to b: connection refused")
		require.Equal(t, []string{"a", "b"}, f.dialed())

		_, err = client.Dial(t.Context(), "", client.WithDialer(f.dial))
		require.ErrorContains(t, err, "no address")
		_, err = client.Dial(t.Context(), "a", client.WithToken(string(make([]byte, wire.MaxAuth+1))))
		require.ErrorContains(t, err, "want at most 900")

		g := newGateway(1)
		g.greet = func(wire.Hello) []byte {
			return wire.Close{Code: wire.CodeNotAuthenticated, Text: []byte("who?")}.Append(nil)
		}
		f.put("a", g)
		_, err = client.Dial(t.Context(), "a", client.WithDialer(f.dial))
		require.Equal(t, &client.StoppedError{Code: wire.CodeNotAuthenticated, Text: "who?"}, err)
		require.ErrorContains(t, err, "not authenticated (who?)")
	})
}

func TestDialWaitsForWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.mute = true
		f := &fleet{}
		f.put("a", g)
		began := time.Now()
		_, err := client.Dial(t.Context(), "a", client.WithDialer(f.dial))
		require.ErrorContains(t, err, "timeout")
		require.Equal(t, 10*time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = client.Dial(ctx, "a", client.WithDialer(f.dial))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestTheContextOfDialDoesNotCloseTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		f.put("gw", newGateway(1))
		ctx, cancel := context.WithCancel(t.Context())
		c, err := client.Dial(ctx, "gw", client.WithDialer(f.dial))
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		require.NoError(t, c.Publish(t.Context(), "broadcast/a", nil))
		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
	})
}

func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		var at []time.Duration
		began := time.Now()
		g.onFrame = func(_ *peer, ft wire.Type, _ []byte) bool {
			if ft != wire.TypeHello {
				at = append(at, time.Since(began))
			}
			return false
		}
		start(t, g)
		pass(time.Hour)
		g.mu.Lock()
		defer g.mu.Unlock()
		require.Len(t, at, 6, "a PING each 9 of 10 minutes")
		require.Equal(t, 9*time.Minute, at[0])
		require.Equal(t, 1, len(g.peers), "and never a second connection")
	})
}

func TestPingIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		var got string
		g.onFrame = func(_ *peer, ft wire.Type, body []byte) bool {
			if ft == wire.TypePong {
				got = string(body)
			}
			return false
		}
		start(t, g)
		g.say(wire.AppendPing(nil, []byte("are you?")))
		synctest.Wait()
		require.Equal(t, "are you?", got)
	})
}

// A gateway that is silent after PING is left, and an application that is slow is
// not taken for a silent gateway.
func TestDeadGateway(t *testing.T) {
	for name, stalled := range map[string]bool{"dead": false, "the application is slow": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(1)
				c, f := start(t, g, client.WithPongTimeout(20*time.Second))
				s := subscribe(t, c, "broadcast/a", client.WithBuffer(1))
				if stalled {
					for range 5 {
						g.Publish("broadcast/a", "x")
					}
				}
				synctest.Wait()
				g.mu.Lock()
				g.onFrame = func(_ *peer, ft wire.Type, _ []byte) bool { return ft == wire.TypePing && !stalled }
				g.mu.Unlock()
				pass(9*time.Minute + 19*time.Second)
				require.Len(t, f.dialed(), 1)
				pass(10 * time.Second)
				if stalled {
					pass(time.Hour)
					require.Len(t, f.dialed(), 1)
					for range 5 {
						next(t, s)
					}
				} else {
					require.Len(t, f.dialed(), 2)
				}
			})
		})
	}
}

// The client leaves at its moment, and goes where it was sent [W-3.5].
func TestGoaway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newGateway(0xA), newGateway(0xB)
		var st states
		c, f := start(t, a, client.WithOnState(st.add))
		f.put("b:1", b)
		s := subscribe(t, c, "broadcast/x")
		a.say(wire.Goaway{Code: wire.CodeDraining, Within: 60_000, Spread: 30_000, Target: []byte("b:1")}.Append(nil))
		pass(31 * time.Second)
		require.Equal(t, []string{"gw", "b:1"}, f.dialed())
		require.Equal(t, "b:1", c.Server())
		require.Equal(t, uint8(1), b.peers[0].hello.Hops)
		b.Publish("broadcast/x", "here")
		var last client.Event
		for range 3 { // the other gateway does not know the old life
			last = next(t, s)
		}
		require.Equal(t, "here", string(last.(client.Message).Payload))
		require.Equal(t, []string{"connected gw", "reconnecting b:1", "connected b:1"}, st.phases())
	})
}

// A Publish under way gets its ACK before the client leaves.
func TestGoawayWaitsForAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		var p0 *peer
		g.onFrame = func(p *peer, ft wire.Type, _ []byte) bool {
			p0 = p
			return ft.Base() == wire.TypePublish
		}
		c, f := start(t, g)
		done := make(chan error)
		go func() { done <- c.Publish(t.Context(), "broadcast/a", nil) }()
		synctest.Wait()
		g.say(wire.Goaway{Code: wire.CodeRestart, Within: 10_000}.Append(nil))
		pass(500 * time.Millisecond)
		require.Len(t, f.dialed(), 1, "it waits for the ACK")
		p0.send(wire.Ack{Seq: 1}.Append(nil))
		require.NoError(t, <-done)
		pass(5 * time.Second)
		require.Len(t, f.dialed(), 2)
	})
}

func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		var st states
		c, f := start(t, g, client.WithOnState(st.add))
		s := subscribe(t, c, "broadcast/a")
		g.Publish("broadcast/a", "last words")
		g.say(wire.Close{Code: wire.CodeBanned}.Append(nil))
		synctest.Wait()
		require.Equal(t, "last words", string(next(t, s).(client.Message).Payload))
		want := &client.StoppedError{Code: wire.CodeBanned}
		_, err := s.Next(t.Context())
		require.Equal(t, want, err)
		require.Equal(t, want, c.Publish(t.Context(), "broadcast/a", nil))
		_, err = c.Subscribe(t.Context(), "broadcast/a")
		require.Equal(t, want, err)
		require.Equal(t, want, c.Err())
		pass(time.Hour)
		require.Len(t, f.dialed(), 1)
		require.Equal(t, []string{"connected gw", "closed "}, st.phases())
	})
}

// Bytes that are not the protocol: the client says so, leaves and comes back.
func TestBrokenGateway(t *testing.T) {
	welcome := newGateway(1).welcome.Append(nil)
	for name, c := range map[string]struct {
		frame []byte
		code  wire.Code
	}{
		"unknown type":           {[]byte{0x3F, 0}, wire.CodeUnknownType},
		"a second WELCOME":       {welcome, wire.CodeMalformed},
		"truncated fields":       {[]byte{byte(wire.TypeAck), 1, 1}, wire.CodeMalformed},
		"frame too large":        {[]byte{byte(wire.TypeMessage), 0xFF, 0xFF, 0x7F}, wire.CodeFrameTooLarge},
		"not UTF-8":              {[]byte{byte(wire.TypeTopic), 3, 1, 1, 0xFF}, wire.CodeMalformed},
		"a message of no topic":  {wire.Message{Topic: 99}.Append(nil), wire.CodeMalformed},
		"a stream of no topic":   {wire.Stream{Topic: 99, Origin: 1, Next: 1}.Append(nil), wire.CodeMalformed},
		"a gap of no topic":      {wire.Gap{Topic: 99, Origin: 1, Count: 1}.Append(nil), wire.CodeMalformed},
		"SUBSCRIBED, not asked":  {wire.Subscribed{Sub: 77}.Append(nil), wire.CodeMalformed},
		"LIVE, not asked":        {wire.Live{Sub: 77}.Append(nil), wire.CodeMalformed},
		"an id with two names":   {append(wire.Topic{Topic: 7, Name: []byte("a")}.Append(nil), wire.Topic{Topic: 7, Name: []byte("b")}.Append(nil)...), wire.CodeMalformed},
		"CLOSE of a socket":      {wire.Close{Handle: 1}.Append(nil), wire.CodeMalformed},
		"CREDIT for a socket":    {wire.Credit{Handle: 1, Bytes: 1}.Append(nil), wire.CodeMalformed},
		"PING of 9 bytes":        {[]byte{byte(wire.TypePing), 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, wire.CodeMalformed},
		"a sub in SUBSCRIBED, 0": {wire.Unsubscribed{}.Append(nil), wire.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(1)
				var closed []wire.Code
				g.onFrame = func(_ *peer, ft wire.Type, body []byte) bool {
					if ft == wire.TypeClose {
						f, _ := wire.ParseClose(body)
						closed = append(closed, f.Code)
					}
					return false
				}
				var st states
				_, f := start(t, g, client.WithOnState(st.add), client.WithFrameLimit(1<<12))
				g.say(c.frame)
				pass(time.Minute)
				require.Len(t, f.dialed(), 2)
				require.Equal(t, []wire.Code{c.code}, closed)
				require.ErrorIs(t, st.all[1].Err, client.ErrProtocol)
			})
		})
	}
}

// What a newer gateway may add is passed over [W-2.4].
func TestUnknownFramesAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, f := start(t, g)
		g.say([]byte{0xFE, 2, 1, 2}, wire.Credit{Bytes: wire.MaxVarint}.Append(nil), wire.Credit{Bytes: wire.MaxVarint}.Append(nil),
			wire.Refusal{Code: wire.CodeMalformed, Type: 0x77}.Append(nil), wire.Auth{Data: []byte("60")}.Append(nil))
		require.NoError(t, c.Publish(t.Context(), "broadcast/a", nil))
		require.Len(t, f.dialed(), 1)
	})
}

func TestPhaseNames(t *testing.T) {
	require.Equal(t, "connected reconnecting closed unknown",
		fmt.Sprint(client.Connected, " ", client.Reconnecting, " ", client.Closed, " ", client.Phase(9)))
}

// Frames may come in any pieces, also longer ones than the first buffer.
func TestAnyChunking(t *testing.T) {
	for _, size := range []int{1, 2, 3, 7, 100, 4095, 4096, 4097, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(1)
				g.chunk = size
				c, _ := start(t, g)
				s := subscribe(t, c, "broadcast/a")
				for i := range 12 {
					payload := strings.Repeat(string(rune('a'+i%26)), i*i*50)
					g.Publish("broadcast/a", payload)
					require.Equal(t, payload, string(next(t, s).(client.Message).Payload))
				}
			})
		})
	}
}
