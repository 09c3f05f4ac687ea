package central

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// subjectsUpTo are all of so many tokens at most.
func subjectsUpTo(tokens []string, most int) (all []string) {
	last := []string{""}
	for range most {
		var next []string
		for _, s := range last {
			for _, x := range tokens {
				next = append(next, strings.TrimPrefix(s+"."+x, "."))
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

// slowMatch is what NATS says of * and >, token by token.
func slowMatch(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, x := range p {
		switch {
		case x == ">":
			return len(s) > i
		case i >= len(s) || x != "*" && x != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// Every pattern of up to three tokens against every other, by what they match of all
// subjects of up to four.
func TestPatternsAgainstOracle(t *testing.T) {
	subjects := subjectsUpTo([]string{"a", "b", "c"}, 4)
	var patterns []string
	for _, p := range subjectsUpTo([]string{"a", "b", "*", ">"}, 3) {
		if i := strings.Index(p, ">"); i < 0 || i == len(p)-1 {
			patterns = append(patterns, p)
		}
	}
	set := map[string][]bool{}
	for _, p := range patterns {
		row := make([]bool, len(subjects))
		for i, s := range subjects {
			row[i] = slowMatch(p, s)
			if matches(p, s) != row[i] {
				require.Fail(t, "matches", "%s and %s", p, s)
			}
		}
		set[p] = row
	}
	for _, p := range patterns {
		for _, q := range patterns {
			both, ok := intersect(p, q)
			within := true
			for i := range subjects {
				in := set[p][i] && set[q][i]
				if in != (ok && slowMatch(both, subjects[i])) {
					require.Fail(t, "intersect", "%s and %s is %q, %v: %s", p, q, both, ok, subjects[i])
				}
				within = within && (!set[q][i] || set[p][i])
			}
			if matches(p, q) != within {
				require.Fail(t, "covers", "%s and %s", p, q)
			}
		}
	}
}

// A cover covers what it was made from, and no two of it overlap.
func TestCover(t *testing.T) {
	for _, c := range []struct {
		patterns, want []string // no want: there is none
	}{
		{[]string{"a"}, []string{"a"}},
		{[]string{"a", "a", "b"}, []string{"a", "b"}},
		{[]string{"a", "a.>", "a.b", "a.*.c"}, []string{"a", "a.>"}},
		{[]string{"a.*", "*.b"}, nil},
		{[]string{"a.*", "*.b", ">"}, []string{">"}},
		{[]string{"a.b", "*.b", "c.d"}, []string{"*.b", "c.d"}},
	} {
		got, ok := cover(c.patterns)
		require.Equal(t, c.want != nil, ok, "%v", c.patterns)
		require.Equal(t, c.want, got)
	}
	many := make([]string, mostFilters+1)
	for i := range many {
		many[i] = "a." + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
	}
	_, ok := cover(many)
	require.False(t, ok)
	got, ok := cover(many[:mostFilters])
	require.True(t, ok)
	require.True(t, slices.Equal(many[:mostFilters], got))
}

// What does not fit is said to be missing, in its place, once for each run of it.
func TestInbox(t *testing.T) {
	b := newInbox(100)
	message := func(topic string, n int) arrival { return arrival{tenant: "t", topic: topic, payload: make([]byte, n)} }
	hole := func(topic string) arrival { return arrival{tenant: "t", topic: topic, missing: true} }
	require.True(t, b.add(message("a", 80)))
	require.False(t, b.add(message("a", 50)))
	require.False(t, b.add(message("a", 50)))
	require.False(t, b.add(message("b", 50)))
	require.True(t, b.add(message("a", 2)))
	require.False(t, b.add(message("a", 50)))
	require.False(t, b.add(message("b", 50)))
	all := b.take(nil)
	require.Equal(t, []arrival{message("a", 80), hole("a"), hole("b"), message("a", 2), hole("a")}, all)
	require.False(t, b.add(message("b", 50)), "there is no room until it is delivered")
	for i := range all {
		b.freed(&all[i])
	}
	require.True(t, b.add(message("b", 50)))
	b.missed()
	b.missed()
	all = b.take(all)
	require.Equal(t, []arrival{hole("b"), message("b", 50), {missing: true}}, all)
	for i := range all {
		b.freed(&all[i])
	}
	require.Empty(t, b.take(nil))
	require.Zero(t, b.bytes)
}

// What waits is bounded, and thrown away with the connection.
func TestOutbox(t *testing.T) {
	o := newOutbox(100)
	m := outgoing{subject: "s", payload: make([]byte, 39)}
	require.ErrorIs(t, o.add(m), ErrAway)
	o.open()
	require.NoError(t, o.add(m))
	require.NoError(t, o.add(m))
	require.ErrorContains(t, o.add(m), "does not keep up")
	all := o.take(nil)
	require.Len(t, all, 2)
	require.Error(t, o.add(m), "there is no room until it is sent")
	o.sent(all)
	require.NoError(t, o.add(m))
	require.Equal(t, 1, o.shut())
	require.ErrorIs(t, o.add(m), ErrAway)
	require.Empty(t, o.take(all))
	require.NoError(t, o.empty(t.Context()))
	require.Zero(t, o.bytes)
}
