package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/gateway"
)

// storedPair are two gateways with one central service.
type storedPair struct {
	listen, admin [2]string
}

func newStoredPair(t *testing.T) *storedPair {
	t.Helper()
	needsGateway(t)
	free, err := freeAddresses(1)
	require.NoError(t, err)
	p := &storedPair{}
	for i, args := range [][]string{
		{"--name=one", "--peer-listen=127.0.0.1:0", "--central=embedded", "--central-listen=" + free[0]}, {"--name=two", "--peer-listen=127.0.0.1:0", "--central=nats://" + free[0]},
	} {
		gw, listen, admin := gatewayFor(t, nil, args...)
		p.listen[i], p.admin[i] = listen, "--admin="+admin
		t.Cleanup(func() {
			gw.signals <- syscall.SIGTERM
			gw.wait(t, exitDone)
		})
	}
	for _, admin := range p.admin {
		awaitFleet(t, admin, func(f gateway.FleetStatus) bool { return linkedTo(f) == 1 && f.Central != "away" })
	}
	return p
}

// awaitFleet waits until a gateway sees its fleet so.
func awaitFleet(t *testing.T, admin string, is func(gateway.FleetStatus) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, stdout, _ := ran(nil, "fleet", "--json", admin)
		fleet, err := readFleet([]byte(stdout))
		return err == nil && is(fleet)
	}, testPatience, 20*time.Millisecond)
}

// ledger is what one subscriber got.
type ledger struct {
	mu    sync.Mutex
	got   map[string]int
	other []string
}

// follow subscribes and takes what comes.
func follow(t *testing.T, address, filter string) *ledger {
	t.Helper()
	device, err := client.Dial(t.Context(), address, client.WithDevice("d"+strings.Map(func(r rune) rune {
		if r == '#' || r == '/' {
			return '-'
		}
		return r
	}, filter)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = device.Close() })
	sub, err := device.Subscribe(t.Context(), filter)
	require.NoError(t, err)
	l := &ledger{got: map[string]int{}}
	go func() {
		for {
			e, err := sub.Next(t.Context())
			l.mu.Lock()
			switch m := e.(type) {
			case client.Message:
				l.got[m.Topic+" "+string(m.Payload)]++
			default:
				if err == nil {
					l.other = append(l.other, fmt.Sprintf("%T %+v", e, e))
				}
			}
			l.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return l
}

// sofar is a copy: the subscriber goes on.
func (l *ledger) sofar() (got map[string]int, other []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.got), slices.Clone(l.other)
}

// Two gateways change their filters while messages flow at both: who has a wildcard gets every message once and no gap, who
// names a topic is told where its subscription begins anew (BC-4, BC-5, BC-D4).
func TestFleetChangesItsFilters(t *testing.T) {
	p := newStoredPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wild, exact []*ledger
	for _, address := range p.listen {
		wild = append(wild, follow(t, address, "#"))
		exact = append(exact, follow(t, address, "x/a"), follow(t, address, "broadcast/a"))
	}
	var sending sync.WaitGroup
	var mu sync.Mutex
	sent := map[string]bool{}
	for i, address := range p.listen {
		device, err := client.Dial(ctx, address, client.WithDevice("pub"))
		require.NoError(t, err)
		defer device.Close()
		sending.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				for _, topic := range []string{"x/a", "broadcast/a"} {
					text := fmt.Sprintf("%d-%d", i, n)
					if err := device.Publish(t.Context(), topic, []byte(text)); err != nil {
						t.Errorf("%s: %v", topic, err)
						return
					}
					mu.Lock()
					sent[topic+" "+text] = true
					mu.Unlock()
				}
				time.Sleep(5 * time.Millisecond) // as fast as it can would be another test
			}
		})
	}
	code, _, stderr := ran(nil, "fleet", "broadcast", "x/#", p.admin[1])
	require.Equal(t, exitDone, code, stderr)
	for _, admin := range p.admin {
		_, stdout, _ := ran(nil, "fleet", "broadcast", admin)
		require.Equal(t, "broadcast topics: x/# (of the fleet)\n", stdout)
		_, stdout, _ = ran(nil, "status", admin)
		require.Regexp(t, `broadcast +x/#`, stdout)
		_, stdout, _ = ran(nil, "fleet", admin)
		require.NotContains(t, stdout, "broadcasts other topics")
	}
	cancel()
	sending.Wait()
	require.NotEmpty(t, sent)
	for _, l := range wild {
		var got map[string]int
		var other []string
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			got, other = l.sofar()
			require.Len(t, got, len(sent), "and %v", other)
		}, testPatience, 10*time.Millisecond)
		for _, event := range other {
			require.NotContains(t, event, "Gap")
		}
		for key, n := range got {
			require.Equal(t, 1, n, key)
			require.True(t, sent[key], key)
		}
	}
	for _, l := range exact {
		got, other := l.sofar()
		for key, n := range got {
			require.Equal(t, 1, n, key)
		}
		t.Logf("%d of %d, and %v", len(got), len(sent)/2, other)
		if len(got) < len(sent)/2 {
			require.NotEmpty(t, other, "something is missing and nobody was told")
		}
	}
}

