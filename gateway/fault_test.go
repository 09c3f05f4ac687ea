package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// bothWays runs a scenario with its guard, when it must succeed, and with the
// guard taken out, when it must fail for that reason.
func bothWays(t *testing.T, guard, reason string, scenario func(t *testing.T, guard string) error) {
	t.Helper()
	t.Run("guarded", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, scenario(t, ""))
	})
	t.Run("without "+guard, func(t *testing.T) {
		t.Parallel()
		require.ErrorContains(t, scenario(t, guard), reason)
	})
}

// code waits for CLOSE and returns its code; the error says what came instead.
func code(d *gatewaytest.Device, wait time.Duration) (wire.Code, error) {
	for end := time.Now().Add(wait); ; {
		f, err := d.Next(time.Until(end))
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, errors.New("still open")
			}
			return 0, fmt.Errorf("it ended without CLOSE: %w", err)
		}
		if f.Type == wire.TypeClose {
			c, err := wire.ParseClose(f.Body)
			return c.Code, err
		}
	}
}

func wantCode(d *gatewaytest.Device, wait time.Duration, want wire.Code) error {
	got, err := code(d, wait)
	if err == nil && got != want {
		return fmt.Errorf("closed with %s", got)
	}
	return err
}

// witness is a healthy device beside the others; check says whether it noticed
// anything.
func witness(t *testing.T, g *gateway.Gateway) (check func() error) {
	d := gatewaytest.Join(t, g.Addr(), "witness")
	d.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/witness")})
	d.Expect(wire.TypeStream)
	return func() error {
		if _, err := g.Publish(context.Background(), gateway.DefaultTenant, "broadcast/witness", []byte("seen")); err != nil {
			return err
		}
		f, err := d.Next(gatewaytest.Patience)
		if err != nil {
			return fmt.Errorf("the healthy device: %w", err)
		}
		if m, err := wire.ParseMessage(f.Type, f.Body); err != nil || string(m.Payload) != "seen" {
			return fmt.Errorf("the healthy device got %s: %w", f.Type, err)
		}
		d.Ping()
		return nil
	}
}

// A connection that says nothing, or one byte at a time, has five seconds; here
// one. The code lets a device on a slow link come back at once.
func TestHalfOpen(t *testing.T) {
	for _, drip := range []bool{false, true} {
		t.Run(fmt.Sprintf("drip %v", drip), func(t *testing.T) {
			bothWays(t, "authDeadline", "still open", func(t *testing.T, guard string) error {
				cfg := gateway.Config{Loops: 2, Limits: gateway.Limits{AuthenticateWithin: time.Second}}.Without(guard)
				g := gatewaytest.Start(t, cfg)
				check := witness(t, g)
				d := gatewaytest.Connect(t, g.Addr())
				if drip {
					go func() {
						for _, b := range gatewaytest.Hello("drip").Append(nil) {
							if _, err := d.Conn.Write([]byte{b}); err != nil {
								return
							}
							time.Sleep(300 * time.Millisecond)
						}
					}()
				}
				err := wantCode(d, 3500*time.Millisecond, wire.CodeKeepaliveMissed)
				return errors.Join(err, check())
			})
		})
	}
}

// HELLO is at most 1 KiB, so that a stranger is not given more.
func TestHelloLimit(t *testing.T) {
	bothWays(t, "helloLimit", "still open", func(t *testing.T, guard string) error {
		g := gatewaytest.Start(t, gateway.Config{}.Without(guard))
		check := witness(t, g)
		d := gatewaytest.Connect(t, g.Addr())
		d.Send([]byte{byte(wire.TypeHello), 0x80, 0x20}) // 4 KiB to come
		return errors.Join(wantCode(d, 2*time.Second, wire.CodeFrameTooLarge), check())
	})
}

