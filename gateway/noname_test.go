package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// Without an authenticator only the token of method 1 names a device; with method
// 0, or an empty token, it gets a random name [W-3.1].
func TestWhoNamesItself(t *testing.T) {
	for name, c := range map[string]struct {
		method wire.AuthMethod
		auth   string
		named  bool
	}{
		"token":             {wire.AuthToken, "lamp", true},
		"empty token":       {wire.AuthToken, "", false},
		"certificate":       {wire.AuthCertificate, "", false},
		"certificate, auth": {wire.AuthCertificate, "lamp", false},
		"certificate, rude": {wire.AuthCertificate, "no name!", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := hello(c.auth)
			h.Method = c.method
			d := newSim(t, Config{}).join(0, h)
			if c.named {
				require.Equal(t, c.auth, d.s.device)
				return
			}
			require.Regexp(t, "^anon-[0-9a-f]{16}$", d.s.device)
		})
	}
}
