package gateway

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// wishes is a central service that notes what is wanted and published.
type wishes struct {
	wanted    map[string]int
	published []string
}

func (w *wishes) Publish(_, topic string, payload []byte) error {
	w.published = append(w.published, topic+" "+string(payload))
	return nil
}

func (w *wishes) Subscribe(_, filter string) (func(), error) {
	w.wanted[filter]++
	return func() {
		if w.wanted[filter]--; w.wanted[filter] == 0 {
			delete(w.wanted, filter)
		}
	}, nil
}

// changing is a gateway whose broadcast filters change from broadcast/# to x/#.
type changing struct {
	*sim
	central *wishes
}

func newChanging(t *testing.T, without guards, rules ...access.Rule) *changing {
	c := &changing{central: &wishes{wanted: map[string]int{}}}
	cfg := Config{Central: c.central, without: without}
	if len(rules) > 0 {
		cfg.Policy = policyOf(t, rules...)
	}
	c.sim = newSim(t, cfg)
	return c
}

// set is one step.
func (c *changing) set(filters, also []string) {
	c.t.Helper()
	require.NoError(c.t, c.g.SetBroadcast(c.t.Context(), filters, also))
	c.drain()
}

// bring is a message of the central service.
func (c *changing) bring(topic, payload string) {
	c.t.Helper()
	require.NoError(c.t, c.g.FromCentral(c.t.Context(), DefaultTenant, topic, wire.Position{}, []byte(payload)))
	c.drain()
}

func (c *changing) enter(topic, payload string) {
	c.t.Helper()
	c.publish(topic, []byte(payload))
	c.drain()
}

const crossedGap = "GAP 0/1 central link 0"

var oldFilters, newFilters = []string{"broadcast/#"}, []string{"x/#"}

// A change in three steps, as exact subscribers, wildcards, and publishers see it: in
// each step messages come both ways and count right, whoever counts (BC-4, BC-5, BC-D4).
func TestClassesChangeInSteps(t *testing.T) {
	m := newChanging(t, guards{})
	was := m.subscribed("was", wire.Subscribe{Track: true, Filter: []byte("broadcast/a")})
	will := m.subscribed("will", wire.Subscribe{Track: true, Filter: []byte("x/a")})
	wild := m.subscribed("wild", wire.Subscribe{Track: true, Filter: []byte("#")})
	within := m.subscribed("within", wire.Subscribe{Filter: []byte("broadcast/#")})
	all := []*simConn{was, will, wild, within}
	take := func() (got [4][]string) {
		for i, c := range all {
			got[i] = c.frames()
		}
		return got
	}
	take()
	require.Equal(t, map[string]int{"x/a": 1, "#": 1}, m.central.wanted)
	m.enter("broadcast/a", "1")
	m.bring("x/a", "2")
	require.Equal(t, [4][]string{
		{`MESSAGE 1 check 1 "1"`},
		{`MESSAGE x/a "2"`},
		{"TOPIC 1 broadcast/a", "STREAM 1/1 flags 1 next 1", `MESSAGE 1 check 1 "1"`, `MESSAGE x/a "2"`},
		{"TOPIC 1 broadcast/a", `MESSAGE 1 check 1 "1"`},
	}, take())

	m.set(oldFilters, newFilters)
	require.Equal(t, map[string]int{"x/a": 1, "#": 1, "broadcast/a": 1, "broadcast/#": 1}, m.central.wanted)
	require.Equal(t, [4][]string{}, take(), "nobody is told anything")
	m.enter("broadcast/a", "3")
	m.bring("broadcast/a", "4") // another gateway is ahead
	m.enter("broadcast/a", "5")
	got := take()
	require.Len(t, got[0], 4)
	require.Equal(t, []string{`MESSAGE 1 check 2 "3"`, `MESSAGE 1 check 3 "5"`}, []string{got[0][0], got[0][3]}, "the central service does not count")
	require.Contains(t, got[0][1], "STREAM 1/2 flags 2")
	require.Contains(t, got[0][2], `MESSAGE 1/2 offset 1 "4"`)
	require.Contains(t, got[3], got[0][2])

	m.set(newFilters, oldFilters)
	got = take()
	require.Equal(t, []string{crossedGap, "UNSUBSCRIBED 1 restart"}, got[0])
	require.Equal(t, []string{crossedGap, "UNSUBSCRIBED 1 restart"}, got[1])
	require.Equal(t, []string{"END 1/1 complete"}, got[2])
	require.Empty(t, got[3])
	require.Equal(t, map[string]int{"#": 1, "broadcast/#": 1}, m.central.wanted)
	for _, c := range all[:2] {
		filter := []byte("broadcast/a")
		if c == will {
			filter = []byte("x/a")
		}
		c.write(wire.Subscribe{Sub: 2, Track: true, Filter: filter}.Append(nil))
	}
	m.drain()
	take()
	require.Equal(t, map[string]int{"#": 1, "broadcast/#": 1, "broadcast/a": 1, "x/a": 1}, m.central.wanted)
	m.enter("broadcast/a", "6")
	require.Equal(t, []string{"broadcast/a 6"}, m.central.published)
	m.bring("broadcast/a", "6")
	m.enter("x/a", "7")
	m.bring("x/a", "8") // another gateway is behind
	m.enter("x/a", "9")
	got = take()
	require.Equal(t, []string{`MESSAGE broadcast/a "6"`}, got[0])
	require.Equal(t, []string{`MESSAGE broadcast/a "6"`}, got[3])
	require.Equal(t, []string{`MESSAGE 2 check 1 "7"`, `MESSAGE 2 check 2 "9"`}, []string{got[1][0], got[1][3]})
	require.Equal(t, `MESSAGE 2/2 offset 2 "8"`, got[1][2])
	require.Contains(t, got[2], `MESSAGE 2 check 2 "9"`)
	require.Contains(t, got[2], got[1][2])

	m.set(newFilters, nil)
	require.Equal(t, map[string]int{"#": 1, "broadcast/#": 1, "broadcast/a": 1}, m.central.wanted)
	got = take()
	require.Equal(t, []string{"END 0/2 complete"}, got[1], "nothing crosses over any more")
	m.bring("x/a", "late")
	require.Contains(t, will.frames()[1], `"late"`)
	require.Equal(t, newFilters, m.g.Status().Broadcast)
	require.Equal(t, filtersHash(newFilters), m.g.FiltersHash())

	// Back at once, without steps: who cannot be told in another way gets a gap.
	take()
	m.set(oldFilters, nil)
	got = take()
	require.Contains(t, got[0], "UNSUBSCRIBED 2 restart")
	require.Contains(t, got[1], "UNSUBSCRIBED 2 restart")
	require.Contains(t, got[2], crossedGap)
	require.Contains(t, got[3], crossedGap)
	m.enter("broadcast/a", "10")
	got = take()
	require.Equal(t, []string{"TOPIC 1 broadcast/a", "STREAM 1/1 flags 1 next 4", `MESSAGE 1 check 4 "10"`}, got[2])
}

