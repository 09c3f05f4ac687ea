package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

var (
	allowAll   = access.Rule{Topics: []string{"broadcast/#"}}
	denySecret = access.Rule{Deny: true, Topics: []string{"broadcast/secret/#"}}
)

// subscribed is a session with one subscription that stands.
func (m *sim) subscribed(name string, q wire.Subscribe) *simConn {
	m.t.Helper()
	c := m.join(0, hello(name))
	q.Sub = 1
	c.write(q.Append(nil))
	m.drain()
	f := c.frame()
	require.Equal(m.t, wire.TypeSubscribed, f.t)
	s, err := wire.ParseSubscribed(f.body)
	require.NoError(m.t, err)
	require.Equal(m.t, wire.CodeOK, s.Code)
	return c
}

func (m *sim) reload(rules ...access.Rule) {
	m.t.Helper()
	require.NoError(m.t, m.g.Reload(Config{Policy: policyOf(m.t, rules...)}))
	m.drain()
}

// BC-12: what a reload grants within a wildcard is told before its first message,
// with the position that it has by then; others are not told more than once more.
func TestReloadGrants(t *testing.T) {
	m := newSim(t, Config{Policy: policyOf(t, allowAll, denySecret)})
	c := m.subscribed("c", wire.Subscribe{Track: true, Filter: []byte("broadcast/#")})
	m.publish("broadcast/a", []byte("1"))
	m.publish("broadcast/secret/x", []byte("2"))
	m.publish("broadcast/secret/x", []byte("3"))
	m.drain()
	require.Equal(t, []string{"TOPIC 1 broadcast/a", "STREAM 1/1 flags 1 next 1", `MESSAGE 1 check 1 "1"`}, c.frames())
	m.reload(allowAll)
	m.publish("broadcast/secret/x", []byte("4"))
	m.publish("broadcast/secret/x", []byte("5"))
	m.drain()
	require.Equal(t, []string{"TOPIC 2 broadcast/secret/x", "STREAM 2/1 flags 1 next 3", `MESSAGE 2 check 3 "4"`, `MESSAGE 2 check 4 "5"`}, c.frames())
	m.reload(allowAll, denySecret)
	m.publish("broadcast/secret/x", []byte("6"))
	m.publish("broadcast/a", []byte("7"))
	m.drain()
	require.Equal(t, []string{"TOPIC 1 broadcast/a", "STREAM 1/1 flags 1 next 2", `MESSAGE 1 check 2 "7"`}, c.frames())
	m.reload(allowAll)
	m.publish("broadcast/secret/x", []byte("8"))
	m.drain()
	require.Equal(t, []string{"TOPIC 2 broadcast/secret/x", "STREAM 2/1 flags 1 next 6", `MESSAGE 2 check 6 "8"`}, c.frames(), "what was missed meanwhile shows")
}

// BC-12: a message that was on its way when a reload granted its topic does not come
// before the topic was told.
func TestReloadBetweenMessages(t *testing.T) {
	m := newSim(t, Config{Policy: policyOf(t, allowAll, denySecret)})
	c := m.subscribed("c", wire.Subscribe{Track: true, Filter: []byte("broadcast/#")})
	m.publish("broadcast/secret/x", []byte("1"))
	m.drain()
	m.publish("broadcast/secret/x", []byte("2"))
	require.NoError(t, m.g.Reload(Config{}))
	m.publish("broadcast/secret/x", []byte("3"))
	m.drain()
	require.Equal(t, []string{"TOPIC 1 broadcast/secret/x", "STREAM 1/1 flags 1 next 3", `MESSAGE 1 check 3 "3"`}, c.frames())
}

// beginPass has the loop ask about some of its sessions again, and not about all.
func (m *sim) beginPass() {
	m.t.Helper()
	m.late = func() bool { return true }
	m.g.loops[0].drain()
	m.late = nil
	require.True(m.t, m.g.loops[0].checking)
}

