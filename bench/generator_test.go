//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asGenerator makes the test program a load generator.
const asGenerator = "BELLWIRE_TEST_GENERATE"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asUsual {
		beUsual(os.Args[2:])
	}
	if os.Getenv(asGenerator) != "" {
		if err := Generate(context.Background(), os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "bellwire-bench-test-")
	if err != nil {
		panic(err)
	}
	testFloor.dir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// testFloor is the floor, compiled once for all tests.
var testFloor struct {
	dir   string
	build sync.Once
	err   error
}

// builtFloor is the floor's binary.
func builtFloor(t *testing.T) string {
	t.Helper()
	testFloor.build.Do(func() { _, testFloor.err = buildFloor(context.Background(), testFloor.dir, "cc") })
	require.NoError(t, testFloor.err)
	return filepath.Join(testFloor.dir, "floor")
}

// copyCompiler is a C compiler that knows one answer: the floor that is built.
func copyCompiler(t *testing.T) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "cc")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\nexec cp '"+builtFloor(t)+"' \"$3\"\n"), 0o700)) // -O2 -o binary source
	return script
}

// generatorCommand is this test program as a generator.
func generatorCommand(t *testing.T) []string {
	t.Setenv(asGenerator, "1")
	t.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector would wait a second before the process ends
	self, err := os.Executable()
	require.NoError(t, err)
	return []string{self}
}

// generators are one in this process and one in its own.
func generators(t *testing.T) map[string]generator {
	r, err := startGenerator(generatorCommand(t), -1)
	require.NoError(t, err)
	t.Cleanup(r.close)
	h := &hand{}
	t.Cleanup(h.close)
	return map[string]generator{"own process": r, "this process": h}
}

func TestGeneratorsDoTheirOrders(t *testing.T) {
	floor := startTestFloor(t, "single")
	for name, g := range generators(t) {
		t.Run(name, func(t *testing.T) {
			do := func(o order) outcome {
				t.Helper()
				a, err := g.do(t.Context(), o)
				require.NoError(t, err)
				return a
			}
			_, err := g.do(t.Context(), order{Quiet: true})
			require.ErrorContains(t, err, "out of turn")
			l := load{Remote: floor.device, Protocol: "bellwire", Topics: []string{"t-0", "t-1", "t-2"}, Devices: 30, Payload: 20, Stopped: 4}
			do(order{Connect: &l})
			_, err = g.do(t.Context(), order{Connect: &l})
			require.ErrorContains(t, err, "out of turn")

			// A few milliseconds, because a stolen moment of a virtual machine is not in a
			// process's CPU time.
			a := do(order{Burst: &burstOrder{Window: 6, AtLeast: 5 * time.Millisecond, PID: floor.pid(), Latency: true}})
			require.Positive(t, a.Messages)
			require.Zero(t, a.Messages%6)
			require.Equal(t, 10*a.Messages, a.Deliveries, "ten devices have each topic")
			require.Positive(t, a.CPU)
			require.Positive(t, a.Elapsed)
			require.Len(t, a.Latency, len(latencyPercentiles))
			require.LessOrEqual(t, a.Latency[0], a.Latency[len(a.Latency)-1])

			a = do(order{Pace: &paceOrder{Every: time.Millisecond, Messages: 10, PID: floor.pid()}})
			require.EqualValues(t, 100, a.Deliveries)
			require.Positive(t, a.Latency[0])
			require.GreaterOrEqual(t, a.Elapsed, 9*time.Millisecond, "an open loop does not hurry")

			a = do(order{Segments: 3})
			require.GreaterOrEqual(t, a.Segments, uint64(30))

			do(order{Replace: &replaceOrder{First: 28, Count: 5}})
			a = do(order{Burst: &burstOrder{Window: 3}})
			require.EqualValues(t, 30, a.Deliveries)
			require.Zero(t, a.CPU, "nobody asked")

			do(order{Stop: true})
			a = do(order{Burst: &burstOrder{Window: 3}})
			require.EqualValues(t, 26, a.Deliveries)
			do(order{Quiet: true})

			_, err = g.do(t.Context(), order{})
			require.ErrorContains(t, err, "says nothing")
			_, err = g.do(t.Context(), order{Burst: &burstOrder{}})
			require.ErrorContains(t, err, "at least one message")
			_, err = g.do(t.Context(), order{Pace: &paceOrder{}})
			require.ErrorContains(t, err, "positive rate")

			l.Alone, l.Stopped, l.Devices = true, 0, 200
			a = do(order{Batch: &batchOrder{Load: l, PID: floor.pid()}})
			require.Positive(t, a.CPU)
			require.Positive(t, a.Elapsed)
		})
	}
}

