package gateway

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

var someone = wire.Identity{Tenant: "acme", Device: "a"}

// proofFor is one that ends after a time.
func proofFor(life time.Duration) *secure.Proof {
	return &secure.Proof{Identity: someone, Expires: time.Now().Add(life)}
}

// lifetime is what a session is told, and when, until it is closed. each is done
// every second.
func lifetime(c *simConn, most int, each func(second int)) (told []string) {
	for second := 1; second <= most; second++ {
		each(second)
		for _, f := range c.frames() {
			if f != `PONG ""` {
				told = append(told, fmt.Sprintf("%d: %s", second, f))
			}
		}
		if c.closed {
			break
		}
	}
	return told
}

func withoutTrust() Config { return Config{without: guards{check: true}} }

// MS-17: a device is reminded once, when a third of the life or five minutes are
// left, and closed with 25 when its proof ends, not before; keepalive ends a silent
// one earlier, and the wall clock decides if it does not agree with the loops'.
func TestExpiry(t *testing.T) {
	const auth = "AUTH 01"
	ping := []byte{byte(wire.TypePing), 0}
	for _, c := range []struct {
		name  string
		life  time.Duration
		each  func(m *sim, d *simConn, second int)
		most  int
		told  []string
		after string
	}{
		{
			"a long life", 900 * time.Second, func(m *sim, d *simConn, _ int) { d.write(ping); m.second() }, 2000,
			[]string{"600: " + auth + "03333030", "900: CLOSE 0 token expired"},
			"",
		},
		{
			"a short life", 30 * time.Second, func(m *sim, _ *simConn, _ int) { m.second() }, 2000,
			[]string{"20: " + auth + "023130", "30: CLOSE 0 token expired"},
			"",
		},
		{
			"no life at all", 100 * time.Millisecond, func(m *sim, _ *simConn, _ int) { m.second() }, 2000,
			[]string{"1: CLOSE 0 token expired"},
			"",
		},
		{
			"not a second early", 2500 * time.Millisecond, func(m *sim, _ *simConn, _ int) { m.second() }, 2000,
			[]string{"3: CLOSE 0 token expired"},
			"",
		},
		{
			"over before it began", -time.Hour, func(m *sim, _ *simConn, _ int) { m.second() }, 2000,
			[]string{"1: CLOSE 0 token expired"},
			"",
		},
		{
			"silence", time.Hour, func(m *sim, _ *simConn, _ int) { m.second() }, 3000,
			[]string{"901: CLOSE 0 keepalive missed"},
			"",
		},
		{"a clock that jumps ahead", time.Hour, func(m *sim, d *simConn, second int) {
			if second == 10 {
				time.Sleep(2 * time.Hour) // and the loops' clock stood still
			}
			d.write(ping)
			m.second()
		}, 5000, []string{"901: CLOSE 0 token expired"}, "at the next look"},
		{
			"a clock that is set back", 60 * time.Second, func(m *sim, _ *simConn, _ int) { m.pass(1) }, 5000,
			[]string{"40: " + auth + "023230", "60: CLOSE 0 token expired"},
			"never later",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(t, withoutTrust())
				m.second() // the wheel has turned once
				d := m.joinAs(hello("a"), someone, proofFor(c.life))
				told := lifetime(d, c.most, func(second int) {
					if d.s.stage == stageOpen {
						c.each(m, d, second)
					} else {
						m.pass(1)
					}
				})
				require.Equal(t, c.told, told, c.after)
				require.True(t, d.closed)
				m.nobody()
			})
		})
	}
}

// A proof without an end has no timer of its own.
func TestNoExpiry(t *testing.T) {
	m := newSim(t, withoutTrust())
	d := m.joinAs(hello("a"), someone, &secure.Proof{Identity: someone})
	require.Zero(t, d.s.proof.expires)
	require.EqualValues(t, 7, d.s.proof.due(7))
	require.EqualValues(t, 7, (*proof)(nil).due(7))
	m.pass(1000)
	require.Equal(t, []string{"CLOSE 0 keepalive missed"}, d.frames())
}

// MS-17: a new token goes on where the old one is, with a reminder of its own; it
// may allow less. One that is another device's, or wrong, changes nothing.
func TestRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(t, withoutTrust())
		d := m.joinAs(hello("a"), someone, proofFor(30*time.Second))
		l := m.g.loops[0]
		renew := func(p *secure.Proof, err error) []string {
			d.s.proof.renewing = true
			l.mail.post(entry{call: func(l *loop) { l.renewed(d.s, p, err) }})
			m.drain()
			require.False(t, d.s.proof.renewing)
			return d.frames()
		}
		d.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
		_ = d.frames()
		for range 10 {
			m.second()
		}
		was := d.s.proof.Proof
		other := *was
		other.Identity.Device = "b"
		require.Equal(t, []string{"ERROR other tenant for AUTH number 0"}, renew(&other, nil))
		other.Identity.Tenant = "other"
		require.Equal(t, []string{"ERROR other tenant for AUTH number 0"}, renew(&other, nil))
		require.Equal(t, []string{"ERROR token expired for AUTH number 0"}, renew(nil, &wire.Error{Code: wire.CodeTokenExpired}))
		require.Same(t, was, d.s.proof.Proof)

		require.Equal(t, []string{"AUTH 01023630"}, renew(proofFor(60*time.Second), nil))
		require.Equal(t, []string{"40: AUTH 01023230"}, lifetime(d, 45, func(int) { m.second() }))
		less := proofFor(60 * time.Second)
		less.Limited, less.Subscribe = true, []string{"broadcast/b"}
		require.Equal(t, []string{"AUTH 01023630", "UNSUBSCRIBED 1 not granted"}, renew(less, nil))
		require.Equal(t, []string{"AUTH 0100"}, renew(&secure.Proof{Identity: someone}, nil), "no end")

		d.write(wire.Auth{Method: wire.AuthToken, Data: []byte("x")}.Append(nil))
		require.Equal(t, []string{"ERROR not supported for AUTH number 0"}, d.frames(), "nobody here knows tokens")
	})
}
