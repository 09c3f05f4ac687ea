package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// adminTokens are those that authAdmin believes: everything, and the tenants red and
// blue.
func authAdmin(token string) (tenant, name string, err error) {
	switch token {
	case "root-token":
		return "", "root", nil
	case "red-token":
		return "red", "rita", nil
	case "blue-token":
		return "blue", "bert", nil
	case "old-token":
		return "", "", &wire.Error{Code: wire.CodeTokenExpired, Field: "canary"}
	}
	return "", "", errors.New("canary: unknown token " + token)
}

func asked(t *testing.T, g *gateway.Gateway, method, path, token, from string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.RemoteAddr = from
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, r)
	return w
}

const here = "192.0.2.1:1000"

// Who may use what: an admin of a tenant sees and closes what is the tenant's own
// only, and learns nothing of others from a total or an answer (MS-18, BC-D8).
func TestAdminMatrix(t *testing.T) {
	var reloads atomic.Int32
	g := gatewaytest.Start(t, gateway.Config{
		Authenticate: authenticateByToken, AdminAuth: authAdmin, Pprof: true, Audit: slog.New(slog.DiscardHandler),
		OnReload: func() error { reloads.Add(1); return nil },
	})
	devices := map[string]*gatewaytest.Device{}
	for _, id := range []string{"red/1", "red/2", "blue/1"} {
		d := gatewaytest.Join(t, g.Addr(), id)
		d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/" + id)})
		devices[id] = d
	}
	const open, operator, tenant = "open", "operator", "tenant"
	for _, c := range []struct{ method, path, kind string }{
		{http.MethodGet, "/healthz", open},
		{http.MethodGet, "/readyz", open},
		{http.MethodGet, "/metrics", operator},
		{http.MethodGet, "/v1/gateway", operator},
		{http.MethodPost, "/v1/reload", operator},
		{http.MethodGet, "/debug/pprof/", operator},
		{http.MethodGet, "/debug/pprof/symbol", operator},
		{http.MethodGet, "/debug/pprof/heap", operator},
		{http.MethodGet, "/v1/sessions", tenant},
		{http.MethodGet, "/v1/topics", tenant},
		{http.MethodDelete, "/v1/sessions/red/nobody", tenant},
	} {
		for token, want := range map[string]map[string]int{
			"":           {open: 200, operator: 401, tenant: 401},
			"root-token": {open: 200, operator: 200, tenant: 200},
			"red-token":  {open: 200, operator: 403, tenant: 200},
			"blue-token": {open: 200, operator: 403, tenant: 200},
		} {
			w := asked(t, g, c.method, c.path, token, here)
			code := want[c.kind]
			switch {
			case code != http.StatusOK:
			case c.method == http.MethodDelete:
				code = http.StatusNotFound
			case c.method == http.MethodPost:
				code = http.StatusNoContent
			}
			require.Equal(t, code, w.Code, "%s %s with %q: %s", c.method, c.path, token, w.Body)
			require.Equal(t, code == http.StatusUnauthorized, strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer "), "%s %s", c.method, c.path)
		}
	}
	require.EqualValues(t, 1, reloads.Load())

	for token, want := range map[string]string{"root-token": "blue/1 red/1 red/2", "red-token": "red/1 red/2", "blue-token": "blue/1"} {
		for _, view := range []string{"sessions", "topics"} {
			for _, query := range []string{"", "?tenant=red", "?tenant=blue", "?tenant=nobody"} {
				var rows []string
				for _, id := range strings.Fields(want) {
					if query == "" || strings.HasPrefix(id, strings.TrimPrefix(query, "?tenant=")+"/") {
						rows = append(rows, id)
					}
				}
				w := asked(t, g, http.MethodGet, "/v1/"+view+query, token, here)
				require.Equal(t, http.StatusOK, w.Code)
				require.Contains(t, w.Body.String(), fmt.Sprintf(`"total": %d,`, len(rows)), "%s%s with %s", view, query, token)
				for _, ten := range []string{"red", "blue"} {
					require.Equal(t, strings.Contains(strings.Join(rows, " "), ten+"/"), strings.Contains(w.Body.String(), ten), "%s%s with %s", view, query, token)
				}
				require.Equal(t, len(rows), strings.Count(w.Body.String(), `"tenant": "`))
			}
		}
	}

	// What is not there and what is another's look the same.
	other, nobody := asked(t, g, http.MethodDelete, "/v1/sessions/blue/1", "red-token", here), asked(t, g, http.MethodDelete, "/v1/sessions/blue/9", "red-token", here)
	require.Equal(t, http.StatusNotFound, other.Code)
	require.Equal(t, strings.ReplaceAll(nobody.Body.String(), "blue/9", "blue/1"), other.Body.String())
	devices["blue/1"].Ping()
	require.Equal(t, http.StatusNoContent, asked(t, g, http.MethodDelete, "/v1/sessions/red/1", "red-token", here).Code)
	devices["red/1"].ExpectClosed(wire.CodeRestart)
	require.Equal(t, http.StatusNoContent, asked(t, g, http.MethodDelete, "/v1/sessions/red/2", "root-token", here).Code)
	devices["red/2"].ExpectClosed(wire.CodeRestart)
}

// Bad tokens are looked at five times a minute and source, then not even a good one;
// other sources, and those who send none, are not concerned. What is audited holds
// no token.
func TestBadAdminTokens(t *testing.T) {
	var log strings.Builder
	g, err := gateway.New(gateway.Config{AdminAuth: authAdmin, Audit: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	get := func(token, from string) *httptest.ResponseRecorder {
		return asked(t, g, http.MethodGet, "/v1/gateway", token, from)
	}
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, get("", here).Code)
	}
	w := get("old-token", here)
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.Contains(t, w.Body.String(), "token expired")
	for range 4 {
		w = get("guess-canary", here)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.NotContains(t, w.Body.String(), "canary")
	}
	for _, token := range []string{"guess-canary", "root-token"} {
		w = get(token, here)
		require.Equal(t, http.StatusTooManyRequests, w.Code)
		require.Equal(t, "12", w.Header().Get("Retry-After"))
	}
	require.Equal(t, http.StatusOK, get("root-token", "192.0.2.2:1000").Code)
	require.Equal(t, http.StatusOK, asked(t, g, http.MethodGet, "/healthz", "", here).Code)

	// One subscriber of IPv6 has very many addresses.
	for _, from := range []string{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8:0:0:1::]:1", "[2001:db8::4]:1", "[2001:db8::5]:1"} {
		require.Equal(t, http.StatusUnauthorized, get("guess-canary", from).Code)
	}
	require.Equal(t, http.StatusTooManyRequests, get("root-token", "[2001:db8::6]:1").Code)
	require.Equal(t, http.StatusOK, get("root-token", "[2001:db8:0:1::6]:1").Code)

	require.Equal(t, "23", metricsAs(t, g, "root-token", "192.0.2.3:1")[`bellwire_audit_events_total{event="admin_access"}`])
	gateway.FlushAudit(g)
	require.NotContains(t, log.String(), "canary")
	require.Equal(t, 23, strings.Count(log.String(), "event=admin_access"))
	require.Contains(t, log.String(), `status=429 from=192.0.2.1:1000 reason="too many bad tokens from here"`)
}

