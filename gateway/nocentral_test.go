package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// A refusal of what is not broadcast names what is, in every frame that may carry it [W-4.5] [W-5.2].
func TestNoCentralSaysWhatWouldDo(t *testing.T) {
	const want = "broadcast topics: alerts/# news/+"
	g := gatewaytest.Start(t, gateway.Config{Broadcast: []string{"alerts/#", "news/+"}})
	d := gatewaytest.Join(t, g.Addr(), "d")
	d.Send(wire.Subscribe{Sub: 1, Filter: []byte("orders/1")}.Append(nil))
	subscribed, err := wire.ParseSubscribed(d.Expect(wire.TypeSubscribed).Body)
	require.NoError(t, err)
	require.Equal(t, wire.Subscribed{Sub: 1, Code: wire.CodeNoCentral, Text: []byte(want)}, subscribed)

	d.Send(wire.Publish{Name: []byte("orders/1"), Ack: true, Seq: 1}.Append(nil))
	ack, err := wire.ParseAck(d.Expect(wire.TypeAck).Body)
	require.NoError(t, err)
	require.Equal(t, wire.Ack{Seq: 1, Code: wire.CodeNoCentral, Text: []byte(want)}, ack)

	d.Send(wire.Publish{Name: []byte("orders/1")}.Append(nil))
	refusal, err := wire.ParseRefusal(d.Expect(wire.TypeError).Body)
	require.NoError(t, err)
	require.Equal(t, want, string(refusal.Text))

	d.Send(wire.Publish{Name: []byte("alerts/+"), Ack: true, Seq: 2}.Append(nil))
	ack, err = wire.ParseAck(d.Expect(wire.TypeAck).Body)
	require.NoError(t, err)
	require.Empty(t, ack.Text, "other refusals need none")
}
