//go:build linux

package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startTestFloor runs the floor for the time of a test.
func startTestFloor(t *testing.T, mode string) *process {
	t.Helper()
	p, err := startFloor(builtFloor(t), mode, -1)
	require.NoError(t, err)
	t.Cleanup(p.stop)
	return p
}

func connectTest(t *testing.T, p *process, n, payload int) *devices {
	t.Helper()
	d, err := connect(t.Context(), p.device, defaultTopic, n, payload)
	require.NoError(t, err)
	t.Cleanup(d.close)
	return d
}

func TestDevicesCountEveryDelivery(t *testing.T) {
	for _, mode := range []string{"single", "joined"} {
		p := startTestFloor(t, mode)
		for _, size := range []int{sequenceLen, 64, 5000} {
			for _, window := range []int{1, 32} {
				t.Run(fmt.Sprintf("%s %d B window %d", mode, size, window), func(t *testing.T) {
					d := connectTest(t, p, 20, size)
					for range 3 {
						require.NoError(t, d.burst(t.Context(), window))
					}
					require.NoError(t, d.quiet(t.Context()))
					require.EqualValues(t, 3*20*window, d.delivered)
					for _, v := range d.all[:20] {
						require.EqualValues(t, 3*window, v.next)
					}
				})
			}
		}
	}
}

func TestMoreDevicesThanHandshakesAtOnce(t *testing.T) {
	d := connectTest(t, startTestFloor(t, "single"), 3*handshakes+1, sequenceLen)
	require.NoError(t, d.burst(t.Context(), 2))
	require.EqualValues(t, 2*(3*handshakes+1), d.delivered)
}

// Devices that never sleep while a delivery is due still notice an end: quiet waits for one.
func TestDevicesThatSpin(t *testing.T) {
	d := connectTest(t, startTestFloor(t, "single"), 20, 64)
	d.Spin = true
	require.NoError(t, d.burst(t.Context(), 3))
	require.EqualValues(t, 60, d.delivered)
	require.NoError(t, d.quiet(t.Context()))

	d.due++ // a delivery that never comes: the run still ends when it is told to
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.settle(ctx), context.Canceled)
}

// With credit for one and a half frames the publisher has to wait after each;
// what it may not send yet stays.
func TestPublisherKeepsToItsCredit(t *testing.T) {
	d := connectTest(t, startTestFloor(t, "single"), 4, 64)
	d.credit = uint64(d.unit) * 3 / 2
	ctx, cancel := context.WithCancel(t.Context())
	err := d.burst(stopWhen{ctx, cancel, func() bool { return d.delivered == 4 }}, 3)
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, d.unit/2, d.credit)
	require.Len(t, d.out, 2*d.unit)

	d.credit += uint64(2 * d.unit)
	require.NoError(t, d.burst(t.Context(), 0))
	require.EqualValues(t, 12, d.delivered)
}

// stopWhen is a context that ends when a condition holds as it is asked.
type stopWhen struct {
	context.Context
	cancel context.CancelFunc
	when   func() bool
}

func (s stopWhen) Err() error {
	if s.when() {
		s.cancel()
	}
	return s.Context.Err()
}

func TestDevicesNoticeThatTheServerIsGone(t *testing.T) {
	p := startTestFloor(t, "single")
	d := connectTest(t, p, 3, 64)
	p.stop()
	require.ErrorContains(t, d.burst(t.Context(), 1), "device")
	_, err := connect(t.Context(), p.device, defaultTopic, 3, 64)
	require.ErrorContains(t, err, "connection refused")
}

func TestTooManyDevices(t *testing.T) {
	_, err := connect(t.Context(), startTestFloor(t, "single").device, defaultTopic, 1<<30, 64)
	require.ErrorContains(t, err, "raise the limit")
}

func TestFanoutOfTheFloorAgainstItself(t *testing.T) {
	var progress strings.Builder
	r, err := Run(t.Context(), "fanout", Config{Subscribers: 20, Pairs: 2, Slice: time.Millisecond, Command: "fanout", CC: copyCompiler(t)}, &progress)
	require.NoError(t, err)
	require.NoError(t, r.check())
	require.Contains(t, progress.String(), "2/2")
	for _, s := range r.Series {
		if strings.Contains(s.Name, userQuantity) { // of the whole run; the clock tick may miss so short a one
			continue
		}
		require.Len(t, s.Samples, 2, s.Name)
		for _, v := range s.Samples {
			require.Positive(t, v, s.Name)
		}
	}
	var table strings.Builder
	require.NoError(t, r.WriteTable(&table))
	require.Contains(t, table.String(), "C joined / C single, 32 in flight")
	// The messages of a burst leave the one together; what the other sends alone, the
	// system may still join.
	segments := func(name string) float64 {
		s, err := r.series(name + ", " + inFlight(32, sendQuantity))
		require.NoError(t, err)
		return s.Samples[0]
	}
	require.Greater(t, segments("single"), 2*segments("joined"))
	require.GreaterOrEqual(t, segments("joined"), 1.0)
}

