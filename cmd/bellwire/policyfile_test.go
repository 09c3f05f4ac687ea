package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

func asker(t *testing.T, identity string) access.Subject {
	t.Helper()
	id, err := wire.ParseIdentity(identity)
	require.NoError(t, err)
	return access.Subject{ID: id}
}

func TestPolicyFileErrors(t *testing.T) {
	const rule = "rules:\n  - allow: [publish]\n    topics: [a]\n"
	for _, test := range []struct {
		name, file, want string
	}{
		{"unknown key", "rule: []\n", "p.yaml:1: rule: no such key: is rules meant?"},
		{"unknown key, nothing near", "permissions: []\n", "p.yaml:1: permissions: no such key: there are rules, quotas"},
		{"unknown key of a rule", rule + "    topic: [b]\n", "p.yaml:4: rules[0].topic: no such key: is topics meant?"},
		{"unknown key of a quota", "quotas:\n  acme: {publish-rate: 5}\n", "p.yaml:2: quotas.acme.publish-rate: no such key: is publish_rate meant?"},
		{"unknown action", "rules:\n  - allow: [publish, subscribed]\n    topics: [a]\n", `p.yaml:2: rules[0].allow[1]: "subscribed" is no action: write publish or subscribe`},
		{"action in capitals", "rules:\n  - deny: [PUBLISH]\n    topics: [a]\n", `p.yaml:2: rules[0].deny[0]: "PUBLISH" is no action`},
		{"neither allow nor deny", rule + "  - topics: [b]\n", "p.yaml:4: rules[1]: has neither allow nor deny: write allow: [publish, subscribe], or deny:"},
		{"both allow and deny", "rules:\n  - allow: [publish]\n    deny: [subscribe]\n    topics: [a]\n", "p.yaml:2: rules[0]: has both allow and deny: make two rules of it"},
		{"empty allow", "rules:\n  - allow: []\n    topics: [a]\n", "p.yaml:2: rules[0].allow: is empty, which is not the same as all: fill it, or leave the key out"},
		{"empty tenants", rule + "    tenants: []\n", "p.yaml:4: rules[0].tenants: is empty, which is not the same as all"},
		{"no devices", rule + "    devices:\n", "p.yaml:4: rules[0].devices: is nothing, not a list: write it in brackets"},
		{"text for a list", rule + "    devices: lamp\n", `p.yaml:4: rules[0].devices: is text ("lamp"), not a list: write it in brackets`},
		{"null in a list", rule + "    devices: [lamp, ~]\n", "p.yaml:4: rules[0].devices[1]: is nothing, not text: write it in quotes"},
		{"number in a list", rule + "    tenants: [5]\n", "p.yaml:4: rules[0].tenants[0]: is 5, a number, not text: write it in quotes"},
		{"no topics", "rules:\n  - allow: [publish]\n", "p.yaml:2: rules[0].topics: there are none: write at least one filter; # is every topic"},
		{"bad topic", "rules:\n  - allow: [publish]\n    topics:\n      - a\n      - \"a/{dev}\"\n", `p.yaml:5: rules[0].topics[1]: "a/{dev}": there is no variable {dev}: write {tenant} or {device}`},
		{"bad filter", rule + "  - allow: [publish]\n    topics: [\"#/a\"]\n", `p.yaml:5: rules[1].topics[0]: filter "#/a": # must be last`},
		{"bad pattern", rule + "    tenants: [\"a*b\"]\n", `p.yaml:4: rules[0].tenants[0]: "a*b": * stands only at the end`},
		{"names too many", "rules:\n  - allow: [publish]\n    topics: [a]\n    tenants: [" + strings.Repeat("t,", 2000) + "t]\n    devices: [" + strings.Repeat("d,", 2000) + "d]\n", "p.yaml:2: rules[0]: names too much"},
		{"rules are no list", "rules: {allow: [publish]}\n", "p.yaml:1: rules: is a section, not a list: begin each rule with -"},
		{"rule is text", "rules: [all]\n", `p.yaml:1: rules[0]: is text ("all"): put keys below it: allow, deny, tenants, devices, topics`},
		{"rule is nothing", "rules:\n  -\n", "rules[0]: is nothing: put keys below it"},
		{"rule is empty", "rules: [{}]\n", "p.yaml:1: rules[0]: has neither allow nor deny"},
		{"list for the file", "- allow: [publish]\n", "p.yaml:1: policy: is a list: put keys below it: rules, quotas"},
		{"text for the file", "allow everything\n", `p.yaml:1: policy: is text ("allow everything"): put keys below it: rules, quotas`},
		{"quota is a number", "quotas:\n  acme: 5\n", "p.yaml:2: quotas.acme: is 5, a number: put keys below it: connections, publish_rate, bytes_out"},
		{"quota is nothing", "quotas:\n  acme:\n", "quotas.acme: is nothing: put keys below it: connections, publish_rate, bytes_out"},
		{"quotas are a list", "quotas: [acme]\n", "p.yaml:1: quotas: is a list: put keys below it: a tenant's name"},
		{"negative connections", "quotas:\n  acme:\n    connections: -1\n", "p.yaml:3: quotas.acme.connections: -1 is out of range: write 0 (no bound) to 1073741824"},
		{"negative rate", "quotas: {acme: {publish_rate: -5}}\n", "p.yaml:1: quotas.acme.publish_rate: -5 is out of range"},
		{"negative size", "quotas: {acme: {bytes_out: -5}}\n", `p.yaml:1: quotas.acme.bytes_out: "-5" is not a size`},
		{"negative size with a unit", "quotas: {acme: {bytes_out: -1MiB}}\n", `p.yaml:1: quotas.acme.bytes_out: "-1MiB" is not a size`},
		{"too many connections", "quotas: {acme: {connections: 1073741825}}\n", "p.yaml:1: quotas.acme.connections: 1073741825 is out of range"},
		{"too many bytes", "quotas: {acme: {bytes_out: 1025GiB}}\n", "p.yaml:1: quotas.acme.bytes_out: 1025GiB is out of range: write 0 (no bound) to 1024GiB"},
		{"text for connections", "quotas: {acme: {connections: many}}\n", `p.yaml:1: quotas.acme.connections: is text ("many"), not a whole number such as 1000; 0 is no bound`},
		{"fraction", "quotas: {acme: {publish_rate: 0.5}}\n", "p.yaml:1: quotas.acme.publish_rate: is 0.5, a number, not a whole number such as 1000; 0 is no bound"},
		{"boolean for a size", "quotas: {acme: {bytes_out: true}}\n", "p.yaml:1: quotas.acme.bytes_out: is true, a yes or no, not a size such as 1MiB; 0 is no bound"},
		{"no value", "quotas:\n  acme:\n    connections:\n", "quotas.acme.connections: is nothing, not a whole number such as 1000; 0 is no bound"},
		{"pattern of tenants in quotas", "quotas: {\"ac*\": {connections: 5}}\n", `p.yaml:1: quotas.ac*: identity: tenant "ac*": byte 2 ('*')`},
		{"number for a tenant", "quotas:\n  5: {connections: 5}\n", "p.yaml:2: quotas.5: is no plain key: write names in letters, others in quotes"},
		{"reference for a tenant", "quotas:\n  &a acme: {connections: 5}\n  *a : {connections: 5}\n", "is no plain key"},
		{"merge key", "<<: {rules: []}\n", "p.yaml:1: <<: is no plain key"},
		{"merge key in a rule", rule + "    <<: {tenants: [acme]}\n", "p.yaml:4: rules[0].<<: is no plain key"},
		{"anchor", "rules:\n  - allow: &x [publish]\n    topics: [a]\n", "p.yaml:2: rules[0].allow: is an anchor or a reference to one, which are not read, not a list"},
		{"reference", rule + "    devices: *x\n", "rules[0].devices: is an anchor or a reference"},
		{"tag", "rules: !!seq []\n", "p.yaml:1: rules: is something else (Tag), not a list"},
		{"block of text", "rules:\n  - allow: [publish]\n    topics:\n      - |\n        a\n", "rules[0].topics[0]: is a block of text, not text: write it in quotes"},
		{"key twice", "rules: []\nrules: []\n", "p.yaml:2: policy: not YAML: mapping key \"rules\" already defined"},
		{"key twice in a rule", rule + "    topics: [b]\n", "already defined"},
		{"tenant twice", "quotas:\n  acme: {}\n  \"acme\": {}\n", "p.yaml:3: "},
		{"second document", rule + "---\n" + rule, "p.yaml:5: policy: a second document: keep all rules in one, without ---"},
		{"not YAML", "rules: [\n", "p.yaml:1: policy: not YAML: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			policy, quotas, err := parsePolicy("p.yaml", []byte(test.file))
			require.ErrorContains(t, err, test.want)
			require.Nil(t, policy)
			require.Nil(t, quotas)
			require.Equal(t, exitFailed, codeOf(err))
			for _, line := range strings.Split(err.Error(), "\n") {
				require.Regexp(t, `^p\.yaml:[0-9]+: `, line, "each problem has its line")
			}
		})
	}
}

