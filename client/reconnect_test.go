package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

var errCut = errors.New("cut")

// What each class of codes makes of the next attempt [W-8.2], and at which address it
// is [W-8.1]. Random parts are drawn at one half.
func TestPlan(t *testing.T) {
	type step struct {
		end  client.Ending
		addr string
		wait time.Duration
		hops uint8
		err  bool
	}
	coded := func(c wire.Code) client.Ending { return client.Ending{Welcomed: true, Coded: true, Code: c} }
	served := func(e client.Ending) client.Ending { e.Served = client.SettledAfter; return e }
	target := func(e client.Ending) client.Ending { e.Target = "t"; return e }
	later := func(d time.Duration) client.Ending { e := coded(wire.CodeOverload); e.Retry = d; return e }
	early := func(d time.Duration) client.Ending { e := later(d); e.Welcomed, e.Err = false, errCut; return e }
	own := client.Ending{Own: true, Err: errCut}
	lost := client.Ending{Welcomed: true, Err: errCut}
	refused := client.Ending{Err: errCut}
	ms, s := time.Millisecond, time.Second

	for name, steps := range map[string][]step{
		"no server at all": {
			{end: refused, addr: "b", wait: 500 * ms}, {end: refused, addr: "c", wait: 500 * ms}, {end: refused, err: true},
		},
		"the one that welcomed is home": {
			{end: refused, addr: "b", wait: 500 * ms},
			{end: lost, addr: "b", wait: 500 * ms},
			{end: refused, addr: "c", wait: 500 * ms},
			{end: refused, addr: "a", wait: 500 * ms},
			{end: refused, addr: "b", wait: 2500 * ms},
			{end: refused, addr: "c", wait: 500 * ms},
			{end: served(lost), addr: "c", wait: 500 * ms},
			{end: refused, addr: "a", wait: 500 * ms},
			{end: refused, addr: "b", wait: 500 * ms},
			{end: refused, addr: "c", wait: 2500 * ms},
		},
		"lost at once again and again": {
			{end: lost, addr: "a", wait: 500 * ms},
			{end: lost, addr: "a", wait: 2500 * ms},
			{end: lost, addr: "a", wait: 5 * s},
			{end: lost, addr: "a", wait: 10 * s},
			{end: lost, addr: "a", wait: 20 * s},
			{end: lost, addr: "a", wait: 20 * s},
			{end: served(lost), addr: "a", wait: 500 * ms},
		},
		"fine":                  {{end: coded(wire.CodeOK), addr: "a", wait: 500 * ms}},
		"idle":                  {{end: coded(wire.CodeIdle), addr: "a", wait: 500 * ms}},
		"slow":                  {{end: coded(wire.CodeSlow), addr: "a", wait: 500 * ms}},
		"at once, unknown code": {{end: coded(0x3F), addr: "a", wait: 500 * ms}},
		"overload":              {{end: coded(wire.CodeOverload), addr: "b", wait: 2500 * ms}, {end: coded(wire.CodeOverload), addr: "c", wait: 5 * s}},
		"overload, and the others are gone": {
			{end: coded(wire.CodeOverload), addr: "b", wait: 2500 * ms},
			{end: refused, addr: "c", wait: 500 * ms},
			{end: refused, addr: "a", wait: 5 * s},
		},
		"refused before WELCOME": {
			{end: client.Ending{Coded: true, Code: wire.CodeConnectRate}, addr: "b", wait: 2500 * ms},
		},
		"overload with a delay: exactly that, and it is no back-off": {
			{end: later(7 * s), addr: "b", wait: 7 * s},
			{end: later(90 * s), addr: "c", wait: 90 * s},
			{end: coded(wire.CodeOverload), addr: "a", wait: 2500 * ms},
			{end: later(ms), addr: "b", wait: ms},
			{end: coded(wire.CodeOverload), addr: "c", wait: 5 * s},
		},
		"a delay before any WELCOME": {
			{end: early(7 * s), addr: "b", wait: 7 * s},
			{end: early(7 * s), addr: "c", wait: 7 * s},
			{end: early(7 * s), addr: "a", wait: 7 * s},
			{end: refused, addr: "b", wait: 500 * ms},
			{end: refused, err: true},
		},
		"no token at first": {{end: own, err: true}},
		"no token later": {
			{end: served(coded(wire.CodeTokenExpired)), addr: "a", wait: 500 * ms},
			{end: own, addr: "a", wait: 2500 * ms},
			{end: own, addr: "a", wait: 5 * s},
			{end: refused, addr: "b", wait: 500 * ms},
		},
		"moved without a target": {{end: served(coded(wire.CodeMoved)), addr: "b", wait: 500 * ms, hops: 1}},
		"moved to a target":      {{end: served(target(coded(wire.CodeMoved))), addr: "t", wait: 500 * ms, hops: 1}},
		"a target that is gone": {
			{end: target(coded(wire.CodeDraining)), addr: "t", wait: 500 * ms, hops: 1},
			{end: refused, addr: "a", wait: 500 * ms, hops: 1},
			{end: refused, addr: "b", wait: 500 * ms, hops: 1},
		},
		"a target that welcomed is home": {
			{end: target(coded(wire.CodeMoved)), addr: "t", wait: 500 * ms, hops: 1},
			{end: served(lost), addr: "t", wait: 500 * ms},
			{end: refused, addr: "b", wait: 500 * ms},
			{end: refused, addr: "c", wait: 500 * ms},
			{end: refused, addr: "a", wait: 500 * ms},
			{end: refused, addr: "t", wait: 2500 * ms},
			{end: refused, addr: "b", wait: 500 * ms},
			{end: lost, addr: "b", wait: 5 * s},
		},
		"at most three redirects": {
			{end: target(coded(wire.CodeMoved)), addr: "t", wait: 500 * ms, hops: 1},
			{end: target(coded(wire.CodeMoved)), addr: "t", wait: 2500 * ms, hops: 2},
			{end: target(coded(wire.CodeMoved)), addr: "t", wait: 5 * s, hops: 3},
			{end: target(coded(wire.CodeMoved)), addr: "b", wait: 10 * s, hops: 3},
			{end: served(target(coded(wire.CodeMoved))), addr: "t", wait: 500 * ms, hops: 1},
		},
		"GOAWAY obeyed: the moment was drawn already": {
			{end: client.Ending{Welcomed: true, Coded: true, Code: wire.CodeDraining, Target: "t", Spread: true}, addr: "t", hops: 1},
		},
		"not authenticated": {{end: coded(wire.CodeNotAuthenticated), err: true}},
		"replaced":          {{end: coded(wire.CodeReplaced), err: true}},
		"version":           {{end: client.Ending{Coded: true, Code: wire.CodeVersion}, err: true}},
		"not this":          {{end: coded(wire.CodeNotSupported), addr: "b", wait: 2500 * ms}},
		"the customer's":    {{end: coded(0xE7), addr: "b", wait: 2500 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			p := client.NewPlan(0.5, 5*s, 40*s, "a", "b", "c")
			require.Equal(t, "a", p.First())
			for i, st := range steps {
				addr, wait, hops, err := p.Next(st.end)
				if st.err {
					require.Error(t, err, "step %d", i)
					if st.end.Coded {
						stopped := (*client.StoppedError)(nil)
						require.ErrorAs(t, err, &stopped)
						require.Equal(t, st.end.Code, stopped.Code)
					} else {
						require.ErrorIs(t, err, errCut)
					}
					continue
				}
				require.NoError(t, err, "step %d", i)
				require.Equal(t, st.addr, addr, "step %d", i)
				require.Equal(t, st.wait, wait, "step %d", i)
				require.Equal(t, st.hops, hops, "step %d", i)
			}
		})
	}
}