func TestRunRefusesWhatItCannotMeasure(t *testing.T) {
	compiler := copyCompiler(t)
	for want, cfg := range map[string]Config{
		"at least one of each":  {Subscribers: -1},
		"no room":               {Payload: 7},
		"at least one message":  {Windows: []int{0}},
		"more descriptors":      {Subscribers: 1 << 30},
		"must hold {listen}":    {Server: []string{"true"}},
		"ended before":          {Server: []string{"false", ListenPlaceholder, AdminPlaceholder}},
		"compile the floor":     {CC: "false"},
		"nothing to measure":    {Floors: []string{NoFloor}},
		"choose one":            {Server: []string{"x"}, Address: "127.0.0.1:1"},
		"no peer is called":     {Peers: []string{"none"}},
		"no protocol is called": {Address: "127.0.0.1:1", Protocol: "smtp"},
		"address of the server": {Address: "127.0.0.1"},
		"share below 1":         {Share: 1},
		"load generator":        {Generator: []string{"/does/not/exist"}, Pairs: 1},
	} {
		cfg.Pairs = max(cfg.Pairs, 1)
		if cfg.CC == "" {
			cfg.CC = compiler
		}
		_, err := Run(t.Context(), "fanout", cfg, &strings.Builder{})
		require.ErrorContains(t, err, want)
	}
	_, err := Run(t.Context(), "fandango", Config{}, &strings.Builder{})
	require.ErrorContains(t, err, "take one of fanout, topics,")
}

// The server counts 7 objects for each reading and 5 for each message: the
// former are no part of the result.
func TestAllocsSubtractTheReading(t *testing.T) {
	p := startTestFloor(t, "single")
	objects, messages := 0.0, 0.0
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		objects += 7
		if objects > 7*5 { // after the second run's first reading
			messages += 10
		}
		fmt.Fprintf(w, "# TYPE x counter\nx{a=\"b\"} 1\ngo_memstats_mallocs_total %s\n", strconv.FormatFloat(objects+5*messages, 'e', -1, 64))
	}))
	defer admin.Close()
	p.admin = admin.URL
	cfg, err := AllocsConfig{Subscribers: 20, Deliveries: 200, Runs: 2}.withDefaults()
	require.NoError(t, err)
	var r Result
	require.NoError(t, cfg.run(t.Context(), &r, p, newProgress(&strings.Builder{}, 2)))
	require.NoError(t, cfg.conclude(&r))
	s, err := r.series(allocsPerMessage)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 5}, s.Samples)
	s, err = r.series(allocsPerDelivery)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 0.25}, s.Samples)

	cfg.Metric = "there_is_none"
	require.ErrorContains(t, cfg.run(t.Context(), &r, p, newProgress(&strings.Builder{}, 2)), "no metric there_is_none")
}

func TestAccounting(t *testing.T) {
	p := startTestFloor(t, "single")
	before, err := processCPU(p.pid())
	require.NoError(t, err)
	d := connectTest(t, p, 20, 64)
	require.NoError(t, d.burst(t.Context(), 100))
	after, err := processCPU(p.pid())
	require.NoError(t, err)
	require.Greater(t, after, before)
	m, err := processMemory(p.pid())
	require.NoError(t, err)
	require.Greater(t, m.rss, m.anon)

	user, kernel, err := processModes(os.Getpid())
	require.NoError(t, err)
	mine, err := processCPU(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, user)
	require.InDelta(t, mine.Seconds(), (user + kernel).Seconds(), 0.1+mine.Seconds()/10)

	p.stop()
	_, _, err = processModes(p.pid())
	require.ErrorContains(t, err, "CPU time")
	_, err = processCPU(p.pid())
	require.ErrorContains(t, err, "CPU clock")
	_, err = processMemory(p.pid())
	require.ErrorContains(t, err, "does not say it")
}
