package gateway

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// Names that come from everywhere at once are counted once: what the gateway
// counts is what its tenants hold.
func TestTopicsAreCountedOnce(t *testing.T) {
	const goroutines, names = 8, 500
	m := newSim(t, Config{Limits: Limits{TopicRate: 1_000_000}})
	var tenants []*tenant
	for _, name := range []string{"a", "b"} {
		ten, err := m.g.tenants.get(name)
		require.NoError(t, err)
		tenants = append(tenants, ten)
	}
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			for n := range names {
				if _, err := m.g.topic(tenants[(i+n)%2], fmt.Appendf(nil, "broadcast/%d", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	held := 0
	for _, ten := range tenants {
		held += ten.index.Len()
	}
	require.Equal(t, 2*names, held)
	require.EqualValues(t, held, m.g.topics.Load())
}

// When no ids are left every new name is refused, and the log says so once a
// minute.
func TestTopicIdsAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		m := newSim(t, Config{
			Limits: Limits{Topics: 10, TopicsPerTenant: 10},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		said := func() int { return strings.Count(log.String(), "no topic ids are left") }
		publish := func(n int) error {
			_, err := m.g.Publish(t.Context(), DefaultTenant, fmt.Sprintf("broadcast/%d", n), nil)
			return err
		}
		for n := range 10 {
			require.NoError(t, publish(n))
		}
		require.Zero(t, said())
		for minute := 1; minute <= 3; minute++ {
			for n := range 100 {
				require.Equal(t, wire.CodeOverload, wire.CodeOf(publish(100*minute+n)))
			}
			require.Equal(t, minute, said())
			require.NoError(t, publish(3), "a name that is known")
			time.Sleep(time.Minute)
		}
	})
}

// A new rate of names counts for tenants that are there already.
func TestReloadTopicRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(t, Config{Limits: Limits{TopicRate: 10}})
		n := 0
		taken := func() (ok int) {
			for range 200 {
				n++
				if _, err := m.g.Publish(t.Context(), DefaultTenant, fmt.Sprintf("broadcast/%d", n), nil); err == nil {
					ok++
				}
			}
			return ok
		}
		require.Equal(t, 10, taken())
		require.NoError(t, m.g.Reload(Config{Limits: Limits{TopicRate: 150}}))
		time.Sleep(time.Second)
		require.Equal(t, 150, taken())
		require.NoError(t, m.g.Reload(Config{Limits: Limits{TopicRate: 20}}))
		time.Sleep(time.Hour)
		require.Equal(t, 20, taken())
	})
}
