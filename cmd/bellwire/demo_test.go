package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDemoAddsUp(t *testing.T) {
	needsGateway(t)
	code, stdout, stderr := ran(nil, "demo", "--gateways=1", "--devices=20", "--duration=100ms", "--interval=50ms")
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "2 broadcasts × 20 devices = 40 deliveries: 40 arrived, 0 announced as gaps\n")
	require.NotContains(t, stdout, "killed")
	require.Empty(t, stderr)
}

func TestDemoThatCannotConnect(t *testing.T) {
	d := newDemoDevices([]string{"127.0.0.1:1", "127.0.0.1:2"}, 3, newDemoLedger())
	defer d.close()
	require.ErrorContains(t, d.connect(t.Context()), "refused")
	require.Zero(t, d.connected.Load())
}

func TestDemoChecks(t *testing.T) {
	for _, args := range [][]string{
		{"--devices=0"}, {"--duration=0s"}, {"--interval=0s"}, {"--devices=x"}, {"--gateways=0"}, {"--gateways=9"}, {"--devices=100000000"},
	} {
		code, stdout, stderr := ran(nil, append([]string{"demo"}, args...)...)
		require.Equal(t, exitUsage, code, stderr)
		require.Empty(t, stdout)
	}
}

func TestDemoTable(t *testing.T) {
	const head, row = " connected      delivered   deliveries/s        p50        p99   resumed     gaps\n",
		"     1,000              0              0          -          -         0        0"
	d := newDemoDevices(nil, 1000, newDemoLedger())
	d.connected.Store(1000)
	for _, test := range []struct {
		terminal bool
		want     string
	}{
		{false, head + row + "\n" + "something\n"},
		{true, head + "\r\x1b[K" + row + "\n" + "\nsomething\n"},
	} {
		var out bytes.Buffer
		table := newDemoTable(&out, test.terminal, d)
		require.Equal(t, errCut, table.during(t.Context(), func(context.Context) error { return errCut }))
		table.note("something")
		require.Equal(t, test.want, out.String())
	}
}

func TestTogether(t *testing.T) {
	good := func(context.Context) error { return nil }
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	bad := func(context.Context) error { return errCut }
	require.NoError(t, together(t.Context(), good, good))
	require.ErrorIs(t, together(t.Context(), waits, bad), errCut)
	require.ErrorIs(t, together(t.Context(), bad, waits), errCut)
	require.ErrorIs(t, together(t.Context(), bad, nil), errCut)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, together(ctx, waits, waits), context.Canceled)
}

func TestRecentRate(t *testing.T) {
	var r recentRate
	at := time.Unix(0, 0)
	require.Zero(t, r.add(at, 100))
	for i, test := range []struct {
		after time.Duration
		count uint64
		want  float64
	}{
		{500 * time.Millisecond, 200, 0},
		{500 * time.Millisecond, 200, 100},
		{30 * time.Millisecond, 1200, 100},
		{970 * time.Millisecond, 1200, 1000},
		{2 * time.Second, 1200, 0},
	} {
		at = at.Add(test.after)
		require.InDelta(t, test.want, r.add(at, test.count), 0.001, "%d", i)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567", -1000: "-1,000", -5: "-5"} {
		require.Equal(t, want, grouped(n))
	}
	for d, want := range map[time.Duration]string{
		0: "-", 85 * time.Microsecond: "85µs", 1234 * time.Microsecond: "1.2ms", 123456 * time.Microsecond: "123ms", 1234567 * time.Microsecond: "1.23s",
	} {
		require.Equal(t, want, latencyText(d))
	}
}