func TestPolicyFileNamesAllThatIsWrong(t *testing.T) {
	_, _, err := parsePolicy("p.yaml", []byte("rules:\n  - alow: [publish]\n    topics: [a]\n  - deny: [5, nothing]\nquota: {}\nquotas:\n  a b: {connections: x}\n"))
	require.Error(t, err)
	var places []string
	for _, line := range strings.Split(err.Error(), "\n") {
		places = append(places, strings.Join(strings.SplitN(line, ": ", 3)[:2], " "))
	}
	require.Equal(t, []string{
		"p.yaml:2 rules[0].alow", "p.yaml:2 rules[0]", "p.yaml:4 rules[1].deny[0]",
		"p.yaml:5 quota", "p.yaml:7 quotas.a b", "p.yaml:7 quotas.a b.connections",
	}, places)

	_, _, err = parsePolicy("p.yaml", []byte("rules:\n  - allow: [publish]\n    topics: [\"#a\", b]\n    devices: [\"/\"]\n  - allow: [publish]\n"))
	require.Len(t, strings.Split(err.Error(), "\n"), 3, "%v", err)
}

// A file that grants nothing is a policy that grants nothing, never no policy (BC-12).
func TestPolicyFileThatGrantsNothing(t *testing.T) {
	for _, text := range []string{
		"", "\n", "# only words\n", "---\n", "~\n", "{}\n", "rules:\n", "rules: []\n", "rules: ~\nquotas: ~\n",
		"quotas: {acme: {connections: 5}}\n", "rules:\n  # - allow: [publish]\n  #   topics: [\"#\"]\n",
		"rules:\n  - deny: [publish]\n    topics: [a]\n",
	} {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		policy, quotas, err := readPolicyFile(path)
		require.NoError(t, err, "%q", text)
		require.NotNil(t, policy, "%q", text)
		require.NotNil(t, quotas, "%q", text)
		for _, a := range []access.Action{access.Publish, access.Subscribe} {
			require.False(t, policy.May(asker(t, "acme/lamp"), a, "broadcast/a"), "%q", text)
			require.Equal(t, access.None, policy.Filter(asker(t, "acme/lamp"), a, "#"), "%q", text)
		}
	}
}

func TestPolicyFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	require.NoError(t, os.WriteFile(large, []byte("rules: []\n"+strings.Repeat("#\n", maxPolicyFile/2)), 0o600))
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "cannot read the policy: ",
		dir:                             "is a directory",
		large:                           "large.yaml is larger than 1MiB",
	} {
		policy, _, err := readPolicyFile(path)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
		require.Nil(t, policy)
	}
}

func TestPolicyQuotas(t *testing.T) {
	_, quotas, err := parsePolicy("p.yaml", []byte(`quotas:
  acme: {connections: 1000, publish_rate: 500, bytes_out: 1MiB}
  globex:
    bytes_out: 4096
  initech: {connections: 0}
  hooli: {}
  '*': {connections: 5000}
`))
	require.NoError(t, err)
	require.Equal(t, map[string]quota{
		"acme": {1000, 500, 1 << 20}, "globex": {BytesOut: 4096}, "initech": {}, "hooli": {}, everyTenant: {Connections: 5000},
	}, quotas)
}

// What the sample says in its comments is so.
func TestSamplePolicy(t *testing.T) {
	policy, quotas, err := readPolicyFile("dist/policy.yaml")
	require.NoError(t, err)
	require.Equal(t, map[string]quota{"acme": {1000, 500, 1 << 20}, everyTenant: {Connections: 5000}}, quotas)
	for _, test := range []struct {
		identity string
		action   access.Action
		filter   string
		want     access.Cover
	}{
		{"acme/lamp-7", access.Subscribe, "broadcast/#", access.Whole},
		{"acme/sensor-7", access.Subscribe, "broadcast/#", access.Part},
		{"acme/sensor-7", access.Subscribe, "broadcast/service/#", access.None},
		{"acme/sensor-7", access.Subscribe, "broadcast/service", access.None},
		{"acme/hub-1", access.Subscribe, "broadcast/service/#", access.Whole},
		{"acme/lamp-7", access.Publish, "broadcast/state/lamp-7/on", access.Whole},
		{"acme/lamp-7", access.Publish, "broadcast/state/lamp-8/on", access.None},
		{"acme/lamp-7", access.Subscribe, "to/lamp-7/#", access.Whole},
		{"acme/lamp-7", access.Subscribe, "to/+/#", access.Part},
		{"acme/lamp-7", access.Subscribe, "to/lamp-8/#", access.None},
		{"acme/hub-1", access.Publish, "broadcast/announce/noon", access.Whole},
		{"acme/lamp-7", access.Publish, "broadcast/announce/noon", access.None},
		{"globex/hub-1", access.Publish, "broadcast/announce/noon", access.None},
		{"acme/hub-1", access.Publish, "broadcast/other", access.None},
	} {
		require.Equal(t, test.want, policy.Filter(asker(t, test.identity), test.action, test.filter), "%+v", test)
	}
}

// FuzzParsePolicy: any file is a policy that can be asked, or an error that names the file.
func FuzzParsePolicy(f *testing.F) {
	sample, err := os.ReadFile("dist/policy.yaml")
	require.NoError(f, err)
	f.Add(sample)
	f.Add([]byte("rules: [{allow: [publish], topics: ['#']}]\nquotas: {'*': {bytes_out: 0}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		policy, quotas, err := parsePolicy("p.yaml", text)
		if err != nil {
			require.Contains(t, err.Error(), "p.yaml")
			require.Nil(t, policy)
			return
		}
		require.NotNil(t, policy)
		may := policy.May(asker(t, "acme/lamp"), access.Publish, "a/b")
		if !strings.Contains(string(text), "allow") && !strings.Contains(string(text), "\\") {
			require.False(t, may, "nothing is allowed")
		}
		for tenant, q := range quotas {
			if tenant != everyTenant {
				require.NoError(t, wire.Identity{Tenant: tenant, Device: "x"}.Check())
			}
			require.True(t, q.Connections >= 0 && q.PublishRate >= 0 && q.BytesOut >= 0, "%+v", q)
		}
	})
}