func metricsAs(t *testing.T, g *gateway.Gateway, token, from string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(asked(t, g, http.MethodGet, "/metrics", token, from).Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && line[0] != '#' {
			out[name] = value
		}
	}
	return out
}

// What an admin did is in the audit log under the admin's name.
func TestAdminActionsAreAudited(t *testing.T) {
	var log strings.Builder
	fails := true
	cfg := gateway.Config{
		Authenticate: authenticateByToken, AdminAuth: authAdmin, Audit: slog.New(slog.NewTextHandler(&log, nil)),
		OnReload: func() error {
			if fails {
				return errors.New("bellwire.yaml:3: limits.frame: no number")
			}
			return nil
		},
	}
	g := gatewaytest.Start(t, cfg)
	gatewaytest.Join(t, g.Addr(), "red/1")
	asked(t, g, http.MethodDelete, "/v1/sessions/red/1", "blue-token", here)
	asked(t, g, http.MethodDelete, "/v1/sessions/red/1", "red-token", here)
	asked(t, g, http.MethodGet, "/metrics", "red-token", here)
	w := asked(t, g, http.MethodPost, "/v1/reload", "root-token", here)
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	require.Contains(t, w.Body.String(), "bellwire.yaml:3")
	fails = false
	require.Equal(t, http.StatusNoContent, asked(t, g, http.MethodPost, "/v1/reload", "root-token", here).Code)
	gateway.FlushAudit(g)
	for _, want := range []string{
		`level=WARN msg=audit event=admin_access status=404 from=192.0.2.1:1000 admin=bert reason="DELETE of red/1 by an admin of tenant blue"`,
		`level=INFO msg=audit event=admin_delete code=20 means=restart tenant=red device=1 from=192.0.2.1:1000 admin=rita`,
		`level=WARN msg=audit event=admin_access status=403 from=192.0.2.1:1000 admin=rita reason="an admin of tenant red asked for GET /metrics"`,
		`level=INFO msg=audit event=admin_reload status=422 from=192.0.2.1:1000 admin=root`,
		`level=INFO msg=audit event=admin_reload status=204 from=192.0.2.1:1000 admin=root`,
	} {
		require.Contains(t, log.String(), want)
	}
	require.Equal(t, http.StatusNotFound, ask(t, gatewaytest.Start(t, gateway.Config{}), http.MethodPost, "/v1/reload").Code, "nobody offers it")
}

