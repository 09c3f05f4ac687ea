package access_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

var update = flag.Bool("update", false, "write testdata/matrix.txt anew")

// kinds are policies, one for each kind of rule.
var kinds = []struct {
	name  string
	rules []access.Rule // nil: no policy
}{
	{"no policy", nil},
	{"no rules", []access.Rule{}},
	{"allow a topic", []access.Rule{allow("news/eu")}},
	{"allow one level", []access.Rule{allow("news/+")}},
	{"allow all below", []access.Rule{allow("news/#")}},
	{"allow everything", []access.Rule{allow("#")}},
	{"allow to publish", []access.Rule{{Actions: []access.Action{access.Publish}, Topics: []string{"#"}}}},
	{"allow to subscribe", []access.Rule{{Actions: []access.Action{access.Subscribe}, Topics: []string{"#"}}}},
	{"allow a tenant", []access.Rule{{Tenants: []string{"acme"}, Topics: []string{"#"}}}},
	{"allow tenants by pattern", []access.Rule{{Tenants: []string{"ac*", "x"}, Topics: []string{"#"}}}},
	{"allow a device", []access.Rule{{Devices: []string{"lamp-7"}, Topics: []string{"#"}}}},
	{"allow devices by pattern", []access.Rule{{Devices: []string{"hub-*"}, Topics: []string{"#"}}}},
	{"allow a tenant's devices", []access.Rule{{Tenants: []string{"acme"}, Devices: []string{"hub-*", "x"}, Topics: []string{"#"}}}},
	{"variables as levels", []access.Rule{allow("state/{tenant}/{device}/#")}},
	{"variable in a level", []access.Rule{allow("to-{device}")}},
	{"variable before a wildcard", []access.Rule{allow("state/{tenant}/+/#")}},
	{"two halves", []access.Rule{allow("news"), allow("news/+/#")}},
	{"deny a topic inside", []access.Rule{allow("news/#"), deny("news/eu")}},
	{"deny one level inside", []access.Rule{allow("#"), deny("news/+")}},
	{"deny all below", []access.Rule{deny("news/#"), allow("#")}},
	{"deny everything", []access.Rule{allow("#"), deny("#")}},
	{"deny without allow", []access.Rule{deny("news/eu")}},
	{"deny publishing", []access.Rule{allow("#"), {Deny: true, Actions: []access.Action{access.Publish}, Topics: []string{"news/#"}}}},
	{"deny a tenant", []access.Rule{allow("#"), {Deny: true, Tenants: []string{"globex"}, Topics: []string{"#"}}}},
	{"deny a device", []access.Rule{allow("#"), {Deny: true, Devices: []string{"lamp-7"}, Topics: []string{"news/#"}}}},
	{"deny devices by pattern", []access.Rule{allow("#"), {Deny: true, Devices: []string{"hub-*"}, Topics: []string{"news/eu", "state/#"}}}},
	{"deny by variables", []access.Rule{allow("#"), deny("state/{tenant}/{device}/#")}},
	{"deny beside", []access.Rule{allow("news/#"), deny("other/#")}},
}

// columns are who asks.
var columns = []struct {
	name string
	s    access.Subject
}{
	{"acme/lamp-7", subject("acme/lamp-7")},
	{"acme/hub-1", subject("acme/hub-1")},
	{"globex/lamp-7", subject("globex/lamp-7")},
	{"token", access.Subject{
		ID:        wire.Identity{Tenant: "acme", Device: "hub-1"},
		Limited:   true,
		Publish:   []string{"news/eu", "state/{tenant}/{device}/#"},
		Subscribe: []string{"news/+", "to-{device}"},
	}},
}

// lines are what is asked for. A filter is asked for by subscribers only.
var lines = []string{
	"news", "news/eu", "news/eu/north", "newsreel", "other", "to-lamp-7", "state/acme/lamp-7/on", "state/acme/hub-1", "state/globex/lamp-7",
	"news/+", "news/#", "+/eu", "#", "other/#", "state/acme/+/#", "state/acme/lamp-7/#",
}

// TestMatrix holds what each kind of rule means, for each who asks and each that is asked for, against the oracle and
// against testdata/matrix.txt, which is there to be read (BC-12, BC-D8).
func TestMatrix(t *testing.T) {
	t.Parallel()
	universe := topicsOf([]string{"news", "eu", "north", "newsreel", "other", "to-lamp-7", "to-hub-1", "state", "acme", "globex", "lamp-7", "hub-1", "z"}, 3)
	universe = append(universe, "state/acme/lamp-7/on", "state/acme/lamp-7/z", "state/acme/hub-1/z", "state/globex/lamp-7/z", "state/acme/z/z", "z/z/z/z", "news/z/z/z")
	m := matrix{t: t, universe: universe}
	for _, kind := range kinds {
		m.kind(kind.name, kind.rules)
	}
	got := regexp.MustCompile(`(?m) +$`).ReplaceAllString(m.text.String(), "")
	t.Logf("%d cells\n%s", m.cells, got)
	require.Greater(t, m.cells, 300)

	const golden = "testdata/matrix.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run go test ./gateway/access -run Matrix -update")
}

// matrix writes the cells and counts them.
type matrix struct {
	t        *testing.T
	universe []string
	text     strings.Builder
	cells    int
}

func (m *matrix) kind(name string, rules []access.Rule) {
	o, p := oracle{rules: rules, none: rules == nil}, (*access.Policy)(nil)
	if rules != nil {
		p = policy(m.t, rules...)
	}
	fmt.Fprintf(&m.text, "%s\n", name)
	for _, r := range rules {
		fmt.Fprintf(&m.text, "  %s\n", ruleText(r))
	}
	fmt.Fprintf(&m.text, "  %-22s", "")
	for _, c := range columns {
		fmt.Fprintf(&m.text, "  %-15s", c.name)
	}
	fmt.Fprintf(&m.text, "\n  %-22s%s\n", "", strings.Repeat("  publish    hear", len(columns)))
	for _, line := range lines {
		fmt.Fprintf(&m.text, "  %-22s", line)
		for _, c := range columns {
			fmt.Fprintf(&m.text, "  %-7s %7s", m.cell(o, p, c.s, access.Publish, line), m.cell(o, p, c.s, access.Subscribe, line))
		}
		m.text.WriteByte('\n')
	}
	m.text.WriteByte('\n')
}

func (m *matrix) cell(o oracle, p *access.Policy, s access.Subject, a access.Action, line string) string {
	if !wire.IsWildcard([]byte(line)) {
		m.cells++
		require.Equal(m.t, o.may(s, a, line), p.May(s, a, line), "%v %v %q of %v", s, a, line, o.rules)
		return map[bool]string{true: "yes", false: "-"}[p.May(s, a, line)]
	}
	if a == access.Publish {
		return ""
	}
	m.cells++
	got := p.Filter(s, a, line)
	require.Equal(m.t, o.covers(s, a, m.universe, []string{line})[line], got, "%v %v %q of %v", s, a, line, o.rules)
	if got == access.None {
		return "-"
	}
	return got.String()
}

func ruleText(r access.Rule) string {
	text := "allow"
	if r.Deny {
		text = "deny"
	}
	for _, a := range r.Actions {
		text += " " + a.String()
	}
	for _, part := range []struct {
		name string
		list []string
	}{{"tenants", r.Tenants}, {"devices", r.Devices}, {"topics", r.Topics}} {
		if len(part.list) > 0 {
			text += " " + part.name + " " + strings.Join(part.list, ",")
		}
	}
	return text
}
