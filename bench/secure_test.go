//go:build linux

package bench

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asUsual as the first argument makes the test program the usual Go server.
const asUsual = "usual-server"

func beUsual(args []string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	f := flag.NewFlagSet(asUsual, flag.ExitOnError)
	var cfg UsualConfig
	f.StringVar(&cfg.Listen, "listen", "", "")
	f.StringVar(&cfg.ListenTLS, "listen-tls", "", "")
	f.StringVar(&cfg.Admin, "admin", "", "")
	f.StringVar(&cfg.Certificate, "tls-certificate", "", "")
	f.StringVar(&cfg.Key, "tls-key", "", "")
	f.StringVar(&cfg.DeviceCA, "tls-device-ca", "", "")
	f.Parse(args) //nolint:errcheck // it exits
	if err := UsualServer(ctx, cfg); err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

// standIn is the configuration of a run in which the usual Go server is the gateway as well.
func standIn(t *testing.T) SecureConfig {
	generator := generatorCommand(t)
	server := []string{
		generator[0], asUsual, "--listen", ListenPlaceholder, "--admin", AdminPlaceholder, "--listen-tls", TLSPlaceholder,
		"--tls-certificate", CertificatePlaceholder, "--tls-key", KeyPlaceholder,
	}
	return SecureConfig{
		Config:   Config{Server: server, Generator: generator, CC: copyCompiler(t)},
		DeviceCA: []string{"--tls-device-ca", DeviceCAPlaceholder}, Usual: server,
	}
}

// Every scenario, tiny, with the load in processes of its own.
func TestEverySecureScenarioRuns(t *testing.T) {
	cfg := standIn(t)
	want := map[string][]string{
		"tls-idle": {
			"gateway with X25519 hello, Go heap in use", "gateway with ML-KEM hello, Go heap in use",
			"gateway with mTLS and ML-KEM hello, user memory of the server (RSS)", "usual Go server with ML-KEM hello, stacks",
		},
		"tls-fanout": {
			"gateway with TLS / raw write and one seal, 64 B, 1 in flight, CPU per delivery",
			"gateway with TLS, 1 KiB, 32 in flight, TLS records per session and round", "one seal, 64 B, 32 in flight, CPU per delivery",
		},
		"attack": {
			"gateway, latency p90, under attack over before", "gateway, attackers connected, least of all seconds, and runs",
			"gateway, under attack, messages lost, in all runs", "gateway, under attack, time for a new device to be in, longest, of all runs",
		},
		"handshakes": {
			"gateway, CPU per handshake and subscribe, resumed over new", "gateway, resumed sessions, time until the last is in",
		},
	}
	for _, s := range SecureScenarios() {
		t.Run(s.Name, func(t *testing.T) {
			small, err := cfg.Quick(s.Name)
			require.NoError(t, err)
			var progress strings.Builder
			r, err := RunSecure(t.Context(), s.Name, small, &progress)
			require.NoError(t, err, progress.String())
			require.NoError(t, r.check())
			for _, name := range want[s.Name] {
				require.True(t, slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Name == name }), "%s in %v", name, r.Figures)
			}
			for _, f := range r.Figures {
				require.Empty(t, f.Target, "%s is too small for a target", f.Name)
			}
			for _, exact := range []struct {
				name string
				want float64
			}{
				{"gateway with TLS, 64 B, 1 in flight, TLS records per session and round", 1},
				{"gateway, under attack, messages lost, in all runs", 0},
				{"gateway, under attack, good devices that lost their connection, in all runs", 0},
				{"gateway, resumed sessions, devices that resumed a TLS session", 40},
				{"gateway, new sessions, devices that resumed a TLS session", 0},
			} {
				if s, err := r.series(exact.name); err == nil {
					require.Equal(t, []float64{exact.want}, s.Samples, exact.name)
				}
			}
			var page strings.Builder
			require.NoError(t, HTML(&page, []Result{r}))
		})
	}
}

