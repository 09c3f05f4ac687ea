package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// Whoever subscribes beyond the broadcast topics is told why nothing will come:
// there is no central service, or there is one and this version only publishes to
// it [W-4.5].
func TestSubscribeBeyondTheBroadcastTopics(t *testing.T) {
	for name, c := range map[string]struct {
		central gateway.Central
		exact   wire.Code
	}{
		"no central service": {nil, wire.CodeNoCentral},
		"a central service":  {&centralStub{}, wire.CodeNotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gateway.Config{Central: c.central})
			d := gatewaytest.Join(t, g.Addr(), "d")
			for i, q := range []struct {
				wire.Subscribe
				want wire.Code
			}{
				{wire.Subscribe{Filter: []byte("orders/1")}, c.exact},
				{wire.Subscribe{Filter: []byte("orders/1"), PublishOnly: true}, c.exact},
				{wire.Subscribe{Filter: []byte("orders/#")}, wire.CodeOKCentralAway},
				{wire.Subscribe{Filter: []byte("broadcast/a")}, wire.CodeOK},
			} {
				q.Sub = uint32(i + 1)
				d.Send(q.Append(nil))
				got, err := wire.ParseSubscribed(d.Expect(wire.TypeSubscribed).Body)
				require.NoError(t, err)
				require.Equal(t, q.want, got.Code, "%s", q.Filter)
			}
		})
	}
}
