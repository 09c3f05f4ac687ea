package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answers is an admin API that always says the same.
func answers(t *testing.T, status int, text string) (address string, asked *string) {
	t.Helper()
	asked = new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.String()
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

func TestStatusViews(t *testing.T) {
	for _, test := range []struct {
		args   []string
		asked  string
		answer string
		want   string
	}{
		{
			nil, "/v1/gateway",
			`{"name":"gw","listen":"1.2.3.4:5","ready":true,"life":"00ff","started":"2030-01-02T03:04:05+01:00","loops":2,
			"broadcast":["a/#","b/#"],"connections":1234,"connections_max":5000,"sessions":1233,"subscriptions":2000000,"topics":3,
			"published":4,"deliveries":5,"replayed":6,"dropped":7,"mailbox_entries":8,"publish_credit_used_bytes":2048,"ring_bytes":100,
			"memory_bytes":40000000,"memory_budget_bytes":536870912,"pressure_step":2}`,
			"name                 gw\nstate                ready\nlisten               1.2.3.4:5\nstarted              2030-01-02T02:04:05Z\n" +
				"life                 00ff\nloops                2\nbroadcast            a/# b/#\nconnections          1,234 of 5,000\n" +
				"sessions             1,233\nsubscriptions        2,000,000\ntopics               3\npublished            4\ndeliveries           5\n" +
				"replayed             6\ndropped              7\nmailbox entries      8\npublish credit used  2KiB\nreplay rings         100\n" +
				"memory               38MiB of 512MiB, step 2 of 3 against the want of it\n",
		},
		{
			[]string{"sessions", "--topic=a/b", "--tenant=x"},
			"/v1/sessions?tenant=x&topic=a%2Fb",
			`{"sessions":[{"tenant":"x","device":"d","remote":"1.2.3.4:5","loop":1,"subscriptions":["a/#","c"],"pending_bytes":1024}],"total":1}`,
			"DEVICE  REMOTE     LOOP  PENDING  SUBSCRIPTIONS\nx/d     1.2.3.4:5  1     1KiB     a/# c\n",
		},
		{
			[]string{"topics"},
			"/v1/topics", `{"topics":[{"tenant":"x","topic":"a","id":1,"life":"00ff","next":8,"kept":7,"subscribers":3}],"total":1}`,
			"TOPIC  TENANT  ID  LIFE  NEXT  KEPT  SUBSCRIBERS\na      x       1   00ff  8     7     3\n",
		},
		{[]string{"topics", "--json"}, "/v1/topics", "[ ]\n", "[ ]\n"},
	} {
		address, asked := answers(t, http.StatusOK, test.answer)
		code, stdout, stderr := ran(map[string]string{"BELLWIRE_ADMIN": address}, append([]string{"status"}, test.args...)...)
		require.Equal(t, exitDone, code, stderr)
		require.Equal(t, test.asked, *asked)
		require.Equal(t, test.want, stdout)
	}
}

// TestStatusSaysWhatIsMissing: in a table and beside JSON, on the error stream.
func TestStatusSaysWhatIsMissing(t *testing.T) {
	const cut = `"total":1100,"truncated":true}`
	for _, test := range []struct {
		args          []string
		answer, asked string
		want          string
	}{
		{
			[]string{"sessions"},
			`{"sessions":[{},{}],` + cut, "/v1/sessions",
			"bellwire: 2 of 1,100 sessions are shown: narrow them down with --topic or --tenant, or ask for more with --limit, at most 10,000\n",
		},
		{
			[]string{"topics", "--json", "--limit=1"},
			`{"topics":[{}],` + cut, "/v1/topics?limit=1",
			"bellwire: 1 of 1,100 topics are shown: narrow them down with --tenant, or ask for more with --limit, at most 10,000\n",
		},
		{[]string{"topics"}, `{"topics":[{}],"total":1,"truncated":false}`, "/v1/topics", ""},
		{[]string{"gateway"}, `{"topics":7}`, "/v1/gateway", ""},
	} {
		address, asked := answers(t, http.StatusOK, test.answer)
		code, stdout, stderr := ran(nil, append([]string{"status", "--admin=" + address}, test.args...)...)
		require.Equal(t, exitDone, code, stderr)
		require.Equal(t, test.asked, *asked)
		require.NotEmpty(t, stdout)
		require.Equal(t, test.want, stderr)
	}
}

// TestStatusShowsItsToken: from a flag, a file or the environment, over TLS where the way is not this machine's own.
func TestStatusShowsItsToken(t *testing.T) {
	var shown string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = r.Header.Get("Authorization")
		if shown != "Bearer t0ken.x-y_z" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte("{}"))
	})
	plain, secret := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secret.Close()
	secret.Config.ErrorLog = log.New(io.Discard, "", 0)
	at, atTLS := "--admin="+strings.TrimPrefix(plain.URL, "http://"), "--admin="+strings.TrimPrefix(secret.URL, "https://")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secret.Certificate().Raw}), 0o600))
	file, empty, bad := writeFile(t, "t0ken.x-y_z\n"), writeFile(t, "\n"), writeFile(t, "canary\ncanary\n")

	for name, c := range map[string]struct {
		variables map[string]string
		args      []string
		code      exitCode
		says      string
	}{
		"flag":                {nil, []string{at, "--token=t0ken.x-y_z"}, exitDone, ""},
		"file":                {nil, []string{at, "--token-file=" + file}, exitDone, ""},
		"environment":         {map[string]string{"BELLWIRE_TOKEN": "t0ken.x-y_z"}, []string{at}, exitDone, ""},
		"over TLS":            {nil, []string{atTLS, "--token-file=" + file, "--ca=" + ca}, exitDone, ""},
		"none":                {nil, []string{at}, exitFailed, "401 Unauthorized: {}: show a token of an admin with --token-file"},
		"unknown certificate": {nil, []string{atTLS, "--token-file=" + file, "--tls"}, exitFailed, "certificate"},
		"in the clear":        {nil, []string{"--admin=192.0.2.1:7312", "--token-file=" + file}, exitUsage, "everyone on the way to 192.0.2.1:7312 could read it: use --tls"},
		"both":                {nil, []string{at, "--token=x", "--token-file=" + file}, exitUsage, "can't be used together"},
		"no file":             {nil, []string{at, "--token-file=" + file + "x"}, exitUsage, "no such file"},
		"empty file":          {nil, []string{at, "--token-file=" + empty}, exitUsage, "no token in it"},
		"not a token":         {nil, []string{at, "--token-file=" + bad}, exitUsage, "this is no token"},
		"no CA":               {nil, []string{atTLS, "--ca=" + file}, exitUsage, "no certificate in it: want PEM"},
		"no CA file":          {nil, []string{atTLS, "--ca=" + file + "x"}, exitUsage, "--ca: "},
	} {
		shown = ""
		code, _, stderr := ran(c.variables, append([]string{"status", "--json"}, c.args...)...)
		require.Equal(t, c.code, code, "%s: %s", name, stderr)
		require.Contains(t, stderr, c.says, name)
		require.NotContains(t, stderr, "canary")
		if code == exitDone {
			require.Equal(t, "Bearer t0ken.x-y_z", shown, name)
		}
	}
}

func TestStatusErrors(t *testing.T) {
	address, _ := answers(t, http.StatusBadRequest, `{"error":"topic: bad"}`)
	code, stdout, stderr := ran(nil, "status", "--admin="+address)
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, `400 Bad Request: {"error":"topic: bad"}`)

	address, _ = answers(t, http.StatusOK, "<html>")
	code, _, stderr = ran(nil, "status", "--admin="+address)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "not that of a gateway")

	code, _, stderr = ran(nil, "status", "--admin=off")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "off is no address")
	code, _, _ = ran(nil, "status", "--admin=a b")
	require.Equal(t, exitUsage, code)
	code, _, _ = ran(nil, "status", "nothing")
	require.Equal(t, exitUsage, code)
}
