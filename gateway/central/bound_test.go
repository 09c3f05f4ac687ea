package central

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// bind has a stream keep topics, and waits until c knows of it.
func bind(t *testing.T, c *Central, stream, filter string, keep Keep) wire.Life {
	t.Helper()
	require.NoError(t, c.Bind(t.Context(), stream, "acme", filter, keep))
	eventually(t, func() bool { return c.bound.named(stream) != nil }, "stream %s", stream)
	return c.bound.named(stream).life
}

// offsets are those that came of a topic.
func (s *sink) offsets(topic string) (all []uint64) {
	for _, g := range s.events() {
		if g.topic == topic && !g.missed {
			all = append(all, g.at.Offset)
		}
	}
	return all
}

func store(t *testing.T, c *Central, topic string, from, to int) (last wire.Position) {
	t.Helper()
	for n := from; n < to; n++ {
		var err error
		last, err = c.PublishStored(t.Context(), "acme", topic, fmt.Append(nil, n))
		require.NoError(t, err)
	}
	return last
}

// Who subscribes before the streams are known is told that something may be missing: a message that was under way then
// belongs to neither side.
func TestStreamsThatWereThereBefore(t *testing.T) {
	a, _, url := offered(t, Config{Name: "a"})
	bind(t, a, "ORDERS", "orders/#", Keep{})
	b, got := start(t, Config{Name: "b", URLs: []string{url}})
	_, err := b.Subscribe("acme", "orders/a")
	require.NoError(t, err)
	eventually(t, func() bool { return b.bound.named("ORDERS") != nil }, "the stream is known")
	eventually(t, func() bool { return slices.Contains(got.events(), gap(0)) }, "it is announced")
}

// A topic that a stream keeps carries its sequence; one beside it that none keeps does not,
// though one filter matches both. Each message comes once.
func TestBoundTopics(t *testing.T) {
	c, got := start(t, Config{})
	life := bind(t, c, "ORDERS", "orders/#", Keep{})
	_, err := c.Subscribe("acme", "#")
	require.NoError(t, err)
	_, err = c.Subscribe("acme", "+/1")
	require.NoError(t, err)
	settle(t, c, got, "acme", "plain/settle")
	settle(t, c, got, "acme", "orders/settle")
	for n := range 200 {
		require.NoError(t, c.Publish("acme", "orders/1", fmt.Append(nil, n)))
		require.NoError(t, c.Publish("acme", "plain/1", fmt.Append(nil, n)))
	}
	eventually(t, func() bool { return len(got.payloads("orders/1")) >= 200 && len(got.payloads("plain/1")) >= 200 }, "all")
	want := make([]string, 200)
	for n := range want {
		want[n] = fmt.Sprint(n)
	}
	require.Equal(t, want, got.payloads("orders/1"))
	require.Equal(t, want, got.payloads("plain/1"))
	at := got.offsets("orders/1")
	require.True(t, slices.IsSorted(at))
	require.NotZero(t, at[0])
	for _, g := range got.events() {
		switch g.topic {
		case "orders/1":
			require.Equal(t, life, g.at.Life)
		case "plain/1":
			require.Zero(t, g.at)
		}
	}
	pos, bound := c.At("acme", "orders/1")
	require.True(t, bound)
	require.Equal(t, wire.Position{Life: life, Offset: at[len(at)-1]}, pos)
	_, bound = c.At("acme", "plain/1")
	require.False(t, bound)
}

// Filters that come and go while messages are published: what one that stays matches is
// not lost nor doubled, and comes in order.
func TestBoundFiltersComeAndGo(t *testing.T) {
	c, got := start(t, Config{})
	bind(t, c, "ORDERS", "orders/#", Keep{})
	_, err := c.Subscribe("acme", "orders/a/+")
	require.NoError(t, err)
	settle(t, c, got, "acme", "orders/a/settle")
	var cancel []func()
	filters := []string{"orders/+/b", "#", "orders/a/b", "orders/c", "orders/a/#"}
	var want []uint64
	for n := range 300 {
		if n%15 == 0 {
			stop, err := c.Subscribe("acme", filters[n/15%len(filters)])
			require.NoError(t, err)
			cancel = append(cancel, stop)
		}
		if n%20 == 0 && len(cancel) > 1 {
			cancel[0]()
			cancel = cancel[1:]
		}
		want = append(want, store(t, c, "orders/a/b", n, n+1).Offset)
		store(t, c, "orders/c", n, n+1)
	}
	eventually(t, func() bool { return slices.Contains(got.offsets("orders/a/b"), want[len(want)-1]) }, "the last one")
	require.Equal(t, want, got.offsets("orders/a/b"))
	require.True(t, slices.IsSorted(got.offsets("orders/c")))
}

