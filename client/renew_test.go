package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// tokens is a source whose answers a test decides, and notes when it was asked.
type tokens struct {
	mu     sync.Mutex
	token  string
	err    error
	asked  []time.Time
	counts bool // each is another one
}

func (s *tokens) get(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	if s.counts {
		return fmt.Sprint(s.token, len(s.asked)), s.err
	}
	return s.token, s.err
}

func (s *tokens) set(token string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.err = token, err
}

func (s *tokens) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// renewing is a gateway that takes these tokens by AUTH: each for so many seconds, any
// other with an error.
type renewing struct {
	*gateway
	takes map[string]uint32
	code  wire.Code // of the error
	came  []string
	at    []time.Time
}

func newRenewing(takes map[string]uint32) *renewing {
	g := &renewing{gateway: newGateway(1), takes: takes, code: wire.CodeNotAuthenticated}
	g.onFrame = func(p *peer, ft wire.Type, body []byte) bool {
		if ft != wire.TypeAuth {
			return false
		}
		a, _ := wire.ParseAuth(body)
		g.came, g.at = append(g.came, string(a.Data)), append(g.at, time.Now())
		if seconds, ok := g.takes[string(a.Data)]; ok {
			p.send(wire.AuthLeft(seconds).Append(nil))
		} else {
			p.send(wire.Refusal{Code: g.code, Type: wire.TypeAuth, Text: []byte("no")}.Append(nil))
		}
		return true
	}
	return g
}

// runsOut says that the time of the token is running out.
func (g *renewing) runsOut(seconds uint32) {
	synctest.Wait()
	g.say(wire.AuthLeft(seconds).Append(nil))
}

func (g *renewing) authed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.came
}

// The source is asked at each connect, and its token is in HELLO [W-3.1].
func TestTokenSourceAtConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		s := &tokens{token: "t", counts: true}
		start(t, g, client.WithDevice("not this"), client.WithToken("nor this"), client.WithTokenSource(s.get))
		for i := range 3 {
			synctest.Wait()
			require.Equal(t, fmt.Sprint("t", i+1), string(g.peers[0].hello.Auth))
			require.Equal(t, wire.AuthToken, g.peers[0].hello.Method)
			g.kick()
			pass(time.Minute)
		}
	})
}

// A token wins over the name, whichever option came first.
func TestTokenWinsOverTheName(t *testing.T) {
	for _, opts := range [][]client.Option{
		{client.WithDevice("kitchen"), client.WithToken("token")},
		{client.WithToken("token"), client.WithDevice("kitchen")},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGateway(1)
			c, _ := start(t, g, opts...)
			synctest.Wait()
			require.Equal(t, "token", string(g.peers[0].hello.Auth))
			require.Equal(t, "kitchen", c.Identity())
		})
	}
}

// A source that fails at the first connect is Dial's error; later it is asked again by
// back-off, and no gateway is bothered.
func TestTokenSourceFailsAtConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		f := &fleet{}
		f.put("gw", g)
		s := &tokens{}
		dial := func() (*client.Client, error) {
			return client.Dial(t.Context(), "gw", client.WithServers("b"), client.WithDialer(f.dial), client.WithTokenSource(s.get))
		}
		for _, bad := range []struct {
			token string
			err   error
			want  string
		}{
			{"", errCut, "asking the source for a token: cut"},
			{"", nil, "empty token"},
			{string(make([]byte, wire.MaxAuth+1)), nil, "want at most 900"},
			{"\xff", nil, "not UTF-8"},
		} {
			s.set(bad.token, bad.err)
			_, err := dial()
			require.ErrorContains(t, err, bad.want)
		}
		require.Empty(t, f.dialed())
		require.Equal(t, 4, s.times())

		s.set("good", nil)
		c, err := dial()
		require.NoError(t, err)
		defer c.Close()
		s.set("", errCut)
		g.kick()
		pass(5 * time.Minute)
		require.Len(t, f.dialed(), 1)
		require.Greater(t, s.times(), 6)
		require.Less(t, s.times(), 30, "by back-off")
		s.set("good", nil)
		pass(5 * time.Minute)
		require.Equal(t, []string{"gw", "gw"}, f.dialed(), "no address was to blame")
	})
}

