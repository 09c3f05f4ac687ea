package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

func policy(t testing.TB, rules ...access.Rule) *access.Policy {
	t.Helper()
	p, err := access.New(rules)
	require.NoError(t, err)
	return p
}

func subject(identity string) access.Subject {
	tenant, device, _ := strings.Cut(identity, "/")
	return access.Subject{ID: wire.Identity{Tenant: tenant, Device: device}}
}

func allow(topics ...string) access.Rule { return access.Rule{Topics: topics} }

func deny(topics ...string) access.Rule { return access.Rule{Deny: true, Topics: topics} }

// Without rules nothing is granted; without a policy, everything (BC-12).
func TestDenyByDefault(t *testing.T) {
	t.Parallel()
	s := subject("acme/lamp")
	for _, a := range []access.Action{access.Publish, access.Subscribe} {
		for _, p := range []*access.Policy{policy(t), new(access.Policy), policy(t, deny("a"))} {
			require.False(t, p.May(s, a, "a"))
			require.False(t, p.May(s, a, "b"))
			require.Equal(t, access.None, p.Filter(s, a, "#"))
			require.Equal(t, access.None, p.Filter(s, a, "b"))
		}
		var none *access.Policy
		require.True(t, none.May(s, a, "a"))
		require.Equal(t, access.Whole, none.Filter(s, a, "#"))
	}
}

// Every question about the small world, for random rules and tokens, has the answer of the oracle.
func TestMayAgainstOracle(t *testing.T) {
	t.Parallel()
	rng := dice(t)
	granted, refused := 0, 0
	for range 200 {
		o := oracle{rules: randomRules(rng)}
		p := policy(t, o.rules...)
		if rng.IntN(10) == 0 {
			o, p = oracle{none: true}, nil
		}
		s := randomSubject(rng)
		for _, a := range []access.Action{access.Publish, access.Subscribe} {
			for _, topic := range worldTopics {
				want := o.may(s, a, topic)
				if p.May(s, a, topic) != want {
					require.Fail(t, "differs from the oracle", "%v %q: want %v of\n%s", a, topic, want, describe(o.rules, s))
				}
				if want {
					granted++
				} else {
					refused++
				}
			}
		}
	}
	t.Logf("%d granted, %d refused", granted, refused)
	require.Greater(t, granted, 1000)
	require.Greater(t, refused, 1000)
}

// Every filter of the small world has the cover that its topics add up to.
func TestFilterAgainstOracle(t *testing.T) {
	t.Parallel()
	rng := dice(t)
	seen := map[access.Cover]int{}
	for range 400 {
		o := oracle{rules: randomRules(rng)}
		p := policy(t, o.rules...)
		if rng.IntN(10) == 0 {
			o, p = oracle{none: true}, nil
		}
		s := randomSubject(rng)
		a := pick(rng, []access.Action{access.Publish, access.Subscribe})
		for filter, want := range o.covers(s, a, worldTopics, worldFilters) {
			if got := p.Filter(s, a, filter); got != want {
				require.Fail(t, "differs from the oracle", "%v %q: %v, want %v of\n%s", a, filter, got, want, describe(o.rules, s))
			}
			if wire.IsWildcard([]byte(filter)) {
				seen[want]++
			} else {
				require.NotEqual(t, access.Part, want, "an exact filter is never part")
			}
		}
	}
	t.Logf("wildcards: %v", seen)
	for _, c := range []access.Cover{access.None, access.Part, access.Whole} {
		require.Greater(t, seen[c], 200, c)
	}
}

// No name can become a wildcard, a level or a variable. Identity.Check refuses such names; were it forgotten, they would
// get nothing.
func TestNamesAreNotSyntax(t *testing.T) {
	t.Parallel()
	p := policy(t, allow("of/{device}", "of/{tenant}", "in/{tenant}/{device}", "x-{device}/#", "open/#"), deny("open/{device}/#"))
	topics := append(topicsOf([]string{"of", "in", "open", "a", "acme"}, 3), "of/{tenant}", "x-{device}")
	for _, name := range []string{"+", "#", "a/b", "a/#", "/", "a/", "+/+", "a+", ""} {
		for _, id := range []wire.Identity{{Tenant: "acme", Device: name}, {Tenant: name, Device: "a"}, {Tenant: name, Device: name}} {
			require.Error(t, id.Check(), "%v", id)
			token := access.Subject{ID: id, Limited: true, Publish: []string{"of/{device}", "in/{tenant}/{device}"}, Subscribe: []string{"#", "+/{tenant}/#"}}
			for _, s := range []access.Subject{{ID: id}, token} {
				for _, topic := range topics {
					require.False(t, p.May(s, access.Publish, topic), "%v %q", id, topic)
					require.False(t, p.May(s, access.Subscribe, topic), "%v %q", id, topic)
				}
				for _, filter := range []string{"of/+", "#", "of/a", "in/#", "open/#"} {
					require.Equal(t, access.None, p.Filter(s, access.Subscribe, filter), "%v %q", id, filter)
				}
			}
		}
	}
	for _, name := range []string{"{tenant}", "{device}", "*"} { // words like others, if they ever came here
		s := subject("acme/" + name)
		require.Error(t, s.ID.Check())
		for _, topic := range topics {
			want := topic == "of/acme" || topic == "of/"+name || topic == "x-"+name || strings.HasPrefix(topic, "open/") || topic == "open"
			require.Equal(t, want, p.May(s, access.Publish, topic), "%q %q", name, topic)
		}
	}
}

