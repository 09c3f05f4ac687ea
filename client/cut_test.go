package client_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// story is a session to be cut anywhere: what the application does and what
// happens around it.
type story struct {
	filter  string
	topics  []string // published in turn
	restart bool     // the gateway that was cut from comes back without memory
	repeats bool     // replays begin at the ring's beginning
	opts    []client.Option
	warm    bool // each topic is seen before the story begins, uncut
}

// history is what the application saw, one line an event, and whether every
// message was sent at least once.
type history struct {
	lines   []string
	lost    int // messages of which neither they nor a gap were seen
	doubles int
	unknown int // gaps of unknown size
	frames  int // that the gateways wrote
	read    int // that the gateways read
}

const rounds = 8

// tell lives the story with a cut and says what was seen.
func (st story) tell(t *testing.T, cut *cutter) (h history) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		put := func(life wire.Life) {
			g := newGateway(life)
			g.cut, g.repeats = cut, st.repeats
			f.put("gw", g)
		}
		put(0xA1)
		if st.restart {
			cut.after = func() { put(0xB2) }
		}
		opts := append([]client.Option{client.WithDialer(f.dial), client.WithBackoff(time.Second, time.Second)}, st.opts...)
		c, err := client.Dial(t.Context(), "gw", opts...)
		if err != nil { // the cut was before WELCOME
			c, err = client.Dial(t.Context(), "gw", opts...)
		}
		require.NoError(t, err)
		s, err := c.Subscribe(t.Context(), st.filter)
		require.NoError(t, err)

		if st.warm {
			cut.pause(true)
			for _, topic := range st.topics {
				f.gateway("gw").Publish(topic, "warm")
				next(t, s)
			}
			synctest.Wait()
			cut.pause(false)
		}
		sent := make(map[string]int)
		see := func(e client.Event) {
			switch e := e.(type) {
			case client.Message:
				sent[string(e.Payload)]++
				e.Replayed = false // this may differ
				h.lines = append(h.lines, fmt.Sprintf("%+v", e))
			case client.End:
				h.lines = append(h.lines, fmt.Sprintf("%+v", e))
			case client.Gap:
				h.lines = append(h.lines, fmt.Sprintf("%+v", e))
				if e.Count == 0 {
					h.unknown++
				}
			}
		}
		n := 0
		for range rounds {
			for _, topic := range st.topics {
				n++
				sent[fmt.Sprint(n)] += 0
				f.gateway("gw").Publish(topic, fmt.Sprint(n))
				// Half of the time the next one is published while this one is under way.
				if n%2 == 0 {
					synctest.Wait()
				}
				if n%3 == 0 {
					require.NoError(t, c.Publish(t.Context(), "up", fmt.Append(nil, n), client.WithRetry()))
				}
			}
		}
		pass(time.Minute) // all reconnects are over
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			e, err := s.Next(ctx)
			cancel()
			if err != nil {
				break
			}
			see(e)
		}
		require.NoError(t, c.Shutdown(t.Context()))
		for _, times := range sent {
			if times == 0 {
				h.lost++
			}
			h.doubles += max(times-1, 0)
		}
		cut.mu.Lock()
		h.frames, h.read = cut.sent, cut.read
		cut.mu.Unlock()
	})
	return h
}

// pause makes the cutter look away.
func (c *cutter) pause(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = on
}

func never() *cutter { return &cutter{atSent: -1, atRead: -1} }

// everyCut tells the story once for each frame boundary, once for the middle of
// each frame, and once for each frame that the device sends.
func (st story) everyCut(t *testing.T, check func(t *testing.T, whole, cut history)) {
	whole := st.tell(t, never())
	require.Zero(t, whole.lost)
	require.Zero(t, whole.doubles)
	run := func(name string, c *cutter) {
		t.Run(name, func(t *testing.T) { check(t, whole, st.tell(t, c)) })
	}
	for i := range whole.frames {
		run(fmt.Sprintf("before frame %d", i), &cutter{atSent: i, atRead: -1})
		run(fmt.Sprintf("inside frame %d", i), &cutter{atSent: i, atRead: -1, inside: true})
	}
	for i := range whole.read {
		run(fmt.Sprintf("before device frame %d", i), &cutter{atSent: -1, atRead: i})
	}
}

