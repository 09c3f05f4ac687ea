package access_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
)

func TestWrongRules(t *testing.T) {
	t.Parallel()
	good := []string{"a"}
	for _, c := range []struct {
		rule access.Rule
		want string
	}{
		{access.Rule{}, "rules[1].topics: there are none: write at least one filter; # is every topic"},
		{access.Rule{Topics: []string{"a", "b/#/c"}}, `rules[1].topics[1]: filter "b/#/c": # must be last`},
		{access.Rule{Topics: []string{""}}, "rules[1].topics[0]: topic or filter is empty"},
		{access.Rule{Topics: []string{"$sys"}}, `rules[1].topics[0]: "$sys" begins with $, which is the gateway's own`},
		{access.Rule{Topics: []string{"a/{dev}"}}, `rules[1].topics[0]: "a/{dev}": there is no variable {dev}: write {tenant} or {device}`},
		{access.Rule{Topics: []string{"a/{}"}}, `rules[1].topics[0]: "a/{}": there is no variable {}: write {tenant} or {device}`},
		{access.Rule{Topics: []string{"a/{device"}}, `rules[1].topics[0]: "a/{device": a { is not closed: write {tenant} or {device}`},
		{access.Rule{Topics: []string{"a/device}"}}, `rules[1].topics[0]: "a/device}": a } was not opened: write {tenant} or {device}`},
		{access.Rule{Topics: []string{"a/{{device}}"}}, `rules[1].topics[0]: "a/{{device}}": there is no variable {{device}: write {tenant} or {device}`},
		{access.Rule{Topics: []string{"a/{device/b}"}}, `rules[1].topics[0]: "a/{device/b}": there is no variable {device/b}: write {tenant} or {device}`},
		{access.Rule{Topics: []string{"+{device}"}}, `rules[1].topics[0]: "+{device}": with names put in: filter "+x": + must be a whole level`},
		{access.Rule{Topics: []string{strings.Repeat("x/", 16)}}, "has more than 16 levels"},
		{access.Rule{Topics: []string{strings.Repeat("x", 255) + "{device}"}}, "is 256 bytes long, want at most 255"},
		{access.Rule{Topics: good, Tenants: []string{"*", "a*b"}}, `rules[1].tenants[1]: "a*b": * stands only at the end, once, for the rest of a name`},
		{access.Rule{Topics: good, Tenants: []string{"a**"}}, `rules[1].tenants[0]: "a**": * stands`},
		{access.Rule{Topics: good, Tenants: []string{""}}, `rules[1].tenants[0]: identity: tenant ""`},
		{access.Rule{Topics: good, Tenants: []string{"a/b"}}, `rules[1].tenants[0]: identity: tenant "a/b": byte 1 ('/')`},
		{access.Rule{Topics: good, Devices: []string{"ok", "a b*"}}, `rules[1].devices[1]: identity: device "a b": byte 1 (' ')`},
		{access.Rule{Topics: good, Devices: []string{"{device}"}}, `rules[1].devices[0]: identity: device "{device}"`},
		{access.Rule{Topics: good, Devices: []string{strings.Repeat("d", 129)}}, "want 1 to 128 bytes"},
		{access.Rule{Topics: good, Actions: []access.Action{access.Publish, 2}}, "rules[1].actions[1]: there is no action 2"},
	} {
		p, err := access.New([]access.Rule{{Topics: good}, c.rule})
		require.Nil(t, p)
		require.ErrorContains(t, err, c.want)
		require.True(t, strings.HasPrefix(err.Error(), "rules[1]."), err.Error())
		var invalid *access.InvalidError
		require.True(t, errors.As(err, &invalid))
		require.Len(t, invalid.Problems, 1)
	}
}

func TestAllThatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	_, err := access.New([]access.Rule{{Topics: []string{"", "a", "#a"}, Tenants: []string{"/"}}, {Topics: []string{"a"}}, {}})
	var paths []string
	for _, line := range strings.Split(err.Error(), "\n") {
		path, _, _ := strings.Cut(line, ": ")
		paths = append(paths, path)
	}
	require.Equal(t, []string{"rules[0].tenants[0]", "rules[0].topics[0]", "rules[0].topics[2]", "rules[2].topics"}, paths)
}

// Two lists of one short rule multiply, which is bounded before it is done.
func TestRulesThatNameTooMuch(t *testing.T) {
	t.Parallel()
	names := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("n%d", i)
		}
		return list
	}
	_, err := access.New([]access.Rule{{Topics: []string{"a"}, Tenants: names(2000), Devices: names(access.MaxPlaces / 1000)}})
	require.ErrorContains(t, err, "rules[0]: names too much: tenants times devices, over all rules, may be 1048576: write patterns such as sensor-*")
	_, err = access.New([]access.Rule{{Topics: []string{"a"}, Tenants: names(1 << 16), Devices: names(1 << 16)}}) // 0 in 32 bits
	require.ErrorContains(t, err, "rules[0]: names too much")
	p := policy(t, access.Rule{Topics: []string{"a"}, Tenants: names(100), Devices: names(100)})
	require.True(t, p.May(subject("n99/n99"), access.Publish, "a"))
	require.False(t, p.May(subject("n99/n100"), access.Publish, "a"))
}
