package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		d := gatewaytest.Connect(t, g.Addr())
		d.Send([]byte{byte(wire.TypeHello), 0x80, 0x20}) // 4 KiB to come
		return wantCode(d, 2*time.Second, wire.CodeFrameTooLarge)
	})
}

// What follows HELLO is held while the authenticator thinks, up to 4 KiB [W-3.0].
func TestHeldLimit(t *testing.T) {
	bothWays(t, "heldLimit", "still open", func(t *testing.T, guard string) error {
		g := gatewaytest.Start(t, gateway.Config{Authenticate: func(ctx context.Context, _ wire.Hello, _ netip.AddrPort) (wire.Identity, error) {
			<-ctx.Done()
			return wire.Identity{}, ctx.Err()
		}}.Without(guard))
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(gatewaytest.Hello("a").Append(nil))
		d.Send(make([]byte, gateway.MostHeld+1))
		return wantCode(d, 2*time.Second, wire.CodeOverCredit)
	})
}

// A device that is silent for 1.5 intervals is closed.
func TestKeepaliveMissed(t *testing.T) {
	bothWays(t, "keepalive", "still open", func(t *testing.T, guard string) error {
		lim := gateway.Limits{KeepaliveMin: time.Second}
		g := gatewaytest.Start(t, gateway.Config{Limits: lim}.Without(guard))
		h := gatewaytest.Hello("silent")
		h.Keepalive = 1
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(h.Append(nil))
		w, err := wire.ParseWelcome(d.Expect(wire.TypeWelcome).Body)
		require.NoError(t, err)
		require.EqualValues(t, 1, w.Keepalive)
		return wantCode(d, 4500*time.Millisecond, wire.CodeKeepaliveMissed)
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

// stuck is a gateway whose devices fall behind soon, and one that never reads.
func stuck(t *testing.T, lim gateway.Limits, guard string, q wire.Subscribe) (*gateway.Gateway, *gatewaytest.Device) {
	lim.SendBuffer = 4096
	g := gatewaytest.Start(t, gateway.Config{Loops: 1, Limits: lim}.Without(guard))
	d := gatewaytest.Join(t, g.Addr(), "stuck").Slow()
	q.Sub, q.Filter = 1, []byte("broadcast/flood")
	d.Subscribe(q)
	return g, d
}

func flood(t *testing.T, g *gateway.Gateway, n int) {
	t.Helper()
	payload := make([]byte, 10_000)
	for range n {
		_, err := g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/flood", payload)
		require.NoError(t, err)
	}
}

// A device that never reads holds no more than its bound, is closed after a
// while, and delays nobody (BC-D6).
func TestNeverReads(t *testing.T) {
	bothWays(t, "stuckClose", "still connected", func(t *testing.T, guard string) error {
		g, _ := stuck(t, gateway.Limits{StuckAfter: time.Second}, guard, wire.Subscribe{})
		check := witness(t, g)
		flood(t, g, 100)
		for end := time.Now().Add(4 * time.Second); g.Status().Sessions > 1; {
			if time.Now().After(end) {
				return errors.New("still connected")
			}
			if err := check(); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
		return check()
	})
}

func TestPendingIsBounded(t *testing.T) {
	const most = 64 << 10
	bothWays(t, "slowPolicy", "pending bytes", func(t *testing.T, guard string) error {
		g, d := stuck(t, gateway.Limits{PendingBytes: most}, guard, wire.Subscribe{Track: true})
		d.Expect(wire.TypeStream)
		check := witness(t, g)
		flood(t, g, 200)
		if err := check(); err != nil {
			return err
		}
		for _, row := range sessions(t, g, "broadcast/flood") {
			if row.PendingBytes > most {
				return fmt.Errorf("%d pending bytes", row.PendingBytes)
			}
		}
		// It reads again: what was dropped lies in a GAP in its place.
		position := uint64(1)
		for position <= 200 {
			f, err := d.Next(gatewaytest.Patience)
			if err != nil {
				return err
			}
			switch f.Type.Base() {
			case wire.TypeGap:
				gap, err := wire.ParseGap(f.Body)
				require.NoError(t, err)
				require.Equal(t, wire.ReasonSlow, gap.Reason)
				position += gap.Count
			case wire.TypeMessage:
				m, err := wire.ParseMessage(f.Type, f.Body)
				require.NoError(t, err)
				require.Equal(t, byte(position), byte(m.Offset))
				position++
			}
		}
		if g.Status().Dropped == 0 {
			return errors.New("nothing was dropped")
		}
		return nil
	})
}

// Devices that hang up, or reset, while they are being written to cost nobody
// anything (BC-D1).
func TestDisconnectWhileWrittenTo(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gateway.Config{Loops: 2, Limits: gateway.Limits{SendBuffer: 4096}})
	check := witness(t, g)
	done := make(chan struct{})
	go func() {
		defer close(done)
		payload := make([]byte, 2000)
		for i := 0; i < 1000; i++ {
			_, _ = g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/flood", payload)
		}
	}()
	for i := range 60 {
		d := gatewaytest.Join(t, g.Addr(), fmt.Sprintf("leaver%d", i))
		d.Send(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/flood")}.Append(nil))
		if i%2 == 0 {
			require.NoError(t, d.Conn.(*net.TCPConn).SetLinger(0))
		}
		if i%3 == 0 {
			_, _ = d.Next(time.Second)
		}
		_ = d.Conn.Close()
	}
	<-done
	require.NoError(t, check())
	eventually(t, func() bool { return g.Status().Sessions == 1 && len(sessions(t, g, "broadcast/flood")) == 0 })
	require.Zero(t, g.Status().CreditUsed)
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
		Limits: gateway.Limits{AuthenticateWithin: time.Second, Authenticating: 1},
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
		c, err := code(d, 300*time.Millisecond)
		_ = d.Conn.Close()
		return err == nil && c == wire.CodeOverload
	})
	close(free)
	slow.Expect(wire.TypeWelcome)
	slow.Expect(wire.TypeSubscribed)
	gatewaytest.Join(t, g.Addr(), "next").Ping()
}

// Cut at every frame boundary of a session, a device that resumes has everything
// exactly once (BC-D2).
func TestCutAtEveryFrame(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	topic := "broadcast/cut"
	const messages = 8
	record := func(d *gatewaytest.Device, had uint64) (ends []int, got []uint64, last uint64) {
		q := wire.Subscribe{Sub: 1, Track: true, Start: wire.StartCursor, Filter: []byte(topic), Cursor: wire.Cursor{}}
		life := wire.Life(0)
		if had > 0 {
			ten := topics(t, g)[topic]
			_, err := fmt.Sscanf(ten.Life, "%016x", (*uint64)(&life))
			require.NoError(t, err)
			q.Cursor = q.Cursor.AppendPosition(wire.Position{Life: life, Offset: had})
		}
		b := gatewaytest.Hello("cut").Append(nil)
		d.Send(q.Append(b))
		next, total := uint64(0), 0
		for {
			f, err := d.Next(gatewaytest.Patience)
			if err != nil {
				return ends, got, had
			}
			total += 1 + wire.VarintLen(uint64(len(f.Body))) + len(f.Body)
			ends = append(ends, total)
			switch f.Type.Base() {
			case wire.TypeStream:
				s, err := wire.ParseStream(f.Body)
				require.NoError(t, err)
				next = s.Next
			case wire.TypeMessage:
				m, err := wire.ParseMessage(f.Type, f.Body)
				require.NoError(t, err)
				require.Equal(t, next, m.Offset)
				next++
				got, had = append(got, m.Offset), m.Offset
			case wire.TypeGap:
				require.Fail(t, "a gap")
			}
			if had == messages && f.Type == wire.TypeLive {
				return ends, got, had
			}
		}
	}
	for i := range messages {
		_, err := g.Publish(t.Context(), gateway.DefaultTenant, topic, fmt.Appendf(nil, "message %d", i))
		require.NoError(t, err)
	}
	ends, all, _ := record(gatewaytest.Connect(t, g.Addr()), 0)
	require.Len(t, all, messages)
	for _, end := range ends[:len(ends)-1] {
		p := gatewaytest.NewProxy(t, g.Addr())
		p.CutAfter(end)
		_, before, had := record(gatewaytest.Connect(t, p.Addr()), 0)
		_, after, _ := record(gatewaytest.Connect(t, g.Addr()), had)
		require.Equal(t, all, append(before, after...), "cut after %d bytes", end)
	}
}

// A stalled link delays one device, and loses nothing that its buffers hold.
func TestStalledLink(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gateway.Config{})
	check := witness(t, g)
	p := gatewaytest.NewProxy(t, g.Addr())
	d := gatewaytest.Join(t, p.Addr(), "far")
	d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/flood")})
	p.Stall(true)
	flood(t, g, 5)
	require.NoError(t, check())
	p.Stall(false)
	for range 5 {
		d.Message()
	}
	p.Cut()
	_, err := d.Next(gatewaytest.Patience)
	require.ErrorIs(t, err, io.EOF)
	eventually(t, func() bool { return g.Status().Sessions == 1 })
}