// An admin address beyond loopback needs TLS and tokens, both, or --insecure.
func TestAdminBeyondLoopback(t *testing.T) {
	withTLS := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}
	for name, c := range map[string]struct {
		cfg  gateway.Config
		want string
	}{
		"nothing":        {gateway.Config{}, "config: admin: 0.0.0.0:0 is not loopback, so it needs TLS and tokens: give both AdminTLS and AdminAuth, listen on 127.0.0.1, or allow it with insecure"},
		"tokens only":    {gateway.Config{AdminAuth: authAdmin}, "needs TLS and tokens"},
		"TLS only":       {gateway.Config{AdminTLS: withTLS}, "needs TLS and tokens"},
		"both":           {gateway.Config{AdminAuth: authAdmin, AdminTLS: withTLS}, ""},
		"insecure":       {gateway.Config{Insecure: true}, ""},
		"no certificate": {gateway.Config{AdminAuth: authAdmin, AdminTLS: &tls.Config{}}, "config: admin: AdminTLS has no certificate"}, //nolint:gosec // empty on purpose
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Admin = "0.0.0.0:0"
			_, err := gateway.New(c.cfg)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

// certificate is one for 127.0.0.1, and who believes it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// With AdminTLS the address speaks TLS 1.3 and nothing else.
func TestAdminTLS(t *testing.T) {
	own, pool := certificate(t)
	g := gatewaytest.Start(t, gateway.Config{
		Admin: "127.0.0.1:0", AdminAuth: authAdmin, Audit: slog.New(slog.DiscardHandler),
		AdminTLS: &tls.Config{Certificates: []tls.Certificate{own}}, //nolint:gosec // the gateway sets what is least
	})
	get := func(scheme string, cfg *tls.Config) (int, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		defer client.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+g.AdminAddr().String()+"/v1/gateway", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "bearer root-token")
		w, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		defer w.Body.Close()
		_, err = io.Copy(io.Discard, w.Body)
		return w.StatusCode, err
	}
	code, err := get("https", &tls.Config{RootCAs: pool}) //nolint:gosec // the least version is not what is tested
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	_, err = get("https", &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12})
	require.ErrorContains(t, err, "protocol version")
	code, err = get("http", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, code)
}

// Without tokens, a loopback address answers under names that lead nowhere else, so
// that a web page whose name was made to lead here learns nothing, and cannot post.
func TestAdminHost(t *testing.T) {
	for _, guard := range []string{"", "hostCheck"} {
		t.Run("without "+guard, func(t *testing.T) {
			g := gatewaytest.Start(t, gateway.Config{Admin: "localhost:0", OnReload: func() error { return nil }}.Without(guard))
			do := func(method, host, origin string) int {
				r, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.AdminAddr().String()+map[string]string{http.MethodGet: "/v1/gateway", http.MethodPost: "/v1/reload"}[method], nil)
				require.NoError(t, err)
				r.Host = host
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				w, err := http.DefaultClient.Do(r)
				require.NoError(t, err)
				defer w.Body.Close()
				return w.StatusCode
			}
			bad := http.StatusForbidden
			if guard != "" {
				bad = http.StatusOK
			}
			for host, want := range map[string]int{
				"": 200, "127.0.0.1:7312": 200, "127.0.0.1": 200, "[::1]:7312": 200, "localhost": 200, "LOCALHOST:1": 200, "gw.localhost:80": 200,
				"evil.example": bad, "evil.example:7312": bad, "127.0.0.1.evil.example": bad, "localhost.evil.example:7312": bad, "notlocalhost": bad,
			} {
				require.Equal(t, want, do(http.MethodGet, host, ""), host)
			}
			require.Equal(t, http.StatusNoContent, do(http.MethodPost, "127.0.0.1", ""))
			if guard == "" {
				require.Equal(t, "5", metrics(t, g)[`bellwire_audit_events_total{event="admin_access"}`])
				require.Equal(t, http.StatusForbidden, do(http.MethodPost, "127.0.0.1", "https://evil.example"))
			}
		})
	}
}
