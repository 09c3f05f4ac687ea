// Package gatewaytest starts gateways and speaks to them byte by byte, for tests
// of the gateway and of programs that embed one.
package gatewaytest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
)

// Patience is how long a test waits for what must come.
const Patience = 10 * time.Second

// Start serves a gateway on a free port of 127.0.0.1 until the test ends. It
// logs to the test if it fails.
func Start(t testing.TB, cfg gateway.Config) *gateway.Gateway {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	g, err := gateway.New(cfg)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- g.Serve(context.Background()) }()
	t.Cleanup(func() {
		_ = g.Close()
		if err := <-served; err != nil && !t.Failed() {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case <-g.Ready():
	case err := <-served:
		served <- nil
		require.NoError(t, err)
		t.Fatal("Serve returned before the gateway was ready")
	case <-time.After(Patience):
		t.Fatal("the gateway is not ready")
	}
	return g
}
