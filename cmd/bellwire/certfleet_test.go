package main

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFleetCertificates: two commands are enough for links beyond loopback, and a gateway that has the files takes its
// name from them.
func TestFleetCertificates(t *testing.T) {
	dir := t.TempDir()
	printed := ranIn(t, dir, "cert", "fleet-ca")
	printed += ranIn(t, dir, "cert", "fleet", "--cluster", "north", "gw-1", "vm:7311")
	require.Contains(t, printed, "gateway vm:7311 of north: fleet-vm:7311.pem, fleet-vm:7311-key.pem (secret), until ")
	require.NotContains(t, printed, "PRIVATE")
	require.Equal(t, "bellwire://north/gateway/gw-1", certificateIn(t, "fleet-gw-1.pem").URIs[0].String())
	require.Regexp(t, `^Bellwire fleet CA [0-9a-f]{8}$`, certificateIn(t, "fleet-ca.pem").Subject.CommonName)
	failed(t, exitFailed, "is there already", "cert", "fleet-ca")
	failed(t, exitFailed, "is there already", "cert", "fleet", "gw-1")
	failed(t, exitUsage, "cluster name", "cert", "fleet", "--cluster=N", "gw-2")
	failed(t, exitUsage, "gateway name", "cert", "fleet", "a/b")
	failed(t, exitFailed, "`bellwire cert fleet-ca` makes one", "cert", "fleet", "--dir=elsewhere", "gw-2")
	failed(t, exitUsage, "the CA only until", "cert", "fleet", "--for=9999d", "gw-2")

	printed = ranIn(t, dir, "cert", "nats", "n1=10.0.0.1,nats.example", "shop")
	require.Contains(t, printed, "NATS server n1: nats-n1.pem, nats-n1-key.pem (secret), until ")
	require.Contains(t, printed, "backend shop: nats-shop.pem, nats-shop-key.pem (secret), until ")
	n1 := certificateIn(t, "nats-n1.pem")
	require.NoError(t, n1.VerifyHostname("10.0.0.1"))
	require.NoError(t, n1.VerifyHostname("nats.example"))
	require.Empty(t, n1.URIs)
	require.Empty(t, certificateIn(t, "nats-shop.pem").IPAddresses)
	for _, member := range []string{"n2=", "../n2", "", "=10.0.0.1", "a/b=10.0.0.1"} {
		failed(t, exitUsage, "want NAME=ADDRESS,ADDRESS for a NATS server, or NAME for a backend", "cert", "nats", member)
	}
	failed(t, exitUsage, "is neither a DNS name nor an IP address", "cert", "nats", "n2=10.0.0.1:4222")
	failed(t, exitFailed, "is there already", "cert", "nats", "n1=10.0.0.1")

	fleet := func(more ...string) (string, error) {
		s, err := shown(t, nil, append([]string{
			"--peer-listen=10.0.0.1:7313", "--cluster=north", "--fleet-ca=fleet-ca.pem", "--fleet-cert=fleet-gw-1.pem", "--fleet-key=fleet-gw-1-key.pem",
		}, more...)...)
		require.NoError(t, err)
		cfg, _, err := fullConfig(s.Settings, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			return "", err
		}
		require.NotNil(t, cfg.Peer.TLS)
		require.Equal(t, cfg.Name, cfg.Peer.Name)
		return cfg.Name, nil
	}
	name, err := fleet()
	require.NoError(t, err)
	require.Equal(t, "gw-1", name)
	_, err = fleet("--name=gw-1")
	require.NoError(t, err)

	ranIn(t, dir, "cert", "ca")
	ranIn(t, dir, "cert", "issue", "acme/kitchen")
	require.NoError(t, os.WriteFile("empty.pem", nil, 0o600))
	require.NoError(t, os.WriteFile("open-key.pem", []byte("x"), 0o600))
	require.NoError(t, os.Chmod("open-key.pem", 0o644))
	for _, test := range []struct{ flags, want string }{
		{"--name=gw-2", "name: gw-2 is not the name in the certificate of fleet.cert, which is gw-1"},
		{"--cluster=south", "fleet.cert: fleet-gw-1.pem: it is of the fleet north, and the setting cluster is south"},
		{"--fleet-ca=ca.pem", "is not one of this fleet's gateways"},
		{"--fleet-cert=kitchen.pem --fleet-key=kitchen-key.pem", "is not one of this fleet's gateways"},
		{"--fleet-cert=nats-n1.pem --fleet-key=nats-n1-key.pem", "fleet.cert: nats-n1.pem: its certificate is not that of a gateway"},
		{"--fleet-ca=nowhere.pem", "fleet.ca: nowhere.pem: "},
		{"--fleet-cert=empty.pem", "fleet.cert: empty.pem: is empty"},
		{"--fleet-key=open-key.pem", "fleet.key: open-key.pem: is secret and has the mode 0644"},
	} {
		_, err := fleet(strings.Fields(test.flags)...)
		require.ErrorContains(t, err, test.want, test.flags)
	}
}
