package gateway

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/secure"
)

// A reload cannot open a gateway that strangers reach: it keeps its address, also if
// the new settings name another, and so needs a proof of devices (MS-17).
func TestReloadDoesNotOpen(t *testing.T) {
	period := secure.Period{From: time.Now(), For: time.Hour}
	authority, _, err := secure.NewAuthority("test", period)
	require.NoError(t, err)
	pair, err := authority.Gateway([]string{"gw.example"}, period)
	require.NoError(t, err)
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	require.NoError(t, err)
	_, public, err := secure.NewTokenKey()
	require.NoError(t, err)
	key, err := secure.ParseTokenKey(public)
	require.NoError(t, err)
	trust := secure.Config{Certificates: []tls.Certificate{certificate}}
	anyone, err := secure.NewTrust(trust)
	require.NoError(t, err)
	trust.TokenKeys = []secure.TokenKey{{Key: key}}
	proven, err := secure.NewTrust(trust)
	require.NoError(t, err)

	for _, without := range []bool{false, true} {
		cfg := Config{ListenTLS: "0.0.0.0:0", Trust: proven}
		cfg.without.reloadExposed = without
		m := newSim(t, cfg)
		err := m.g.Reload(Config{ListenTLS: "127.0.0.1:0", Trust: anyone})
		require.Equal(t, without, err == nil)
		require.Equal(t, without, m.g.rules.Load().trust == anyone)
		require.NoError(t, m.g.Reload(Config{ListenTLS: "127.0.0.1:0", Trust: anyone, Insecure: true}))
	}
}