// BC-12, MS-17: a revoked subscription is ended unasked, also when ten thousand sessions are asked about, and brings nothing afterwards.
func TestRevokedInTurns(t *testing.T) {
	const sessions = 10_000
	m := newSim(t, Config{})
	l := m.g.loops[0]
	var all []*simConn
	for n := range sessions {
		c := m.join(0, hello(fmt.Sprint(n)))
		c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/secret/x")}.Append(nil))
		c.write(wire.Subscribe{Sub: 2, Filter: []byte("broadcast/a")}.Append(nil))
		c.got = nil
		all = append(all, c)
	}
	m.drain()
	require.NoError(t, m.g.Reload(Config{Policy: policyOf(t, allowAll, denySecret)}))
	turns := 0
	m.late = func() bool { return true }
	for l.drain(); l.checking; turns++ {
		l.drain()
	}
	m.late = nil
	require.Positive(t, turns, "not all in one turn")
	m.publish("broadcast/secret/x", []byte("secret"))
	m.publish("broadcast/a", []byte("a"))
	m.drain()
	for _, c := range all {
		require.Equal(t, []string{"UNSUBSCRIBED 1 not granted", `MESSAGE 2 "a"`}, c.frames())
	}
	require.EqualValues(t, sessions, l.counters.subscriptions.Load())
}

// BC-12: who subscribes while a pass is under way gets nothing by the old rules.
func TestSubscribeDuringAPass(t *testing.T) {
	m := newSim(t, Config{})
	var last *simConn
	for n := range 3 * slotChunk {
		last = m.join(0, hello(fmt.Sprint(n)))
	}
	require.NoError(t, m.g.Reload(Config{Policy: policyOf(t, allowAll, denySecret)}))
	m.beginPass()
	require.True(t, m.g.loops[0].late(last.s))
	last.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(nil))
	m.publish("broadcast/secret/x", []byte("secret"))
	m.publish("broadcast/a", []byte("a"))
	m.drain()
	require.Equal(t, []string{"SUBSCRIBED 1 ok id 0", "TOPIC 2 broadcast/a", `MESSAGE 2 "a"`}, last.frames())
}

// Rules that come while a pass is under way get a pass of their own.
func TestReloadDuringAPass(t *testing.T) {
	m := newSim(t, Config{})
	first := m.subscribed("first", wire.Subscribe{Filter: []byte("broadcast/a")})
	for n := range 3 * slotChunk {
		m.join(0, hello(fmt.Sprint(n)))
	}
	require.NoError(t, m.g.Reload(Config{Policy: policyOf(t, allowAll)}))
	m.beginPass()
	require.NoError(t, m.g.Reload(Config{Policy: policyOf(t, denySecret)})) // nothing is allowed
	require.Empty(t, first.frames())
	m.drain()
	require.Equal(t, []string{"UNSUBSCRIBED 1 not granted"}, first.frames())
}

// BC-12: subscriptions that overlap bring a message once, if the topic is granted,
// in joined runs of several messages as well.
func TestOverlapInPart(t *testing.T) {
	m := newSim(t, Config{Policy: policyOf(t, allowAll, denySecret)})
	c := m.join(0, hello("c"))
	for n, filter := range []string{"broadcast/#", "broadcast/+/#", "broadcast/secret/x", "broadcast/ok/x"} {
		c.write(wire.Subscribe{Sub: uint32(n + 1), Track: true, Filter: []byte(filter)}.Append(nil))
	}
	require.Equal(t, []string{
		"SUBSCRIBED 1 ok id 0", "SUBSCRIBED 2 ok id 0", "SUBSCRIBED 3 not granted id 0", "SUBSCRIBED 4 ok id 1", "STREAM 1/1 flags 1 next 1",
	}, c.frames())
	for n := range 3 {
		m.publish("broadcast/secret/x", fmt.Append(nil, n))
	}
	for n := range 3 {
		m.publish("broadcast/ok/x", fmt.Append(nil, n))
	}
	for n := range 2 {
		m.publish("broadcast/ok/y", fmt.Append(nil, n))
	}
	m.drain()
	got := c.frames()
	messages := 0
	for _, f := range got {
		require.NotContains(t, f, "secret")
		if strings.HasPrefix(f, "MESSAGE") {
			messages++
		}
	}
	require.Equal(t, 5, messages, "%q", got)
}

