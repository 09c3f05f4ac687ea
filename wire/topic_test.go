package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestNames(t *testing.T) {
	for _, v := range load(t).Names {
		name := []byte(v.Text)
		if v.Hex != "" {
			name = unhex(t, v.Hex)
		}
		if v.Topic {
			require.NoError(t, wire.CheckTopic(name), "%q", name)
		} else {
			require.Error(t, wire.CheckTopic(name), "%q", name)
		}
		if v.Filter {
			require.NoError(t, wire.CheckFilter(name), "%q", name)
			require.Equal(t, !v.Topic, wire.IsWildcard(name), "%q", name)
		} else {
			require.Error(t, wire.CheckFilter(name), "%q", name)
		}
	}
}

// The errors name the thing and the way out.
func TestNameErrors(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"", "empty"},
		{"a/+", "+ is a wildcard, use it in filters only"},
		{"$a", "gateway's own"},
		{strings.Repeat("x", 300), "is 300 bytes long, want at most 255"},
		{strings.Repeat("/", 16), "more than 16 levels"},
		{"a\xff", "not UTF-8"},
		{"a\x1bb", "byte 1 is a control character"},
		{"\u009b", "byte 0 is a control character"},
	} {
		require.ErrorContains(t, wire.CheckTopic([]byte(c.name)), c.want)
	}
	for _, c := range []struct{ name, want string }{
		{"a/b+", "+ must be a whole level"}, {"a/#b", "# must be a whole level"}, {"#/b", "# must be last"},
	} {
		require.ErrorContains(t, wire.CheckFilter([]byte(c.name)), c.want)
	}
}

// Every byte after c2: exactly 80 to 9f are control characters.
func TestTwoByteControls(t *testing.T) {
	for c := 0x80; c < 0xC0; c++ {
		require.Equal(t, c >= 0xA0, wire.CheckTopic([]byte{'a', 0xC2, byte(c)}) == nil, "c2 %02x", c)
	}
	require.NoError(t, wire.CheckTopic([]byte("â")), "c3 a2")
}

func TestMatch(t *testing.T) {
	for _, v := range load(t).Matches {
		require.NoError(t, wire.CheckFilter([]byte(v.Filter)))
		require.NoError(t, wire.CheckTopic([]byte(v.Topic)))
		require.Equal(t, v.Match, wire.Match(v.Filter, v.Topic), "%q and %q", v.Filter, v.Topic)
		require.Equal(t, v.Match, slowMatch(v.Filter, v.Topic), "%q and %q", v.Filter, v.Topic)
	}
}

// Every filter of up to four levels against every topic of up to four.
func TestMatchAgainstOracle(t *testing.T) {
	topics, filters := combine([]string{"a", "b", ""}, 4), combine([]string{"a", "", "+", "#"}, 4)
	matching := 0
	for _, f := range filters {
		if wire.CheckFilter([]byte(f)) != nil {
			continue
		}
		for _, topic := range topics {
			if topic == "" {
				continue
			}
			if slowMatch(f, topic) {
				matching++
			}
			if wire.Match(f, topic) != slowMatch(f, topic) {
				require.Fail(t, "differs from the oracle", "%q and %q", f, topic)
			}
		}
	}
	require.Greater(t, matching, 1000)
}

func combine(levels []string, depth int) []string {
	out := append([]string{}, levels...)
	for last := out; depth > 1; depth-- {
		var longer []string
		for _, head := range last {
			for _, l := range levels {
				longer = append(longer, head+"/"+l)
			}
		}
		out, last = append(out, longer...), longer
	}
	return out
}

// slowMatch is the matching rule [W-4.3], word by word.
func slowMatch(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	if f[len(f)-1] == "#" {
		f = f[:len(f)-1]
		if len(t) < len(f) {
			return false
		}
		t = t[:len(f)]
	}
	if len(f) != len(t) {
		return false
	}
	for i := range f {
		if f[i] != "+" && f[i] != t[i] {
			return false
		}
	}
	return true
}

// slowCheck is the naming rule [W-4.1], word by word; filter allows wildcards.
func slowCheck(name string, filter bool) bool {
	if name == "" || len(name) > 255 || name[0] == '$' || strings.ToValidUTF8(name, "") != name {
		return false
	}
	for _, r := range name {
		if r < 0x20 || r >= 0x7F && r <= 0x9F {
			return false
		}
	}
	levels := strings.Split(name, "/")
	if len(levels) > 16 {
		return false
	}
	for i, l := range levels {
		if !strings.ContainsAny(l, "+#") {
			continue
		}
		if !filter || len(l) > 1 || l == "#" && i < len(levels)-1 {
			return false
		}
	}
	return true
}