// Controls of the test above: each guard is what one of its checks is about.
func TestClassesNeedTheirGuards(t *testing.T) {
	t.Run("crossed", func(t *testing.T) {
		m := newChanging(t, guards{crossed: true})
		c := m.subscribed("c", wire.Subscribe{Track: true, Filter: []byte("broadcast/a")})
		m.set(oldFilters, newFilters)
		m.set(newFilters, oldFilters)
		m.set(newFilters, nil)
		require.NotContains(t, m.central.wanted, "broadcast/a", "its messages would be lost silently")
		require.NotContains(t, c.frames(), "UNSUBSCRIBED 1 restart")
	})
	t.Run("crossedGap", func(t *testing.T) {
		m := newChanging(t, guards{crossedGap: true})
		c := m.subscribed("c", wire.Subscribe{Track: true, Filter: []byte("broadcast/a")})
		m.set(oldFilters, newFilters)
		m.set(newFilters, oldFilters)
		require.NotContains(t, c.frames(), crossedGap)
	})
	t.Run("both", func(t *testing.T) {
		m := newChanging(t, guards{both: true})
		m.subscribed("c", wire.Subscribe{Filter: []byte("broadcast/a")})
		m.set(oldFilters, newFilters)
		require.NotContains(t, m.central.wanted, "broadcast/a")
	})
	t.Run("endTurned", func(t *testing.T) {
		m := newChanging(t, guards{endTurned: true})
		c := m.subscribed("c", wire.Subscribe{Track: true, Filter: []byte("#")})
		m.enter("broadcast/a", "1")
		m.set(oldFilters, newFilters)
		m.set(newFilters, oldFilters)
		require.NotContains(t, c.frames(), "END 1/1 complete")
	})
	t.Run("apart", func(t *testing.T) {
		m := newChanging(t, guards{apart: true})
		c := m.subscribed("c", wire.Subscribe{Track: true, Filter: []byte("broadcast/a")})
		m.set(oldFilters, newFilters)
		m.bring("broadcast/a", "1")
		require.Equal(t, []string{"STREAM 1/1 flags 1 next 1", `MESSAGE broadcast/a "1"`}, c.frames(), "a device would count it")
	})
	t.Run("leadsTo", func(t *testing.T) {
		m := newChanging(t, guards{leadsTo: true})
		c := m.subscribed("c", wire.Subscribe{Filter: []byte("#")})
		m.set(newFilters, nil)
		require.Empty(t, c.frames())
	})
}