// When the time is running out a new token goes over the connection that lives
// [W-3.3], at a random moment of the first quarter of what is left.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRenewing(map[string]uint32{"t2": 900, "t3": 900})
		s := &tokens{token: "t", counts: true}
		c, f := start(t, g.gateway, client.WithTokenSource(s.get))
		pass(hour)
		require.Empty(t, g.authed(), "nobody asked")
		for i := range 2 {
			told := time.Now()
			g.runsOut(60)
			pass(time.Minute)
			require.Equal(t, []string{"t2", "t3"}[:i+1], g.authed())
			require.Less(t, g.at[i].Sub(told), 15*time.Second)
		}
		require.NoError(t, c.Publish(t.Context(), "broadcast/a", nil))
		require.Len(t, f.dialed(), 1)
		require.Equal(t, 3, s.times())
	})
}

// The whole fleet does not ask in the same second.
func TestRenewalIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		for range 50 {
			g := newRenewing(map[string]uint32{"t2": 900})
			start(t, g.gateway, client.WithTokenSource((&tokens{token: "t", counts: true}).get))
			told := time.Now()
			g.runsOut(300)
			pass(31 * time.Second)
			at = append(at, g.at[0].Sub(told))
		}
		early, late := 0, 0
		for _, d := range at {
			require.Less(t, d, 30*time.Second)
			if d < 10*time.Second {
				early++
			}
			if d > 20*time.Second {
				late++
			}
		}
		require.Positive(t, early)
		require.Positive(t, late)
	})
}

// What fails is tried again until the token ends, and logged: a source that fails, one
// that has nothing new yet, a gateway that refuses. None ends the connection.
func TestRenewalIsRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		token string // that the source gives while it goes wrong
		err   error
		says  string
		sent  []string
	}{
		"the source fails":       {"", errCut, "cut", []string{"new"}},
		"nothing new":            {"old", nil, "no newer token", []string{"new"}},
		"the gateway refuses it": {"bad", nil, "the new token refused: not authenticated (no)", []string{"bad", "new"}},
		"an empty one":           {"", nil, "empty token", []string{"new"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRenewing(map[string]uint32{"new": 900})
				s := &tokens{token: "old"}
				var log syncBuffer
				_, f := start(t, g.gateway, client.WithTokenSource(s.get), client.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				s.set(c.token, c.err)
				g.runsOut(120)
				pass(time.Minute)
				require.Greater(t, s.times(), 2, "it was tried again")
				require.Less(t, s.times(), 30)
				require.Contains(t, log.String(), c.says)
				s.set("new", nil)
				pass(40 * time.Second)
				require.Equal(t, c.sent, g.authed(), "what was refused is not sent again")
				require.Contains(t, log.String(), "token renewed")
				asked := s.times()
				pass(hour)
				require.Equal(t, asked, s.times(), "it is done")
				require.Len(t, f.dialed(), 1)
			})
		})
	}
}

// Trying ends with the token.
func TestRenewalEndsWithTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRenewing(nil)
		s := &tokens{token: "old"}
		start(t, g.gateway, client.WithTokenSource(s.get))
		s.set("", errCut)
		g.runsOut(60)
		pass(90 * time.Second)
		asked := s.times()
		pass(hour)
		require.Equal(t, asked, s.times())
	})
}

// A gateway that takes no tokens is not asked a second time on the connection.
func TestRenewalThatIsNotSupported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRenewing(nil)
		g.code = wire.CodeNotSupported
		start(t, g.gateway, client.WithTokenSource((&tokens{token: "t", counts: true}).get))
		for range 3 {
			g.runsOut(60)
			pass(5 * time.Minute)
		}
		require.Len(t, g.authed(), 1)
	})
}

// What the gateway says right behind an answer counts: the new token may be short as
// well. And what it said before, of the old token, does not.
func TestRenewalOfAShortToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRenewing(map[string]uint32{"t3": 900})
		answer := g.onFrame
		g.on(func(p *peer, ft wire.Type, body []byte) bool {
			a, _ := wire.ParseAuth(body)
			if ft == wire.TypeAuth && string(a.Data) == "t2" {
				p.send(wire.AuthLeft(20).Append(nil), wire.AuthLeft(20).Append(nil))
				return true
			}
			return answer(p, ft, body)
		})
		s := &tokens{token: "t", counts: true}
		start(t, g.gateway, client.WithTokenSource(s.get))
		g.runsOut(100)
		g.runsOut(99)
		pass(hour)
		require.Equal(t, []string{"t3"}, g.authed())
		require.Equal(t, 3, s.times())
	})
}