// The hook of an embedder that grants a wildcard grants all of it: a reload does not
// throw away what waits of it because the hook does not know the topics.
func TestHookGrantsWildcardsWhole(t *testing.T) {
	for _, rules := range [][]access.Rule{nil, {allowAll, denySecret}} {
		hook := func(_ wire.Identity, _ Action, topic string) error {
			if topic != "broadcast/#" {
				return errors.New("not known")
			}
			return nil
		}
		cfg := Config{Authorize: hook}
		if rules != nil {
			cfg.Policy = policyOf(t, rules...)
		}
		m := newSim(t, cfg)
		c := m.subscribed("c", wire.Subscribe{Track: true, Filter: []byte("broadcast/#")})
		c.take(0)
		c.write([]byte{byte(wire.TypePing), 0})
		m.publish("broadcast/a", []byte("1"))
		m.drain()
		require.NoError(t, m.g.Reload(cfg))
		m.drain()
		c.take(-1)
		m.drain()
		require.Contains(t, c.frames(), `MESSAGE 1 check 1 "1"`)
	}
}

// MS-17: when nothing vouches for devices any more, those that are here by a proof
// are told so and closed; those that named themselves stay.
func TestProofIsAskedAgain(t *testing.T) {
	m := newSim(t, Config{})
	id := wire.Identity{Tenant: "acme", Device: "a"}
	m.g.cfg.without.check = true
	proven := m.joinAs(hello("a"), id, &secure.Proof{Identity: id})
	named := m.join(0, hello("named"))
	m.g.cfg.without.check = false
	require.NoError(t, m.g.Reload(Config{}))
	m.drain()
	require.Equal(t, []string{"CLOSE 0 not authenticated"}, proven.frames())
	require.Empty(t, named.frames())

	// A proof that was made before, and comes after it.
	late := m.connect(0)
	late.l.proven(late.s, hello("a"), id, &secure.Proof{Identity: id}, nil)
	require.Equal(t, []string{"CLOSE 0 not authenticated"}, late.frames())
}

// BC-D8: the same name in two tenants is two topics, with ids, positions and replays
// of their own.
func TestTenantsAreNameSpaces(t *testing.T) {
	m := newSim(t, Config{})
	in := func(tenant string) wire.Identity { return wire.Identity{Tenant: tenant, Device: "d"} }
	say := func(tenant, topic, text string) {
		_, err := m.g.Publish(t.Context(), tenant, topic, []byte(text))
		require.NoError(t, err)
		m.drain()
	}
	say("red", "broadcast/first", "")
	for n := range 3 {
		say("red", "broadcast/same", fmt.Sprint("red ", n))
	}
	say("blue", "broadcast/same", "blue 0")
	red, blue := m.joinAs(hello("d"), in("red"), nil), m.joinAs(hello("d"), in("blue"), nil)
	q := wire.Subscribe{Sub: 1, Track: true, Start: wire.StartKept, Filter: []byte("broadcast/same")}
	for _, c := range []*simConn{red, blue} {
		c.write(q.Append(nil))
	}
	m.drain()
	require.Equal(t, []string{
		"SUBSCRIBED 1 ok id 2", "STREAM 2/1 flags 1 next 1", `MESSAGE 2/1 offset 1 "red 0"`, `MESSAGE 2/1 offset 2 "red 1"`, `MESSAGE 2/1 offset 3 "red 2"`, "LIVE 1",
	}, red.frames()[:6])
	require.Equal(t, []string{"SUBSCRIBED 1 ok id 1", "STREAM 1/1 flags 1 next 1", `MESSAGE 1/1 offset 1 "blue 0"`, "LIVE 1"}, blue.frames()[:4])
	blue.write(wire.Publish{Ack: true, Seq: 1, Topic: 2, Payload: []byte("by an id of the other tenant")}.Append(nil))
	m.drain()
	require.Equal(t, []string{"ACK 1 unknown id"}, blue.frames())
	require.Empty(t, red.frames())
	blue.write(wire.Publish{Topic: 1, Payload: []byte("blue 1")}.Append(nil))
	m.drain()
	require.Equal(t, []string{`MESSAGE 1 check 2 "blue 1"`}, blue.frames())
	require.Empty(t, red.frames())
}