// A filter begins where the stream ended when it was subscribed, though its reader, which
// has seen nothing for long, goes on from far before.
func TestBoundFilterBeginsNow(t *testing.T) {
	beginsNow(t, Config{}, func(old int) { require.Zero(t, old) })
}

// Control: without that bound old messages come as if they were new.
func TestBoundFilterBeginsNowWithout(t *testing.T) {
	beginsNow(t, Config{without: guards{since: true}}, func(old int) { require.Positive(t, old) })
}

func beginsNow(t *testing.T, cfg Config, check func(old int)) {
	c, got := start(t, cfg)
	bind(t, c, "ORDERS", "orders/#", Keep{})
	_, err := c.Subscribe("acme", "orders/rare")
	require.NoError(t, err)
	settle(t, c, got, "acme", "orders/rare")
	store(t, c, "orders/often", 0, 50)
	// The link is lost before it was noted how far the stream was read.
	l, _ := c.link()
	c.down()
	_, err = c.Subscribe("acme", "orders/often")
	require.NoError(t, err)
	c.up(l.nc)
	eventually(t, func() bool { _, at := c.At("acme", "orders/often"); return at }, "bound")
	require.NoError(t, c.bound.named("ORDERS").following.wait(t.Context(), c.subs.edited()))
	var last wire.Position
	eventually(t, func() bool {
		last = store(t, c, "orders/often", 50, 51)
		return slices.Contains(got.offsets("orders/often"), last.Offset)
	}, "what is new")
	old := 0
	for _, p := range got.payloads("orders/often") {
		if p != "50" {
			old++
		}
	}
	check(old)
}

// A device resumes with what its stream still has, told whether that is all.
func TestReplay(t *testing.T) {
	c, _ := start(t, Config{})
	life := bind(t, c, "ORDERS", "orders/#", Keep{})
	first := store(t, c, "orders/a", 0, 1)
	store(t, c, "orders/b", 0, 10)
	last := store(t, c, "orders/a", 1, 5)
	top := store(t, c, "orders/b", 10, 12)

	type result struct {
		payloads []string
		upTo     wire.Position
		whole    bool
	}
	replay := func(from wire.Position, most int) result {
		var r result
		var err error
		r.upTo, r.whole, err = c.Replay(t.Context(), "acme", "orders/a", from, most, func(offset uint64, payload []byte) bool {
			r.payloads = append(r.payloads, string(payload))
			return string(payload) != "stop"
		})
		require.NoError(t, err)
		return r
	}
	require.Equal(t, result{[]string{"1", "2", "3", "4"}, top, true}, replay(first, 100))
	require.Equal(t, result{[]string{"0", "1", "2", "3", "4"}, top, true}, replay(wire.Position{Life: life}, 100))
	require.Equal(t, result{[]string{"1", "2"}, wire.Position{Life: life, Offset: last.Offset - 2}, true}, replay(first, 2), "a part")
	require.Equal(t, result{nil, top, true}, replay(last, 100), "nothing new")
	require.Equal(t, result{nil, top, false}, replay(wire.Position{Life: life + 1, Offset: 3}, 100), "another life")
	require.Equal(t, result{nil, top, false}, replay(wire.Position{Life: life, Offset: top.Offset + 9}, 100), "from the future")

	// The stream drops what is before the second message of the topic: of what came after
	// the first nobody knows how much.
	l, _ := c.link()
	stream, err := l.js.Stream(t.Context(), "ORDERS")
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(last.Offset-2)))
	require.Equal(t, result{[]string{"2", "3", "4"}, top, false}, replay(first, 100))
	require.Equal(t, result{[]string{"3", "4"}, top, true}, replay(wire.Position{Life: life, Offset: last.Offset - 2}, 100))

	_, _, err = c.Replay(t.Context(), "acme", "plain", wire.Position{}, 1, nil)
	require.Equal(t, wire.CodeNotSupported, wire.CodeOf(err))
}

// Where a stream keeps only the last messages of each topic, what was dropped between two
// that are there is not taken for nothing.
func TestReplayOfAStreamThatKeepsTheLast(t *testing.T) {
	c, _ := start(t, Config{})
	life := bind(t, c, "STATE", "state/#", Keep{PerTopic: 1})
	store(t, c, "state/x", 0, 1)
	seen := store(t, c, "state/a", 0, 1)
	last := store(t, c, "state/a", 1, 3)
	var all []string
	keep := func(_ uint64, payload []byte) bool { all = append(all, string(payload)); return true }
	upTo, whole, err := c.Replay(t.Context(), "acme", "state/a", seen, 10, keep)
	require.NoError(t, err)
	require.False(t, whole)
	require.Equal(t, []string{"2"}, all)
	require.Equal(t, last, upTo)
	upTo, whole, err = c.Replay(t.Context(), "acme", "state/a", last, 10, keep)
	require.NoError(t, err)
	require.True(t, whole)
	require.Equal(t, wire.Position{Life: life, Offset: last.Offset}, upTo)
}

