package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// remote is a gateway with a fleet in which one life is met, and its stream of
// broadcast/a.
func remote(t testing.TB, cfg Config) (m *sim, f *fleet, s peer.Stream) {
	m = newSim(t, cfg)
	f = newFleet(m.g)
	f.Changed(0xA1, "other", peer.Met)
	return m, f, copyOf(t, f, "broadcast/a")
}

func copyOf(t testing.TB, f *fleet, topic string) peer.Stream {
	t.Helper()
	s, err := f.Stream(0xA1, []byte(DefaultTenant), []byte(topic))
	require.NoError(t, err)
	return s
}

// took has a message accepted.
func took(t testing.TB, s peer.Stream, offset uint64, payload string) {
	t.Helper()
	v, err := s.Accept(t.Context(), offset, []byte(payload))
	require.NoError(t, err)
	require.Equal(t, peer.Taken, v)
}

// A peer is believed no more than a device: names are checked, topics that are not
// broadcast here and origins that were not met are refused, each with a code.
func TestStreamsOfPeersAreChecked(t *testing.T) {
	m, f, _ := remote(t, Config{Limits: Limits{Topics: 3, TopicsPerTenant: 3}})
	for name, c := range map[string]struct {
		life          wire.Life
		tenant, topic string
		code          wire.Code
	}{
		"not met":        {0xA2, DefaultTenant, "broadcast/a", wire.CodeOutOfOrder},
		"a filter":       {0xA1, DefaultTenant, "broadcast/+", wire.CodeBadTopic},
		"empty":          {0xA1, DefaultTenant, "", wire.CodeBadTopic},
		"too long":       {0xA1, DefaultTenant, strings.Repeat("a", 256), wire.CodeBadTopic},
		"the gateway's":  {0xA1, DefaultTenant, "$broadcast", wire.CodeBadTopic},
		"central":        {0xA1, DefaultTenant, "orders/1", wire.CodeBadTopic},
		"no tenant":      {0xA1, "", "broadcast/a", wire.CodeOtherTenant},
		"a bad tenant":   {0xA1, "a/b", "broadcast/a", wire.CodeOtherTenant},
		"a long tenant":  {0xA1, strings.Repeat("t", 65), "broadcast/a", wire.CodeOtherTenant},
		"the third name": {0xA1, DefaultTenant, "broadcast/d", wire.CodeOverload},
	} {
		if name == "the third name" {
			copyOf(t, f, "broadcast/b")
			copyOf(t, f, "broadcast/c")
		}
		_, err := f.Stream(c.life, []byte(c.tenant), []byte(c.topic))
		require.Error(t, err, name)
		require.Equal(t, c.code, wire.CodeOf(err), name)
	}
	require.Nil(t, m.g.tenants.find("a/b"))
}