func TestSecureConfigIsChecked(t *testing.T) {
	good := SecureConfig{Config: Config{Server: []string{"gw", ListenPlaceholder, AdminPlaceholder, TLSPlaceholder, CertificatePlaceholder, KeyPlaceholder}}}
	defaults := SecureScenarios()[2].Defaults
	_, err := good.withDefaults(defaults)
	require.NoError(t, err)
	for want, edit := range map[string]func(*SecureConfig){
		"must hold {tls}":     func(c *SecureConfig) { c.Server = []string{"gw", "{listen}{admin}{certificate}{key}"} },
		"payloads of [7]":     func(c *SecureConfig) { c.Payloads = []int{7} },
		"take at most 1":      func(c *SecureConfig) { c.OverTLS = 1.5 },
		"must not be neg":     func(c *SecureConfig) { c.Baseline = -1 },
		"attackers from -1":   func(c *SecureConfig) { c.Sources = -1 },
		"at least one of":     func(c *SecureConfig) { c.Subscribers = -1 },
		"more descriptors":    func(c *SecureConfig) { c.Subscribers = 1 << 30 },
		"-1 attackers from 2": func(c *SecureConfig) { c.Attackers = -1 },
	} {
		c := good
		edit(&c)
		_, err := c.withDefaults(defaults)
		require.ErrorContains(t, err, want)
	}
	_, err = RunSecure(t.Context(), "none", good, io.Discard)
	require.ErrorContains(t, err, "tls-idle, tls-fanout, attack, handshakes")
	_, err = good.Quick("none")
	require.ErrorContains(t, err, "no scenario")
}

// A certificate names the device and is believed by whoever believes the authority; no two are the same.
func TestAuthority(t *testing.T) {
	a, err := newAuthority()
	require.NoError(t, err)
	text, err := a.encode(true)
	require.NoError(t, err)
	again, err := decodeAuthority(text)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	seen := map[string]bool{}
	for i := range 3 {
		pair, err := again.device(deviceName(i))
		require.NoError(t, err)
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		require.NoError(t, err)
		require.Equal(t, "bellwire://bench/"+deviceName(i), leaf.URIs[0].String())
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		require.NoError(t, err)
		require.False(t, seen[string(leaf.Raw)])
		seen[string(leaf.Raw)] = true
	}
	_, err = decodeAuthority([]byte("nonsense"))
	require.ErrorContains(t, err, "issuer of device certificates")
	public, err := a.encode(false)
	require.NoError(t, err)
	require.NotContains(t, string(public), "PRIVATE")
}

// Garbage counts as heap until it is collected.
func TestHeapIsReadAfterACollection(t *testing.T) {
	var asked atomic.Int64
	since := time.Unix(1000, 0)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		heap, collected := "900", "999.5"
		if asked.Add(1) > 8 { // four metrics, each its own request
			heap, collected = "300", "1000.5"
		}
		io.WriteString(w, "go_memstats_heap_inuse_bytes "+heap+"\ngo_memstats_heap_alloc_bytes 2\ngo_memstats_stack_inuse_bytes 3\ngo_memstats_last_gc_time_seconds "+collected+"\n") //nolint:errcheck // the test would fail
	}))
	defer s.Close()
	h, err := afterCollection(t.Context(), s.URL, since, 2*time.Second)
	require.NoError(t, err)
	require.Equal(t, heapState{300, 2, 3, 1000.5}, h)
	h, err = afterCollection(t.Context(), s.URL, since.Add(time.Hour), 5*time.Millisecond)
	require.NoError(t, err)
	require.InDelta(t, 1000.5, h.collected, 0, "whoever asked sees that none was")
	_, err = afterCollection(t.Context(), "http://127.0.0.1:1", since, time.Second)
	require.Error(t, err)
}

func TestAttackersAreOfAllKinds(t *testing.T) {
	o := assaultOrder{Open: 1000, Sources: 200}
	kinds, sources := map[attackKind]int{}, map[[4]byte]map[attackKind]bool{}
	for i := range 1000 {
		kinds[o.kind(i)]++
		if sources[o.source(i)] == nil {
			sources[o.source(i)] = map[attackKind]bool{}
		}
		sources[o.source(i)][o.kind(i)] = true
		require.EqualValues(t, 127, o.source(i)[0])
		require.NotZero(t, o.source(i)[2], "good devices are from 127.0.0.0/24")
	}
	require.Equal(t, map[attackKind]int{idlePlain: 200, idleTLS: 200, partTLS: 200, partHello: 200, dripHello: 100, dripTLS: 100}, kinds)
	require.Len(t, sources, 200)
	for _, of := range sources {
		require.GreaterOrEqual(t, len(of), 5)
	}
	hello, err := clientHello()
	require.NoError(t, err)
	require.Equal(t, []byte{22, 3, 1}, hello[:3], "a record of a handshake")
	require.Greater(t, len(hello), 1200, "with an ML-KEM share")
}

