//go:build e2e && linux

package bench

import (
	"os"
	"slices"
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

// Every scenario, tiny, against the binary that is shipped, with the load in a
// process of its own.
func TestScenariosRunAgainstTheGateway(t *testing.T) {
	var progress strings.Builder
	var names []string
	for _, s := range Scenarios() {
		names = append(names, s.Name)
	}
	all, err := Compare(t.Context(), names, CompareConfig{
		Config: Config{Server: served(t), Generator: []string{served(t)[0], "bench", "generate"}}, Quick: true,
	}, &progress)
	require.NoError(t, err, progress.String())
	require.Len(t, all, len(parts()))
	for _, r := range all {
		require.NoError(t, r.check())
		require.NotEmpty(t, r.Figures, r.Scenario)
		for _, f := range r.Figures {
			require.Empty(t, f.Target, "%s: %s is no run for a target", r.Scenario, f.Name)
		}
	}
	var table strings.Builder
	require.NoError(t, WriteComparison(&table, all))
	require.Contains(t, table.String(), "all back after the kill")

	t.Run("fanout beyond the publish credit", func(t *testing.T) {
		_, err := Run(t.Context(), "fanout", Config{
			Server: served(t), Floors: []string{"single"}, Subscribers: 20, Payload: 4096, Windows: []int{64}, Pairs: 1, Slice: time.Millisecond,
		}, &progress)
		require.NoError(t, err)
	})
	t.Run("allocs", func(t *testing.T) {
		r, err := Allocs(t.Context(), AllocsConfig{Server: served(t), Subscribers: 50, Deliveries: 5000, Runs: 2}, &progress)
		require.NoError(t, err)
		require.NoError(t, r.check())
		require.Less(t, r.Figures[0].Median, 1.0, "an object for each delivery")
	})
}

// Every peer that is installed, in every scenario that compares it: its protocol is spoken as it
// understands it. What is not installed is said to be so.
func TestPeersRun(t *testing.T) {
	all, err := Compare(t.Context(), []string{"fanout", "topics", "latency", "connect", "storm", "slow"}, CompareConfig{
		Config: Config{Peers: PeerNames(), Tools: "../.tools", Floors: []string{"single"}}, Quick: true,
	}, &strings.Builder{})
	require.NoError(t, err)
	for _, p := range peers {
		_, err := p.find("../.tools")
		for _, r := range all {
			var said []string
			for _, s := range r.Setup {
				if strings.HasPrefix(s.Name, p.name) {
					said = append(said, s.Name+": "+s.Value)
				}
			}
			require.NotContains(t, strings.Join(said, "\n"), "failed", r.Scenario)
			if err != nil {
				require.Contains(t, strings.Join(said, "\n"), "not installed")
				continue
			}
			require.True(t, slices.ContainsFunc(r.Figures, func(f Figure) bool { return strings.HasPrefix(f.Name, p.name+", ") }), "%s: %s", r.Scenario, p.name)
		}
	}
}
