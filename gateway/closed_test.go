package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
)

// closedTopics are topics within everybody's wildcards: one that nobody is ever
// granted, and one that a reload grants and takes away.
type closedTopics struct {
	never, sometimes string
	policies         [2]*access.Policy // the second one grants sometimes
	granted          int
}

func policyOf(t testing.TB, rules ...access.Rule) *access.Policy {
	t.Helper()
	p, err := access.New(rules)
	require.NoError(t, err)
	return p
}

func newClosedTopics(t testing.TB) *closedTopics {
	c := &closedTopics{never: "broadcast/closed/never", sometimes: "broadcast/closed/sometimes"}
	all := access.Rule{Topics: []string{"broadcast/#"}}
	c.policies[0] = policyOf(t, all, access.Rule{Deny: true, Topics: []string{"broadcast/closed/#"}})
	c.policies[1] = policyOf(t, all, access.Rule{Deny: true, Topics: []string{c.never}})
	return c
}

func (c *closedTopics) step(m *model) {
	switch m.rng.IntN(5) {
	case 0:
		c.granted = 1 - c.granted
		m.note("reload: granted %d", c.granted)
		require.NoError(m.t, m.g.Reload(Config{Limits: m.g.cfg.Limits, Policy: c.policies[c.granted]}))
	case 1, 2:
		m.note("publish %d to never", m.ids+1)
		m.publish(c.never, m.payload())
	default:
		m.note("publish %d to sometimes", m.ids+1)
		m.publish(c.sometimes, m.payload())
	}
}

func playClosed(t testing.TB, seed uint64, without guards, peers bool) *model {
	c := newClosedTopics(t)
	m := newModel(t, seed, Config{Policy: c.policies[0], without: without})
	m.closed = c
	if peers {
		m.peers = newPeers(m)
	}
	for _, topic := range []string{c.never, c.sometimes} {
		m.stream(streamID{topic, ownOrigin}, m.g.life).next = 1
	}
	m.play(200)
	for _, line := range m.history {
		if strings.Contains(line, " < ") && strings.Contains(line, c.never) {
			m.problem("%s", line)
		}
	}
	return m
}

// BC-12: histories in which wildcards are granted in part and policies change. Not
// one frame names the topic that is never granted, every id was told before, and
// all positions of the others stay right: those of the topic that is granted now
// and then as well, from the first message after it was.
func TestModelClosedTopics(t *testing.T) {
	delivered := 0
	for seed := range uint64(400) {
		m := playClosed(t, seed, guards{}, seed%3 == 0)
		if len(m.problems) > 0 {
			require.Fail(t, "seed "+fmt.Sprint(seed), "%s\n\n%s", strings.Join(m.problems, "\n"), m.told())
		}
		for _, line := range m.history {
			if strings.Contains(line, " < TOPIC") && strings.Contains(line, m.closed.sometimes) {
				delivered++
			}
		}
	}
	require.Greater(t, delivered, 100, "what is granted comes")
}

// The model notices if messages are not asked for, and if a session that is granted
// more is not told what its group was told before.
func TestModelNoticesClosedTopics(t *testing.T) {
	for name, without := range map[string]guards{
		"each message is asked for": {perMessage: true},
		"a grant is told":           {retell: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(400) {
				if m := playClosed(t, seed, without, false); len(m.problems) > 0 {
					t.Log(m.problems[0])
					return
				}
			}
			t.Fatal("no history noticed")
		})
	}
}
