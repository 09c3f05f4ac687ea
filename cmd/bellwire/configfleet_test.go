package main

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func fleetOf33() []string {
	var args []string
	for i := range 33 {
		args = append(args, "--peer=127.0.0.1:"+strconv.Itoa(i+1))
	}
	return args
}

func TestFleetSettingsAreHeldAgainstEachOther(t *testing.T) {
	const files = " --fleet-ca=ca.pem --fleet-cert=gw.pem --fleet-key=gw-key.pem"
	for _, test := range []struct {
		flags, key, want string
	}{
		{"--peer-listen=10.0.0.1:7313", "peer_listen", "anyone there could be a gateway: set fleet.ca, fleet.cert and fleet.key (bellwire cert fleet-ca"},
		{"--peer-listen=10.0.0.1:7313 --insecure", "peer_listen", "anyone there could be a gateway"},
		{"--peer-listen=:7313 --peer-advertise=127.0.0.1:7313", "peer_listen", "anyone there could be a gateway"},
		{"--peer=gw.example:7313", "peer", "anyone there could be a gateway"},
		{"--central-listen=0.0.0.0:7314", "central_listen", "anyone there could be a gateway"},
		{"--peer-listen=7313", "peer_listen", "no port"},
		{"--peer=127.0.0.1", "peer", "no port"},
		{"--peer=127.0.0.1:0", "peer", "has no port"},
		{"--central-listen=on", "central_listen", "no port"},
		{"--peer-listen=0.0.0.0:7313" + files, "peer_advertise", "is every address, so say at which one the other gateways reach it"},
		{"--peer-listen=[::]:7313" + files, "peer_advertise", "is every address"},
		{"--peer-advertise=127.0.0.1:7313", "peer_advertise", "peer_listen, which is not set"},
		{"--peer-listen=127.0.0.1:1 --peer-advertise=10.0.0.1:7313", "peer_advertise", "anyone there could be a gateway"},
		{"--central=nats://10.0.0.1:7314", "central", "10.0.0.1:7314 is not loopback, and messages of devices would go there in the clear: "},
		{"--central=nats://127.0.0.1:1,b:2", "central", "b:2 is not loopback"},
		{"--peer-listen=127.0.0.1:1 --peer-advertise=7313", "peer_advertise", "no port"},
		{"--peer-listen=127.0.0.1:1 --peer-advertise=10.0.0.1:0" + files, "peer_advertise", "nowhere to connect to"},
		{"--peer-listen=127.0.0.1:1 --peer-advertise=127.0.0.1:0", "peer_advertise", "nowhere to connect to"},
		{"--peer-listen=127.0.0.1:1 --peer-advertise=[::1]:00", "peer_advertise", "nowhere to connect to"},
		{"--peer-listen=127.0.0.1:1 --peer-advertise=:7313" + files, "peer_advertise", "nowhere to connect to"},
		{"--fleet-ca=ca.pem --fleet-cert=gw.pem", "fleet.key", "go together"},
		{"--fleet-key=gw-key.pem", "fleet.ca", "go together"},
		{"--cluster=", "cluster", "cluster name"},
		{"--cluster=North", "cluster", "cluster name"},
		{"--cluster=a/b", "cluster", "cluster name"},
		{"--cluster=" + strings.Repeat("x", 65), "cluster", "want 1 to 64 bytes"},
		{"--peer-listen=127.0.0.1:1 --name=a/b", "name", "gateway name"},
		{"--peer-listen=127.0.0.1:1 --name=..", "name", "gateway name"},
		{strings.Join(fleetOf33(), " "), "peer", "names 33 gateways, and each gateway links to all others: a fleet has at most 32 beside this one"},
		{"--central=on", "central", "embedded, off, or servers such as nats://"},
		{"--central=http://10.0.0.1", "central", "embedded, off, or servers such as nats://"},
		{"--central=nats://", "central", "server 1 of the list is not HOST:PORT"},
		{"--central=nats://a:1,,b:2", "central", "server 2 of the list"},
		{"--central=nats://a:1/x", "central", "server 1 of the list"},
		{"--central=nats://a:x", "central", "server 1 of the list"},
		{"--central=off --central-listen=127.0.0.1:1", "central_listen", "central is off"},
		{"--central=nats://127.0.0.1:1 --central-listen=127.0.0.1:1", "central_listen", "offers the embedded central service"},
		{"--central=off --data=d", "data", "central is off"},
		{"--data=configfleet_test.go", "data", "configfleet_test.go is not a directory"},
		{"--central=nats://127.0.0.1:1 --data=configfleet_test.go", "data", "is not a directory"},
		{"--peer-listen=127.0.0.1:7311", "peer_listen", "listen and peer_listen are both 127.0.0.1:7311"},
		{"--listen=127.0.0.1:7312", "admin", "listen and admin are both 127.0.0.1:7312"},
		{"--peer-listen=[::1]:1 --central-listen=[::1]:1", "central_listen", "peer_listen and central_listen are both [::1]:1"},
	} {
		_, err := shown(t, nil, strings.Fields(test.flags)...)
		var settings *settingsError
		require.ErrorAs(t, err, &settings, test.flags)
		require.Equal(t, test.key, settings.problems[0].key, test.flags)
		require.Contains(t, settings.problems[0].text, test.want, test.flags)
		require.Len(t, settings.problems, 1, test.flags)
	}
	for _, flags := range []string{
		"",
		"--name=what#ever", // of a gateway that is alone
		"--peer-listen=127.0.0.1:7313 --peer=localhost:7314 --peer=[::1]:7315",
		"--peer-listen=10.0.0.1:7313 --peer=10.0.0.2:7313" + files,
		"--peer-listen=:7313 --peer-advertise=gw-1.example:7313 --central-listen=10.0.0.1:7314 --data=/var/lib/bellwire" + files,
		"--central=nats://user:secret@a:1,b,nats://c:2" + files,
		"--central=nats://user:secret@a:1 --insecure",
		"--central=tls://a:1",
		"--central=nats://localhost:7314,127.0.0.1,[::1]:7",
		"--central=off",
		"--data=testdata",
		"--listen=127.0.0.1:0 --admin=127.0.0.1:0 --peer-listen=127.0.0.1:0 --central-listen=127.0.0.1:0",
		"--listen=localhost:1 --admin=127.0.0.1:1", // it may resolve to ::1
		strings.Join(fleetOf33()[:32], " "),
	} {
		_, err := shown(t, nil, strings.Fields(flags)...)
		require.NoError(t, err, flags)
	}
}

