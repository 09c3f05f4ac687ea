package gateway_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// brittle is a trust whose clock panics after so many looks, and its site. The
// first look is the loop's, when it makes a TLS connection; the next ones are those
// of the goroutine that computes.
func brittle(t *testing.T, looks int64) (*secure.Trust, *gatewaytest.Site) {
	t.Helper()
	s := gatewaytest.NewSite(t)
	var looked, made atomic.Int64
	trust := s.Trust(func(c *secure.Config) {
		c.Now = func() time.Time {
			if made.Load() != 0 && looked.Add(1) > looks {
				panic("brittle")
			}
			return time.Now()
		}
	})
	made.Store(1)
	return trust, s
}

// A panic while a stranger's handshake is computed costs that connection, not the
// process (MS-17). The control would end the process: TestPanicCostsOneConnection
// shows it for hooks, which have the same guard.
func TestPanicInAHandshake(t *testing.T) {
	trust, site := brittle(t, 1)
	g := gatewaytest.Start(t, gateway.Config{Loops: 1, ListenTLS: "127.0.0.1:0", Trust: trust})
	_, err := gatewaytest.TryShake(t, g.TLSAddr(), site.Config())
	require.Error(t, err)
	require.Equal(t, "1", metrics(t, g)["bellwire_panics_total"])
	eventually(t, func() bool { return g.Status().Connections == 0 && g.Status().Handshakes == 0 })
}

// The same of a token, in HELLO and in AUTH.
func TestPanicInAToken(t *testing.T) {
	for _, looks := range []int64{0, 2} { // HELLO takes two: it is asked about again on the loop
		trust, site := brittle(t, looks)
		token := site.Token("default/a", nil)
		g := gatewaytest.Start(t, gateway.Config{Loops: 1, Trust: trust})
		d := gatewaytest.Connect(t, g.Addr())
		d.Send(gatewaytest.Hello(token).Append(nil))
		if looks == 0 {
			d.ExpectClosed(wire.CodeOverload)
		} else {
			d.Expect(wire.TypeWelcome)
			d.Send(wire.Auth{Method: wire.AuthToken, Data: []byte(token)}.Append(nil))
			d.Expect(wire.TypeError)
			d.Ping() // the old one is in force
		}
		require.Equal(t, "1", metrics(t, g)["bellwire_panics_total"])
	}
}
