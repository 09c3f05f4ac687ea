package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// centralStub counts, and fails when it is told to.
type centralStub struct {
	mu      sync.Mutex
	calls   []string
	filters map[string]int // that are wanted
	err     error
}

func (c *centralStub) Subscribe(tenant, filter string) (cancel func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.filters == nil {
		c.filters = map[string]int{}
	}
	key := tenant + " " + filter
	c.filters[key]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.filters[key]--; c.filters[key] == 0 {
			delete(c.filters, key)
		}
	}, nil
}

func (c *centralStub) wanted() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.filters)
}

func (c *centralStub) Publish(tenant, topic string, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, fmt.Sprintf("%s %s %s", tenant, topic, payload))
	return c.err
}

func (c *centralStub) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.calls
	c.calls = nil
	return out
}

// One gateway is gateway, broadcaster and forwarder (BC-3): broadcasts never
// touch the central service (BC-4), all else goes there once (BC-5), and its
// absence is visible but does not stop broadcasts (BC-D7).
func TestCentral(t *testing.T) {
	central := &centralStub{}
	g := gatewaytest.Start(t, gateway.Config{Central: central})
	sub := gatewaytest.Join(t, g.Addr(), "sub")
	sub.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("#")})
	pub := gatewaytest.Join(t, g.Addr(), "pub")

	require.Equal(t, wire.CodeOK, pub.Publish(1, "broadcast/a", "to all"))
	sub.Expect(wire.TypeTopic)
	require.Equal(t, "to all", string(sub.Message().Payload))
	require.Empty(t, central.take())

	require.Equal(t, wire.CodeOK, pub.Publish(2, "orders/1", "to one"))
	require.Equal(t, []string{"default orders/1 to one"}, central.take())
	_, err := g.Publish(t.Context(), "acme", "orders/2", []byte("inside"))
	require.NoError(t, err)
	require.Equal(t, []string{"acme orders/2 inside"}, central.take())
	sub.Ping() // and nothing else came

	for err, want := range map[error]wire.Code{
		errors.New("away"):                    wire.CodeCentralAway,
		&wire.Error{Code: wire.CodeThrottled}: wire.CodeThrottled,
	} {
		central.mu.Lock()
		central.err = err
		central.mu.Unlock()
		require.Equal(t, want, pub.Publish(3, "orders/1", "x"))
		require.Len(t, central.take(), 1)
		require.Equal(t, wire.CodeOK, pub.Publish(4, "broadcast/a", "still"))
		require.Equal(t, "still", string(sub.Message().Payload))
	}
	_, err = g.Publish(t.Context(), gateway.DefaultTenant, "orders/1", nil)
	require.ErrorContains(t, err, "orders/1")
}

// What goes to the central service spends credit, and gives it back (A4 never
// comes to a device that waits for CREDIT).
func TestCentralGivesCreditBack(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Central: &centralStub{}, Limits: gateway.Limits{Frame: 1024}})
	pub := gatewaytest.Join(t, g.Addr(), "pub")
	for seq := range uint64(200) {
		require.Equal(t, wire.CodeOK, pub.Publish(seq+1, "orders/1", strings.Repeat("x", 500)))
	}
}

func authenticateByToken(_ context.Context, h wire.Hello, _ netip.AddrPort) (wire.Identity, error) {
	return wire.ParseIdentity(string(h.Auth))
}

// Tenants see nothing of one another under the same names (BC-D8).
func TestTenants(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2, Authenticate: authenticateByToken})
	devices := map[string]*gatewaytest.Device{}
	for _, tenant := range []string{"red", "blue"} {
		for _, kind := range []string{"exact", "wild"} {
			d := gatewaytest.Join(t, g.Addr(), tenant+"/"+kind)
			filter := "broadcast/same"
			if kind == "wild" {
				filter = "#"
			}
			d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte(filter)})
			devices[tenant+"/"+kind] = d
		}
	}
	for _, tenant := range []string{"red", "blue"} {
		pub := gatewaytest.Join(t, g.Addr(), tenant+"/pub")
		require.Equal(t, wire.CodeOK, pub.Publish(1, "broadcast/same", "canary of "+tenant))
		require.Equal(t, "canary of "+tenant, string(devices[tenant+"/exact"].Message().Payload))
		devices[tenant+"/wild"].Expect(wire.TypeTopic)
		require.Equal(t, "canary of "+tenant, string(devices[tenant+"/wild"].Message().Payload))
		for _, d := range devices {
			d.Ping()
		}
	}
	require.Len(t, askJSON[gateway.SessionList](t, g, "/v1/sessions?tenant=red&topic=broadcast/same").Sessions, 2)
	require.Len(t, askJSON[gateway.TopicList](t, g, "/v1/topics?tenant=blue").Topics, 1)
}

// Without a grant a publish delivers nothing and a subscription lists nothing
// (BC-12).
func TestAuthorize(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Authorize: func(id wire.Identity, a gateway.Action, topic string) error {
		if id.Device == "guest" && !(a == gateway.ActionSubscribe && topic == "broadcast/public") {
			return fmt.Errorf("%s may not %s %s", id, a, topic)
		}
		return nil
	}})
	sub := gatewaytest.Join(t, g.Addr(), "sub")
	sub.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")})
	guest := gatewaytest.Join(t, g.Addr(), "guest")
	require.Equal(t, wire.CodeNotGranted, guest.Publish(1, "broadcast/a", "x"))
	for i, filter := range []string{"broadcast/#", "broadcast/a", "broadcast/public"} {
		guest.Send(wire.Subscribe{Sub: uint32(i + 1), Filter: []byte(filter)}.Append(nil))
		s, err := wire.ParseSubscribed(guest.Expect(wire.TypeSubscribed).Body)
		require.NoError(t, err)
		require.Equal(t, filter == "broadcast/public", s.Code == wire.CodeOK, filter)
	}
	guest.Send(wire.Subscribe{Sub: 9, PublishOnly: true, Filter: []byte("broadcast/public")}.Append(nil))
	s, err := wire.ParseSubscribed(guest.Expect(wire.TypeSubscribed).Body)
	require.NoError(t, err)
	require.Equal(t, wire.CodeNotGranted, s.Code, "publish only is a matter of publishing")
	require.Equal(t, []string{"default/sub"}, names(t, g, "broadcast/a"))
	sub.Ping()
}

// A broadcast may come from inside (BC-11): it is delivered as any other, and
// says where it stands.
func TestPublishFromInside(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	d := gatewaytest.Join(t, g.Addr(), "d")
	d.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")})
	s := d.Stream()
	for i := range uint64(3) {
		r, err := g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/a", []byte("inside"))
		require.NoError(t, err)
		require.Equal(t, gateway.Receipt{Life: s.Life, Offset: s.Next + i}, r)
		require.Equal(t, "inside", string(d.Message().Payload))
	}
	for _, bad := range []struct{ tenant, topic, want string }{
		{"", "broadcast/a", "tenant"},
		{"a/b", "broadcast/a", "tenant"},
		{"acme", "broadcast/+", "wildcard"},
		{"acme", "", "empty"},
		{"acme", "orders/1", "no central here"},
	} {
		_, err := g.Publish(t.Context(), bad.tenant, bad.topic, nil)
		require.ErrorContains(t, err, bad.want)
	}
	_, err := g.Publish(t.Context(), "acme", "broadcast/a", make([]byte, 1<<20))
	require.ErrorContains(t, err, "payload of 1048576 bytes")
	require.NoError(t, g.Close())
	_, err = g.Publish(t.Context(), "acme", "broadcast/a", nil)
	require.ErrorIs(t, err, gateway.ErrClosed)
}
