//go:build linux

package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// quick is the smallest part of a scenario.
func quick(t *testing.T, scenario string) Config {
	t.Helper()
	i := slices.IndexFunc(parts(), func(p part) bool { return p.scenario == scenario })
	require.GreaterOrEqual(t, i, 0, "no comparison has %s", scenario)
	return parts()[i].quickly().size
}

// Every scenario, against the floor, with the load in a process of its own.
func TestEveryScenarioRuns(t *testing.T) {
	command, compiler := generatorCommand(t), copyCompiler(t)
	want := map[string][]string{
		"fanout":  {"single, 1 in flight, CPU per delivery", "C joined / C single, 32 in flight, CPU per delivery"},
		"topics":  {"single, 32 in flight, CPU per delivery", "joined, 32 in flight, segments per subscriber and burst"},
		"growth":  {"single, cost at 80 over 20 subscribers", "single, 80 subscribers, 1 in flight, CPU per delivery"},
		"latency": {"single, latency p99.9", "single, latency max"},
		"connect": {"single, CPU per connect and subscribe"},
		"storm":   {"single, all back after the kill"},
		"soak":    {"single, memory (RSS), last quarter over second", "single, open descriptors"},
		"idle":    {"single, user memory of the server (RSS)", "single, CPU per connect and subscribe"},
	}
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			cfg := quick(t, s.Name)
			cfg.Generator, cfg.CC, cfg.Floors = command, compiler, []string{"single"}
			if s.Name == "fanout" || s.Name == "topics" {
				cfg.Floors, cfg.Windows = []string{"single", "joined"}, []int{1, slopeLow, slopeHigh}
			}
			if s.Name == "soak" {
				cfg.Slice, cfg.Churn = 200*time.Millisecond, 500
			}
			var progress strings.Builder
			r, err := Run(t.Context(), s.Name, cfg, &progress)
			if s.Name == "slow" { // the floor waits for who is slow
				require.ErrorContains(t, err, "no floor")
				return
			}
			require.NoError(t, err, progress.String())
			require.NoError(t, r.check())
			for _, name := range want[s.Name] {
				i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == name })
				require.GreaterOrEqual(t, i, 0, "%s in %v", name, r.Figures)
				require.Empty(t, r.Figures[i].Target, "too small for a target")
				require.GreaterOrEqual(t, r.Figures[i].Median, 0.0)
			}
		})
	}
}

// Stopped subscribers are told from those that read; the floor would wait for
// them, but not for so few bytes.
func TestSlowMeasuresTheOthers(t *testing.T) {
	cfg := quick(t, "slow").over(Scenarios()[6].Defaults)
	require.Equal(t, "slow", Scenarios()[6].Name)
	cfg.Payload, cfg.Floors, cfg.Slice = 20, nil, time.Millisecond
	var r Result
	b, err := newBed(t.Context(), cfg, &r, &strings.Builder{})
	require.NoError(t, err)
	defer b.close()
	binary := builtFloor(t)
	b.candidates = []candidate{{gatewayName, "bellwire", false, func(context.Context) (*process, error) {
		return startFloor(binary, "single", -1)
	}}}
	require.NoError(t, runSlow(t.Context(), b))
	require.NoError(t, r.check())
	names := []string{}
	for _, s := range r.Series {
		names = append(names, s.Name)
	}
	require.Contains(t, names, "gateway, all read, messages to all that read")
	require.Contains(t, names, "gateway, 10 % stopped, latency p90")
	require.Contains(t, r.Setup, Setting{"gateway: stopped devices that lost their connection", "0"})
}

// A server that runs already is measured as it is; what is its process's is left
// out if nobody says which that is.
func TestAServerThatRunsAlready(t *testing.T) {
	floor := startTestFloor(t, "single")
	cfg := quick(t, "fanout")
	cfg.Address, cfg.Floors = floor.device.String(), []string{NoFloor}
	r, err := Run(t.Context(), "fanout", cfg, &strings.Builder{})
	require.NoError(t, err)
	require.NoError(t, r.check())
	for _, s := range r.Series {
		require.NotContains(t, s.Name, "CPU")
	}
	require.NotEmpty(t, r.Figures)

	cfg.PID = floor.pid()
	r, err = Run(t.Context(), "fanout", cfg, &strings.Builder{})
	require.NoError(t, err)
	_, err = r.series("server, 1 in flight, CPU per delivery")
	require.NoError(t, err)

	cfg.PID = 0
	for scenario, want := range map[string]string{"idle": "PID", "soak": "PID", "storm": "kills and restarts", "slow": "starts each server twice"} {
		_, err := Run(t.Context(), scenario, cfg, &strings.Builder{})
		require.ErrorContains(t, err, want)
	}
	select {
	case <-floor.ended:
		require.Fail(t, "the server is not ours to end")
	default:
	}
}

