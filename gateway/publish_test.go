package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// publishUntilClosed publishes without pause from many goroutines; what it returns
// is closed when all of them were told that the gateway is closed.
func publishUntilClosed(t *testing.T, g *gateway.Gateway, publishers int) <-chan struct{} {
	t.Helper()
	ended := make(chan struct{})
	var all sync.WaitGroup
	for range publishers {
		all.Go(func() {
			for {
				// Not the test's context: only the gateway's end ends it.
				_, err := g.Publish(context.Background(), gateway.DefaultTenant, "broadcast/x", make([]byte, 3000))
				if err != nil {
					if !errors.Is(err, gateway.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	go func() {
		all.Wait()
		close(ended)
	}()
	return ended
}

// A Publish that waits for credit ends with the gateway, wherever its messages are
// at that moment, and all credit is back.
func TestPublishEndsWithClose(t *testing.T) {
	const rounds, devices, publishers = 20, 20, 8
	for round := range rounds {
		g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Loops: 1, Limits: gateway.Limits{CreditPool: 64 << 10}})
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- g.Serve(context.Background()) }()
		<-g.Ready()
		for i := range devices {
			d := gatewaytest.Join(t, g.Addr(), fmt.Sprint(i))
			d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")})
			go func() { _, _ = io.Copy(io.Discard, d.Conn) }()
		}
		ended := publishUntilClosed(t, g, publishers)
		time.Sleep(time.Duration(round) * time.Millisecond) // another moment in each round
		require.NoError(t, g.Close())
		select {
		case <-ended:
		case <-time.After(gatewaytest.Patience):
			require.Fail(t, "Publish does not return after Close", "round %d", round)
		}
		require.NoError(t, <-served)
		require.Zero(t, g.Status().CreditUsed)
	}
}
