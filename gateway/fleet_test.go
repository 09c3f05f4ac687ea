package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// member starts a gateway of a fleet that is linked to others when this returns.
func member(t *testing.T, name string, cfg gateway.Config, others ...*gateway.Gateway) *gateway.Gateway {
	t.Helper()
	cfg.Name = name
	cfg.Peer = &peer.Config{Cluster: "test", Listen: "127.0.0.1:0"}
	for _, o := range others {
		cfg.Peer.Peers = append(cfg.Peer.Peers, o.PeerAddr().String())
	}
	g := gatewaytest.Start(t, cfg)
	linked(t, g, len(others))
	return g
}

// linked waits until a gateway has that many links.
func linked(t *testing.T, g *gateway.Gateway, want int) {
	t.Helper()
	require.Eventually(t, func() bool { return links(g) == want }, gatewaytest.Patience, time.Millisecond, "%s has not %d links: %+v", g.Name(), want, g.Links())
}

func links(g *gateway.Gateway) (n int) {
	for _, l := range g.Links() {
		if l.State == "linked" {
			n++
		}
	}
	return n
}

// listener is a device that tracks a filter.
func listener(t *testing.T, g *gateway.Gateway, name, filter string) *gatewaytest.Device {
	t.Helper()
	d := gatewaytest.Join(t, g.Addr(), name)
	d.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte(filter)})
	return d
}

// next is the next message; what tells about streams is passed over.
func next(t *testing.T, d *gatewaytest.Device) wire.Message {
	t.Helper()
	for {
		f, err := d.Next(gatewaytest.Patience)
		require.NoError(t, err)
		switch f.Type.Base() {
		case wire.TypeStream, wire.TypeTopic, wire.TypeLive:
			continue
		}
		require.Equal(t, wire.TypeMessage, f.Type.Base(), "%s came", f.Type)
		m, err := wire.ParseMessage(f.Type, f.Body)
		require.NoError(t, err)
		return m
	}
}

// quiet checks that no message is on its way to a device.
func quiet(t *testing.T, d *gatewaytest.Device) {
	t.Helper()
	for {
		f, err := d.Next(200 * time.Millisecond)
		if f.Type == wire.TypeStream && err == nil {
			continue
		}
		var timeout net.Error
		require.ErrorAs(t, err, &timeout, "%s came", f.Type)
		require.True(t, timeout.Timeout())
		return
	}
}

// A mesh of three: a message that enters anywhere reaches the devices of all, once,
// and each gateway lists its own devices only (BC-1, BC-6, BC-8, BC-9, BC-10, BC-D3).
func TestFleetDeliversOnceEverywhere(t *testing.T) {
	g1 := member(t, "g1", gateway.Config{})
	g2 := member(t, "g2", gateway.Config{}, g1)
	g3 := member(t, "g3", gateway.Config{}, g1, g2)
	fleet := []*gateway.Gateway{g1, g2, g3}
	var devices []*gatewaytest.Device
	for i, g := range fleet {
		linked(t, g, 2)
		devices = append(devices, listener(t, g, fmt.Sprintf("exact%d", i), "broadcast/a"), listener(t, g, fmt.Sprintf("wild%d", i), "broadcast/#"))
	}
	for i, g := range fleet {
		require.EqualValues(t, 2, g.Status().Subscriptions, "the table of g%d has its own devices only", i+1)
		pub := gatewaytest.Join(t, g.Addr(), "pub")
		text := fmt.Sprintf("from g%d", i+1)
		require.Equal(t, wire.CodeOK, pub.Publish(1, "broadcast/a", text))
		for _, d := range devices {
			require.Equal(t, text, string(next(t, d).Payload))
		}
	}
	for _, d := range devices {
		quiet(t, d)
	}
	for _, g := range fleet {
		for _, l := range g.Links() {
			require.EqualValues(t, 1, l.MessagesSent, "%s sent to %s what it was sent itself", g.Name(), l.Name)
		}
	}
}

// A message that is published inside reaches the devices of other gateways as well
// (BC-11).
func TestFleetDeliversWhatIsPublishedInside(t *testing.T) {
	g1 := member(t, "g1", gateway.Config{})
	g2 := member(t, "g2", gateway.Config{}, g1)
	d := listener(t, g2, "d", "broadcast/a")
	r, err := g1.Publish(t.Context(), gateway.DefaultTenant, "broadcast/a", []byte("inside"))
	require.NoError(t, err)
	require.Equal(t, g1.Status().Life, r.Life)
	require.Equal(t, "inside", string(next(t, d).Payload))
}

// What is not a broadcast goes to the central service and never to a peer (BC-3,
// BC-5).
func TestFleetForwardsPlainTopicsOnce(t *testing.T) {
	central := &centralStub{}
	g1 := member(t, "g1", gateway.Config{Central: central})
	g2 := member(t, "g2", gateway.Config{}, g1)
	d := listener(t, g2, "d", "#")
	pub := gatewaytest.Join(t, g1.Addr(), "pub")
	require.Equal(t, wire.CodeOK, pub.Publish(1, "orders/1", "plain"))
	require.Len(t, central.take(), 1)
	require.Equal(t, wire.CodeOK, pub.Publish(2, "broadcast/a", "shared"))
	require.Equal(t, "shared", string(next(t, d).Payload))
	require.EqualValues(t, 1, g1.Links()[0].MessagesSent)
}