// What is no topic, no filter or no action is refused whatever the rules are.
func TestWhatCannotBeDecidedIsRefused(t *testing.T) {
	t.Parallel()
	s := subject("acme/lamp")
	for name, p := range map[string]*access.Policy{"all": policy(t, allow("#")), "no policy": nil} {
		for _, topic := range []string{"", "+", "#", "a/+", "a/#", "a+", "$sys", "$"} {
			require.False(t, p.May(s, access.Publish, topic), "%s: %q", name, topic)
		}
		for _, filter := range []string{"", "#/a", "a+", "$sys/#", "a\x00", strings.Repeat("+/", 16) + "#", strings.Repeat("x", 256)} {
			require.Equal(t, access.None, p.Filter(s, access.Subscribe, filter), "%s: %q", name, filter)
		}
		for _, a := range []access.Action{2, 7, 8, 255} {
			require.False(t, p.May(s, a, "a"), "%s: %v", name, a)
			require.Equal(t, access.None, p.Filter(s, a, "#"), "%s: %v", name, a)
		}
	}
}

// A template that is no filter for a long name allows nothing to it, and denies what it plainly matches.
func TestTemplateThatIsTooLongForAName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d", wire.MaxDevice)
	text := strings.Repeat("p", 125) + "{device}/+/#" // 257 bytes with the name, but topics that match have 254 and more
	topic := strings.Repeat("p", 125) + long + "/"
	require.NoError(t, wire.CheckTopic([]byte(topic)))
	s, brief := access.Subject{ID: wire.Identity{Tenant: "t", Device: long}}, subject("t/d")

	allowing := policy(t, allow(text))
	require.False(t, allowing.May(s, access.Publish, topic))
	require.Equal(t, access.None, allowing.Filter(s, access.Subscribe, topic+"#"))
	require.True(t, allowing.May(brief, access.Publish, strings.Repeat("p", 125)+"d/x"), "shorter names are as good as ever")

	denying := policy(t, allow("#"), deny(text))
	require.False(t, denying.May(s, access.Publish, topic))
	require.True(t, denying.May(s, access.Publish, topic[:len(topic)-1]), "what it does not match stays granted")
	require.Equal(t, access.None, denying.Filter(s, access.Subscribe, topic+"+"))
	require.Equal(t, access.Part, denying.Filter(s, access.Subscribe, "#"))

	token := s
	token.Limited, token.Publish, token.Subscribe = true, []string{text}, []string{text}
	require.False(t, policy(t).May(token, access.Publish, topic))
	require.Equal(t, access.None, policy(t).Filter(token, access.Subscribe, topic+"#"))
}

// A token may bring entries that a policy would refuse: they allow nothing, not even the topic that they spell.
func TestWrongEntriesOfATokenAllowNothing(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("a/", wire.MaxLevels-1) + "a"
	for _, c := range []struct{ entry, topic string }{
		{"a}", "a}"},
		{"{device}}", "lamp}"},
		{"{", "{"},
		{"{other}", "{other}"},
		{"a/{device", "a/{device"},
		{"{dev/ice}", "{dev/ice}"},
		{deep + "/#", deep},
		{strings.Repeat("x", 253) + "/+/#", strings.Repeat("x", 253) + "/"},
		{"#/a", "b/a"},
		{"a+", "ab"},
		{"", "a"},
	} {
		require.Error(t, access.CheckTemplate(c.entry), "%q", c.entry)
		require.NoError(t, wire.CheckTopic([]byte(c.topic)))
		s := subject("acme/lamp")
		s.Limited, s.Publish, s.Subscribe = true, []string{c.entry}, []string{c.entry}
		for _, p := range []*access.Policy{nil, policy(t), policy(t, allow("#"))} {
			require.False(t, p.May(s, access.Publish, c.topic), "%q", c.entry)
			require.False(t, p.May(s, access.Subscribe, c.topic), "%q", c.entry)
			require.Equal(t, access.None, p.Filter(s, access.Subscribe, "#"), "%q", c.entry)
		}
	}
}

// Rules of a tenant say nothing about another (BC-D8).
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	p := policy(t,
		access.Rule{Tenants: []string{"acme"}, Topics: []string{"#"}},
		access.Rule{Deny: true, Tenants: []string{"globex"}, Topics: []string{"#"}},
		access.Rule{Tenants: []string{"in*"}, Topics: []string{"own/{tenant}/#"}},
	)
	for identity, want := range map[string]string{
		"acme/lamp": "true true true", "globex/lamp": "false false false",
		"initech/lamp": "true false false", "innova/lamp": "false true false", "Acme/lamp": "false false false",
	} {
		s := subject(identity)
		got := fmt.Sprint(p.May(s, access.Publish, "own/initech/a"), p.May(s, access.Publish, "own/innova"), p.May(s, access.Publish, "a"))
		require.Equal(t, want, got, identity)
	}
}

func TestActionsAndCoversHaveNames(t *testing.T) {
	t.Parallel()
	for _, a := range []access.Action{access.Publish, access.Subscribe} {
		got, err := access.ParseAction(a.String())
		require.NoError(t, err)
		require.Equal(t, a, got)
	}
	_, err := access.ParseAction("Publish")
	require.EqualError(t, err, `"Publish" is no action: write publish or subscribe`)
	require.Equal(t, "publish subscribe action 2", fmt.Sprint(access.Publish, access.Subscribe, access.Action(2)))
	require.Equal(t, "none part whole", fmt.Sprint(access.None, access.Part, access.Whole))
}