// A publisher that had an id goes the new way with it, and so does what waited for
// publish credit when the class changed.
func TestPublishersChangeClass(t *testing.T) {
	m := newChanging(t, guards{})
	c := m.subscribed("c", wire.Subscribe{PublishOnly: true, Filter: []byte("broadcast/a")})
	publish := func(seq uint64) {
		c.write(wire.Publish{Topic: 1, Ack: true, Seq: seq, Payload: []byte("p")}.Append(nil))
		m.drain()
	}
	publish(1)
	require.Empty(t, m.central.published)
	m.set(newFilters, oldFilters)
	publish(2)
	require.Equal(t, []string{"broadcast/a p"}, m.central.published)
	m.set(oldFilters, nil)
	publish(3)
	require.Len(t, m.central.published, 1)
	require.EqualValues(t, 3, m.topic("broadcast/a").Own().Next(), "two are in the stream")

	m.topic("broadcast/a").PostOnly(true) // as if the class changed after it was asked
	_, err := m.g.Publish(t.Context(), DefaultTenant, "broadcast/a", []byte("q"))
	require.NoError(t, err)
	require.EqualValues(t, 3, m.topic("broadcast/a").Own().Next())
	require.Zero(t, m.g.credit.used.Load())
}

// A change of classes leaves permissions as they are, and a reload leaves classes.
func TestClassesAndRulesDoNotMix(t *testing.T) {
	m := newChanging(t, guards{}, access.Rule{Topics: []string{"broadcast/a"}})
	c := m.subscribed("c", wire.Subscribe{Filter: []byte("broadcast/a")})
	m.set(newFilters, nil)
	c.frames()
	c.write(wire.Subscribe{Sub: 2, Filter: []byte("x/a")}.Append(nil))
	m.drain()
	require.Equal(t, "SUBSCRIBED 2 not granted id 0", c.frames()[0])
	m.reload(access.Rule{Topics: []string{"x/a"}})
	require.Equal(t, newFilters, m.g.Status().Broadcast)
	require.ErrorContains(t, m.g.SetBroadcast(t.Context(), []string{"a/#/b"}, nil), "broadcast[0]: ")
	require.ErrorContains(t, m.g.SetBroadcast(t.Context(), nil, []string{""}), "also[0]: ")
	require.Equal(t, newFilters, m.g.Status().Broadcast)
}

// Two changes while a pass is under way: all sessions are asked by the last one.
func TestClassesChangeDuringAPass(t *testing.T) {
	m := newChanging(t, guards{})
	var all []*simConn
	for n := range 30 {
		all = append(all, m.subscribed(fmt.Sprint(n), wire.Subscribe{Filter: []byte("broadcast/a")}))
	}
	require.NoError(t, m.g.SetBroadcast(t.Context(), oldFilters, newFilters))
	m.beginPass()
	require.NoError(t, m.g.SetBroadcast(t.Context(), newFilters, oldFilters))
	require.NoError(t, m.g.SetBroadcast(t.Context(), newFilters, nil))
	m.drain()
	for _, c := range all {
		require.Contains(t, c.frames(), "UNSUBSCRIBED 1 restart")
	}
	require.Empty(t, m.central.wanted)
}

// A backend that makes up a topic for each message leaves ids to broadcasts and to who
// names a topic; what is not delivered is announced, also what comes right after that.
func TestCentralNamesLeaveRoom(t *testing.T) {
	for _, without := range []bool{false, true} {
		m := newSim(t, Config{
			Central: &wishes{wanted: map[string]int{}}, Limits: Limits{TopicsPerTenant: 40}, without: guards{centralNames: without},
		})
		d := m.join(0, hello("d"))
		wild := m.subscribed("wild", wire.Subscribe{Filter: []byte("orders/#")})
		wild.frames()
		ten, err := m.g.tenants.get(DefaultTenant)
		require.NoError(t, err)
		names := 0
		bring := func(most int) (refused int) {
			for range most {
				names++
				if _, err := m.g.centralTopic(ten, fmt.Sprintf("orders/%d", names)); err != nil {
					refused++
				}
			}
			m.g.sweep()
			m.drain()
			return refused
		}
		require.Positive(t, bring(100))
		require.Equal(t, !without, slices.Contains(wild.frames(), crossedGap))
		require.Equal(t, 1, bring(1))
		require.Equal(t, !without, slices.Contains(wild.frames(), crossedGap))
		d.write(wire.Publish{Name: []byte("broadcast/new"), Ack: true, Seq: 1}.Append(nil))
		m.drain()
		ack, err := wire.ParseAck(d.frame().body)
		require.NoError(t, err)
		require.Equal(t, without, ack.Code != wire.CodeOK)
	}
}