// An AUTH that says no time, and one for a client without a source, are ignored.
func TestAuthOfNoUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRenewing(nil)
		var log syncBuffer
		c, f := start(t, g.gateway, client.WithToken("t"), client.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		g.say(wire.Auth{Method: wire.AuthToken, Data: []byte("soon")}.Append(nil), wire.AuthLeft(60).Append(nil))
		require.NoError(t, c.Publish(t.Context(), "broadcast/a", nil))
		pass(time.Minute)
		require.Empty(t, g.authed())
		require.Len(t, f.dialed(), 1)
		require.Contains(t, log.String(), "token ends soon")
	})
}

// A loss in the middle of a renewal, and Close, leave nothing behind; the token after is asked
// for at the connect.
func TestRenewalThatIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.onFrame = func(p *peer, ft wire.Type, _ []byte) bool {
			if ft == wire.TypeAuth {
				p.send(nil)
			}
			return ft == wire.TypeAuth
		}
		s := &tokens{token: "t", counts: true}
		c, f := start(t, g, client.WithTokenSource(s.get))
		synctest.Wait()
		g.say(wire.AuthLeft(4).Append(nil))
		pass(time.Minute)
		require.Len(t, f.dialed(), 2)
		require.Equal(t, "t3", string(g.peers[0].hello.Auth))
		g.say(wire.AuthLeft(400).Append(nil))
		synctest.Wait()
		require.NoError(t, c.Close())
	})
}

// CLOSE 25 [W-8.2]: with a source the client is back at once, with a fresh token; with
// a token that never changes it stops.
func TestTokenExpired(t *testing.T) {
	expired := wire.Close{Code: wire.CodeTokenExpired, Text: []byte("at noon")}.Append(nil)
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		_, f := start(t, g, client.WithTokenSource((&tokens{token: "t", counts: true}).get))
		synctest.Wait()
		g.say(expired)
		pass(1100 * time.Millisecond)
		require.Len(t, f.dialed(), 2)
		require.Equal(t, "t2", string(g.peers[0].hello.Auth))
	})
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, f := start(t, g, client.WithToken("t"))
		synctest.Wait()
		g.say(expired)
		pass(hour)
		require.Equal(t, &client.StoppedError{Code: wire.CodeTokenExpired, Text: "at noon"}, c.Err())
		require.Len(t, f.dialed(), 1)
	})
}

// The delay of CLOSE is obeyed to the millisecond, also by Dial [W-8.2]; without it
// the client would come by back-off.
func TestCloseDelay(t *testing.T) {
	const delay = 12_345 * time.Millisecond
	full := func(retry uint32) []byte {
		return wire.Close{Code: wire.CodeConnectRate, Retry: retry}.Append(nil)
	}
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		var st states
		_, f := start(t, g, client.WithOnState(st.add))
		for i := range 5 {
			synctest.Wait()
			g.say(full(12_345))
			synctest.Wait()
			require.Equal(t, delay, st.last().Wait, "each time the same, whatever came before")
			require.ErrorContains(t, st.last().Err, "connect rate, come back in 12.345s")
			pass(delay - time.Nanosecond)
			require.Len(t, f.dialed(), 1+i)
			pass(time.Nanosecond)
			require.Len(t, f.dialed(), 2+i)
		}
	})
	for name, c := range map[string]struct {
		retry uint32
		waits bool
	}{"with a delay": {12_345, true}, "without": {0, false}} {
		t.Run("Dial "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, f, refusals := newGateway(1), &fleet{}, 0
				g.greet = func(wire.Hello) []byte {
					if refusals++; refusals <= 2 {
						return full(c.retry)
					}
					return nil
				}
				f.put("gw", g)
				began := time.Now()
				d, err := client.Dial(t.Context(), "gw", client.WithDialer(f.dial))
				if !c.waits {
					require.ErrorContains(t, err, "connect rate")
					return
				}
				require.NoError(t, err)
				require.Equal(t, 2*delay, time.Since(began))
				require.NoError(t, d.Close())
			})
		})
	}
}

// syncBuffer is a buffer for a logger.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A source that its context ends does not hold up Close.
func TestTokenSourceObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		first := true
		c, _ := start(t, g, client.WithTokenSource(func(ctx context.Context) (string, error) {
			if first {
				first = false
				return "t", nil
			}
			<-ctx.Done()
			return "", ctx.Err()
		}))
		synctest.Wait()
		g.say(wire.AuthLeft(4).Append(nil))
		pass(2 * time.Second)
		began := time.Now()
		require.NoError(t, c.Close())
		require.Zero(t, time.Since(began))
		require.True(t, errors.Is(c.Err(), client.ErrClosed))
	})
}