// The random part reaches from nothing to all of the range: a fleet that was told
// the same code in the same second does not come back as one.
func TestPlanSpreadsTheFleet(t *testing.T) {
	for part, want := range map[float64]time.Duration{0: 0, 0.25: 250 * time.Millisecond, 1: time.Second} {
		_, wait, _, err := client.NewPlan(part, 5*time.Second, time.Minute, "a").Next(client.Ending{Welcomed: true, Err: errCut})
		require.NoError(t, err)
		require.Equal(t, want, wait)
	}
}

// A lone gateway that has never welcomed and sends the client elsewhere, and then later, is an
// error of Dial: there is no other one to wait for.
func TestPlanGivesUpOnALoneGateway(t *testing.T) {
	p := client.NewPlan(0.5, 5*time.Second, time.Minute, "a")
	require.Equal(t, "a", p.First())
	for hops := range uint8(3) {
		addr, _, got, err := p.Next(client.Ending{Coded: true, Code: wire.CodeDraining, Err: errCut})
		require.NoError(t, err)
		require.Equal(t, "a", addr)
		require.Equal(t, hops+1, got)
	}
	_, _, _, err := p.Next(client.Ending{Coded: true, Code: wire.CodeOverload, Err: errCut})
	require.ErrorIs(t, err, errCut)
}