// A peer that fails is left out with all its samples; the gateway's failure is
// the run's.
func TestAPeerThatFails(t *testing.T) {
	lost := errors.New("message 7 arrived where 6 was due")
	bedOf := func() (*bed, *system, *system) {
		r := &Result{}
		b := &bed{r: r, bar: newProgress(&strings.Builder{}, 1)}
		ours, theirs := candidate{name: gatewayName}, candidate{name: "redis", peer: true}
		b.candidates = []candidate{ours, theirs}
		b.systems = []*system{{candidate: ours, label: gatewayName}, {candidate: theirs, label: "redis"}, {candidate: theirs, label: "redis, 10 % stopped"}}
		for _, s := range b.systems {
			b.add(s, "x", "", 1)
		}
		return b, b.systems[0], b.systems[1]
	}
	b, ours, theirs := bedOf()
	require.ErrorIs(t, b.attempt(t.Context(), ours, func() error { return lost }), lost)
	require.Len(t, b.present(), 3)
	require.NoError(t, b.attempt(t.Context(), theirs, func() error { return lost }))
	require.Equal(t, []*system{ours}, b.present())
	require.Equal(t, []candidate{b.candidates[0]}, b.candidates)
	require.Equal(t, []Series{{Name: "gateway, x", Samples: []float64{1}}}, b.r.Series)
	require.Equal(t, []Setting{{"redis failed", lost.Error()}}, b.r.Setup)
	require.NoError(t, b.attempt(t.Context(), theirs, func() error { panic("it is out") }))

	b, _, theirs = bedOf()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.attempt(ctx, theirs, func() error { return ctx.Err() }), context.Canceled, "whoever stops the run does not make a peer fail")
	require.Len(t, b.present(), 3)
}

func TestPeersThatAreMissingAreNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, p := range peers {
		if p.config != "" && p.name != "nats" { // may be where systems keep servers
			continue
		}
		_, err := p.find(t.TempDir())
		require.ErrorContains(t, err, "not installed: make peers")
	}
	var r Result
	b, err := newBed(t.Context(), Config{Peers: []string{"mochi"}, Tools: t.TempDir()}, &r, &strings.Builder{})
	require.NoError(t, err)
	b.close()
	require.Empty(t, b.candidates)
	require.Equal(t, "mochi", r.Setup[0].Name)
	require.Contains(t, r.Setup[0].Value, "not installed")
}

// The configurations are complete but for the port.
func TestPeerConfigurations(t *testing.T) {
	for _, p := range peers {
		if p.config == "" {
			continue
		}
		text, err := peerConfigs.ReadFile("peers/" + p.config)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(strings.Join(uncommented(string(text)), "\n"), portPlaceholder), p.config)
		require.NotNil(t, protocols[p.protocol])
	}
	text, err := peerConfigs.ReadFile("peers/mosquitto.conf")
	require.NoError(t, err)
	require.Subset(t, uncommented(string(text)), []string{"allow_duplicate_messages true", "set_tcp_nodelay true"})
}

func uncommented(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
}

func TestComparisonIsOneTable(t *testing.T) {
	r := Result{Scenario: "fanout"}
	r.set("subscribers", 10)
	r.set("payload, bytes", 64)
	r.set("nats", "nats-server: v2")
	r.set("mochi", "not installed: make peers")
	r.set("redis failed", "message 7 arrived where 6 was due")
	for _, name := range []string{"single", "gateway", "nats"} {
		r.add(name+", CPU", "µs", 2)
	}
	b := &bed{r: &r, Config: Config{Floors: []string{"single"}}, candidates: []candidate{{name: "gateway"}, {name: "nats"}, {name: "single"}}}
	require.NoError(t, b.compare("CPU", func(name, over string) string {
		return map[string]string{"gateway nats": "nats-1"}[name+" "+over]
	}))
	names := []string{}
	for _, f := range r.Figures {
		names = append(names, f.Name)
		require.Equal(t, f.Name == "gateway / nats, CPU", f.Target == "nats-1")
	}
	require.Equal(t, []string{"gateway / nats, CPU", "gateway / C single, CPU", "nats / C single, CPU", "gateway, CPU", "nats, CPU", "single, CPU"}, names)
	var w strings.Builder
	require.NoError(t, WriteComparison(&w, []Result{r}))
	lines := strings.Split(w.String(), "\n")
	require.Equal(t, []string{"gateway", "nats", "C", "single"}, strings.Fields(lines[0]))
	require.Equal(t, "FANOUT, 10 SUBSCRIBERS, 64 BYTES", strings.TrimSpace(lines[1]))
	require.Equal(t, []string{"CPU,", "µs", "2", "(1×)", "2", "(1×)", "2"}, strings.Fields(lines[2]))
	require.Regexp(t, `gateway / nats, CPU +≤ 0.5 × +1 × +1 – 1 +missed`, w.String())
	require.Contains(t, w.String(), "nats: nats-server: v2\nmochi: not installed: make peers\nredis failed in fanout, 10 subscribers, 64 bytes: message 7")
}

func TestRestartKeepsTheAddress(t *testing.T) {
	p := startTestFloor(t, "joined")
	at := p.device
	d := connectTest(t, p, 3, 20)
	require.NoError(t, d.burst(t.Context(), 1))
	before := p.pid()
	p.kill()
	require.NoError(t, p.restart(-1))
	require.NoError(t, p.ready(t.Context()))
	require.NotEqual(t, before, p.pid())
	require.Equal(t, at, p.device)
	again := connectTest(t, p, 3, 20)
	require.NoError(t, again.burst(t.Context(), 1))
}

func TestProcessDescriptors(t *testing.T) {
	p := startTestFloor(t, "single")
	before, err := processDescriptors(p.pid())
	require.NoError(t, err)
	connectTest(t, p, 5, 20)
	after, err := processDescriptors(p.pid())
	require.NoError(t, err)
	require.Equal(t, before+6, after)
	_, err = processDescriptors(-1)
	require.ErrorContains(t, err, "descriptors of process -1")
}
