package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An idle gateway ticks once a second; a loop that asks for a tick gets one soon,
// also if that is in the middle of the wait.
func TestTicksAreForWhoAsksElseForTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := New(Config{Listen: "127.0.0.1:0", Loops: 2})
		require.NoError(t, err)
		l := g.loops[1]
		wait := func(now uint32) (waited, more time.Duration) {
			begin := time.Now()
			more = g.untilTick(now)
			return time.Since(begin), more
		}

		waited, more := wait(1)
		require.Equal(t, time.Second, waited)
		require.Zero(t, more)

		go func() {
			time.Sleep(300 * time.Millisecond)
			l.tickSoon()
			l.tickSoon() // once more is no more
		}()
		waited, more = wait(2)
		require.Equal(t, 300*time.Millisecond, waited)
		require.Equal(t, tickEvery, more)

		waited, more = wait(2)
		require.Zero(t, waited, "the tick is still to come")
		require.Equal(t, tickEvery, more)

		l.busy.Store(false) // as the tick does
		waited, more = wait(2)
		require.Equal(t, 700*time.Millisecond, waited)
		require.Zero(t, more)

		g.engine.OnShutdown(g.engine.eng)
		waited, _ = wait(3)
		require.Zero(t, waited, "the engine ends")
	})
}
