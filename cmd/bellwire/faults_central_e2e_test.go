//go:build e2e && linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/peer/history"
	"github.com/bellwire/bellwire/wire"
)

// faultCentral takes the central service away for long, and then all leases of its list at once while it is there.
// Gateways that found each other by that list stay linked, broadcasts go on as if nothing were; other topics are refused
// with a code that says so, and recover by themselves (BC-4, BC-D7).
func faultCentral(t *testing.T, out *bench.Result) {
	l := load{
		gateways: 3, devices: sized(30, 200), each: 2, topics: sized(15, 50), rate: sized(150, 1000), payload: 64, stay: true,
	}
	away := sized(30*time.Second, 10*time.Minute)
	rules := faultRules()
	rules.Floor = l.floor(away, map[string]uint64{"kill": 1, "leases gone at once": 3})
	var hub *member
	free, err := freeAddresses(1)
	require.NoError(t, err)
	central := free[0]
	tr := newTrial(t, setup{
		load: l, rules: rules, discover: true, controls: []*control{withoutProof(), withoutAlarm(), withoutSome()},
		before: func(rec *recorder) {
			hub = newMember(t, rec, "hub", nil)
			hub.peer = "" // it is no gateway of the fleet, it only has its central service
			hub.args = []string{"--central", "embedded", "--central-listen", central, "--data", t.TempDir()}
			hub.start()
		},
		args: func(*member) []string { return []string{"--central", "nats://" + central} },
	})
	p := newPlain(t, tr)
	p.works()
	watch := watchLinks(tr)
	tr.publish()
	rest(t.Context(), 2*time.Second)

	hub.kill()
	begin := time.Now()
	p.refused()
	rest(t.Context(), away-time.Since(begin))
	p.refused()
	hub.start()
	begin = time.Now()
	p.works()
	out.Add("central: until other topics worked after it was back", "s", time.Since(begin).Seconds())
	rest(t.Context(), 2*time.Second)

	tr.rec.add(history.Event{Kind: history.Fault, Name: "leases gone at once", Count: purgeLeases(t, central)})
	rest(t.Context(), 15*time.Second) // more than twice as long as a lease lasts
	p.works()

	report := tr.finish(5 * time.Second)
	require.Zero(t, watch.lost(), "links were lost while the central service was away")
	out.Set("central away", away)
	tr.passed(report)
	tr.results(out, "central", report)
	require.Zero(t, report.Counts.Ended, "no healthy gateway was dropped")
	require.Zero(t, report.Counts.Missing)
}

// plain is two devices, at two gateways, that publish to each other what is no broadcast.
type plain struct {
	t    *testing.T
	from *client.Client
	to   *client.Subscription
}

const plainTopic = "orders/1"

func newPlain(t *testing.T, tr *trial) *plain {
	t.Helper()
	dial := func(m *member, name string) *client.Client {
		c, err := client.Dial(t.Context(), m.listen, client.WithDevice(name), client.WithDialer(dialerOf(m)))
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	last := tr.members[len(tr.members)-1]
	sub, err := dial(last, "taker").Subscribe(t.Context(), plainTopic, client.Untracked())
	require.NoError(t, err)
	return &plain{t: t, from: dial(tr.members[0], "giver"), to: sub}
}

// send publishes once, and says what came of it within a second or so.
func (p *plain) send(text string) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 1500*time.Millisecond)
	defer cancel()
	return p.from.Publish(ctx, plainTopic, []byte(text))
}

// arrives waits for a message; false: it is told that something is missing before that.
func (p *plain) arrives(ctx context.Context, text string) (bool, error) {
	for {
		event, err := p.to.Next(ctx)
		if err != nil {
			return false, err
		}
		switch event := event.(type) {
		case client.Message:
			if string(event.Payload) == text {
				return true, nil
			}
		case client.Gap:
			return false, nil
		}
	}
}

// works wants a message to get through: now or, by itself, within 20 s.
func (p *plain) works() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	text := time.Now().String()
	var err error
	for ctx.Err() == nil {
		if err = p.send(text); err == nil {
			arrived, failed := p.arrives(ctx, text)
			require.NoError(p.t, failed, "what was acknowledged did not arrive, and nothing said so")
			if arrived {
				return
			}
		}
		rest(ctx, 100*time.Millisecond)
	}
	p.t.Fatalf("topics that are not broadcast do not work: %v", err)
}

// refused wants a message to be refused, with the code that says why.
func (p *plain) refused() {
	p.t.Helper()
	var refusal *client.RefusedError
	require.Eventually(p.t, func() bool { return errors.As(p.send("lost"), &refusal) }, patience, 100*time.Millisecond)
	require.Equal(p.t, wire.CodeCentralAway, refusal.Code, "%v", refusal)
}

// linkWatch looks all the time whether gateways are linked.
type linkWatch struct {
	missing, looks atomic.Int64
	stop           context.CancelFunc
	done           chan struct{}
	t              *testing.T
}

func watchLinks(tr *trial) *linkWatch {
	ctx, cancel := context.WithCancel(tr.ctx)
	w := &linkWatch{stop: cancel, done: make(chan struct{}), t: tr.t}
	go func() {
		defer close(w.done)
		for ctx.Err() == nil {
			for i, m := range tr.members {
				other := tr.members[(i+1)%len(tr.members)]
				if v, err := m.fleet(); err == nil {
					w.looks.Add(1)
					if !linkedIn(v, other.name) {
						w.missing.Add(1)
					}
				}
			}
			rest(ctx, 250*time.Millisecond)
		}
	}()
	return w
}

// lost is how often a link was not there.
func (w *linkWatch) lost() int64 {
	w.stop()
	<-w.done
	require.Greater(w.t, w.looks.Load(), int64(30), "nobody has looked")
	return w.missing.Load()
}

// purgeLeases deletes all that gateways have put on their list, and says how much that was.
func purgeLeases(t *testing.T, central string) uint64 {
	t.Helper()
	var answer struct {
		Success bool   `json:"success"`
		Purged  uint64 `json:"purged"`
	}
	b := natsRequest(t, central, "$JS.API.STREAM.PURGE.KV_bw-gateways", "")
	require.NoError(t, json.Unmarshal(b, &answer), "%s", b)
	require.True(t, answer.Success, "%s", b)
	return answer.Purged
}
