package gateway

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// member is a session of a tenant.
func (m *sim) member(tenant, device string) *simConn {
	m.t.Helper()
	return m.joinAs(hello(device), wire.Identity{Tenant: tenant, Device: device}, nil)
}

// second lets one pass, for limiters and for the loops.
func (m *sim) second() {
	time.Sleep(time.Second)
	m.pass(1)
	m.g.sweep()
}

// offer publishes with acknowledgement and returns the code, and the delay of a
// refusal.
func (m *sim) offer(c *simConn, seq uint64, topic string, size int) (wire.Code, uint32) {
	m.t.Helper()
	c.write(wire.Publish{Ack: true, Seq: seq, Name: []byte(topic), Payload: make([]byte, size)}.Append(nil))
	m.drain()
	for {
		f := c.frame()
		if f.t.Base() == wire.TypeAck {
			a, err := wire.ParseAck(f.body)
			require.NoError(m.t, err)
			return a.Code, a.Retry
		}
	}
}

// MS-18: a tenant has as many devices as it may; who comes back on another
// connection replaces itself, and other tenants notice nothing.
func TestQuotaConnections(t *testing.T) {
	var log AuditLog
	m := newSim(t, Config{Audit: log.Logger(), Quotas: map[string]Quota{"acme": {Connections: 2}, AnyTenant: {Connections: 1}}})
	m.member("acme", "a")
	b := m.member("acme", "b")
	refused := m.connect(0)
	l := m.g.loops[0]
	id := wire.Identity{Tenant: "acme", Device: "c"}
	l.proven(refused.s, hello("c"), id, nil, nil)
	require.Equal(t, []string{"CLOSE 0 throttled by tenant"}, refused.frames())
	lines := log.Lines(t, m.g)
	require.Len(t, lines, 1)
	require.Equal(t, "quota", lines[0]["event"])

	again := m.member("acme", "b")
	m.drain()
	require.Equal(t, []string{"CLOSE 0 replaced by a newer connection"}, b.frames())
	_ = b.Close()
	ten, err := m.g.tenants.get("acme")
	require.NoError(t, err)
	require.EqualValues(t, 2, ten.usage.sessions.Load())
	_ = again.Close()
	m.member("acme", "c")

	m.member("other", "a")
	over := m.connect(0)
	l.proven(over.s, hello("b"), wire.Identity{Tenant: "other", Device: "b"}, nil, nil)
	require.Equal(t, []string{"CLOSE 0 throttled by tenant"}, over.frames())

	require.NoError(t, m.g.Reload(Config{}))
	m.member("other", "c")
}

// MS-18, BC-D6: a tenant that publishes without pause gets 43 with a delay beyond
// its rate, second after second; all that another one publishes is taken at once.
func TestQuotaPublishRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(t, Config{Quotas: map[string]Quota{"noisy": {PublishRate: 10}}})
		noisy, quiet := m.member("noisy", "a"), m.member("quiet", "a")
		seq := uint64(0)
		for second := range 20 {
			taken := 0
			for range 100 {
				seq++
				switch code, retry := m.offer(noisy, seq, "broadcast/n", 10); code {
				case wire.CodeOK:
					taken++
				case wire.CodeThrottled:
					require.Positive(t, retry)
				default:
					require.Fail(t, "unexpected", "%s", code)
				}
				code, _ := m.offer(quiet, seq, "broadcast/q", 10)
				require.Equal(t, wire.CodeOK, code)
			}
			require.Equal(t, 10, taken, "second %d", second)
			m.second()
		}
		// A rate that is set anew begins with a whole second's worth.
		require.NoError(t, m.g.Reload(Config{Quotas: map[string]Quota{"quiet": {PublishRate: 1}}}))
		code, _ := m.offer(quiet, 1, "broadcast/q", 1)
		require.Equal(t, wire.CodeOK, code)
		code, _ = m.offer(quiet, 2, "broadcast/q", 1)
		require.Equal(t, wire.CodeThrottled, code)
		code, _ = m.offer(noisy, 1, "broadcast/q", 1)
		require.Equal(t, wire.CodeOK, code)
	})
}