// What follows HELLO is held while the authenticator thinks, up to 4 KiB [W-3.0].
func TestHeldLimit(t *testing.T) {
	bothWays(t, "heldLimit", "still open", func(t *testing.T, guard string) error {
		g := gatewaytest.Start(t, gateway.Config{Authenticate: func(ctx context.Context, h wire.Hello, _ netip.AddrPort) (wire.Identity, error) {
			if string(h.Auth) == "witness" {
				return wire.Identity{Tenant: gateway.DefaultTenant, Device: "witness"}, nil
			}
			<-ctx.Done()
			return wire.Identity{}, ctx.Err()
		}}.Without(guard))
		check := witness(t, g)
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(gatewaytest.Hello("a").Append(nil))
		d.Send(make([]byte, gateway.MostHeld+1))
		return errors.Join(wantCode(d, 2*time.Second, wire.CodeOverCredit), check())
	})
}

// A device that is silent for 1.5 intervals is closed [W-3.4]; one that asked for
// no such interval is not.
func TestKeepaliveMissed(t *testing.T) {
	bothWays(t, "keepalive", "still open", func(t *testing.T, guard string) error {
		lim := gateway.Limits{KeepaliveMin: time.Second}
		g := gatewaytest.Start(t, gateway.Config{Limits: lim}.Without(guard))
		check := witness(t, g)
		h := gatewaytest.Hello("silent")
		h.Keepalive = 1
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(h.Append(nil))
		w, err := wire.ParseWelcome(d.Expect(wire.TypeWelcome).Body)
		require.NoError(t, err)
		require.EqualValues(t, 1, w.Keepalive)
		return errors.Join(wantCode(d, 4500*time.Millisecond, wire.CodeKeepaliveMissed), check())
	})
}

// A second gateway on the same port is an error; with SO_REUSEPORT alone it would
// silently take half of the devices.
func TestSecondServeOnOnePort(t *testing.T) {
	bothWays(t, "bindProbe", "it serves", func(t *testing.T, guard string) error {
		first := gatewaytest.Start(t, gateway.Config{})
		second, err := gateway.New(gateway.Config{Listen: first.Addr().String()}.Without(guard))
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- second.Serve(t.Context()) }()
		defer second.Close()
		select {
		case err := <-served:
			require.ErrorContains(t, err, "address already in use")
			require.ErrorContains(t, err, first.Addr().String())
			gatewaytest.Join(t, first.Addr(), "still").Ping()
			return nil
		case <-second.Ready():
			return errors.New("it serves")
		}
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, gatewaytest.Patience, 10*time.Millisecond)
}

// The authenticator has the time that the device has, and so many calls at once.
func TestAuthenticatorSlowOrBusy(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	g := gatewaytest.Start(t, gateway.Config{
		Limits: gateway.Limits{AuthenticateWithin: 4 * time.Second, Authenticating: 1},
		Authenticate: func(ctx context.Context, h wire.Hello, _ netip.AddrPort) (wire.Identity, error) {
			if string(h.Auth) == "slow" {
				select {
				case <-ctx.Done():
					return wire.Identity{}, ctx.Err()
				case <-free:
				}
			}
			if string(h.Auth) == "revoked" {
				return wire.Identity{}, &wire.Error{Code: wire.CodeRevoked}
			}
			if string(h.Auth) == "unknown" {
				return wire.Identity{}, errors.New("who?")
			}
			return wire.Identity{Tenant: "acme", Device: string(h.Auth)}, nil
		},
	})
	for name, want := range map[string]wire.Code{"revoked": wire.CodeRevoked, "unknown": wire.CodeNotAuthenticated, "/": wire.CodeNotAuthenticated} {
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(gatewaytest.Hello(name).Append(nil))
		d.ExpectClosed(want)
	}
	slow := gatewaytest.Connect(t, g.Addr())
	slow.Send(gatewaytest.Hello("slow").Append(nil))
	// What is sent meanwhile is held and done in order.
	slow.Send(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
	eventually(t, func() bool {
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(gatewaytest.Hello("busy").Append(nil))
		c, err := code(d, time.Second)
		_ = d.Conn.Close()
		return err == nil && c == wire.CodeOverload
	})
	close(free)
	slow.Expect(wire.TypeWelcome)
	slow.Expect(wire.TypeSubscribed)
	gatewaytest.Join(t, g.Addr(), "next").Ping()
}
