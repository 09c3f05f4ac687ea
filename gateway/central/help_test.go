package central

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// event is what a sink was handed.
type event struct {
	tenant, topic string
	at            wire.Position
	payload       string
	missed        bool // what follows is missing, of at.Life
	ended         bool
}

// sink keeps all that is delivered.
type sink struct {
	mu    sync.Mutex
	all   []event
	away  []bool
	lists [][]Gateway
}

func (s *sink) add(g event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, g)
}

// payloads are those of a topic, in order; of all if it is empty.
func (s *sink) payloads(topic string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p []string
	for _, g := range s.all {
		if !g.missed && !g.ended && (topic == "" || g.topic == topic) {
			p = append(p, g.payload)
		}
	}
	return p
}

func (s *sink) events() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event(nil), s.all...)
}

// names are those on the last list.
func (s *sink) names() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lists) == 0 {
		return nil
	}
	for _, g := range s.lists[len(s.lists)-1] {
		all = append(all, g.Name)
	}
	return all
}

func (s *sink) config(cfg Config) Config {
	cfg.Deliver = func(tenant, topic string, at wire.Position, payload []byte) {
		s.add(event{tenant: tenant, topic: topic, at: at, payload: string(payload)})
	}
	cfg.Missed = func(tenant, topic string, life wire.Life) {
		s.add(event{tenant: tenant, topic: topic, at: wire.Position{Life: life}, missed: true})
	}
	cfg.Ended = func(life wire.Life) { s.add(event{at: wire.Position{Life: life}, ended: true}) }
	cfg.Away = func(away bool) { s.mu.Lock(); s.away = append(s.away, away); s.mu.Unlock() }
	cfg.OnGateways = func(all []Gateway, _ int) {
		s.mu.Lock()
		s.lists = append(s.lists, all)
		s.mu.Unlock()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// start runs a Central until the test ends, and waits until it is ready.
func start(t *testing.T, cfg Config) (*Central, *sink) {
	t.Helper()
	c, s := begin(t, cfg)
	select {
	case <-c.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("central was not reached")
	}
	return c, s
}

func begin(t *testing.T, cfg Config) (*Central, *sink) {
	t.Helper()
	s := &sink{}
	c, err := New(s.config(cfg))
	require.NoError(t, err)
	ran := make(chan error, 1)
	go func() { ran <- c.Run(context.Background()) }()
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, <-ran)
	})
	return c, s
}

// offered is an embedded Central that others can connect to, and its URL.
func offered(t *testing.T, cfg Config) (*Central, *sink, string) {
	t.Helper()
	cfg.Embedded.Listen = "127.0.0.1:0"
	c, s := start(t, cfg)
	return c, s, "nats://" + c.Addr().String()
}

// backend is a client that knows nothing of Bellwire.
func backend(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// eventually waits for what other goroutines do. Servers take up to nine seconds to elect a leader, and may have to
// do so twice.
func eventually(t *testing.T, ok func() bool, what string, args ...any) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(t, "did not happen: "+fmt.Sprintf(what, args...))
		}
	}
}

// settle waits until the server has all subscriptions that were asked for.
func settle(t *testing.T, c *Central, s *sink, tenant, filter string) {
	t.Helper()
	n := 0
	eventually(t, func() bool {
		n++
		mark := fmt.Sprintf("settle %d", n)
		if c.Publish(tenant, filter, []byte(mark)) != nil {
			return false
		}
		time.Sleep(2 * time.Millisecond)
		for _, p := range s.payloads("") {
			if p == mark {
				return true
			}
		}
		return false
	}, "subscription to %s", filter)
}

func gap(life wire.Life) event { return event{at: wire.Position{Life: life}, missed: true} }

func end(life wire.Life) event { return event{at: wire.Position{Life: life}, ended: true} }
