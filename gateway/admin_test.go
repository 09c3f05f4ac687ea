package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

func ask(t *testing.T, g *gateway.Gateway, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func askJSON[T any](t *testing.T, g *gateway.Gateway, path string) (v T) {
	t.Helper()
	w := ask(t, g, http.MethodGet, path)
	require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v))
	return v
}

func sessions(t *testing.T, g *gateway.Gateway, topic string) []gateway.SessionInfo {
	t.Helper()
	return askJSON[gateway.SessionList](t, g, "/v1/sessions?topic="+topic).Sessions
}

func topics(t *testing.T, g *gateway.Gateway) map[string]gateway.TopicInfo {
	t.Helper()
	out := map[string]gateway.TopicInfo{}
	for _, row := range askJSON[gateway.TopicList](t, g, "/v1/topics").Topics {
		out[row.Topic] = row
	}
	return out
}

// names are those of the devices that are listed for a topic.
func names(t *testing.T, g *gateway.Gateway, topic string) (out []string) {
	for _, row := range sessions(t, g, topic) {
		out = append(out, row.Tenant+"/"+row.Device)
	}
	return out
}

// The listing holds who is connected and subscribed: SUBSCRIBE adds, UNSUBSCRIBE
// and the end of the connection remove (BC-6, BC-15, BC-D1).
func TestListing(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	both := gatewaytest.Join(t, g.Addr(), "both")
	both.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")})
	wild := gatewaytest.Join(t, g.Addr(), "wild")
	wild.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/+")})
	gatewaytest.Join(t, g.Addr(), "connected-only")
	mute := gatewaytest.Join(t, g.Addr(), "publishes-only")
	mute.Subscribe(wire.Subscribe{Sub: 1, PublishOnly: true, Filter: []byte("broadcast/a")})
	elsewhere := gatewaytest.Start(t, gateway.Config{})
	gatewaytest.Join(t, elsewhere.Addr(), "elsewhere").Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")})

	require.Equal(t, []string{"default/both", "default/wild"}, names(t, g, "broadcast/a"))
	require.Equal(t, []string{"default/wild"}, names(t, g, "broadcast/b"))
	require.Equal(t, 2, topics(t, g)["broadcast/a"].Subscribers)
	require.Len(t, askJSON[gateway.SessionList](t, g, "/v1/sessions").Sessions, 4)

	wild.Send(wire.Unsubscribe{Sub: 1}.Append(nil))
	wild.Expect(wire.TypeUnsubscribed)
	require.Equal(t, []string{"default/both"}, names(t, g, "broadcast/a"))
	require.NoError(t, both.Conn.Close())
	eventually(t, func() bool { return len(names(t, g, "broadcast/a")) == 0 })
}

// A device that moves is listed where it is, and gets one copy (BC-D2). The older
// connection is told who took its place.
func TestTakeover(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	for i := range 6 { // so that both on one loop and on two are met
		first := gatewaytest.Join(t, g.Addr(), "same")
		first.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")})
		second := gatewaytest.Join(t, g.Addr(), "same")
		second.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")})
		first.ExpectClosed(wire.CodeReplaced)
		_, err := g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/a", fmt.Append(nil, i))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(second.Message().Payload))
		second.Ping()
		require.Equal(t, []string{"default/same"}, names(t, g, "broadcast/a"))
	}
}

func TestAdmin(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Name: "gw1", Admin: "127.0.0.1:0"})
	base := "http://" + g.AdminAddr().String()
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		r, err := http.Get(base + path)
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Equal(t, want, string(body))
	}
	d := gatewaytest.Join(t, g.Addr(), "d1")
	status := askJSON[map[string]any](t, g, "/v1/gateway")
	require.Equal(t, "gw1", status["name"])
	require.Equal(t, g.Addr().String(), status["listen"])
	require.EqualValues(t, 1, status["sessions"])
	require.Len(t, status["life"], 16)

	require.Equal(t, http.StatusBadRequest, ask(t, g, http.MethodGet, "/v1/sessions?topic=a/%23").Code)
	require.Equal(t, http.StatusNotFound, ask(t, g, http.MethodDelete, "/v1/sessions/default/nobody").Code)
	require.Equal(t, http.StatusBadRequest, ask(t, g, http.MethodDelete, "/v1/sessions/default/%20").Code)
	require.Equal(t, http.StatusMethodNotAllowed, ask(t, g, http.MethodPost, "/v1/gateway").Code)
	require.Equal(t, http.StatusNotFound, ask(t, g, http.MethodGet, "/debug/pprof/").Code)
	require.Equal(t, http.StatusNoContent, ask(t, g, http.MethodDelete, "/v1/sessions/default/d1").Code)
	d.ExpectClosed(wire.CodeRestart)

	profiled := gatewaytest.Start(t, gateway.Config{Pprof: true})
	require.Equal(t, http.StatusOK, ask(t, profiled, http.MethodGet, "/debug/pprof/").Code)
}

