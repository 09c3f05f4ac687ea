//go:build e2e && linux

package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/peer/history"
)

// faultInterest has devices of one gateway subscribe 100,000 topics. Its subscription table is its own business: the others
// are sent no more than when nothing happens at all (BC-9, BC-15). What is counted is what leaves its machine.
func faultInterest(t *testing.T, out *bench.Result) {
	const devices = 50
	topics := sized(20_000, 100_000)
	n := newNetwork(t, 2)
	dir := t.TempDir()
	fleetCertificates(t, dir, "g1", "g2")
	rec := newRecorder(history.Rules{})
	var members []*member
	for i, space := range n.spaces {
		m := newMember(t, rec, fmt.Sprintf("g%d", i+1), space)
		m.args = append(fleetCertificateArgs(dir, m.name), "--central", "off", "--peer", n.spaces[1-i].address+":7313",
			"--limits-subscriptions", "4000", "--limits-topics-per-tenant", "200000", "--limits-topic-rate", "100000")
		members = append(members, m)
	}
	for _, m := range members {
		m.start()
	}
	awaitLinks(members)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	batches := func() (total uint64) {
		v, err := members[0].fleet()
		require.NoError(t, err)
		for _, l := range v.Links {
			total += l.BatchesSent
		}
		return total
	}

	// Idle: heartbeats, and the answers to them.
	const idle = 5 * time.Second
	rest(ctx, time.Second)
	from, before := n.spaces[0].sent(), batches()
	rest(ctx, idle)
	idleRate := float64(n.spaces[0].sent()-from) / idle.Seconds()
	require.Positive(t, idleRate, "a link that is alive is not silent")

	begin, from := time.Now(), n.spaces[0].sent()
	failed := make(chan error, devices)
	for i := range devices {
		go func() { failed <- subscribeMany(ctx, t, members[0], i, topics/devices) }()
	}
	for range devices {
		require.NoError(t, <-failed)
	}
	rest(ctx, time.Second)
	took := time.Since(begin)
	sent := float64(n.spaces[0].sent() - from)
	expected := idleRate * took.Seconds()
	t.Logf("%d topics subscribed in %s: %.0f bytes left for the other gateway, %.0f when idle for as long", topics, took, sent, expected)
	require.Equal(t, before, batches(), "no batch was sent")
	// A heartbeat more or less, of some 100 bytes with all headers; a byte for each topic would be far more.
	require.Less(t, sent, 1.5*expected+1000)
	out.Set("topics subscribed", topics)
	out.Add("interest: bytes to the other gateway beyond idle, for each subscription", "B", (sent-expected)/float64(topics))

	// The control: one message that is published there is seen by the same counter.
	from = n.spaces[0].sent()
	c, err := client.Dial(ctx, members[0].listen, client.WithDialer(dialerOf(members[0])))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Publish(ctx, "broadcast/control", make([]byte, 10_000)))
	members[0].await("a batch is sent", func() bool { return batches() > before })
	require.Greater(t, n.spaces[0].sent()-from, uint64(100), "the counter would see it")
}

// subscribeMany has one device subscribe many topics of its own; it stays until the test ends.
func subscribeMany(ctx context.Context, t *testing.T, m *member, device, topics int) error {
	c, err := client.Dial(ctx, m.listen, client.WithDevice(fmt.Sprintf("many%d", device)), client.WithDialer(dialerOf(m)))
	if err != nil {
		return err
	}
	t.Cleanup(func() { c.Close() })
	const abreast = 16
	failed := make(chan error, abreast)
	for k := range abreast {
		go func() {
			for i := k; i < topics; i += abreast {
				if _, err := c.Subscribe(ctx, fmt.Sprintf("broadcast/%d/%d", device, i)); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range abreast {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}