// Offsets that no device could be told are refused.
func TestOffsetsOfPeersAreChecked(t *testing.T) {
	m, _, s := remote(t, Config{})
	d := m.join(0, hello("d"))
	d.write(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")}.Append(nil))
	d.frames()
	for _, offset := range []uint64{0, wire.MaxVarint, wire.MaxVarint + 1, 1<<64 - 1} {
		_, err := s.Accept(t.Context(), offset, nil)
		require.Equal(t, wire.CodeMalformed, wire.CodeOf(err))
		require.Zero(t, s.Next())
	}
	s.Miss(wire.MaxVarint + 1)
	require.Zero(t, s.Next())
	took(t, s, wire.MaxVarint-1, "the last")
	s.Miss(1<<64 - 1)
	require.Equal(t, uint64(wire.MaxVarint), s.Next())
	m.drain()
	require.Equal(t, []string{fmt.Sprintf("STREAM 1/2 flags 0 next %d", uint64(wire.MaxVarint-1)), `MESSAGE 1/2 check 254 "the last"`}, d.frames())
}

// What peers send is charged to the pool, waits for it, and gives it back; if the
// wait is over nothing was delivered.
func TestPeersWaitForCredit(t *testing.T) {
	m, _, s := remote(t, Config{Limits: Limits{CreditPool: 64 * kib}})
	d := m.join(0, hello("d"))
	d.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
	d.frames()
	payload := make([]byte, 20*kib)
	_, err := s.Accept(t.Context(), 1, payload)
	require.NoError(t, err)
	need := m.g.credit.used.Load()
	require.EqualValues(t, len(payload)+len("broadcast/a")+overheadOfMessage+overheadOfPost, need)
	for v, offset := range map[peer.Verdict]uint64{peer.Duplicate: 1, peer.Hole: 3} {
		got, err := s.Accept(t.Context(), offset, payload)
		require.NoError(t, err)
		require.Equal(t, v, got)
		require.Equal(t, need, m.g.credit.used.Load(), "nothing is under way")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the link is gone"))
	_, err = s.Accept(ctx, 2, payload)
	require.ErrorContains(t, err, "the link is gone")
	require.EqualValues(t, 2, s.Next())
	require.Equal(t, need, m.g.credit.used.Load())
	m.drain()
	require.Zero(t, m.g.credit.used.Load())
	require.Len(t, d.frames(), 1)
	_, err = s.Accept(t.Context(), 2, payload)
	require.NoError(t, err)
	m.drain()
	require.Zero(t, m.g.credit.used.Load())
	require.Zero(t, m.defaultTenant().lent.Load())
	require.Len(t, d.frames(), 1)
}

// A message of a peer costs what one of the gateway's own does.
func TestMessagesOfPeersAllocateNoMore(t *testing.T) {
	m, _, s := remote(t, Config{})
	for n := range 100 {
		c := m.subscribed(fmt.Sprint(n), wire.Subscribe{Filter: []byte("broadcast/#")})
		c.got = make([]byte, 0, 1<<20)
	}
	payload, ctx := []byte("payload"), t.Context()
	once := func() {
		if _, err := s.Accept(ctx, max(s.Next(), 1), payload); err != nil {
			t.Error(err)
		}
		m.g.loops[0].drain()
	}
	for range 600 {
		once()
	}
	require.LessOrEqual(t, testing.AllocsPerRun(500, once), 2.5, "the frame and its charge")
}

// What others may ask for: where the own streams stand that were published to
// lately, and what is kept of any.
func TestSource(t *testing.T) {
	m, f, s := remote(t, Config{})
	m.publish("broadcast/old", nil)
	m.g.now.Add(10)
	m.publish("broadcast/a", []byte("own"))
	m.publish("broadcast/b", []byte("b"))
	_, err := m.g.Publish(t.Context(), "acme", "broadcast/a", []byte("acme"))
	require.NoError(t, err)
	took(t, s, 5, "five")
	took(t, s, 6, "six")
	s.Backfill([]peer.Kept{{Offset: 4, Age: 3, Payload: []byte("four")}})
	m.topic("broadcast/none").Stream()
	tops := func(within uint32, most int) (all []string) {
		f.Tops(within, func(tenant, topic string, next uint64) bool {
			all = append(all, fmt.Sprint(tenant, " ", topic, " ", next))
			return len(all) < most
		})
		return all
	}
	require.ElementsMatch(t, []string{"default broadcast/a 2", "default broadcast/b 2", "acme broadcast/a 2"}, tops(5, 9))
	require.Len(t, tops(5, 1), 1)
	require.Len(t, tops(10, 9), 4)

	m.g.now.Add(2)
	read := func(life wire.Life, tenant, topic string, from, to uint64, most int) (all []string) {
		f.Read(life, []byte(tenant), []byte(topic), from, to, func(k peer.Kept) bool {
			all = append(all, fmt.Sprintf("%d %s %ds", k.Offset, k.Payload, k.Age))
			return len(all) < most
		})
		return all
	}
	require.Equal(t, []string{"4 four 5s", "5 five 2s", "6 six 2s"}, read(0xA1, DefaultTenant, "broadcast/a", 1, 7, 9))
	require.Equal(t, []string{"5 five 2s"}, read(0xA1, DefaultTenant, "broadcast/a", 5, 6, 9))
	require.Equal(t, []string{"4 four 5s"}, read(0xA1, DefaultTenant, "broadcast/a", 1, 7, 1))
	require.Equal(t, []string{"1 own 2s"}, read(m.g.life, DefaultTenant, "broadcast/a", 1, 99, 9))
	require.Empty(t, read(0xA2, DefaultTenant, "broadcast/a", 1, 99, 9))
	require.Empty(t, read(m.g.life, "nobody", "broadcast/a", 1, 99, 9))
	require.Empty(t, read(m.g.life, DefaultTenant, "broadcast/x", 1, 99, 9))
}

// Origins keep their numbers, and nothing happens twice.
func TestOriginsChange(t *testing.T) {
	m, f, _ := remote(t, Config{})
	l := m.g.loops[0]
	change := func(life wire.Life, what peer.Change) over {
		f.Changed(life, "g", what)
		m.drain()
		return l.over[f.origin(life).Number()]
	}
	require.Equal(t, over{}, change(0xA1, peer.Met))
	require.Equal(t, over{}, change(0xA2, peer.Met))
	require.EqualValues(t, 2, f.origin(0xA1).Number())
	require.EqualValues(t, 3, f.origin(0xA2).Number())
	require.Equal(t, over{era: 1, is: true, how: wire.EndLost}, change(0xA1, peer.Lost))
	require.Equal(t, over{era: 1, is: true, how: wire.EndLost}, change(0xA1, peer.Restarted), "it was over")
	require.Equal(t, over{era: 1}, change(0xA1, peer.Met))
	require.Equal(t, over{era: 2, is: true, how: wire.EndComplete}, change(0xA1, peer.Left))
	require.Equal(t, over{era: 1, is: true, how: wire.EndRestarted}, change(0xA2, peer.Restarted))
	f.Changed(0xA3, "g", peer.Lost)
	require.Nil(t, f.origin(0xA3), "it was never met")
	require.EqualValues(t, 2, f.origin(0xA1).Number())
	require.Equal(t, filtersHash([]string{"a", "b", "a"}), filtersHash([]string{"b", "a"}))
	require.NotEqual(t, filtersHash([]string{"ab"}), filtersHash([]string{"a", "b"}))
}

// Who subscribes now gets the next message, although the origin has ended, come
// back and published in the mailbox meanwhile.
func TestStartNowBehindAReturn(t *testing.T) {
	for _, without := range []bool{false, true} {
		m, f, s := remote(t, Config{without: guards{onItsWay: without}})
		took(t, s, 1, "one")
		m.drain()
		f.Changed(0xA1, "", peer.Lost)
		m.drain()
		other := m.join(0, hello("other"))
		other.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(nil))
		f.Changed(0xA1, "", peer.Met)
		took(t, s, 2, "two")
		f.Changed(0xA1, "", peer.Lost)
		d := m.join(0, hello("d"))
		d.write(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")}.Append(nil))
		m.drain()
		want := []string{"SUBSCRIBED 1 ok id 1", "STREAM 1/1 flags 1 next 1", "STREAM 1/2 flags 0 next 3", "END 0/2 lost"}
		if without {
			require.NotEqual(t, want, d.frames())
			continue
		}
		require.Equal(t, want, d.frames())
	}
}

// A session whose only exact subscription of a topic ends before its wildcard has
// come to its start is brought the topic by the wildcard, which tells it streams;
// another exact one that comes meanwhile waits for its own start.
func TestAnExactSubscriptionComesAgainBehindAStart(t *testing.T) {
	for _, without := range []bool{false, true} {
		m, _, s := remote(t, Config{without: guards{onlyGroups: without}})
		d := m.join(0, hello("d"))
		d.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
		d.write(wire.Subscribe{Sub: 2, Track: true, Filter: []byte("broadcast/+")}.Append(nil))
		x := m.join(0, hello("x"))
		x.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil))
		took(t, s, 1, "one")
		d.frames()
		l := m.g.loops[0]
		m.late = func() bool { return true }
		d.write(wire.Subscribe{Sub: 3, Track: true, Filter: []byte("broadcast/#")}.Append(nil)) // its start is behind
		d.write(wire.Unsubscribe{Sub: 1}.Append(nil))
		l.drain() // the stream begins, for the other one alone
		d.write(wire.Subscribe{Sub: 4, Start: wire.StartKept, Filter: []byte("broadcast/a")}.Append(nil))
		m.late = nil
		m.drain()
		got := strings.Join(d.frames(), "\n")
		told, came := strings.Index(got, "STREAM 1/2 flags 0 next 1"), strings.Index(got, "MESSAGE 1/2 check 1")
		require.NotEqual(t, -1, came, got)
		require.Equal(t, !without, told >= 0 && told < came, got)
	}
}

