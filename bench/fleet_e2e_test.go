//go:build e2e && linux

package bench

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fleetOfBinary is a fleet of the binary that is shipped.
func fleetOfBinary(t *testing.T) FleetConfig {
	return FleetConfig{
		Config: Config{Server: served(t), Generator: []string{served(t)[0], "bench", "generate"}},
		Join:   []string{"--name", NamePlaceholder, "--peer-listen", PeerPlaceholder, "--central", "off"},
		Link:   []string{"--peer", OtherPlaceholder},
		Many:   []string{"--limits-subscriptions", "1000", "--limits-topic-rate", "1000000"},
	}
}

func TestFleetSmall(t *testing.T) {
	var progress strings.Builder
	r, err := Fleet(t.Context(), fleetOfBinary(t).Quick(), &progress)
	require.NoError(t, err, progress.String())
	require.NoError(t, r.check())
	value := func(name string) float64 {
		i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == name })
		require.GreaterOrEqual(t, i, 0, "%s in %v", name, r.Figures)
		require.Empty(t, r.Figures[i].Target, "%s is too small for a target", name)
		return r.Figures[i].Median
	}
	require.Positive(t, value("no peers, 64 B, 32 in flight, CPU per message"))
	require.Positive(t, value("C joined, 64 B, 32 in flight, CPU per message"))
	// What a batch says of its topic costs bytes, and no message is without any. The kernel sees heartbeats as well.
	counted := value("2 peers, 64 B, 32 in flight, bytes of a batch per message, beyond the payload")
	require.GreaterOrEqual(t, counted, 2.0)
	require.Greater(t, value("2 peers, 64 B, 32 in flight, bytes that a peer reads per message, beyond the payload"), counted)
	require.Zero(t, value("2 peers, 64 B, 32 in flight, bytes saved by compression"))
	require.Greater(t, value("2 peers, 1 KiB of JSON, 32 in flight, bytes saved by compression"), 30.0)
	require.GreaterOrEqual(t, value("one hop away, latency max"), value("at the gateway that it enters, latency p25"))
	require.Zero(t, value("subscriptions, batches and messages to and from the other gateway while topics are subscribed"))
}

// A gateway that does not pass on what it gets gives no figure.
func TestAFleetThatIsNotLinkedIsVoid(t *testing.T) {
	cfg := fleetOfBinary(t).Quick()
	cfg.Parts, cfg.Topics = []string{fleetTopics}, 1
	cfg.Link = []string{"--cluster", "another", "--peer", OtherPlaceholder}
	_, err := Fleet(t.Context(), cfg, &strings.Builder{})
	require.ErrorContains(t, err, "0 of 1 gateways are linked")
}