func TestDevicesComeBackToARestartedServer(t *testing.T) {
	floor := startTestFloor(t, "single")
	g := &hand{}
	t.Cleanup(g.close)
	_, err := g.do(t.Context(), order{Connect: &load{Remote: floor.device, Protocol: "bellwire", Topics: []string{defaultTopic}, Devices: 40, Payload: 20, AtOnce: 7}})
	require.NoError(t, err)
	_, err = g.do(t.Context(), order{Burst: &burstOrder{Window: 5}})
	require.NoError(t, err)
	floor.kill()
	back := make(chan error)
	go func() { // they try before it is there
		<-time.After(20 * time.Millisecond)
		back <- floor.restart(-1)
	}()
	a, err := g.do(t.Context(), order{Rejoin: time.Millisecond})
	require.NoError(t, <-back)
	require.NoError(t, err)
	require.Positive(t, a.Failed)
	a, err = g.do(t.Context(), order{Burst: &burstOrder{Window: 2}})
	require.NoError(t, err)
	require.EqualValues(t, 80, a.Deliveries)
}

func TestGenerateEndsWithItsOrders(t *testing.T) {
	require.NoError(t, Generate(t.Context(), strings.NewReader(""), io.Discard))
	require.ErrorContains(t, Generate(t.Context(), strings.NewReader(`{"Burst":1}`), io.Discard), "order")
	// The answer to an order that cannot be done is an error, not the end.
	r, w := io.Pipe()
	var out bytes.Buffer
	done := make(chan error)
	go func() {
		done <- Generate(t.Context(), r, writerFunc(func(b []byte) (int, error) {
			defer w.Close()
			return out.Write(b)
		}))
	}()
	_, err := w.Write([]byte(`{"Quiet":true}` + "\n"))
	require.NoError(t, err)
	require.NoError(t, <-done)
	var a outcome
	require.NoError(t, json.Unmarshal(out.Bytes(), &a))
	require.Contains(t, a.Error, "out of turn")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestAGeneratorThatIsGone(t *testing.T) {
	r, err := startGenerator(generatorCommand(t), -1)
	require.NoError(t, err)
	r.kill()
	_, err = r.do(t.Context(), order{Quiet: true})
	require.ErrorContains(t, err, "the load generator is gone")
	r.close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err = startGenerator(generatorCommand(t), -1)
	require.NoError(t, err)
	_, err = r.do(ctx, order{Quiet: true})
	require.ErrorIs(t, err, context.Canceled)
	r.close()
}

func TestLoadIsChecked(t *testing.T) {
	floor := startTestFloor(t, "single")
	good := load{Remote: floor.device, Protocol: "bellwire", Topics: []string{"a"}, Devices: 2, Payload: 8}
	for want, edit := range map[string]func(*load){
		"no protocol is called": func(l *load) { l.Protocol = "" },
		"at least one for each": func(l *load) { l.Devices = 0 },
		"3 of them to stop":     func(l *load) { l.Stopped = 3 },
		"no room":               func(l *load) { l.Payload = 7 },
		"no IPv4":               func(l *load) { l.Remote = load{}.Remote },
		"different lengths":     func(l *load) { l.Topics = []string{"a", "bb"} },
		"raise the limit":       func(l *load) { l.Devices = 1 << 30 },
	} {
		l := good
		edit(&l)
		_, err := connectLoad(t.Context(), l)
		require.ErrorContains(t, err, want)
	}
}
