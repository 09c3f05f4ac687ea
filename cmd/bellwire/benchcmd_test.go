package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
)

func TestBenchSaysWhatProducedIt(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"bench", "fanout"}, "bellwire bench fanout"},
		{[]string{"bench", "fanout", "--pin", "--output", "x.json", "--pairs", "3", "--json"}, "bellwire bench fanout --pin --pairs 3"},
		{[]string{"bench", "idle", "--output=x.json", "--gateway", "gw -a {listen} -b {admin}"}, "bellwire bench idle --gateway 'gw -a {listen} -b {admin}'"},
	} {
		require.Equal(t, test.want, (&benchOutput{}).command(&kong.Context{Path: nil, Args: test.args}))
	}
}

func TestBenchServers(t *testing.T) {
	e := &env{program: "bin/bellwire"}
	require.Equal(t, []string{"bin/bellwire", "serve", "--listen", "{listen}", "--admin", "{admin}"}, (&benchFlags{}).server(e))
	require.Equal(t, []string{"gw", "-l", "{listen}"}, (&benchFlags{Gateway: "gw -l {listen}"}).server(e))
}

// A target whose command is wrong would never be measured.
func TestCommandsOfTheTargetsExist(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	for _, command := range bench.TargetCommands() {
		words := strings.Fields(command)
		if words[0] == "make" {
			require.Regexp(t, `(?m)^`+words[1]+`:`, string(makefile))
			continue
		}
		require.Equal(t, "bellwire", words[0])
		_, err := parse(words[1:], func(string) string { return "" }, &bytes.Buffer{}, &bytes.Buffer{})
		require.NoError(t, err, command)
	}
}

func TestBenchTargets(t *testing.T) {
	e := &env{program: "bin/bellwire"}
	ours := (&benchTarget{Pin: true}).config(e)
	require.Equal(t, []string{"bin/bellwire", "serve", "--listen", "{listen}", "--admin", "{admin}"}, ours.Server)
	require.Equal(t, []string{"bin/bellwire", "bench", "generate"}, ours.Generator)
	require.Empty(t, ours.Floors, "the scenario's")
	other := (&benchTarget{Server: "host:1", Protocol: "nats", PID: 7}).config(e)
	require.Empty(t, other.Server)
	require.Equal(t, "host:1", other.Address)
	require.Equal(t, "nats", other.Protocol)
	require.Equal(t, 7, other.PID)
	require.Equal(t, []string{bench.NoFloor}, other.Floors)
}

func TestBenchGenerateDoesOrders(t *testing.T) {
	var out bytes.Buffer
	e := &env{stdin: strings.NewReader(""), stdout: &out}
	require.NoError(t, (&benchGenerateCmd{}).Run(e))
	require.Empty(t, out.String())
	e.stdin = strings.NewReader("nonsense")
	require.ErrorContains(t, (&benchGenerateCmd{}).Run(e), "order")
}

func TestBenchOutputs(t *testing.T) {
	r := bench.Result{Name: "fanout-1", Scenario: "fanout", Date: time.Unix(0, 0).UTC(), Series: []bench.Series{{Name: "gateway, x", Unit: "µs", Samples: []float64{2}}}}
	var out bytes.Buffer
	e := &env{stdout: &out}
	require.NoError(t, (&benchOutput{GoBench: true}).done(e, r, nil))
	require.Contains(t, out.String(), "BenchmarkFanout/gateway/x 1 2000 ns/op")

	dir := t.TempDir()
	out.Reset()
	page := filepath.Join(dir, "page.html")
	require.NoError(t, (&benchOutput{Output: filepath.Join(dir, "kept"), HTML: page, JSON: true}).doneAll(e, []bench.Result{r, r}))
	require.FileExists(t, filepath.Join(dir, "kept", "fanout-1.json"))
	require.FileExists(t, page)
	require.True(t, strings.HasPrefix(out.String(), "["))
	out.Reset()
	require.NoError(t, (&benchOutput{}).doneAll(e, []bench.Result{r}))
	require.Contains(t, out.String(), "FANOUT")
	require.ErrorContains(t, (&benchOutput{HTML: dir}).doneAll(e, nil), "cannot write the page")
	require.ErrorContains(t, (&benchOutput{Output: page}).doneAll(e, nil), "cannot keep")
}

func TestBenchResultsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	r := bench.Result{Scenario: "idle", Date: time.Unix(0, 0).UTC()}
	var out bytes.Buffer
	require.NoError(t, (&benchOutput{Output: path, JSON: true}).done(&env{stdout: &out}, r, nil))
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(kept), out.String())
	out.Reset()
	require.NoError(t, (&benchOutput{}).done(&env{stdout: &out}, r, nil))
	require.Contains(t, out.String(), "median")
	require.Equal(t, errCut, (&benchOutput{}).done(&env{stdout: &out}, r, errCut))
	require.ErrorContains(t, (&benchOutput{Output: t.TempDir()}).done(&env{stdout: &out}, r, nil), "cannot keep")
}

func TestBenchReport(t *testing.T) {
	code, stdout, stderr := ran(nil, "bench", "report", "../../bench/results")
	require.Equal(t, exitDone, code, stderr)
	committed, err := os.ReadFile("../../bench/RESULTS.md")
	require.NoError(t, err)
	require.Equal(t, string(committed), stdout, "the command makes the report that is committed")

	path := filepath.Join(t.TempDir(), "report.md")
	code, stdout, stderr = ran(nil, "bench", "report", "../../bench/results", "--output", path)
	require.Equal(t, exitDone, code, stderr)
	require.Empty(t, stdout)
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(committed), string(written))
}

func TestBenchSecureServers(t *testing.T) {
	e := &env{program: "bin/bellwire"}
	flags := []string{
		"--listen", "{listen}", "--admin", "{admin}", "--listen-tls", "{tls}", "--tls-certificate", "{certificate}", "--tls-key", "{key}",
	}
	c := (&benchSecure{DeviceCA: "--tls-device-ca {ca}", ServeFlags: "--loops 1", Pin: true}).config(e)
	require.Equal(t, append(append([]string{"bin/bellwire", "serve"}, flags...), "--loops", "1"), c.Server)
	require.Equal(t, append([]string{"bin/bellwire", "bench", "usual-server"}, flags...), c.Usual)
	require.Equal(t, []string{"--tls-device-ca", "{ca}"}, c.DeviceCA)
	require.Equal(t, []string{"bin/bellwire", "bench", "generate"}, c.Generator)
	require.Equal(t, []string{"gw", "{tls}"}, (&benchSecure{Gateway: "gw {tls}"}).config(e).Server)
	// Whatever the harness passes to the server beside the gateway is understood by it.
	_, err := parse(append(append([]string{"bench"}, c.Usual[2:]...), c.DeviceCA...), func(string) string { return "" }, &bytes.Buffer{}, &bytes.Buffer{})
	require.NoError(t, err)
}

// What a fleet is started with is understood by the gateway that is shipped.
func TestBenchFleetServers(t *testing.T) {
	e := &env{program: "bin/bellwire"}
	understood := func(args ...string) *invocation {
		i, err := parse(args, func(string) string { return "" }, &bytes.Buffer{}, &bytes.Buffer{})
		require.NoError(t, err)
		return i
	}
	cmd, is := understood("bench", "fleet", "--serve-flags=--pprof", "--pin").context.Selected().Target.Addr().Interface().(*benchFleetCmd)
	require.True(t, is)
	c := cmd.config(e)
	require.Equal(t, []string{"bin/bellwire", "serve", "--listen", "{listen}", "--admin", "{admin}", "--pprof"}, c.Server)
	require.Equal(t, []string{"bin/bellwire", "bench", "generate"}, c.Generator)
	require.True(t, c.Pin)
	filled := strings.NewReplacer("{listen}", "127.0.0.1:1", "{admin}", "127.0.0.1:2", "{name}", "gw", "{peer}", "127.0.0.1:3", "{other}", "127.0.0.1:4")
	serve := filled.Replace(strings.Join(slices.Concat(c.Server[1:], c.Join, c.Link, c.Many), " "))
	require.NotContains(t, serve, "{")
	s := understood(strings.Fields(serve)...).settings
	require.Equal(t, []string{"127.0.0.1:4"}, s.Peer)
	require.Equal(t, "127.0.0.1:3", s.PeerListen)
	require.Equal(t, centralOff, s.Central)
}
