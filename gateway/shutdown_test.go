package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// Shutdown asks devices to leave, takes no new ones, goes on delivering, and ends
// when they have left.
func TestShutdownWaitsForDevices(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2, DrainSpread: time.Second, DrainWithin: 7 * time.Second})
	d := gatewaytest.Join(t, g.Addr(), "d")
	d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")})
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(context.Background()) }()
	away, err := wire.ParseGoaway(d.Expect(wire.TypeGoaway).Body)
	require.NoError(t, err)
	require.Equal(t, wire.Goaway{Code: wire.CodeDraining, Within: 8000, Spread: 1000, Target: []byte{}}, away)
	require.Equal(t, http.StatusServiceUnavailable, ask(t, g, http.MethodGet, "/readyz").Code)
	late := gatewaytest.Connect(t, g.Addr())
	late.Send(gatewaytest.Hello("late").Append(nil))
	late.ExpectClosed(wire.CodeDraining)
	_, err = g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/a", []byte("still"))
	require.NoError(t, err)
	require.Equal(t, "still", string(d.Message().Payload))
	select {
	case err := <-done:
		require.Fail(t, "it did not wait for the device", "%v", err)
	default:
	}
	d.Send(wire.Close{}.Append(nil))
	require.NoError(t, d.Conn.Close())
	require.NoError(t, <-done)
}

// Devices that stay are closed when DrainWithin is over, or when the context ends.
func TestShutdownClosesThoseThatStay(t *testing.T) {
	for _, byContext := range []bool{false, true} {
		t.Run(fmt.Sprintf("context %v", byContext), func(t *testing.T) {
			cfg := gateway.Config{DrainSpread: 100 * time.Millisecond, DrainWithin: 200 * time.Millisecond}
			if byContext {
				cfg.DrainWithin = time.Hour
			}
			g := gatewaytest.Start(t, cfg)
			d := gatewaytest.Join(t, g.Addr(), "d")
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error, 1)
			go func() { done <- g.Shutdown(ctx) }()
			d.Expect(wire.TypeGoaway)
			if byContext {
				why := errors.New("a second signal")
				cancel(why)
				require.ErrorIs(t, <-done, why)
			} else {
				d.ExpectClosed(wire.CodeDraining)
				require.NoError(t, <-done)
			}
			cancel(nil)
			_, err := net.DialTimeout("tcp", g.Addr().String(), time.Second)
			require.Error(t, err)
		})
	}
}

// Close and Shutdown may come at any time and any number of times, and leave no
// goroutine behind.
func TestCloseIsIdempotentAndLeavesNothing(t *testing.T) {
	before := goroutines(t)
	never, err := gateway.New(gateway.Config{})
	require.NoError(t, err)
	require.NoError(t, never.Close())
	require.ErrorIs(t, never.Serve(t.Context()), gateway.ErrClosed)

	for round := range 3 {
		g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Loops: 2})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- g.Serve(ctx) }()
		<-g.Ready()
		require.ErrorContains(t, g.Serve(ctx), "twice")
		c, err := net.Dial("tcp", g.Addr().String())
		require.NoError(t, err)
		_, err = c.Write(gatewaytest.Hello("d").Append(nil))
		require.NoError(t, err)
		if round == 0 {
			cancel()
		}
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				if round == 2 && i%2 == 0 {
					ctx, cancel := context.WithCancel(context.Background())
					cancel()
					_ = g.Shutdown(ctx)
					return
				}
				_ = g.Close()
			})
		}
		all.Wait()
		require.NoError(t, <-served)
		require.NoError(t, g.Close())
		_ = c.Close()
		cancel()
	}
	eventually(t, func() bool { return goroutines(t) <= before })
}

// goroutines counts those that have something of this module on their stack, but
// for the one that asks.
func goroutines(t *testing.T) (n int) {
	t.Helper()
	var b strings.Builder
	runtime.Gosched()
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&b, 2))
	for _, stack := range strings.Split(b.String(), "\n\n") {
		if strings.Contains(stack, "bellwire/gateway.") || strings.Contains(stack, "gnet/v2.(*") {
			n++
		}
	}
	return n
}
