package gateway_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// A list that is too long says how long it is and shows the first rows, always the
// same ones.
func TestLongSessionList(t *testing.T) {
	const devices, more = gateway.DefaultRows, 30
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	for i := range devices + more {
		d := gatewaytest.Connect(t, g.Addr())
		b := gatewaytest.Hello(fmt.Sprintf("d%04d", devices+more-1-i)).Append(nil)
		if i < more {
			b = wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(b)
		}
		d.Send(b)
	}
	eventually(t, func() bool { s := g.Status(); return s.Sessions == devices+more && s.Subscriptions == more })
	for _, c := range []struct {
		query              string
		first, rows, total int
	}{
		{"", 0, devices, devices + more},
		{"limit=7", 0, 7, devices + more},
		{"limit=10000", 0, devices + more, devices + more},
		{"topic=broadcast/a", devices, more, more},
		{"topic=broadcast/a&limit=1", devices, 1, more},
		{"tenant=nobody", 0, 0, 0},
	} {
		list := askJSON[gateway.SessionList](t, g, "/v1/sessions?"+c.query)
		require.Equal(t, c.total, list.Total, c.query)
		require.Equal(t, c.rows < c.total, list.Truncated, c.query)
		require.Len(t, list.Sessions, c.rows, c.query)
		for i, row := range list.Sessions {
			require.Equal(t, fmt.Sprintf("d%04d", c.first+i), row.Device, c.query)
		}
	}
}

// The bound on a list of topics holds over all tenants.
func TestLongTopicList(t *testing.T) {
	const tenants, each = 30, 40
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	for i := range each {
		for n := range tenants {
			_, err := g.Publish(t.Context(), fmt.Sprintf("t%02d", n), fmt.Sprintf("broadcast/%02d", each-1-i), nil)
			require.NoError(t, err)
		}
	}
	for _, c := range []struct {
		query              string
		first, rows, total int
	}{
		{"", 0, gateway.DefaultRows, tenants * each},
		{"limit=50", 0, 50, tenants * each},
		{"limit=5000", 0, tenants * each, tenants * each},
		{"tenant=t07", 7 * each, each, each},
		{"tenant=t07&limit=3", 7 * each, 3, each},
		{"tenant=nobody", 0, 0, 0},
	} {
		list := askJSON[gateway.TopicList](t, g, "/v1/topics?"+c.query)
		require.Equal(t, c.total, list.Total, c.query)
		require.Equal(t, c.rows < c.total, list.Truncated, c.query)
		require.Len(t, list.Topics, c.rows, c.query)
		for i, row := range list.Topics {
			n := c.first + i
			want := fmt.Sprintf("t%02d broadcast/%02d", n/each, n%each)
			require.Equal(t, want, row.Tenant+" "+row.Topic, c.query)
			require.EqualValues(t, 2, row.Next, want)
		}
	}
}

func TestListLimitsThatAreWrong(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{})
	for _, list := range []string{"/v1/sessions", "/v1/topics"} {
		for _, limit := range []string{"0", "-1", "10001", "many", "1.5", "99999999999999999999"} {
			w := ask(t, g, http.MethodGet, list+"?limit="+limit)
			require.Equal(t, http.StatusBadRequest, w.Code, limit)
			require.Contains(t, w.Body.String(), "want 1 to 10000", limit)
		}
		require.Contains(t, ask(t, g, http.MethodGet, list).Body.String(), ": [],", "no rows are a list, too")
	}
}