func TestEveryCutOfAnExactSubscription(t *testing.T) {
	for name, st := range map[string]story{
		"replay from the cursor": {filter: "broadcast/a", topics: []string{"broadcast/a"}},
		"replay of everything":   {filter: "broadcast/a", topics: []string{"broadcast/a"}, repeats: true},
	} {
		t.Run(name, func(t *testing.T) {
			st.everyCut(t, func(t *testing.T, whole, cut history) {
				require.Equal(t, whole.lines, cut.lines)
			})
		})
	}
}

func TestEveryCutWithARestart(t *testing.T) {
	st := story{filter: "broadcast/a", topics: []string{"broadcast/a"}, restart: true}
	st.everyCut(t, func(t *testing.T, _, cut history) {
		require.Zero(t, cut.doubles)
		if cut.lost > 0 {
			require.Positive(t, cut.unknown, "%v", cut.lines)
		}
	})
}

func TestEveryCutOfAWildcard(t *testing.T) {
	topics := []string{"broadcast/a", "broadcast/b", "broadcast/c/d"}
	for name, st := range map[string]story{
		"same gateway":      {filter: "broadcast/#", topics: topics},
		"replay repeats":    {filter: "broadcast/#", topics: topics, repeats: true},
		"gateway restarted": {filter: "broadcast/#", topics: topics, restart: true},
	} {
		t.Run(name, func(t *testing.T) {
			lost := 0
			st.everyCut(t, func(t *testing.T, _, cut history) {
				require.Zero(t, cut.doubles, "%v", cut.lines)
				if cut.lost > 0 {
					require.Positive(t, cut.unknown, "%v", cut.lines)
				}
				lost += cut.lost
			})
			t.Log("lost, and told so, over all cuts:", lost)
		})
	}
}

// Once a wildcard has seen its topics, nothing of them is lost any more. Of those
// that it has not seen it says, once for the one cut, that it cannot know.
func TestEveryCutOfAWarmWildcard(t *testing.T) {
	st := story{filter: "broadcast/#", topics: []string{"broadcast/a", "broadcast/b", "broadcast/c/d"}, warm: true}
	cuts, told := 0, 0
	st.everyCut(t, func(t *testing.T, whole, cut history) {
		require.Zero(t, cut.doubles, "%v", cut.lines)
		require.Zero(t, cut.lost, "%v", cut.lines)
		require.LessOrEqual(t, cut.unknown, 1, "%v", cut.lines)
		unseen := fmt.Sprintf("%+v", unseenMissing)
		require.ElementsMatch(t, whole.lines, slices.DeleteFunc(cut.lines, func(l string) bool { return l == unseen }))
		told += cut.unknown
		cuts++
	})
	require.Greater(t, cuts, 50)
	require.Greater(t, told, cuts/2)
}

// Each guard is needed: without it the same cuts show what it prevents.
func TestCutsWithoutAGuard(t *testing.T) {
	exact := story{filter: "broadcast/a", topics: []string{"broadcast/a"}}
	count := func(st story, opts ...client.Option) (sum history) {
		st.opts = opts
		st.everyCut(t, func(_ *testing.T, _, cut history) {
			sum.doubles += cut.doubles
			if cut.unknown == 0 {
				sum.lost += cut.lost
			}
		})
		return sum
	}
	t.Run("cursor", func(t *testing.T) { require.Positive(t, count(exact, client.WithoutCursor).lost) })
	t.Run("dedupe", func(t *testing.T) {
		st := exact
		st.repeats = true
		require.Positive(t, count(st, client.WithoutDedupe).doubles)
	})
	t.Run("life", func(t *testing.T) {
		st := exact
		st.restart = true
		require.Positive(t, count(st, client.WithoutLife).lost)
	})
}