// TestNoPasswordInAnError: what is wrong with the list of servers is said without it.
func TestNoPasswordInAnError(t *testing.T) {
	for _, list := range []string{"nats://user:canary@a:x", "nats://user:canary@", "natz://user:canary@a"} {
		_, err := shown(t, nil, "--central="+list)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "canary")
	}
}

func TestPeerConfig(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	alone, err := shown(t, nil)
	require.NoError(t, err)
	cfg, _, err := fullConfig(alone.Settings, log, nil)
	require.NoError(t, err)
	require.Nil(t, cfg.Peer)

	fleet, err := shown(t, nil, "--name=gw-1", "--cluster=north", "--peer-listen=127.0.0.1:1", "--peer-advertise=127.0.0.1:2", "--peer=127.0.0.1:3", "--peer=127.0.0.1:4")
	require.NoError(t, err)
	cfg, _, err = fullConfig(fleet.Settings, log, nil)
	require.NoError(t, err)
	require.Equal(t, "north", cfg.Peer.Cluster)
	require.Equal(t, "gw-1", cfg.Peer.Name)
	require.Equal(t, "127.0.0.1:1", cfg.Peer.Listen)
	require.Equal(t, "127.0.0.1:2", cfg.Peer.Advertise)
	require.Equal(t, []string{"127.0.0.1:3", "127.0.0.1:4"}, cfg.Peer.Peers)
	require.Nil(t, cfg.Peer.TLS)
	only, err := shown(t, nil, "--peer=127.0.0.1:3")
	require.NoError(t, err)
	require.NotNil(t, peerConfig(only.Settings), "it dials, and nobody dials it")
}
