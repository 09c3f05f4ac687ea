package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// MS-17: a token stands beside a certificate, whether it came in HELLO or in AUTH: when
// the certificate is revoked the session ends, good as the token is.
func TestRevokedBesideAToken(t *testing.T) {
	for _, renews := range []bool{false, true} {
		s := gatewaytest.NewSite(t)
		g := s.Start(gateway.Config{Loops: 1})
		kitchen, token := s.Device("acme/kitchen"), s.Token("acme/kitchen", nil)
		var d *gatewaytest.Device
		if renews {
			d = gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(kitchen), "")
			d.Send(wire.Auth{Method: wire.AuthToken, Data: []byte(token)}.Append(nil))
			d.Expect(wire.TypeAuth)
		} else {
			d = gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(kitchen), token)
		}
		d.Ping()
		require.NoError(t, g.Reload(gateway.Config{Trust: s.Trust(func(c *secure.Config) {
			c.Revoked.Serials = []string{kitchen.Leaf.SerialNumber.Text(16)}
		})}))
		d.ExpectClosed(wire.CodeRevoked)
	}
}
