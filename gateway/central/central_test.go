package central

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// A publication on a topic that is no broadcast reaches the central service once, and from
// there whoever subscribes at another gateway, and a backend that speaks plain NATS and
// answers (BC-3, BC-5).
func TestCentralTopics(t *testing.T) {
	a, _, url := offered(t, Config{Name: "a"})
	b, got := start(t, Config{Name: "b", URLs: []string{url}})
	_, err := b.Subscribe("acme", "answers/+")
	require.NoError(t, err)
	settle(t, b, got, "acme", "answers/settle")

	back := backend(t, url)
	heard := make(chan *nats.Msg, 10)
	_, err = back.ChanSubscribe("bw.t.acme.orders.>", heard)
	require.NoError(t, err)
	require.NoError(t, back.Flush())
	require.NoError(t, a.Publish("acme", "orders/7", []byte("tea")))
	m := <-heard
	require.Equal(t, "bw.t.acme.orders.7", m.Subject)
	require.Equal(t, "tea", string(m.Data))
	require.NoError(t, back.Publish("bw.t.acme.answers.7", []byte("served")))
	eventually(t, func() bool { return slices.Contains(got.payloads("answers/7"), "served") }, "the answer")
	require.NoError(t, back.Publish("bw.t.other.answers.7", []byte("not ours")))
	require.NoError(t, back.Publish("bw.t.acme.answers.8", []byte("last")))
	eventually(t, func() bool { return slices.Contains(got.payloads("answers/8"), "last") }, "the last one")
	require.Len(t, got.payloads("answers/7"), 1)
	require.Empty(t, heard, "once")
}

// However many filters match, and while they come and go, a message comes once (reliability.md G1).
func TestOverlappingFilters(t *testing.T) {
	overlap(t, Config{}, func(doubled, lost int) {
		require.Zero(t, doubled, "doubled")
		require.Zero(t, lost, "lost")
	})
}

// Control: without the queue group each filter brings its own copy.
func TestOverlappingFiltersWithoutTheGroup(t *testing.T) {
	overlap(t, Config{without: guards{oneGroup: true}}, func(doubled, _ int) { require.Positive(t, doubled) })
}

func overlap(t *testing.T, cfg Config, check func(doubled, lost int)) {
	c, got := start(t, cfg)
	// One filter is there all the time; the others, older and younger, come and go.
	always, err := c.Subscribe("acme", "a/+/c")
	require.NoError(t, err)
	defer always()
	settle(t, c, got, "acme", "a/settle/c")
	before := len(got.payloads("a/b/c"))
	const messages = 3000
	filters := []string{"#", "a/#", "a/b/c", "+/b/#", "a/b/+", "+/+/c"}
	var cancel []func()
	for n := range messages {
		if n%7 == 0 {
			stop, err := c.Subscribe("acme", filters[n/7%len(filters)])
			require.NoError(t, err)
			cancel = append(cancel, stop)
		}
		if n%11 == 0 && len(cancel) > 2 {
			cancel[0]()
			cancel = cancel[1:]
		}
		require.NoError(t, c.Publish("acme", "a/b/c", fmt.Append(nil, n)))
	}
	for _, stop := range cancel {
		stop()
	}
	eventually(t, func() bool { return slices.Contains(got.payloads("a/b/c")[before:], fmt.Sprint(messages-1)) }, "the last one")
	count := map[string]int{}
	all := got.payloads("a/b/c")[before:]
	for _, p := range all {
		count[p]++
	}
	check(len(all)-len(count), messages-len(count))
	if !cfg.without.oneGroup {
		want := make([]string, messages)
		for n := range want {
			want[n] = fmt.Sprint(n)
		}
		require.Equal(t, want, all, "in order")
	}
}

// While the service is away publishing is refused with a code; when it is back, it goes on
// by itself, subscriptions too, and who subscribes is told (BC-D7).
func TestAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	a, _, url := offered(t, Config{Name: "a", Embedded: Embedded{Dir: dir}})
	addr := a.Addr().String()
	b, got := start(t, Config{Name: "b", URLs: []string{url}})
	_, err := b.Subscribe("acme", "x/#")
	require.NoError(t, err)
	settle(t, b, got, "acme", "x")

	require.NoError(t, a.Close())
	eventually(t, func() bool { return !b.Connected() }, "away")
	err = b.Publish("acme", "x", nil)
	require.Equal(t, wire.CodeCentralAway, wire.CodeOf(err))
	require.ErrorIs(t, err, ErrAway)
	_, _, err = b.Records().Get(t.Context(), "k")
	require.ErrorIs(t, err, ErrAway)
	_, err = b.Subscribe("acme", "y") // remembered
	require.NoError(t, err)
	eventually(t, func() bool { return slices.Contains(got.events(), gap(0)) }, "a gap")

	start(t, Config{Name: "a", Embedded: Embedded{Dir: dir, Listen: addr}})
	eventually(t, b.Connected, "back")
	settle(t, b, got, "acme", "y")
	settle(t, b, got, "acme", "x/1")
	got.mu.Lock()
	defer got.mu.Unlock()
	require.Equal(t, []bool{false, true, false}, got.away)
}

// Names that are no topics are refused, and so are payloads that no server takes.
func TestRefusals(t *testing.T) {
	c, got := start(t, Config{})
	require.Equal(t, wire.CodeBadTopic, wire.CodeOf(c.Publish("acme", "a/+", nil)))
	require.Equal(t, wire.CodeBadTopic, wire.CodeOf(c.Publish("", "a", nil)))
	require.Equal(t, wire.CodePayloadTooLarge, wire.CodeOf(c.Publish("acme", "a", make([]byte, MaxPayload+1))))
	_, err := c.Subscribe("acme", "a/#/b")
	require.Equal(t, wire.CodeBadTopic, wire.CodeOf(err))
	_, err = c.Subscribe("acme", "#")
	require.NoError(t, err)
	settle(t, c, got, "acme", "a")
	l, _ := c.link()
	for _, subject := range []string{"bw.t.acme.a+b", "bw.t.acme.%61", "bw.t.acme.a%2e", "bw.t.acme.$x", "bw.t.acme.a/b", "bw.t.acme.%2F"} {
		require.NoError(t, l.nc.Publish(subject, []byte("bad")))
	}
	require.NoError(t, l.nc.Publish("bw.t.acme.behind", []byte("good")))
	eventually(t, func() bool { return slices.Contains(got.payloads("behind"), "good") }, "what was published behind them")
	require.NotContains(t, got.payloads(""), "bad")
	require.NoError(t, c.Publish("acme", "big", make([]byte, MaxPayload)))
	eventually(t, func() bool { return len(got.payloads("big")) == 1 }, "the largest payload")
}

// Each name that NATS cannot carry as it is comes out as it went in.
func TestHardNames(t *testing.T) {
	c, got := start(t, Config{})
	_, err := c.Subscribe("a.b:c@d", "#")
	require.NoError(t, err)
	settle(t, c, got, "a.b:c@d", "settle")
	for _, topic := range hardNames {
		require.NoError(t, c.Publish("a.b:c@d", topic, []byte(topic)))
		eventually(t, func() bool { return slices.Equal(got.payloads(topic), []string{topic}) }, "%q", topic)
	}
}
