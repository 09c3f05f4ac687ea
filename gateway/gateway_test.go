package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// A publish reaches the exact subscriber, the wildcard and nobody else (BC-2,
// BC-7).
func TestBroadcastReachesSubscribers(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	exact := gatewaytest.Join(t, g.Addr(), "exact")
	id := exact.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")})
	exact.Expect(wire.TypeStream)
	wild := gatewaytest.Join(t, g.Addr(), "wild")
	wild.Subscribe(wire.Subscribe{Sub: 7, Track: true, Filter: []byte("broadcast/#")})
	other := gatewaytest.Join(t, g.Addr(), "other")
	other.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/b")})

	pub := gatewaytest.Join(t, g.Addr(), "pub")
	pub.Send(wire.Publish{Name: []byte("broadcast/a"), Ack: true, Seq: 1, Payload: []byte("hello")}.Append(nil))
	ack, err := wire.ParseAck(pub.Expect(wire.TypeAck).Body)
	require.NoError(t, err)
	require.Equal(t, wire.Ack{Seq: 1}, ack)

	m := exact.Message()
	require.Equal(t, id, m.Topic)
	require.Equal(t, "hello", string(m.Payload))
	wild.Expect(wire.TypeTopic)
	wild.Expect(wire.TypeStream)
	require.Equal(t, "hello", string(wild.Message().Payload))

	other.Send(wire.AppendPing(nil, nil))
	other.Expect(wire.TypePong)
}