// An attack that the server ends at once is none, and one that it ends after a while comes again.
func TestAssaultCountsWhatIsOpen(t *testing.T) {
	serve := func(end func(net.Conn)) assaultOrder {
		at := accepting(t, end)
		return assaultOrder{Plain: at, TLS: at, Open: 60, Sources: 10, Within: 300 * time.Millisecond}
	}
	_, err := newAssault(t.Context(), serve(func(c net.Conn) { c.Close() }))
	require.ErrorContains(t, err, "of 60 attackers are connected after 300ms")

	o := serve(func(c net.Conn) { time.AfterFunc(500*time.Millisecond, func() { c.Close() }) })
	o.Within = 10 * time.Second
	a, err := newAssault(t.Context(), o)
	require.NoError(t, err)
	defer a.close()
	got, err := a.watch(t.Context(), 1500*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, got.Open, 1)
	require.Positive(t, got.Dialled, "those that were ended have come again")
	require.LessOrEqual(t, got.Open[0], o.aim())

	for want, bad := range map[string]assaultOrder{
		"0 attackers":      {Sources: 1, Plain: o.Plain, TLS: o.TLS},
		"from 0 addresses": {Open: 1, Plain: o.Plain, TLS: o.TLS},
		"the TLS port":     {Open: 1, Sources: 1, Plain: o.Plain},
		"raise the limit":  {Open: 1 << 30, Sources: 1, Plain: o.Plain, TLS: o.TLS},
	} {
		_, err := newAssault(t.Context(), bad)
		require.ErrorContains(t, err, want)
	}
}

// A run that had fewer attackers than it says gives no figure.
func TestAnAttackWithTooFewAttackersIsVoid(t *testing.T) {
	cfg, err := standIn(t).Quick("attack")
	require.NoError(t, err)
	cfg.Attackers = 30
	var r Result
	cfg, err = cfg.withDefaults(SecureScenarios()[2].Defaults)
	require.NoError(t, err)
	b, err := newSecureBed(t.Context(), cfg, &r, io.Discard)
	require.NoError(t, err)
	defer b.close()
	s, err := b.start(t.Context(), b.server(gatewayName, cfg.Server), gatewayName)
	require.NoError(t, err)
	plain := *b.secret(s)
	plain.Remote = s.device
	_, err = s.do(t.Context(), order{Good: &goodOrder{Plain: plain, TLS: *b.secret(s), Devices: 4, OverTLS: 2, Topic: b.Topic, Payload: 20}})
	require.NoError(t, err)
	b.Slice = 200 * time.Millisecond
	_, err = b.assaulted(t.Context(), s, countedAttackers{29, 30}, memory{})
	require.ErrorContains(t, err, "only 29 attackers were connected")
	_, err = b.assaulted(t.Context(), s, countedAttackers{}, memory{})
	require.ErrorContains(t, err, "void")
	_, err = b.assaulted(t.Context(), s, countedAttackers{30, 31}, memory{})
	require.NoError(t, err)
}

// countedAttackers are a generator that says so many were open.
type countedAttackers []int

func (c countedAttackers) do(context.Context, order) (outcome, error) { return outcome{Open: c}, nil }
func (countedAttackers) close()                                       {}

func TestSealer(t *testing.T) {
	s, err := newSealer(3)
	require.NoError(t, err)
	calls := 0
	clock := func() (time.Duration, error) { calls++; return time.Duration(calls) * 30 * time.Microsecond, nil }
	each, err := s.sealFor(64, 90*time.Microsecond, false, clock)
	require.NoError(t, err)
	require.Equal(t, 10*time.Microsecond, each, "three seals a round, a round in 30 µs")
	_, err = s.sealFor(2<<20, 1, false, clock)
	require.ErrorContains(t, err, "bytes in flight")
	broken := errors.New("no clock")
	_, err = s.sealFor(64, 1, true, func() (time.Duration, error) { return 0, broken })
	require.ErrorIs(t, err, broken)
	require.Equal(t, []int{1, 1, 2, 3}, []int{recordsOf(1), recordsOf(1 << 14), recordsOf(1<<14 + 1), recordsOf(32 * 1028)})
	each, err = s.measure(-1, 1024, time.Millisecond, true)
	require.NoError(t, err)
	require.Positive(t, each)
}