// MS-18, BC-D6: deliveries are paid for afterwards: each message goes to all of its
// subscribers or to none, over time no more leaves than the quota, replays pay too,
// and nobody else waits.
func TestQuotaBytesOut(t *testing.T) {
	const perSecond, subscribers, size = 10_000, 20, 200
	for _, quota := range []Quota{{BytesOut: perSecond}, {}} {
		synctest.Test(t, func(t *testing.T) {
			m := newSim(t, Config{Quotas: map[string]Quota{"noisy": quota}})
			pub, quiet := m.member("noisy", "pub"), m.member("quiet", "pub")
			var subs []*simConn
			for n := range subscribers {
				c := m.member("noisy", fmt.Sprint(n))
				filter := "broadcast/#"
				if n%2 == 0 {
					filter = "broadcast/n"
				}
				c.write(wire.Subscribe{Sub: 1, Filter: []byte(filter)}.Append(nil))
				m.drain()
				_ = c.frames()
				subs = append(subs, c)
			}
			taken, out := 0, 0
			const seconds = 30
			for range seconds {
				for range 10 {
					code, _ := m.offer(pub, 1, "broadcast/n", size)
					if code == wire.CodeOK {
						taken++
					}
					code, _ = m.offer(quiet, 1, "broadcast/n", size)
					require.Equal(t, wire.CodeOK, code)
				}
				m.second()
			}
			for _, c := range subs {
				got := 0
				out += len(c.got)
				for _, f := range c.frames() {
					if strings.HasPrefix(f, "MESSAGE") {
						got++
					}
				}
				require.Equal(t, taken, got, "to all or to none")
			}
			if quota.BytesOut == 0 {
				require.Equal(t, 10*seconds, taken, "without a quota")
				return
			}
			require.LessOrEqual(t, out, perSecond*(seconds+1)+subscribers*(size+50))
			require.GreaterOrEqual(t, out, perSecond*(seconds-2))

			// Replays: not while it is in debt, and they are paid for.
			for code := wire.CodeOK; code == wire.CodeOK; {
				code, _ = m.offer(pub, 1, "broadcast/n", size)
			}
			late := m.member("noisy", "late")
			replay := wire.Subscribe{Sub: 1, Start: wire.StartKept, Filter: []byte("broadcast/n")}
			late.write(replay.Append(nil))
			require.Equal(t, []string{"SUBSCRIBED 1 throttled by tenant id 0 retry 1000"}, late.frames())
			late.write(wire.Subscribe{Sub: 2, Start: wire.StartKept, Filter: []byte("broadcast/#")}.Append(nil))
			require.Equal(t, []string{"SUBSCRIBED 2 ok, live only id 0"}, late.frames(), "nothing is replayed")
			for range 3 {
				m.second()
			}
			before := subs[0].s.tenant.usage.balance.Load()
			late.write(replay.Append(nil))
			m.drain()
			paid := before - subs[0].s.tenant.usage.balance.Load()
			require.Greater(t, paid, int64(5*size))
		})
	}
}

// A quota that begins, or that is raised, does not find the tenant in debt.
func TestQuotaBeginsWithoutDebt(t *testing.T) {
	m := newSim(t, Config{})
	c := m.member("acme", "a")
	require.NoError(t, m.g.Reload(Config{Quotas: map[string]Quota{"acme": {BytesOut: 1000}}}))
	code, _ := m.offer(c, 1, "broadcast/a", 1)
	require.Equal(t, wire.CodeOK, code)
	require.ErrorContains(t, m.g.Reload(Config{Quotas: map[string]Quota{"acme": {BytesOut: -1}}}), `quotas["acme"]`)
}
