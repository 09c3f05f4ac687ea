package central

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// announce keeps g on the list until the test ends, or what it returns is called.
func announce(t *testing.T, c *Central, g Gateway, taken func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Announce(ctx, g, taken) }()
	var stopped atomic.Bool
	stop = func() {
		if stopped.CompareAndSwap(false, true) {
			cancel()
			require.Error(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

// Each gateway sees those that come and go while it runs (BC-13, X-4), and what they say of
// themselves.
func TestGatewaysComeAndGo(t *testing.T) {
	lease := 300 * time.Millisecond
	a, seen, url := offered(t, Config{Name: "a", Lease: lease})
	b, _ := start(t, Config{Name: "b", URLs: []string{url}, Lease: lease})
	c, err := New((&sink{}).config(Config{Name: "c", URLs: []string{url}, Lease: lease}))
	require.NoError(t, err)
	ran := make(chan error, 1)
	go func() { ran <- c.Run(context.Background()) }()
	me := Gateway{
		Name: "a:7311", Life: 7 << 24, PeerAddr: "127.0.0.1:7313", DeviceAddrs: []string{"127.0.0.1:7311"}, AdminAddr: "127.0.0.1:7312",
		Version: "1", Since: time.Unix(1e9, 0).UTC(),
	}
	announce(t, a, me, nil)
	leave := announce(t, b, Gateway{Name: "b", Life: 2}, nil)
	go func() { _ = c.Announce(context.Background(), Gateway{Name: "c", Life: 3}, nil) }()
	eventually(t, func() bool { return slices.Equal(seen.names(), []string{"a:7311", "b", "c"}) }, "all three")
	all, held := a.Gateways()
	require.Zero(t, held)
	require.Equal(t, me, all[0])
	require.NoError(t, c.Close()) // like a crash: it says nothing
	require.NoError(t, <-ran)
	eventually(t, func() bool { return slices.Equal(seen.names(), []string{"a:7311", "b"}) }, "c's lease runs out")
	leave()
	_, _, err = a.leases.Get(t.Context(), "b")
	require.ErrorIs(t, err, ErrNotFound, "it takes itself off the list")
	eventually(t, func() bool { return slices.Equal(seen.names(), []string{"a:7311"}) }, "b has left")
}

// The lease of a gateway that crashed goes by itself, and does so in a bucket that keeps them for ever, as long as somebody
// comes who knows better.
func TestOldLeasesGo(t *testing.T) {
	lease := 100 * time.Millisecond
	a, _, url := offered(t, Config{Name: "a", Lease: lease})
	dead := func() {
		value, err := json.Marshal(leaseNamed("dead"))
		require.NoError(t, err)
		_, err = a.leases.Put(t.Context(), "dead", value)
		require.NoError(t, err)
	}
	gone := func() bool {
		_, _, err := a.leases.Get(t.Context(), "dead")
		return errors.Is(err, ErrNotFound)
	}
	dead()
	eventually(t, gone, "it goes")

	l, _ := a.link()
	kv, err := l.js.KeyValue(t.Context(), "bw-gateways")
	require.NoError(t, err)
	status, err := kv.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 10*lease, status.TTL())
	older := status.Config()
	older.TTL = 0
	_, err = l.js.UpdateKeyValue(t.Context(), older)
	require.NoError(t, err)
	dead()
	b, _ := start(t, Config{Name: "b", URLs: []string{url}, Lease: lease})
	announce(t, b, Gateway{Name: "b", Life: 2}, nil)
	eventually(t, gone, "it goes as well")
	status, err = kv.Status(t.Context())
	require.NoError(t, err)
	older.TTL = 10 * lease
	require.Equal(t, older, status.Config(), "nothing else is changed")
}

// All leases are gone at once, and the links answer: nobody is dropped (F8).
func TestAllLeasesGone(t *testing.T) {
	lease := 300 * time.Millisecond
	a, seen := start(t, Config{Name: "a", Lease: lease, Alive: func(string) bool { return true }})
	// Gateways whose renewals do not come through.
	for _, n := range []string{"b", "c", "d"} {
		value, err := json.Marshal(leaseNamed(n))
		require.NoError(t, err)
		_, err = a.leases.Put(t.Context(), n, value)
		require.NoError(t, err)
	}
	eventually(t, func() bool { return len(seen.names()) == 3 }, "three")
	for _, n := range []string{"b", "c", "d"} {
		require.NoError(t, a.leases.Delete(t.Context(), n, 0))
	}
	eventually(t, func() bool { _, held := a.Gateways(); return held == 3 }, "held")
	// Two leases on, they are still there.
	mark := time.Now()
	eventually(t, func() bool { return time.Since(mark) > 2*lease }, "two leases")
	require.Equal(t, []string{"b", "c", "d"}, seen.names())
	seen.mu.Lock()
	defer seen.mu.Unlock()
	for _, l := range seen.lists[slices.IndexFunc(seen.lists, func(l []Gateway) bool { return len(l) == 3 }):] {
		require.Len(t, l, 3, "at any time")
	}
}

func leaseNamed(name string) lease { return lease{Gateway: Gateway{Name: name, Life: 9}} }

// Of two gateways with one name the later one has it, and the other is told and comes back
// when the later one is gone.
func TestTwoGatewaysOfOneName(t *testing.T) {
	lease := 300 * time.Millisecond
	a, seen, url := offered(t, Config{Name: "a", Lease: lease})
	b, _ := start(t, Config{Name: "b", URLs: []string{url}, Lease: lease})
	var told atomic.Int64
	announce(t, a, Gateway{Name: "x", Life: 1, PeerAddr: "first"}, func(err error) {
		if errors.Is(err, ErrNameTaken) {
			told.Add(1)
		}
	})
	life := func() wire.Life {
		all, _ := a.Gateways()
		if len(all) != 1 {
			return 0
		}
		return all[0].Life
	}
	eventually(t, func() bool { return life() == 1 }, "the first one")
	leave := announce(t, b, Gateway{Name: "x", Life: 2, PeerAddr: "second"}, func(err error) { t.Error(err) })
	eventually(t, func() bool { return life() == 2 && told.Load() > 1 }, "the second one")
	leave()
	eventually(t, func() bool { return life() == 1 }, "the first one again")
	require.NotEmpty(t, seen.names())
}

func TestAnnounceWants(t *testing.T) {
	c, _ := start(t, Config{})
	require.ErrorContains(t, c.Announce(t.Context(), Gateway{Name: "x"}, nil), "want a name")
	require.ErrorContains(t, c.Announce(t.Context(), Gateway{Life: 1}, nil), "want a name")
}

// A backend injects a message, which one gateway publishes, and is told where it is (BC-11).
func TestInject(t *testing.T) {
	var by [2]atomic.Int64
	inject := func(n int) func(ctx context.Context, tenant, topic string, payload []byte) (wire.Position, error) {
		return func(_ context.Context, tenant, topic string, payload []byte) (wire.Position, error) {
			by[n].Add(1)
			if topic == "full" {
				return wire.Position{}, &wire.Error{Code: wire.CodeOverload, Type: wire.TypePublish, Field: "no topic ids"}
			}
			return wire.Position{Life: 0xfedcba9876543210, Offset: uint64(len(tenant + topic + string(payload)))}, nil
		}
	}
	_, _, url := offered(t, Config{Name: "a", Inject: inject(0)})
	start(t, Config{Name: "b", URLs: []string{url}, Inject: inject(1)})
	back := backend(t, url)
	ask := func(subject, payload string) (got injected) {
		m, err := back.Request(subject, []byte(payload), 10*time.Second)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(m.Data, &got), string(m.Data))
		return got
	}
	require.Equal(t, injected{Life: "fedcba9876543210", Offset: 4 + 11 + 2}, ask("bw.inject.acme.broadcast.a", "hi"))
	for range 99 {
		ask("bw.inject.acme.broadcast.a", "hi")
	}
	require.EqualValues(t, 100, by[0].Load()+by[1].Load(), "each by one")
	require.NotZero(t, by[0].Load()*by[1].Load(), "both answer some")
	got := ask("bw.inject.acme.full", "")
	require.Equal(t, uint8(wire.CodeOverload), got.Code)
	require.Contains(t, got.Error, "no topic ids")
	got = ask("bw.inject.acme.a+", "")
	require.Equal(t, uint8(wire.CodeBadTopic), got.Code)
	require.Contains(t, got.Error, "wildcard")
	require.NoError(t, back.Publish("bw.inject.acme.quiet", nil), "an answer is not wanted")
	eventually(t, func() bool { return by[0].Load()+by[1].Load() == 102 }, "the quiet one")
}

// Where nobody injects, the backend is told by NATS.
func TestInjectNobody(t *testing.T) {
	_, _, url := offered(t, Config{})
	_, err := backend(t, url).Request("bw.inject.acme.a", nil, 10*time.Second)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}