// A policy that is stored holds at all gateways, in the place of their own; what makes no sense is refused (BC-12).
func TestFleetPolicy(t *testing.T) {
	p := newStoredPair(t)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	const text = "rules:\n  - allow: [publish]\n    topics: [broadcast/open]\n"
	may := func(i int, topic string) bool {
		code, _, _ := ran(nil, "pub", topic, "x", "--server="+p.listen[i])
		return code == exitDone
	}
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	code, _, stderr := ran(nil, "fleet", "policy", p.admin[0])
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "no policy is stored")
	require.True(t, may(0, "broadcast/closed"))
	code, _, stderr = ran(nil, "fleet", "policy", file, p.admin[1])
	require.Equal(t, exitDone, code, stderr)
	for i := range p.listen {
		require.Eventually(t, func() bool { return !may(i, "broadcast/closed") }, testPatience, 10*time.Millisecond)
		require.True(t, may(i, "broadcast/open"))
	}
	_, stdout, _ := ran(nil, "fleet", "policy", p.admin[0])
	require.Equal(t, text, stdout)
	answer, err := askAdmin(t, http.MethodPut, p.admin[0], "/v1/fleet/policy", "rules: [{allow: [fly]}]")
	require.NoError(t, err)
	require.Contains(t, answer, "422")
	require.False(t, may(0, "broadcast/closed"))
	answer, err = askAdmin(t, http.MethodPost, p.admin[0], "/v1/reload", "")
	require.NoError(t, err)
	require.Contains(t, answer, "204")
	require.False(t, may(0, "broadcast/closed"), "a reload does not bring the file's back")
	code, _, stderr = ran(nil, "fleet", "policy", "--delete", p.admin[0])
	require.Equal(t, exitDone, code, stderr)
	for i := range p.listen {
		require.Eventually(t, func() bool { return may(i, "broadcast/closed") }, testPatience, 10*time.Millisecond)
	}
}

func askAdmin(t *testing.T, method, admin, path, body string) (string, error) {
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+strings.TrimPrefix(admin, "--admin=")+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	return answer.Status, errors.Join(answer.Body.Close())
}

// A gateway that starts while the central service is away goes by what it knew last, and by nothing more open: a copy that
// cannot be read grants nothing.
func TestFleetPolicyIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		copied       string
		open, closed exitCode // of publishing on broadcast/open and broadcast/closed
	}{
		"a policy":    {"rules: [{allow: [publish], topics: [broadcast/open]}]", exitDone, exitFailed},
		"half of one": {"rules: [{allow", exitFailed, exitFailed},
		"none":        {"", exitDone, exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "fleet-policy"), []byte(c.copied), 0o600))
			gw, listen, _ := gatewayFor(t, nil, "--central=nats://127.0.0.1:1", "--data="+dir)
			for topic, want := range map[string]exitCode{"broadcast/open": c.open, "broadcast/closed": c.closed} {
				code, _, stderr := ran(nil, "pub", topic, "x", "--server="+listen)
				require.Equal(t, want, code, "%s: %s", topic, stderr)
			}
			gw.signals <- syscall.SIGTERM
			gw.wait(t, exitDone)
		})
	}
}

// What is in force is said and changed from there, though the central service has no record of it: it may have lost it.
func TestFleetBroadcastIsKept(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "fleet-broadcast"), []byte(`{"filters":["x/#"]}`), 0o600))
	gw, _, admin := gatewayFor(t, nil, "--name=gw", "--central=embedded", "--data="+dir)
	require.Contains(t, gw.errs.String(), `"broadcast":["x/#"]`)
	admin = "--admin=" + admin
	awaitFleet(t, admin, func(f gateway.FleetStatus) bool { return f.Central != "away" })
	_, stdout, stderr := ran(nil, "fleet", "broadcast", admin)
	require.Equal(t, "broadcast topics: x/# (of this gateway; none are stored)\n", stdout, stderr)
	code, _, stderr := ran(nil, "fleet", "broadcast", "y/#", admin)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, gw.errs.String(), `"filters":["x/#"],"also":["y/#"]`, "the change begins at what was in force")
	_, stdout, stderr = ran(nil, "fleet", "broadcast", admin)
	require.Equal(t, "broadcast topics: y/# (of the fleet)\n", stdout, stderr)
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)
}

func TestFleetStoreWithoutCentral(t *testing.T) {
	gw, _, admin := gatewayFor(t, nil, "--central=off")
	for _, args := range [][]string{{"policy"}, {"policy", "--delete"}, {"broadcast"}, {"broadcast", "x/#"}} {
		code, _, stderr := ran(nil, append(append([]string{"fleet"}, args...), "--admin="+admin)...)
		require.Equal(t, exitFailed, code, stderr)
		require.Contains(t, stderr, "this gateway has no central service")
	}
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)
}