// A handler that is asked before or after the gateway runs says so at once.
func TestAdminWhileNotRunning(t *testing.T) {
	g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	for range 2 {
		require.Equal(t, http.StatusServiceUnavailable, ask(t, g, http.MethodGet, "/readyz").Code)
		require.Equal(t, http.StatusServiceUnavailable, ask(t, g, http.MethodGet, "/v1/sessions").Code)
		require.Equal(t, http.StatusOK, ask(t, g, http.MethodGet, "/v1/gateway").Code)
		require.NoError(t, g.Close())
	}
}

// metrics are the samples of /metrics by name and labels.
func metrics(t *testing.T, g *gateway.Gateway) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(ask(t, g, http.MethodGet, "/metrics").Body.String()) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			out[line[:i]] = line[i+1:]
		}
	}
	return out
}

// Counters match a scripted run (BC-D12), and follow the conventions: prefix,
// base units, totals, no label that a device chooses.
func TestMetricsOfAScriptedRun(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	a := gatewaytest.Join(t, g.Addr(), "chosen-by-a")
	a.Subscribe(wire.Subscribe{Sub: 1, Track: true, NoEcho: true, Filter: []byte("broadcast/chosen")})
	a.Expect(wire.TypeStream)
	b := gatewaytest.Join(t, g.Addr(), "chosen-by-b")
	b.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")})
	require.Equal(t, wire.CodeOK, a.Publish(1, "broadcast/chosen", "one"))
	require.Equal(t, wire.ReasonOwn, a.Gap().Reason)
	b.Expect(wire.TypeTopic)
	b.Message()
	for range 3 {
		_, err := g.Publish(t.Context(), gateway.DefaultTenant, "broadcast/chosen", []byte("inside"))
		require.NoError(t, err)
		a.Message()
		b.Message()
	}
	require.Equal(t, wire.CodeNoCentral, a.Publish(2, "orders/1", "x"))
	kept := gatewaytest.Join(t, g.Addr(), "kept")
	kept.Subscribe(wire.Subscribe{Sub: 1, Start: wire.StartKept, Filter: []byte("broadcast/chosen")})
	for range 4 {
		kept.Message()
	}
	kept.Expect(wire.TypeLive)
	kept.Send([]byte{0x7F, 0})
	kept.ExpectClosed(wire.CodeUnknownType)

	for name, want := range map[string]string{
		"bellwire_published_total": "1", "bellwire_published_inside_total": "3", "bellwire_deliveries_total": "7",
		"bellwire_replayed_total": "4", `bellwire_gap_positions_total{reason="own"}`: "1",
		`bellwire_refused_total{code="no central here"}`: "1", `bellwire_closed_total{code="unknown type"}`: "1",
		"bellwire_connections_opened_total": "3", "bellwire_topics": "1", "bellwire_ready": "1",
		"bellwire_dropped_total": "0", "bellwire_panics_total": "0", "bellwire_publish_credit_used_bytes": "0",
	} {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			assert.Equal(c, want, metrics(t, g)[name], name)
		}, time.Second, 20*time.Millisecond)
	}
	plain := regexp.MustCompile(`^bellwire_[a-z_]+(\{(code|reason|event)="[^"]+"\})?$`)
	for name := range metrics(t, g) {
		require.NotContains(t, name, "chosen")
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_") {
			require.Regexp(t, plain, name)
			require.NotRegexp(t, `_(ms|kb|minutes)$`, name)
		}
	}
}

// A large listing is worked through in pieces: a ping is answered meanwhile, and
// everybody gets everything (BC-D11).
func TestLargeListing(t *testing.T) {
	const devices, messages = 2000, 10
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	var all []*gatewaytest.Device
	for i := range devices {
		d := gatewaytest.Connect(t, g.Addr())
		b := gatewaytest.Hello(fmt.Sprintf("d%d", i)).Append(nil)
		d.Send(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(b))
		all = append(all, d)
	}
	for _, d := range all {
		d.Expect(wire.TypeWelcome)
		d.Expect(wire.TypeSubscribed)
	}
	other := gatewaytest.Join(t, g.Addr(), "other")
	published := make(chan error, 1)
	go func() {
		for i := range messages {
			if _, err := g.Publish(context.Background(), gateway.DefaultTenant, fmt.Sprintf("broadcast/%d", i), []byte("x")); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	for range 20 {
		other.Ping()
	}
	require.NoError(t, <-published)
	for _, d := range all {
		for range messages {
			d.Expect(wire.TypeTopic)
			d.Message()
		}
	}
	require.EqualValues(t, devices*messages, g.Status().Deliveries)
}
