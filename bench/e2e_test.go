//go:build e2e && linux

package bench

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// served is the command line of the built gateway.
func served(t *testing.T) []string {
	binary := os.Getenv("BELLWIRE_BINARY")
	require.NotEmpty(t, binary, "make e2e says which binary")
	return []string{binary, "serve", "--listen", ListenPlaceholder, "--admin", AdminPlaceholder}
}

// Every scenario, tiny, against the binary that is shipped.
func TestScenariosRunAgainstTheGateway(t *testing.T) {
	var progress strings.Builder
	t.Run("fanout", func(t *testing.T) {
		r, err := Fanout(t.Context(), FanoutConfig{Server: served(t), Subscribers: 50, Pairs: 2, Slice: time.Millisecond}, &progress)
		require.NoError(t, err)
		require.NoError(t, r.check())
		cost, err := r.series(costSeries(gatewayName, 32))
		require.NoError(t, err)
		require.Len(t, cost.Samples, 2)
		require.Positive(t, cost.Samples[0])
	})
	t.Run("fanout beyond the publish credit", func(t *testing.T) {
		_, err := Fanout(t.Context(), FanoutConfig{
			Server: served(t), Floors: []string{"single"}, Subscribers: 20, Payload: 4096, Windows: []int{64}, Pairs: 1, Slice: time.Millisecond,
		}, &progress)
		require.NoError(t, err)
	})
	t.Run("idle", func(t *testing.T) {
		r, err := Idle(t.Context(), IdleConfig{Server: served(t), Devices: 500, Settle: 100 * time.Millisecond, Runs: 2}, &progress)
		require.NoError(t, err)
		require.NoError(t, r.check())
		require.Positive(t, r.Figures[0].Median)
	})
	t.Run("allocs", func(t *testing.T) {
		r, err := Allocs(t.Context(), AllocsConfig{Server: served(t), Subscribers: 50, Deliveries: 5000, Runs: 2}, &progress)
		require.NoError(t, err)
		require.NoError(t, r.check())
		require.Less(t, r.Figures[0].Median, 1.0, "an object for each delivery")
	})
}
