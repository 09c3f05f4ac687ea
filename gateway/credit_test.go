package gateway

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// One tenant takes half of the pool, all together take all of it, and one message
// fits an idle pool whatever its size.
func TestPoolShares(t *testing.T) {
	p := newPool(100)
	a, b, c := &tenant{}, &tenant{}, &tenant{}
	require.True(t, p.take(a, 30))
	require.True(t, p.take(a, 20))
	require.False(t, p.take(a, 1), "more than half for one tenant")
	require.True(t, p.take(b, 50))
	require.False(t, p.take(c, 1), "the pool is used up")
	require.EqualValues(t, 100, p.used.Load())
	p.giveBack(a, 30)
	require.True(t, p.take(c, 30))
	p.giveBack(a, 20)
	p.giveBack(b, 50)
	p.giveBack(c, 30)
	require.Zero(t, p.used.Load())
	require.Zero(t, a.lent.Load()+b.lent.Load()+c.lent.Load())
	require.True(t, p.take(a, 1000), "larger than the pool, and alone")
	require.False(t, p.take(b, 1))
}

func TestPoolWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(100)
		a := &tenant{}
		require.True(t, p.take(a, 50))
		got := make(chan error, 1)
		go func() { got <- p.wait(t.Context(), nil, a, 10) }()
		synctest.Wait()
		require.Empty(t, got, "it did not wait")
		p.giveBack(a, 50)
		require.NoError(t, <-got)

		ctx, cancel := context.WithCancelCause(t.Context())
		require.True(t, p.take(a, 40))
		go func() { got <- p.wait(ctx, nil, a, 10) }()
		synctest.Wait()
		why := errors.New("enough")
		cancel(why)
		require.ErrorIs(t, <-got, why)
		require.EqualValues(t, 50, p.used.Load(), "who gave up holds nothing")
	})
}

// Whoever waits is woken, however many others ask in vain at the same moment: if
// one were forgotten, all would stand still in the end, and the bubble would say so.
func TestPoolForgetsNoWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, each = 100, 2000
		p := newPool(size)
		var all sync.WaitGroup
		for range 3 {
			ten := &tenant{}
			all.Go(func() {
				for range each {
					if p.take(ten, size/2) {
						p.giveBack(ten, size/2)
					}
				}
			})
			all.Go(func() {
				for range each {
					if p.wait(t.Context(), nil, ten, size) == nil {
						p.giveBack(ten, size)
					}
				}
			})
		}
		all.Wait()
		require.Zero(t, p.used.Load())
	})
}

// Publishers that wait for credit that no loop gives back end with the gateway.
func TestPublishWaitsUntilClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(t, Config{Limits: Limits{CreditPool: 64 * kib}})
		c := m.join(0, hello("d"))
		c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
		const publishers = 4
		ended := make(chan error, publishers)
		for range publishers {
			go func() {
				for {
					if _, err := m.g.Publish(t.Context(), DefaultTenant, "broadcast/x", make([]byte, 3000)); err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		synctest.Wait()
		require.Empty(t, ended)
		require.NotZero(t, m.g.credit.used.Load())
		require.NoError(t, m.g.Close())
		for range publishers {
			require.ErrorIs(t, <-ended, ErrClosed)
		}
	})
}

// A device may spend what it was given to the last byte; one byte more and it is
// closed [W-5.3], a frame larger than the gateway takes aside, which says so. Without
// the guard it goes on. All of it comes in one piece and somebody is to get it, so
// that no CREDIT is in time.
func TestOverCredit(t *testing.T) {
	const credit = 8 * kib
	name := []byte("broadcast/a")
	frame := func(size int) []byte {
		p := wire.Publish{Name: name, Payload: make([]byte, size-3-1-len(name))}
		require.Equal(t, size, p.Len())
		return p.Append(nil)
	}
	for label, c := range map[string]struct {
		sizes     []int
		without   guards
		want      []string
		delivered int
	}{
		"all of it":         {sizes: []int{4096, 4096}, delivered: 2},
		"one byte more":     {sizes: []int{4096, 3000, 1097}, want: []string{"ERROR over credit for PUBLISH number 0", "CLOSE 0 over credit"}, delivered: 2},
		"without the guard": {sizes: []int{4096, 3000, 1097}, without: guards{refusal: wire.CodeOverCredit}, delivered: 2},
		"a frame too large": {sizes: []int{4097}, want: []string{"ERROR frame too large for PUBLISH number 0", "CLOSE 0 frame too large"}},
	} {
		t.Run(label, func(t *testing.T) {
			m := newSim(t, Config{Limits: Limits{Frame: 4096, PublishCredit: credit}, without: c.without})
			healthy := m.join(0, hello("healthy"))
			healthy.write(wire.Subscribe{Sub: 1, Filter: name}.Append(nil))
			healthy.frames()
			greedy := m.join(0, hello("greedy"))
			var b []byte
			for _, size := range c.sizes {
				b = append(b, frame(size)...)
			}
			greedy.write(b)
			require.Equal(t, c.want, greedy.frames())
			require.Equal(t, c.want != nil, greedy.s.stage == stageClosing)
			m.drain()
			require.Zero(t, m.g.credit.used.Load())
			require.False(t, healthy.closed)
			require.Len(t, healthy.frames(), c.delivered)
		})
	}
}