// Whoever is still reading an origin's ring when that is forgotten is told what it
// will not get; the origin may come back, and count on.
func TestReplaysEndWhenAnOriginIsForgotten(t *testing.T) {
	for _, without := range []bool{false, true} {
		m, f, s := remote(t, Config{Limits: Limits{RingAge: time.Second, StuckAfter: time.Hour}, without: guards{forgotten: without}})
		for o := uint64(1); o < 5; o++ {
			took(t, s, o, "x")
		}
		d := m.join(0, hello("d"))
		d.take(0)
		d.write(wire.Subscribe{Sub: 1, Track: true, Start: wire.StartKept, Filter: []byte("broadcast/a")}.Append(nil))
		m.drain()
		f.Changed(0xA1, "", peer.Lost)
		m.pass(3)
		f.sweep(m.g.now.Load())
		f.Changed(0xA1, "", peer.Met)
		s = copyOf(t, f, "broadcast/a") // nothing is known of it any more
		took(t, s, 7, "seven")
		m.drain()
		d.take(-1)
		m.pass(1)
		want := []string{
			"SUBSCRIBED 1 ok id 1", "STREAM 1/1 flags 1 next 1", "STREAM 1/2 flags 0 next 1",
			"GAP 1/2 no longer kept 4", "END 0/2 lost", "STREAM 1/2 flags 0 next 7", `MESSAGE 1/2 check 7 "seven"`, "LIVE 1",
		}
		if without {
			require.NotEqual(t, want, d.frames())
			continue
		}
		require.Equal(t, want, d.frames())
	}
}
