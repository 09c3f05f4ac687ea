package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// layers are three values for each setting, good together and different from the default.
var layers = map[string]struct{ file, environment, flag string }{
	"name":                            {"in-file", "in-environment", "in-flag"},
	"listen":                          {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"},
	"admin":                           {"127.0.0.1:4", "127.0.0.1:5", "off"},
	"pprof":                           {"true", "false", "true"},
	"loops":                           {"1", "2", "3"},
	"insecure":                        {"true", "false", "true"},
	"broadcast":                       {"file/#", "environment/#,second/#", "flag/#"},
	"cluster":                         {"file", "environment", "flag"},
	"peer_listen":                     {"127.0.0.1:10", "127.0.0.1:11", "127.0.0.1:12"},
	"peer":                            {"127.0.0.1:13", "127.0.0.1:14,127.0.0.1:15", "localhost:16"},
	"peer_advertise":                  {"127.0.0.1:17", "127.0.0.2:17", "localhost:17"},
	"fleet.ca":                        {"a-ca.pem", "b-ca.pem", "c-ca.pem"},
	"fleet.cert":                      {"a.pem", "b.pem", "c.pem"},
	"fleet.key":                       {"a-key.pem", "b-key.pem", "c-key.pem"},
	"central":                         {"off", "nats://127.0.0.1:7314,127.0.0.2:7314", "tls://central.example:7314"},
	"central_listen":                  {"127.0.0.1:18", "127.0.0.1:19", "127.0.0.1:20"},
	"data":                            {"file", "environment", "flag"},
	"audit":                           {"off", "in-environment.log", "in-flag.log"},
	"admin_auth":                      {"off", "token", "off"},
	"listen_tls":                      {"127.0.0.1:6", "127.0.0.1:7", "127.0.0.1:8"},
	"tls.certificate":                 {"a.pem", "b.pem", "c.pem"},
	"tls.key":                         {"a-key.pem", "b-key.pem", "c-key.pem"},
	"tls.device_ca":                   {"ca.pem", "acme=ca.pem,other.pem", "third.pem"},
	"tls.crl":                         {"a.crl", "b.crl", "c.crl"},
	"tls.mapping":                     {"uri:a://{tenant}/{device}", "uri:b://{tenant}/{device}", "uri:c://{tenant}/{device}"},
	"tls.curves":                      {"x25519", "auto", "x25519"},
	"tls.tickets":                     {"a.tickets", "b.tickets", "c.tickets"},
	"tokens.keys":                     {"a.pub", "acme=b.pub,c.pub", "d.pub"},
	"tokens.static":                   {"a.keys", "b.keys", "c.keys"},
	"revoked":                         {"a.txt", "b.txt", "c.txt"},
	"policy":                          {"a.yaml", "b.yaml", "c.yaml"},
	"proxy_from":                      {"10.0.0.0/8", "10.1.0.0/16,fd00::/8", "10.2.0.0/16"},
	"limits.handshakes":               {"1", "2", "3"},
	"limits.unproven_per_network":     {"1/s", "off", "3/s"},
	"limits.connect_rate_per_network": {"1/s", "off", "3/s"},
	"log.level":                       {"debug", "warn", "error"},
	"log.format":                      {"text", "json", "text"},
	"limits.connections":              {"1", "2", "3"},
	"limits.frame":                    {"1KiB", "2KiB", "4KiB"},
	"limits.subscriptions":            {"1", "2", "3"},
	"limits.topics":                   {"200000", "300000", "400000"},
	"limits.topics_per_tenant":        {"1", "2", "3"},
	"limits.topic_rate":               {"1", "2", "3"},
	"limits.links":                    {"4", "5", "6"},
	"limits.stuck_after":              {"1s", "2s", "3s"},
	"limits.send_buffer":              {"4KiB", "5KiB", "6KiB"},
	"limits.user_timeout":             {"1s", "2s", "3s"},
	"limits.pending_bytes":            {"65KiB", "66KiB", "67KiB"},
	"limits.pending_messages":         {"1", "2", "3"},
	"limits.pending_age":              {"1s", "2s", "3s"},
	"limits.publish_credit":           {"129KiB", "130KiB", "131KiB"},
	"limits.publish_pool":             {"1MiB", "2MiB", "3MiB"},
	"limits.authenticate_within":      {"1s", "2s", "3s"},
	"limits.authenticating":           {"1", "2", "3"},
	"limits.connect_rate":             {"1/s", "off", "3/s"},
	"limits.publish_rate":             {"1/s", "off", "3/s"},
	"limits.replays":                  {"1", "2", "3"},
	"limits.memory":                   {"128MiB", "off", "1GiB"},
	"limits.keepalive.min":            {"31s", "32s", "33s"},
	"limits.keepalive.default":        {"11m", "12m", "13m"},
	"limits.keepalive.max":            {"2h", "3h", "4h"},
	"limits.replay.messages":          {"1", "2", "3"},
	"limits.replay.bytes":             {"1KiB", "2KiB", "3KiB"},
	"limits.replay.age":               {"1m", "3m", "4m"},
	"limits.replay.total":             {"1MiB", "2MiB", "3MiB"},
	"drain.spread":                    {"1s", "2s", "3s"},
	"drain.within":                    {"1s", "2s", "3s"},
}

// partners are what a setting cannot do without.
var partners = map[string]map[string]string{
	"listen_tls":      {"tls.certificate": "gateway.pem", "tls.key": "gateway-key.pem"},
	"tls.certificate": {"tls.key": "gateway-key.pem"},
	"tls.key":         {"tls.certificate": "gateway.pem"},
	"peer_advertise":  {"peer_listen": "127.0.0.1:7313"},
	"fleet.ca":        {"fleet.cert": "gw.pem", "fleet.key": "gw-key.pem"},
	"fleet.cert":      {"fleet.ca": "ca.pem", "fleet.key": "gw-key.pem"},
	"fleet.key":       {"fleet.ca": "ca.pem", "fleet.cert": "gw.pem"},
	"admin_auth":      {"tokens.keys": "token.pub.pem"},
}

// withPartners are the variables that set what goes with a setting.
func withPartners(key string) map[string]string {
	variables := map[string]string{}
	for partner, value := range partners[key] {
		variables[envName(setting{key: partner}.flag())] = value
	}
	return variables
}

// yamlOf is a file with one setting.
func yamlOf(row setting, value string) string {
	row.value = value
	words := strings.Split(row.key, ".")
	var out strings.Builder
	for depth, word := range words[:len(words)-1] {
		out.WriteString(indent(depth) + word + ":\n")
	}
	out.WriteString(indent(len(words)-1) + words[len(words)-1] + ": " + yamlValue(row, new(Settings)) + "\n")
	return out.String()
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bellwire.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// shown parses a `config show` with these arguments and variables.
func shown(t *testing.T, variables map[string]string, args ...string) (*effective, error) {
	t.Helper()
	invocation, err := parse(append([]string{"config", "show"}, args...), getenvOf(variables), io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	require.NotNil(t, invocation.settings)
	return invocation.settings, nil
}

func getenvOf(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

// TestEachSourceWinsOverTheOnesBelowIt tries every subset of flag, environment and file for every setting, which holds
// each pair of the precedence flag > environment > file > default.
func TestEachSourceWinsOverTheOnesBelowIt(t *testing.T) {
	require.Len(t, layers, len(settingTable))
	for _, row := range settingTable {
		values, ok := layers[row.key]
		require.True(t, ok, row.key)
		for subset := range 8 {
			var args []string
			variables := map[string]string{}
			if subset != 0 {
				variables = withPartners(row.key)
			}
			want, from := row.value, fromDefault
			if subset&1 != 0 {
				args = append(args, "--config", writeFile(t, yamlOf(row, values.file)))
				want, from = values.file, fromFile
			}
			if subset&2 != 0 {
				variables[envName(row.flag())] = values.environment
				want, from = values.environment, fromEnvironment
			}
			if subset&4 != 0 {
				args = append(args, "--"+row.flag()+"="+values.flag)
				want, from = values.flag, fromFlag
			}
			got, err := shown(t, variables, args...)
			require.NoError(t, err, "%s %v %v", row.key, args, variables)
			require.Equal(t, want, valueText(row.target(&got.Settings)), "%s %v %v", row.key, args, variables)
			require.Equal(t, from, got.origin(row.key).kind, "%s %v %v", row.key, args, variables)
			for _, other := range settingTable {
				if _, partner := partners[row.key][other.key]; other.key != row.key && !partner {
					require.Equal(t, origin{kind: fromDefault}, got.origin(other.key), "%s, setting %s", other.key, row.key)
				}
			}
		}
	}
}

func TestOriginSaysWhere(t *testing.T) {
	file := writeFile(t, "# first line\nlimits:\n  subscriptions: 7\n")
	got, err := shown(t, map[string]string{"BELLWIRE_LOOPS": "2", "BELLWIRE_CONFIG": file}, "--name=x")
	require.NoError(t, err)
	require.Equal(t, "file "+file+":3", got.origin("limits.subscriptions").String())
	require.Equal(t, "environment BELLWIRE_LOOPS", got.origin("loops").String())
	require.Equal(t, "flag --name", got.origin("name").String())
	require.Equal(t, "default", got.origin("drain.spread").String())
}

func TestEmptyVariableIsNone(t *testing.T) {
	got, err := shown(t, map[string]string{"BELLWIRE_LISTEN": ""})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7311", got.Listen)
	require.Equal(t, fromDefault, got.origin("listen").kind)
}

func TestListFlagReplacesTheFilesListAndMayBeRepeated(t *testing.T) {
	file := writeFile(t, "broadcast: [\"a/#\", \"with,comma\", 'with\\']\n")
	got, err := shown(t, nil, "--config", file)
	require.NoError(t, err)
	require.Equal(t, []string{"a/#", "with,comma", `with\`}, got.Broadcast)
	got, err = shown(t, nil, "--config", file, "--broadcast", "b/#", "--broadcast", `c,d\,e`)
	require.NoError(t, err)
	require.Equal(t, []string{"b/#", "c", "d,e"}, got.Broadcast)
}

// TestDefaultsAreTheContract states the figures that the documents promise, so that a slip of the table is noticed.
func TestDefaultsAreTheContract(t *testing.T) {
	s, err := defaultSettings()
	require.NoError(t, err)
	require.Equal(t, Settings{
		Listen: "127.0.0.1:7311", Admin: "127.0.0.1:7312", Broadcast: []string{"broadcast/#"}, Audit: "log", AdminAuth: "off",
		Cluster: "bellwire", Central: "embedded",
		TLS: TLSSettings{Mapping: "uri:bellwire://{tenant}/{device}", Curves: "auto"},
		Log: LogSettings{Format: logAuto},
		Limits: LimitSettings{
			Frame: 64 << 10, Subscriptions: 64, Topics: 1_000_000, TopicsPerTenant: 100_000, TopicRate: 10_000, Links: 2_000_000,
			PendingBytes: 256 << 10, PendingMessages: 2048, PendingAge: 10 * time.Second,
			StuckAfter: 5 * time.Second, SendBuffer: 64 << 10, UserTimeout: 30 * time.Second,
			PublishCredit: 128 << 10, PublishPool: 32 << 20,
			AuthenticateWithin: 5 * time.Second, Authenticating: 4096, Replays: 64, ConnectRate: RateAuto, PublishRate: RateAuto, Memory: MemoryAuto,
			Handshakes: 4096, UnprovenPerNetwork: RateAuto, ConnectRatePerNetwork: RateAuto,
			Keepalive: KeepaliveSettings{Min: 30 * time.Second, Default: 10 * time.Minute, Max: time.Hour},
			Replay:    ReplaySettings{Messages: 256, Bytes: 256 << 10, Age: 2 * time.Minute, Total: 64 << 20},
		},
		Drain: DrainSettings{Spread: 10 * time.Second, Within: 5 * time.Second},
	}, s)
	require.Empty(t, s.problems())
}

func TestTableRows(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range settingTable {
		require.False(t, seen[row.key], "%s stands twice", row.key)
		seen[row.key] = true
		require.NotEmpty(t, row.what, row.key)
		require.NotEmpty(t, row.why, row.key)
		require.False(t, strings.HasSuffix(row.what, ".") || strings.HasSuffix(row.why, "."), "%s: the dot is added", row.key)
		require.NotContains(t, row.what+row.why, "\n", row.key)
		s := new(Settings)
		require.NoError(t, setText(row.target(s), row.value), row.key)
		require.Equal(t, row.value, valueText(row.target(s)), "%s: written as it is shown", row.key)
	}
}

func TestSettingsAreHeldAgainstEachOther(t *testing.T) {
	for _, test := range []struct {
		flag, key, want string
	}{
		{"--listen=0.0.0.0:7311", "listen", "not loopback"},
		{"--listen=:7311", "listen", "not loopback"},
		{"--listen=gateway.example:7311", "listen", "not loopback"},
		{"--listen=[::]:7311", "listen", "not loopback"},
		{"--listen=127.0.0.1", "listen", "no port"},
		{"--listen=127.0.0.1:http", "listen", "not a number"},
		{"--listen=127.0.0.1:65536", "listen", "not a number"},
		{"--listen=::1:7311", "listen", "brackets"},
		{"--admin=10.0.0.1:7312", "admin", "not loopback"},
		{"--admin=on", "admin", "no port"},
		{"--loops=-1", "loops", "write 0 to 64"},
		{"--loops=65", "loops", "write 0 to 64"},
		{"--broadcast=", "broadcast", "is empty"},
		{"--broadcast=a/#/b", "broadcast", "a/#/b"},
		{"--limits-connections=-1", "limits.connections", "out of range"},
		{"--limits-frame=512", "limits.frame", "power of two"},
		{"--limits-frame=2MiB", "limits.frame", "power of two"},
		{"--limits-frame=3KiB", "limits.frame", "power of two"},
		{"--limits-subscriptions=0", "limits.subscriptions", "out of range"},
		{"--limits-topics=0", "limits.topics", "out of range"},
		{"--limits-topics=99999", "limits.topics_per_tenant", "write 1 to 99999"},
		{"--limits-topic-rate=0", "limits.topic_rate", "out of range"},
		{"--limits-pending-bytes=63KiB", "limits.pending_bytes", "at least limits.frame, 64KiB"},
		{"--limits-pending-messages=0", "limits.pending_messages", "out of range"},
		{"--limits-authenticating=0", "limits.authenticating", "out of range"},
		{"--limits-memory=63MiB", "limits.memory", "at least 64MiB"},
		{"--audit=", "audit", "log, off, or a file"},
		{"--limits-replays=0", "limits.replays", "out of range"},
		{"--limits-pending-age=0", "limits.pending_age", "too short"},
		{"--limits-stuck-after=999ms", "limits.stuck_after", "too short"},
		{"--limits-send-buffer=4095", "limits.send_buffer", "at least 4KiB"},
		{"--limits-user-timeout=999ms", "limits.user_timeout", "too short"},
		{"--limits-publish-credit=127KiB", "limits.publish_credit", "at least twice limits.frame, 128KiB"},
		{"--limits-publish-pool=127KiB", "limits.publish_pool", "at least limits.publish_credit, 128KiB"},
		{"--limits-authenticate-within=0", "limits.authenticate_within", "too short"},
		{"--limits-keepalive-min=500ms", "limits.keepalive.min", "whole seconds"},
		{"--limits-keepalive-max=61500ms", "limits.keepalive.max", "whole seconds"},
		{"--limits-keepalive-min=11m", "limits.keepalive.default", "11m to 1h"},
		{"--limits-keepalive-max=9m", "limits.keepalive.default", "30s to 9m"},
		{"--limits-keepalive-max=13h", "limits.keepalive.max", "at most 12h"},
		{"--limits-replay-messages=0", "limits.replay.messages", "out of range"},
		{"--limits-replay-bytes=0", "limits.replay.bytes", "at least 1"},
		{"--limits-replay-age=999ms", "limits.replay.age", "too short"},
		{"--limits-replay-total=1KiB", "limits.replay.total", "at least limits.replay.bytes, 256KiB"},
		{"--drain-spread=-1s", "drain.spread", "too short"},
		{"--drain-within=-1s", "drain.within", "too short"},
		{"--drain-spread=25h", "drain.spread", "at most 24h"},
		{"--drain-within=25h", "drain.within", "at most 24h"},
	} {
		_, err := shown(t, nil, test.flag)
		var settings *settingsError
		require.ErrorAs(t, err, &settings, test.flag)
		require.Equal(t, test.key, settings.problems[0].key, test.flag)
		require.Contains(t, settings.problems[0].text, test.want, test.flag)
	}
}

func TestAddressesThatAreFine(t *testing.T) {
	for _, flags := range [][]string{
		{"--listen=127.0.0.1:0"},
		{"--listen=localhost:7311"},
		{"--listen=[::1]:7311", "--admin=127.9.9.9:80"},
		{"--listen=0.0.0.0:7311", "--insecure"},
		{"--listen=:7311", "--admin=:7312", "--insecure"},
		{"--admin=off"},
	} {
		_, err := shown(t, nil, flags...)
		require.NoError(t, err, flags)
	}
}

// TestFleetFilesAreLive: other files are taken over, but whether there are any is not.
func TestFleetFilesAreLive(t *testing.T) {
	const one, two = "fleet: {ca: a, cert: b, key: c}\n", "fleet: {ca: a, cert: d, key: e}\n"
	for _, test := range []struct {
		before, after string
		proven        bool
		live, restart []string
	}{
		{one, two, true, []string{"fleet.cert", "fleet.key"}, nil},
		{one, "", true, nil, []string{"fleet.ca", "fleet.cert", "fleet.key"}},
		{"", one, true, []string{"fleet.ca", "fleet.cert", "fleet.key"}, nil}, // they were taken out, and have stayed in force
		{"", one, false, nil, []string{"fleet.ca", "fleet.cert", "fleet.key"}},
		{one, two, false, nil, []string{"fleet.cert", "fleet.key"}}, // they were put in, and wait
	} {
		file := writeFile(t, test.before)
		before, err := shown(t, nil, "--config", file, "--peer-listen=127.0.0.1:1")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, []byte(test.after), 0o600))
		after, err := before.reload()
		require.NoError(t, err)
		live, restart := before.changes(after, test.proven)
		require.Equal(t, test.live, live)
		require.Equal(t, test.restart, restart)
	}
}

func TestReloadReadsTheFileAgain(t *testing.T) {
	file := writeFile(t, "limits: {pending_age: 7s}\nlog: {level: debug}\n")
	before, err := shown(t, map[string]string{"BELLWIRE_LOOPS": "2"}, "--config", file, "--limits-subscriptions=9")
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(file, []byte("limits: {pending_age: 8s, subscriptions: 10, frame: 32KiB}\nloops: 5\nname: new\n"), 0o600))
	after, err := before.reload()
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, before.Limits.PendingAge, "the old settings stay as they are")
	require.Equal(t, 8*time.Second, after.Limits.PendingAge)
	require.Equal(t, 9, after.Limits.Subscriptions, "a flag wins over the file also at a reload")
	require.Equal(t, 2, after.Loops, "so does the environment")
	live, restart := before.changes(after, false)
	require.Equal(t, []string{"log.level", "limits.pending_age"}, live)
	require.Equal(t, []string{"name", "limits.frame"}, restart, "a gateway sizes its memory by the frame")

	require.NoError(t, os.WriteFile(file, []byte("limits: {subscriptions: many}\n"), 0o600))
	_, err = after.reload()
	require.ErrorContains(t, err, "limits.subscriptions")
	require.Equal(t, 8*time.Second, after.Limits.PendingAge)
}
