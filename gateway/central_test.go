package gateway_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

func subscribed(t *testing.T, d *gatewaytest.Device, q wire.Subscribe) wire.Subscribed {
	t.Helper()
	d.Send(q.Append(nil))
	got, err := wire.ParseSubscribed(d.Expect(wire.TypeSubscribed).Body)
	require.NoError(t, err)
	return got
}

// Whoever subscribes beyond the broadcast topics is told whether anything will come
// [W-4.5].
func TestSubscribeBeyondTheBroadcastTopics(t *testing.T) {
	away := &wire.Error{Code: wire.CodeCentralAway}
	for name, c := range map[string]struct {
		central           gateway.Central
		exact, kept, wild wire.Code
	}{
		"no central service":        {nil, wire.CodeNoCentral, wire.CodeNoCentral, wire.CodeOKCentralAway},
		"a central service":         {&centralStub{}, wire.CodeOK, wire.CodeOKLiveOnly, wire.CodeOK},
		"a central service is away": {&centralStub{err: away}, wire.CodeCentralAway, wire.CodeCentralAway, wire.CodeOKCentralAway},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gateway.Config{Central: c.central})
			d := gatewaytest.Join(t, g.Addr(), "d")
			for i, q := range []struct {
				wire.Subscribe
				want wire.Code
			}{
				{wire.Subscribe{Filter: []byte("orders/1")}, c.exact},
				{wire.Subscribe{Filter: []byte("orders/1"), Start: wire.StartKept}, c.kept},
				{wire.Subscribe{Filter: []byte("orders/#")}, c.wild},
				{wire.Subscribe{Filter: []byte("broadcast/a")}, wire.CodeOK},
			} {
				q.Sub = uint32(i + 1)
				require.Equal(t, q.want, subscribed(t, d, q.Subscribe).Code, "%s start %d", q.Filter, q.Start)
			}
		})
	}
}

// The central service is asked once for each filter, however many devices of a
// gateway have it, and told when the last one has left.
func TestCentralIsAskedOncePerFilter(t *testing.T) {
	central := &centralStub{}
	g := gatewaytest.Start(t, gateway.Config{Central: central, Loops: 2, Authenticate: authenticateByToken})
	var devices []*gatewaytest.Device
	for range 8 {
		d := gatewaytest.Join(t, g.Addr(), "red/d"+string(rune('0'+len(devices))))
		for i, filter := range []string{"orders/1", "orders/#", "broadcast/a", "broadcast/#"} {
			require.Equal(t, wire.CodeOK, subscribed(t, d, wire.Subscribe{Sub: uint32(i + 1), Filter: []byte(filter)}).Code)
		}
		devices = append(devices, d)
	}
	require.Equal(t, map[string]int{"red orders/1": 1, "red orders/#": 1}, central.wanted())
	for i, d := range devices[1:] {
		if i%2 == 0 {
			require.NoError(t, d.Conn.Close())
			continue
		}
		d.Send(wire.Unsubscribe{Sub: 1}.Append(wire.Unsubscribe{Sub: 2}.Append(nil)))
		d.Expect(wire.TypeUnsubscribed)
		d.Expect(wire.TypeUnsubscribed)
	}
	require.Equal(t, map[string]int{"red orders/1": 1, "red orders/#": 1}, central.wanted(), "one is left")
	devices[0].Send(wire.Unsubscribe{Sub: 1}.Append(nil))
	devices[0].Expect(wire.TypeUnsubscribed)
	gone := func() bool { return len(central.wanted()) == 1 }
	require.Eventually(t, gone, gatewaytest.Patience, 1e6)
	require.NoError(t, devices[0].Conn.Close())
	require.Eventually(t, func() bool { return len(central.wanted()) == 0 }, gatewaytest.Patience, 1e6)
}

// Messages of the central service come with their names and are counted by nobody,
// also to devices that track their wildcards; once, however many filters match
// [W-6.9].
func TestFromCentral(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Central: &centralStub{}, Loops: 2, Authenticate: authenticateByToken})
	bring := func(topic, payload string) {
		t.Helper()
		require.NoError(t, g.FromCentral(t.Context(), "red", topic, wire.Position{}, []byte(payload)))
	}
	bring("orders/1", "nobody is here")
	exact, wild := gatewaytest.Join(t, g.Addr(), "red/exact"), gatewaytest.Join(t, g.Addr(), "red/wild")
	other := gatewaytest.Join(t, g.Addr(), "blue/other")
	id := subscribed(t, exact, wire.Subscribe{Sub: 1, Filter: []byte("orders/1"), Track: true}).Topic
	subscribed(t, exact, wire.Subscribe{Sub: 2, Filter: []byte("orders/+")})
	subscribed(t, wild, wire.Subscribe{Sub: 1, Filter: []byte("#"), Track: true})
	subscribed(t, other, wire.Subscribe{Sub: 1, Filter: []byte("#")})
	bring("orders/1", "one")
	bring("orders/1", "two")
	for _, d := range []*gatewaytest.Device{exact, wild} {
		for _, want := range []string{"one", "two"} {
			m := d.Message()
			require.Equal(t, wire.Message{Name: []byte("orders/1"), Payload: []byte(want)}, m)
		}
	}
	require.Equal(t, wire.CodeOK, exact.Publish(1, "broadcast/a", "counted"))
	wild.Expect(wire.TypeTopic)
	wild.Expect(wire.TypeStream)
	require.Equal(t, "counted", string(wild.Message().Payload))
	quiet(t, other)

	// A device publishes by the id that it was told.
	exact.Send(wire.Publish{Topic: id, Ack: true, Seq: 2, Payload: []byte("back")}.Append(nil))
	ack, err := wire.ParseAck(exact.Expect(wire.TypeAck).Body)
	require.NoError(t, err)
	require.Equal(t, wire.CodeOK, ack.Code)
	require.Zero(t, g.Status().Dropped)

	g.CentralAway(true)
	for _, d := range []*gatewaytest.Device{exact, wild, other} {
		require.Equal(t, wire.Gap{Origin: 1, Reason: wire.ReasonCentral}, d.Gap())
	}
}

// What the central service brings is not believed more than a device.
func TestFromCentralRefuses(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Central: &centralStub{}, Authenticate: authenticateByToken})
	gatewaytest.Join(t, g.Addr(), "red/d")
	require.ErrorContains(t, g.FromCentral(t.Context(), "red", "broadcast/a", wire.Position{}, nil), "is a broadcast topic")
	require.ErrorContains(t, g.FromCentral(t.Context(), "red", "a//"+strings.Repeat("x", 300), wire.Position{}, nil), "central: ")
}
