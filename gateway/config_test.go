package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Errors of a configuration name the field.
func TestConfigErrorsNameTheField(t *testing.T) {
	for want, cfg := range map[string]Config{
		"config: listen:":                      {Listen: "nowhere"},
		"0.0.0.0:0 is not loopback":            {Listen: "0.0.0.0:0"},
		"config: admin:":                       {Admin: "x:y:z"},
		"config: loops: 65":                    {Loops: 65},
		"config: loops: -1":                    {Loops: -1},
		"config: broadcast[1]:":                {Broadcast: []string{"a/#", "a/#/b"}},
		"drain_within: -1s: want 0 to 24h0m0s": {DrainWithin: -time.Second},
		"drain_spread: 25h0m0s":                {DrainSpread: 25 * time.Hour},
		"limits.frame: 1000: want at least":    {Limits: Limits{Frame: 1000}},
		"limits.frame: 3000":                   {Limits: Limits{Frame: 3000}},
		"limits.frame: 2097152":                {Limits: Limits{Frame: 2 * mib}},
		"limits.connections: -1":               {Limits: Limits{Connections: -1}},
		"limits.subscriptions: -1":             {Limits: Limits{Subscriptions: -1}},
		"limits.topics_per_tenant: 100000":     {Limits: Limits{Topics: 10}},
		"limits.keepalive: 2h0m0s":             {Limits: Limits{Keepalive: 2 * time.Hour}},
		"limits.keepalive_max: 24h0m0s":        {Limits: Limits{KeepaliveMax: 24 * time.Hour}},
		"limits.stuck_after: 1ms":              {Limits: Limits{StuckAfter: time.Millisecond}},
		"limits.connect_rate: -2":              {Limits: Limits{ConnectRate: -2}},
		"limits.pending_messages: -1":          {Limits: Limits{PendingMessages: -1}},
		"limits.pending_bytes: 10":             {Limits: Limits{PendingBytes: 10}},
		"limits.ring_age: 1ns: want at least":  {Limits: Limits{RingAge: 1}},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := New(cfg)
			require.ErrorContains(t, err, want)
		})
	}
}

func TestDefaults(t *testing.T) {
	g, err := New(Config{})
	require.NoError(t, err)
	lim := *g.limits.Load()
	require.Equal(t, -1, lim.ConnectRate, "loopback has no rates")
	require.Equal(t, 128*kib, lim.PublishCredit, "twice the largest frame")
	require.Equal(t, []string{"broadcast/#"}, g.cfg.Broadcast)
	require.Equal(t, 10*time.Second, g.cfg.DrainSpread)
	require.Equal(t, 5*time.Second, g.cfg.DrainWithin, "after the spread")

	g, err = New(Config{Listen: "0.0.0.0:0", Insecure: true})
	require.NoError(t, err)
	lim = *g.limits.Load()
	require.Equal(t, rateElsewhere, lim.ConnectRate)
	require.Equal(t, rateElsewhere, lim.PublishRate)

	g, err = New(Config{Limits: Limits{Frame: kib, PublishCredit: kib}})
	require.NoError(t, err)
	require.Equal(t, 4*kib, g.limits.Load().PublishCredit, "a device may count on 4 KiB [W-3.2]")
}

// A reload changes what is not fixed, and may take a limit back.
func TestReload(t *testing.T) {
	g, err := New(Config{Limits: Limits{Frame: 4 * kib}})
	require.NoError(t, err)
	most := g.maxConns()
	require.NoError(t, g.Reload(Config{Limits: Limits{Connections: 10, Frame: 8 * kib, Subscriptions: 7}}))
	require.Equal(t, 10, g.maxConns())
	require.Equal(t, 4*kib, g.limits.Load().Frame)
	require.Equal(t, 7, g.limits.Load().Subscriptions)
	require.NoError(t, g.Reload(Config{Limits: Limits{}}))
	require.Equal(t, most, g.maxConns())
	require.ErrorContains(t, g.Reload(Config{Limits: Limits{Subscriptions: -1}}), "limits.subscriptions")
	require.Equal(t, 64, g.limits.Load().Subscriptions, "a bad reload changes nothing")
}

func TestConnectionCap(t *testing.T) {
	for _, c := range []struct{ descriptors, open, loops, want int }{
		{1024, 0, 1, 1024 - 64 - 51 - 16 - 5},
		{1024, 9, 64, 1024 - 64 - 51 - 16 - 9 - 5*64},
		{1_000_000, 100, 2, 1_000_000 - 1024 - 16 - 100 - 10},
		{90, 0, 1, 1},
	} {
		got, err := connectionCap(c.descriptors, c.open, c.loops)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%+v", c)
	}
	_, err := connectionCap(256, 8, 32)
	require.ErrorContains(t, err, "limits.connections")
	require.ErrorContains(t, err, "ulimit -n")
	require.ErrorContains(t, err, "fewer loops")
}

// Which topics are broadcast is decided from the configuration alone (BC-D4).
func TestTopicClass(t *testing.T) {
	g, err := New(Config{Broadcast: []string{"broadcast/#", "news/+/all"}})
	require.NoError(t, err)
	for topic, want := range map[string]bool{
		"broadcast": true, "broadcast/a": true, "broadcast/a/b": true, "news/eu/all": true,
		"broadcasts/a": false, "news/eu": false, "news/eu/all/x": false, "orders/1": false, "a/broadcast": false,
	} {
		require.Equal(t, want, g.broadcast(topic), topic)
	}
	for filter, want := range map[string]bool{
		"broadcast/#": true, "broadcast/+/x": true, "broadcast/+": true, "news/+/all": true,
		"#": false, "news/#": false, "+/a": false,
	} {
		require.Equal(t, want, g.allBroadcast(filter), filter)
	}
}
