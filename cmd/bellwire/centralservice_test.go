package main

import (
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/central"
)

// TestFleetSharesACentralService [BC-1, BC-3, BC-11, BC-13]: a gateway that names the central service of another one is
// linked to it without naming it, and topics that are not broadcast go from one to the other.
func TestFleetSharesACentralService(t *testing.T) {
	addresses, err := freeAddresses(3)
	require.NoError(t, err)
	one, listenOne, adminOne := gatewayFor(t, nil, "--name=gw-1", "--central=embedded", "--central-listen="+addresses[0], "--peer-listen="+addresses[1])
	two, listenTwo, adminTwo := gatewayFor(t, nil, "--name=gw-2", "--central=nats://"+addresses[0], "--peer-listen="+addresses[2])
	for _, admin := range []string{adminOne, adminTwo} {
		awaitFleet(t, "--admin="+admin, func(f gateway.FleetStatus) bool { return linkedTo(f) == 1 && f.Central != "away" })
	}
	_, stdout, _ := ran(nil, "fleet", "--admin="+adminOne)
	require.Contains(t, stdout, "fleet bellwire, as gw-1 sees it; central service: embedded\n")
	_, stdout, _ = ran(nil, "fleet", "--admin="+adminTwo)
	require.Contains(t, stdout, "fleet bellwire, as gw-2 sees it; central service: shared\n")

	for _, topic := range []string{"orders/7", "broadcast/7"} {
		sub := started(t, nil, nil, "sub", topic, "--server="+listenTwo, "--count=1")
		// A subscription at the central service takes effect in its own time, and nothing is kept there.
		require.Eventually(t, func() bool {
			code, _, stderr := ran(nil, "pub", topic, "tea", "--server="+listenOne)
			require.Equal(t, exitDone, code, stderr)
			return strings.Contains(sub.out.String(), topic+" tea\n")
		}, testPatience, testPatience/1000)
		sub.wait(t, exitDone)
	}

	code, _, stderr := ran(nil, "serve", "--listen=127.0.0.1:0", "--admin=off", "--central-listen="+addresses[0])
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "address already in use")
	two.signals <- syscall.SIGTERM
	two.wait(t, exitDone)
	awaitFleet(t, "--admin="+adminOne, func(f gateway.FleetStatus) bool { return len(f.Links) == 1 && f.Links[0].State == "left" })
	one.signals <- syscall.SIGTERM
	one.wait(t, exitDone)
}

func TestCentralConfig(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for flags, want := range map[string]central.Config{
		"": {Prefix: "bw"},
		"--central-listen=127.0.0.1:1 --data=d --cluster=north.eu":   {Prefix: "bw-north_eu", Embedded: central.Embedded{Listen: "127.0.0.1:1", Dir: "d"}},
		"--central=nats://127.0.0.1:1,user:secret@localhost,[::1]:3": {Prefix: "bw", URLs: []string{"nats://127.0.0.1:1", "nats://user:secret@localhost", "nats://[::1]:3"}},
		"--central=tls://a:1,tls://b:2 --insecure":                   {Prefix: "bw", URLs: []string{"tls://a:1", "tls://b:2"}, Insecure: true},
	} {
		s, err := shown(t, nil, strings.Fields(flags)...)
		require.NoError(t, err, flags)
		got, err := centralConfig(s.Settings, nil, log)
		require.NoError(t, err, flags)
		want.Logger = log
		require.Equal(t, want, got, flags)
		_, err = central.New(got)
		require.NoError(t, err, flags)
	}
	for flags, want := range map[string]string{
		"": "embedded", "--peer=127.0.0.1:1": "private", "--peer=127.0.0.1:1 --central-listen=127.0.0.1:2": "embedded", "--central=nats://127.0.0.1:1": "shared",
	} {
		s, err := shown(t, nil, strings.Fields(flags)...)
		require.NoError(t, err, flags)
		c := newCentralService(s.Settings, log)
		require.Equal(t, want, c.state, flags)
		c.stop()
	}
	s, err := shown(t, nil, "--central=off")
	require.NoError(t, err)
	require.Nil(t, newCentralService(s.Settings, log))
}
