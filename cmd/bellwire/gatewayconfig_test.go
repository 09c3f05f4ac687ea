package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
)

// TestDefaultsAreThoseOfTheGateway: who embeds the gateway and who starts it get the same one.
func TestDefaultsAreThoseOfTheGateway(t *testing.T) {
	s, err := defaultSettings()
	require.NoError(t, err)
	want := gateway.DefaultLimits()
	// What these stand for is decided by the gateway: frames, and the listening addresses.
	want.PublishCredit = max(want.PublishCredit, 2*want.Frame)
	want.ConnectRate, want.PublishRate, want.UnprovenPerNetwork, want.ConnectRatePerNetwork = 0, 0, 0, 0
	require.Equal(t, want, gatewayLimits(s.Limits))
	require.Equal(t, []string{"broadcast/#"}, s.Broadcast)
}

// TestGoodSettingsAreGoodForTheGateway: what the check lets through, New takes.
func TestGoodSettingsAreGoodForTheGateway(t *testing.T) {
	needsGateway(t)
	for _, row := range settingTable {
		if row.key == "listen_tls" {
			continue // New wants the certificate as well, not only its name
		}
		for _, value := range []string{layers[row.key].file, layers[row.key].environment, layers[row.key].flag} {
			got, err := shown(t, withPartners(row.key), "--"+row.flag()+"="+value)
			require.NoError(t, err, "%s=%s", row.key, value)
			_, err = gateway.New(gatewayConfig(got.Settings, slog.New(slog.DiscardHandler)))
			require.NoError(t, err, "%s=%s", row.key, value)
		}
	}
}

func TestGatewayConfig(t *testing.T) {
	got, err := shown(t, nil, "--admin=off", "--drain-spread=0s", "--drain-within=0s", "--limits-connect-rate=off", "--limits-publish-rate=7/s")
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	cfg := gatewayConfig(got.Settings, log)
	require.Empty(t, cfg.Admin, "off is no address")
	require.Equal(t, time.Nanosecond, cfg.DrainSpread, "zero would be the gateway's default")
	require.Equal(t, time.Nanosecond, cfg.DrainWithin)
	require.Equal(t, -1, cfg.Limits.ConnectRate)
	require.Equal(t, 7, cfg.Limits.PublishRate)
	require.Same(t, log, cfg.Logger)

	require.Zero(t, cfg.Memory, "auto")
	for text, want := range map[string]int64{"off": -1, "128MiB": 128 << 20} {
		got, err = shown(t, nil, "--limits-memory="+text)
		require.NoError(t, err)
		require.Equal(t, want, gatewayConfig(got.Settings, log).Memory)
	}

	got, err = shown(t, nil, "--drain-spread=3s", "--drain-within=2s", "--name=n", "--loops=3", "--pprof", "--insecure", "--listen=:1")
	require.NoError(t, err)
	cfg = gatewayConfig(got.Settings, log)
	require.Equal(t, 3*time.Second, cfg.DrainSpread)
	require.Equal(t, 2*time.Second, cfg.DrainWithin, "both count it from the end of the spread")
	require.Equal(t, "n", cfg.Name)
	require.Equal(t, 3, cfg.Loops)
	require.True(t, cfg.Pprof && cfg.Insecure)
	require.Equal(t, ":1", cfg.Listen)
	require.Equal(t, "127.0.0.1:7312", cfg.Admin)
}
