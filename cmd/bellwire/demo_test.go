package main

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
)

func TestDemoAddsUp(t *testing.T) {
	needsGateway(t)
	code, stdout, stderr := ran(nil, "demo", "--devices=20", "--duration=100ms", "--interval=50ms")
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "2 broadcasts × 20 devices = 40 deliveries: 40 arrived, 0 announced as gaps\n")
	require.Empty(t, stderr)
}

// TestDemoNoticesWhatIsMissing: each count of the account, taken wrong, is an error.
func TestDemoNoticesWhatIsMissing(t *testing.T) {
	whole := func() *fleet {
		f := newFleet("", 3)
		f.published.Store(2)
		f.delivered.Store(5)
		f.gaps.Store(1)
		return f
	}
	require.NoError(t, whole().summarize(io.Discard))
	for _, test := range []struct {
		change func(*fleet)
		want   string
	}{
		{func(f *fleet) { f.delivered.Store(4) }, "1 deliveries are not accounted for"},
		{func(f *fleet) { f.delivered.Store(6) }, "-1 deliveries are not accounted for"},
		{func(f *fleet) { f.gaps.Store(0) }, "1 deliveries are not accounted for"},
		{func(f *fleet) { f.published.Store(3) }, "3 deliveries are not accounted for"},
		{func(f *fleet) { f.unsized.Store(1) }, "unknown size"},
		{func(f *fleet) { f.wrong.Store(1) }, "out of order"},
	} {
		f := whole()
		test.change(f)
		require.ErrorContains(t, f.summarize(io.Discard), test.want)
	}
}

func TestDevicesCountWhatArrives(t *testing.T) {
	f := newFleet("", 1)
	last := f.message(f.payload(1), 0)
	last = f.message(f.payload(2), last)
	require.Zero(t, f.wrong.Load())
	require.EqualValues(t, 2, last)
	last = f.message(f.payload(2), last)
	require.EqualValues(t, 1, f.wrong.Load(), "twice")
	last = f.message(f.payload(4), last)
	require.EqualValues(t, 2, f.wrong.Load(), "one is missing that no gap announced")
	require.EqualValues(t, 4, f.message([]byte("altered"), last))
	require.EqualValues(t, 3, f.wrong.Load())
	require.EqualValues(t, 4, f.delivered.Load())
	require.Positive(t, f.percentile(50))
}

func TestFleetWaitsForWhatIsUnderWay(t *testing.T) {
	f := newFleet("", 1)
	f.published.Store(1)
	require.ErrorIs(t, f.settle(t.Context(), time.Nanosecond), errUnsettled)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.settle(ctx, time.Hour), context.Canceled)
	f.gaps.Store(1)
	require.NoError(t, f.settle(t.Context(), time.Hour))
}

func TestFleetThatCannotConnect(t *testing.T) {
	f := newFleet("127.0.0.1:1", 3)
	defer f.close()
	require.ErrorContains(t, f.connect(t.Context()), "refused")
	require.Equal(t, make([]*client.Client, 3), f.clients)
}

func TestDemoChecks(t *testing.T) {
	for _, args := range [][]string{{"--devices=0"}, {"--duration=0s"}, {"--interval=0s"}, {"--devices=x"}} {
		code, stdout, stderr := ran(nil, append([]string{"demo"}, args...)...)
		require.Equal(t, exitUsage, code, stderr)
		require.Empty(t, stdout)
	}
}

func TestDemoTable(t *testing.T) {
	f := newFleet("", 1000)
	f.connected.Store(1000)
	for _, test := range []struct {
		terminal bool
		want     string
	}{
		{false, " connected      delivered   deliveries/s        p50        p99     gaps\n     1,000              0              0          -          -        0\n"},
		{true, " connected      delivered   deliveries/s        p50        p99     gaps\n\r\x1b[K     1,000              0              0          -          -        0\n"},
	} {
		var out bytes.Buffer
		table := newDemoTable(&out, test.terminal, f)
		require.Equal(t, errCut, table.during(t.Context(), func(context.Context) error { return errCut }))
		require.Equal(t, test.want, out.String())
	}
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
