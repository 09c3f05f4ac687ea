package gateway

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestBroadcastText(t *testing.T) {
	long := strings.Repeat("x", 40) + "/#"
	for _, c := range []struct {
		filters []string
		want    string
	}{
		{[]string{"broadcast/#"}, "broadcast topics: broadcast/#"},
		{[]string{"alerts/#", "news/+"}, "broadcast topics: alerts/# news/+"},
		{[]string{"a", long, long, "b"}, "broadcast topics: a " + long + " and 2 more"},
		{[]string{strings.Repeat("x", 200)}, ""},
	} {
		got := broadcastText(c.filters)
		require.Equal(t, c.want, string(got))
		require.LessOrEqual(t, len(got), wire.MaxRefusalText)
	}
	many := make([]string, 65535)
	for i := range many {
		many[i] = "abc"
	}
	require.LessOrEqual(t, len(broadcastText(many)), wire.MaxRefusalText)
}