// Live and replay leave nothing out between them: what Replay does not give comes live, as
// the filter was subscribed to before.
func TestReplayMeetsLive(t *testing.T) {
	c, got := start(t, Config{})
	life := bind(t, c, "ORDERS", "orders/#", Keep{})
	stop := make(chan struct{})
	done := make(chan wire.Position)
	go func() {
		last := wire.Position{}
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- last
				return
			default:
				if at, err := c.PublishStored(context.Background(), "acme", "orders/a", fmt.Append(nil, n)); err == nil {
					last = at
				}
			}
		}
	}()
	cursor := wire.Position{Life: life}
	for range 8 {
		from := len(got.events())
		cancel, err := c.Subscribe("acme", "orders/a")
		require.NoError(t, err)
		upTo, whole, err := c.Replay(t.Context(), "acme", "orders/a", cursor, 1<<20, func(uint64, []byte) bool { return true })
		require.NoError(t, err)
		require.True(t, whole)
		behind := -1
		eventually(t, func() bool {
			behind = slices.IndexFunc(got.events()[from:], func(g event) bool { return g.at.Offset > upTo.Offset })
			return behind >= 0
		}, "live")
		require.Equal(t, upTo.Offset+1, got.events()[from+behind].at.Offset, "the first live one behind the replay")
		cursor = upTo
		cancel()
		eventually(t, func() bool { _, begun := c.bound.named("ORDERS").following.position(); return !begun }, "nobody subscribes")
	}
	close(stop)
	<-done
}

// A stream that is deleted ends its life; one of the same name is another, and nothing of
// it is lost because its numbers are lower.
func TestBoundStreamIsMadeAnew(t *testing.T) {
	c, got := start(t, Config{})
	before := bind(t, c, "ORDERS", "orders/#", Keep{})
	_, err := c.Subscribe("acme", "orders/#")
	require.NoError(t, err)
	settle(t, c, got, "acme", "orders/settle")
	store(t, c, "orders/a", 0, 20)
	l, _ := c.link()
	require.NoError(t, l.js.DeleteStream(t.Context(), "ORDERS"))
	eventually(t, func() bool { return slices.Contains(got.events(), end(before)) }, "the end")
	settle(t, c, got, "acme", "orders/plain")
	after := bind(t, c, "ORDERS", "orders/#", Keep{})
	require.NotEqual(t, before, after)
	var last wire.Position
	eventually(t, func() bool {
		last = store(t, c, "orders/a", 100, 101)
		return slices.ContainsFunc(got.events(), func(g event) bool { return g.at.Life == after && !g.missed })
	}, "the new life")
	require.Equal(t, after, last.Life)
}

// A stream that does not take a message, as one that is full, has publishers refused with a
// code until it takes them again. It is of all tenants here, and made without Bellwire.
func TestBoundStreamRefuses(t *testing.T) {
	c, got := start(t, Config{})
	l, _ := c.link()
	stream, err := l.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "FEW", Subjects: []string{"bw.t.*.few.>", "elsewhere"}, MaxMsgs: 1, Discard: jetstream.DiscardNew, Storage: jetstream.MemoryStorage,
	})
	require.NoError(t, err)
	eventually(t, func() bool { _, bound := c.At("acme", "few/a"); return bound }, "the stream is found")
	_, err = c.Subscribe("acme", "few/#")
	require.NoError(t, err)
	require.NoError(t, c.bound.named("FEW").following.wait(t.Context(), c.subs.edited()))
	require.NoError(t, c.Publish("acme", "few/a", []byte("1")))
	eventually(t, func() bool { return len(got.payloads("few/a")) == 1 }, "the first one")
	require.NoError(t, c.Publish("acme", "few/a", []byte("2")))
	eventually(t, func() bool { return c.Publish("acme", "few/a", []byte("3")) != nil }, "it is refused")
	require.Equal(t, wire.CodeCentralAway, wire.CodeOf(c.Publish("acme", "few/a", nil)))
	require.NoError(t, c.Publish("acme", "plain", nil), "others go on")
	require.NoError(t, stream.Purge(t.Context()))
	eventually(t, func() bool { return c.Publish("acme", "few/a", []byte("4")) == nil }, "it is tried again")
	eventually(t, func() bool { return slices.Contains(got.payloads("few/a"), "4") }, "it is taken")
	require.NotContains(t, got.payloads("few/a"), "2")
}
