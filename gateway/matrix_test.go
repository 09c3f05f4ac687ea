package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// matrixIdentity is who asks, in a row of the matrix.
type matrixIdentity struct {
	name  string
	id    wire.Identity
	proof *secure.Proof // nil: nothing but the identity
}

func matrixIdentities() []matrixIdentity {
	a := wire.Identity{Tenant: "acme", Device: "a"}
	return []matrixIdentity{
		{"acme/a", a, nil},
		{"acme/b", wire.Identity{Tenant: "acme", Device: "b"}, nil},
		{"other/a", wire.Identity{Tenant: "other", Device: "a"}, nil},
		{"acme/a by token", a, &secure.Proof{
			Identity: a, Limited: true,
			Publish: []string{"broadcast/state/{device}"}, Subscribe: []string{"broadcast/news", "broadcast/secret/#", "broadcast/to/{tenant}/+"},
		}},
	}
}

var matrixTopics = []string{"broadcast/news", "broadcast/secret/x", "broadcast/to/acme/a", "broadcast/state/a"}

// matrixPolicy is rules, and the same once more for the oracle.
type matrixPolicy struct {
	name  string
	rules []access.Rule // nil: no policy
}

func matrixPolicies() []matrixPolicy {
	all := access.Rule{Topics: []string{"broadcast/#"}}
	return []matrixPolicy{
		{"none", nil},
		{"allow", []access.Rule{all}},
		{"deny inside", []access.Rule{all, {Deny: true, Topics: []string{"broadcast/secret/#", "broadcast/state/a"}}}},
		{"variables", []access.Rule{
			{Actions: []access.Action{access.Subscribe}, Topics: []string{"broadcast/news", "broadcast/to/{tenant}/{device}"}},
			{Actions: []access.Action{access.Publish}, Topics: []string{"broadcast/state/{device}"}},
		}},
		{"by name", []access.Rule{
			{Tenants: []string{"acme"}, Topics: []string{"broadcast/+/#"}},
			{Deny: true, Devices: []string{"b"}, Actions: []access.Action{access.Subscribe}, Topics: []string{"broadcast/+"}},
		}},
		{"empty", []access.Rule{}},
	}
}

func (p matrixPolicy) policy(t testing.TB) *access.Policy {
	if p.rules == nil {
		return nil
	}
	return policyOf(t, p.rules...)
}

// The matrix (BC-12, BC-D8): every path to every topic, for everyone, under every
// policy. Whether it is granted is decided by another program than the gateway's, a
// denial has its code and nothing of the topic leaves, nor is it made. The table is
// in testdata/matrix.txt; -rewrite writes it anew.
func TestAuthorizationMatrix(t *testing.T) {
	paths := matrixPaths()
	var table strings.Builder
	fmt.Fprintf(&table, "Each cell: code of the answer, messages delivered. Made by TestAuthorizationMatrix.\n\n")
	for _, p := range paths {
		fmt.Fprintf(&table, "%c: %s\n", 'A'+indexOf(paths, p.name), p.name)
	}
	cells, denied := 0, 0
	for _, p := range matrixPolicies() {
		for _, who := range matrixIdentities() {
			fmt.Fprintf(&table, "\n%s, %s\n%-20s", p.name, who.name, "")
			for i := range paths {
				fmt.Fprintf(&table, "     %c", 'A'+i)
			}
			table.WriteByte('\n')
			for _, topic := range matrixTopics {
				fmt.Fprintf(&table, "%-20s", topic)
				o := oracle{p, who}
				for _, path := range paths {
					c := &matrixCell{sim: newSim(t, Config{Policy: p.policy(t), without: guards{check: true}}), who: who, rules: p.policy(t), topic: topic}
					code, messages := path.run(c)
					wantCode, want := wire.CodeNotGranted, 0
					granted := o.may(path.action, topic)
					if granted {
						want = path.messages
					}
					if granted || path.wildcard && o.some() {
						wantCode = wire.CodeOK
					}
					what := fmt.Sprintf("%s: %s of %s under %s", who.name, path.name, topic, p.name)
					require.Equal(t, wantCode, code, what)
					require.Equal(t, want, messages, what)
					if want == 0 && wantCode != wire.CodeOK && c.sent == 0 && path.name != "publish by id" {
						require.Zero(t, c.g.topics.Load(), "%s: it was made", what)
					}
					fmt.Fprintf(&table, "  %02X %d", byte(code), messages)
					cells++
					if !granted {
						denied++
					}
				}
				table.WriteByte('\n')
			}
		}
	}
	fmt.Fprintf(&table, "\n%d cells, %d denied\n", cells, denied)
	require.GreaterOrEqual(t, cells, 300)
	golden := filepath.Join("testdata", "matrix.txt")
	if *rewrite {
		require.NoError(t, os.WriteFile(golden, []byte(table.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), table.String())
}

func indexOf(paths []matrixPath, name string) int {
	for i := range paths {
		if paths[i].name == name {
			return i
		}
	}
	return -1
}

// With the guards out cells leak: so the matrix would notice.
func TestMatrixNotices(t *testing.T) {
	p, who := matrixPolicies()[2], matrixIdentities()[0]
	for name, without := range map[string]guards{
		"wildcard":                  {check: true, perMessage: true},
		"reload, waiting, wildcard": {check: true, purge: true},
		"reload, in its ring":       {check: true, purge: true},
		"reload, waiting":           {check: true, purge: true},
	} {
		paths := matrixPaths()
		c := &matrixCell{sim: newSim(t, Config{Policy: p.policy(t), without: without}), who: who, rules: p.policy(t), topic: "broadcast/secret/x"}
		_, messages := paths[indexOf(paths, name)].run(c)
		require.NotZero(t, messages, name)
	}
}