// Tenants of the same topic name hear nothing of one another at other gateways
// either (BC-D8).
func TestFleetKeepsTenantsApart(t *testing.T) {
	g1 := member(t, "g1", gateway.Config{Authenticate: authenticateByToken})
	g2 := member(t, "g2", gateway.Config{Authenticate: authenticateByToken}, g1)
	mine, other := listener(t, g2, "red/d", "broadcast/a"), listener(t, g2, "blue/d", "broadcast/a")
	_, err := g1.Publish(t.Context(), "red", "broadcast/a", []byte("for red"))
	require.NoError(t, err)
	require.Equal(t, "for red", string(next(t, mine).Payload))
	quiet(t, other)
}

// A gateway that joins while the fleet runs is sent what is published from then on,
// and nobody minds when it leaves (BC-13). A device of another gateway is told that
// nothing is missing.
func TestFleetGrowsAndShrinks(t *testing.T) {
	g1 := member(t, "g1", gateway.Config{})
	first := listener(t, g1, "first", "broadcast/a")
	g2 := member(t, "g2", gateway.Config{DrainSpread: time.Millisecond, DrainWithin: time.Millisecond}, g1)
	d := listener(t, g2, "d", "broadcast/a")
	pub := gatewaytest.Join(t, g1.Addr(), "pub")
	require.Equal(t, wire.CodeOK, pub.Publish(1, "broadcast/a", "one"))
	require.Equal(t, "one", string(next(t, first).Payload))
	require.Equal(t, "one", string(next(t, d).Payload))

	leaver := gatewaytest.Join(t, g2.Addr(), "leaver")
	require.Equal(t, wire.CodeOK, leaver.Publish(1, "broadcast/a", "last words"))
	require.Equal(t, "last words", string(next(t, first).Payload))
	require.NoError(t, g2.Shutdown(context.Background()))
	linked(t, g1, 0)
	end, err := wire.ParseEnd(first.Expect(wire.TypeEnd).Body)
	require.NoError(t, err)
	require.Equal(t, wire.EndComplete, end.How)
	require.Equal(t, wire.CodeOK, pub.Publish(2, "broadcast/a", "two"))
	require.Equal(t, "two", string(next(t, first).Payload))
}

// A line of the audit log names gateway, tenant, device and topic, and so do the
// figures of links: one name for each thing everywhere.
func TestFleetNamesThings(t *testing.T) {
	var log gateway.AuditLog
	g1 := member(t, "g1", gateway.Config{})
	g2 := member(t, "g2", gateway.Config{
		Audit: log.Logger(), Authenticate: authenticateByToken,
		Authorize: func(wire.Identity, gateway.Action, string) error { return errors.New("no") },
	}, g1)
	d := gatewaytest.Join(t, g2.Addr(), "red/d")
	require.Equal(t, wire.CodeNotGranted, d.Publish(1, "broadcast/a", "x"))
	lines := log.Lines(t, g2)
	require.Len(t, lines, 1)
	for key, want := range map[string]string{"gateway": "g2", "tenant": "red", "device": "d", "topic": "broadcast/a", "code": "83"} {
		require.Equal(t, want, lines[0][key], key)
	}
	w := httptest.NewRecorder()
	g2.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, w.Body.String(), `bellwire_peer_messages_sent_total{peer="g1"} 0`)
}

// A device that changes gateways goes on where it was, with the messages of every
// origin, and gets none twice (BC-D2).
func TestFleetResumesElsewhere(t *testing.T) {
	g1 := member(t, "g1", gateway.Config{})
	g2 := member(t, "g2", gateway.Config{}, g1)
	d := listener(t, g1, "d", "broadcast/a")
	witness := listener(t, g2, "witness", "broadcast/a")
	had := map[wire.Life]uint64{}
	publish := func(g *gateway.Gateway, text string) wire.Position {
		r, err := g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/a", []byte(text))
		require.NoError(t, err)
		require.Equal(t, text, string(next(t, witness).Payload), "it has passed g2")
		return wire.Position{Life: r.Life, Offset: r.Offset}
	}
	for i, g := range []*gateway.Gateway{g1, g2} {
		p := publish(g, fmt.Sprintf("before %d", i))
		require.Equal(t, fmt.Sprintf("before %d", i), string(next(t, d).Payload))
		had[p.Life] = p.Offset
	}
	require.NoError(t, d.Conn.Close())
	publish(g1, "missed 1")
	publish(g2, "missed 2")

	back := gatewaytest.Join(t, g2.Addr(), "d")
	var cursor wire.Cursor
	for life, offset := range had {
		cursor = cursor.AppendPosition(wire.Position{Life: life, Offset: offset})
	}
	back.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a"), Start: wire.StartCursor, Cursor: cursor})
	got := []string{string(next(t, back).Payload), string(next(t, back).Payload)}
	require.ElementsMatch(t, []string{"missed 1", "missed 2"}, got)
	back.Expect(wire.TypeLive)
	publish(g1, "live")
	require.Equal(t, "live", string(next(t, back).Payload))
	quiet(t, back)
}
