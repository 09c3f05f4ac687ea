package gateway_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// hooksThatPanic are all that a gateway calls.
var hooksThatPanic = []string{"authenticate", "publish", "subscribe", "central"}

// panicIn has one hook panic for the device "bad".
func panicIn(cfg *gateway.Config, hook string) {
	cfg.Authenticate = func(_ context.Context, h wire.Hello, _ netip.AddrPort) (wire.Identity, error) {
		if hook == "authenticate" && string(h.Auth) == "bad" {
			panic(hook)
		}
		return wire.Identity{Tenant: gateway.DefaultTenant, Device: string(h.Auth)}, nil
	}
	cfg.Authorize = func(id wire.Identity, a gateway.Action, _ string) error {
		if hook == a.String() && id.Device == "bad" {
			panic(hook)
		}
		return nil
	}
	cfg.Central = panicCentral{}
}

type panicCentral struct{}

func (panicCentral) Subscribe(string, string) (func(), error) { panic("central") }

func (panicCentral) Publish(string, string, []byte) error { panic("central") }

// askHook has a device do what the hook is asked about.
func askHook(t *testing.T, addr net.Addr, hook string) *gatewaytest.Device {
	t.Helper()
	d := gatewaytest.Connect(t, addr)
	d.Send(gatewaytest.Hello("bad").Append(nil))
	if hook != "authenticate" {
		d.Expect(wire.TypeWelcome)
	}
	switch hook {
	case "publish":
		d.Send(wire.Publish{Name: []byte("broadcast/a")}.Append(nil))
	case "subscribe":
		d.Send(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
	case "central":
		d.Send(wire.Publish{Name: []byte("orders/1")}.Append(nil))
	}
	return d
}

// A hook that panics costs the connection that it was asked for, and nothing
// else: the same as a device that does something wrong. The control needs a process
// that may end: TestPanicCostsOneConnection.
func TestPanicInAHook(t *testing.T) {
	for _, hook := range hooksThatPanic {
		t.Run(hook, func(t *testing.T) {
			cfg := gateway.Config{Loops: 1}
			panicIn(&cfg, hook)
			g := gatewaytest.Start(t, cfg)
			check := witness(t, g)
			askHook(t, g.Addr(), hook).ExpectClosed(wire.CodeOverload)
			require.NoError(t, check())
			require.Equal(t, "1", metrics(t, g)["bellwire_panics_total"])
			eventually(t, func() bool { return g.Status().Connections == 1 })
			require.Zero(t, g.Status().CreditUsed)
		})
	}
}
