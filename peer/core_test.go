package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestLinkUp(t *testing.T) {
	w, a, b, c := pair(t, nil)
	require.Equal(t, []changed{{2 << 24, "b", Met}}, a.host.told())
	require.Equal(t, []changed{{1 << 24, "a", Met}}, b.host.told())
	a.publish("broadcast/x", 1, 3)
	b.publish("broadcast/x", 1, 2)
	w.settle()
	require.Equal(t, numbers(1, 3), b.host.saw(a.host.life))
	require.Equal(t, numbers(1, 2), a.host.saw(b.host.life))
	w.pass(10 * time.Second)
	require.Equal(t, up, c.ends[0].link.at())
	require.Zero(t, a.state("b").Retained)
	require.InDelta(t, 20, c.ends[0].frames[typeHeartbeat], 1)
}

// TestResume cuts a link with batches under way: they come again, those that had come are dropped whole.
func TestResume(t *testing.T) {
	w, a, b, c := pair(t, nil)
	for i := 1; i <= 10; i++ {
		a.publish("broadcast/x", i, i)
		if i == 6 {
			w.settle()
			c.ends[1].blocked = true
		}
		w.settle()
	}
	w.cut(c)
	a.publish("broadcast/x", 11, 12)
	w.pass(time.Second)
	w.link(b, a)
	require.Equal(t, numbers(1, 12), b.host.saw(a.host.life))
	require.NotZero(t, a.state("b").Resent)
	require.Zero(t, b.state("a").Duplicates)
	require.Equal(t, []Change{Met, Met}, changesOf(b, 1<<24))
}

func changesOf(n *node, life wire.Life) (list []Change) {
	for _, c := range n.host.told() {
		if c.origin == life {
			list = append(list, c.what)
		}
	}
	return list
}

// TestLost tells that an origin is lost after the hold, and that it is back.
func TestLost(t *testing.T) {
	w, _, b, c := pair(t, nil)
	w.cut(c)
	w.pass(DefaultHold - 100*time.Millisecond)
	require.Equal(t, []Change{Met}, changesOf(b, 1<<24))
	require.Equal(t, "away", b.state("a").State)
	w.pass(200 * time.Millisecond)
	require.Equal(t, []Change{Met, Lost}, changesOf(b, 1<<24))
	require.Equal(t, "lost", b.state("a").State)
	w.link(w.nodes[0], b)
	require.Equal(t, []Change{Met, Lost, Met}, changesOf(b, 1<<24))
}

// TestPruned has more gateways come and go than are remembered, all within the hold: the end of each is told, and the log
// keeps nothing for those that are forgotten.
func TestPruned(t *testing.T) {
	const most = 4 * DefaultPeers
	w := newWorld(t)
	b := w.add("b", newHost(t, 1), nil)
	for i := range 2 * most {
		if i == most+1 {
			w.pass(DefaultHold + time.Second)
		}
		w.cut(w.link(w.add(fmt.Sprintf("a%d", i), newHost(t, uint64(i)+2), nil), b))
	}
	w.pass(DefaultHold + time.Second)
	for i := range 2 * most {
		require.Equal(t, []Change{Met, Lost}, changesOf(b, wire.Life(i+2)<<24), "a%d", i)
	}
	w.link(w.add("last", newHost(t, 2*most+2), nil), b)
	require.LessOrEqual(t, len(b.core.log.known), len(b.core.members))
}

func TestLeft(t *testing.T) {
	w, a, b, _ := pair(t, nil)
	a.publish("broadcast/x", 1, 100)
	a.core.leave(w.now)
	w.settle()
	require.Equal(t, numbers(1, 100), b.host.saw(a.host.life))
	w.pass(10 * time.Second)
	require.Equal(t, []Change{Met, Left}, changesOf(b, 1<<24))
	require.Equal(t, "left", b.state("a").State)
	require.Empty(t, b.core.log.known, "nothing is kept for who has left")
}

// TestLeftUnanswered has a gateway leave while it is asked for something: that is announced before the end, not behind it.
func TestLeftUnanswered(t *testing.T) {
	w, a, b, c := pair(t, nil)
	a.publish("broadcast/x", 1, 1)
	w.settle()
	o := c.ends[1].link.origin
	c.ends[0].blocked = true
	gather := newGather()
	gather.add(&Message{Key: 1, Tenant: "acme", Topic: "broadcast/x", Offset: 4, Payload: []byte("4")}, 0)
	_, body, _, err := wire.Next(appendBatch(nil, o.last.Load()+1, 0, gather.entries), maxFrame)
	require.NoError(t, err)
	require.NoError(t, c.ends[1].link.handle(w.now, typeBatch, body))
	require.Error(t, c.ends[1].link.handle(w.now, typeEnd, nil))
	require.Equal(t, []string{"1=1", "miss 2-3", "4=4"}, b.host.saw(a.host.life), "when the end is told")
	require.Equal(t, []Change{Met, Left}, changesOf(b, a.host.life))
}

// TestRestarted has a gateway come back with another life: the old one is told of first, and never linked again.
func TestRestarted(t *testing.T) {
	w, a, b, c := pair(t, nil)
	w.cut(c)
	again := w.add("a", newHost(t, 3), nil)
	w.link(again, b)
	require.Equal(t, []changed{{1 << 24, "a", Met}, {1 << 24, "a", Restarted}, {3 << 24, "a", Met}}, b.host.told())
	again.publish("broadcast/x", 1, 2)
	w.settle()
	require.Equal(t, numbers(1, 2), b.host.saw(3<<24))
	old := w.connect(a, b)
	w.settle()
	require.Equal(t, OlderLife, old.ends[0].link.cause().Why)
	require.True(t, old.ends[0].link.cause().Theirs)
}

// TestNameInUse refuses a second gateway of a name while the first one answers; when that is silent it gets in.
func TestNameInUse(t *testing.T) {
	for _, without := range []bool{false, true} {
		w, _, b, c := pair(t, func(c *Config) { c.without.nameInUse = without })
		thief := w.add("a", newHost(t, 3), nil)
		d := w.connect(thief, b)
		w.settle()
		if without {
			require.Equal(t, up, d.ends[0].link.at())
			continue
		}
		require.Equal(t, NameInUse, d.ends[0].link.cause().Why)
		require.Equal(t, up, c.ends[1].link.at())
		c.ends[1].blocked = true
		w.pass(DefaultSilence/2 + 100*time.Millisecond)
		w.link(thief, b)
	}
}

// TestBothDial has two gateways dial each other at the same time, in any order: one connection is left, the same on both
// sides.
func TestBothDial(t *testing.T) {
	for order := range 2 {
		w := newWorld(t)
		a, b := w.add("a", newHost(t, 1), nil), w.add("b", newHost(t, 2), nil)
		var byA, byB *wireOf
		if order == 0 {
			byA, byB = w.connect(a, b), w.connect(b, a)
		} else {
			byB = w.connect(b, a)
			byA = w.connect(a, b)
		}
		w.settle()
		require.Equal(t, up, byA.ends[0].link.at())
		require.Equal(t, up, byA.ends[1].link.at())
		require.True(t, byB.ends[0].over && byB.ends[1].over)
		require.Equal(t, []Change{Met}, changesOf(a, 2<<24))
		a.publish("broadcast/x", 1, 3)
		w.settle()
		require.Equal(t, numbers(1, 3), b.host.saw(a.host.life))
	}
}

// TestNewerReplaces has the same gateway dial again while its old connection is dead one way.
func TestNewerReplaces(t *testing.T) {
	w, a, b, c := pair(t, nil)
	c.ends[1].blocked = true
	a.publish("broadcast/x", 1, 5)
	w.settle()
	require.Empty(t, b.host.saw(a.host.life))
	w.link(a, b)
	require.Equal(t, numbers(1, 5), b.host.saw(a.host.life))
}

// TestSilent closes a link of which nothing is heard, in either direction, within the silence; without the guard it
// stays.
func TestSilent(t *testing.T) {
	for way := range 2 {
		for _, without := range []bool{false, true} {
			w, _, _, c := pair(t, func(c *Config) { c.without.silence = without })
			c.ends[way].blocked = true
			w.pass(DefaultSilence + 2*beatEvery)
			for _, e := range c.ends {
				require.Equal(t, without, e.link.at() == up, "way %d", way)
			}
		}
	}
}

// TestUnanswered closes a link whose other side sends, but answers no HEARTBEAT.
func TestUnanswered(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a", newHost(t, 1), nil), w.add("b", newHost(t, 2), func(c *Config) { c.without.silence = true })
	c := w.link(a, b)
	c.ends[1].blocked = true // a is not heard by b, which does not mind
	for range 40 {
		b.publish("broadcast/x", 1, 1)
		w.pass(100 * time.Millisecond)
		if c.ends[0].link.at() == closed {
			break
		}
	}
	require.Equal(t, closed, c.ends[0].link.at())
	require.Equal(t, Silent, c.ends[0].link.cause().Why)
	require.False(t, c.ends[0].link.cause().Theirs)
}

// TestWaitingIsNotSilent has a reader wait for publish credit for long: its link stays.
func TestWaitingIsNotSilent(t *testing.T) {
	w, a, _, c := pair(t, nil)
	e := c.ends[1]
	e.link.enter(w.now) // it handles something, and does not come back
	e.blocked = true
	a.publish("broadcast/x", 1, 1)
	w.pass(5 * DefaultSilence)
	e.blocked = false
	e.link.leave(w.now)
	w.pass(DefaultSilence)
	require.Equal(t, up, c.ends[0].link.at(), "%v", c.ends[0].link.cause())
	require.Equal(t, up, e.link.at(), "%v", e.link.cause())
}

// TestSlowPeer has a link that is in the middle of a write for ever (BC-D5): the others wait for a millisecond once, and
// publishers get their credit back. Without the guard they wait until it is closed.
func TestSlowPeer(t *testing.T) {
	for _, without := range []bool{false, true} {
		w := newWorld(t)
		var n []*node
		for i := range 3 {
			n = append(n, w.add(string(rune('a'+i)), newHost(t, uint64(i)+1), func(c *Config) { c.without.slowWrite = without }))
		}
		w.link(n[0], n[1])
		slow := w.link(n[0], n[2])
		n[0].publish("broadcast/x", 1, 1)
		n[0].core.log.seal(w.now)
		slow.ends[0].write()
		slow.ends[0].stuck = true
		w.settle()
		n[0].publish("broadcast/x", 2, 2)
		w.settle()
		w.pass(tickEvery)
		require.Equal(t, without, len(n[1].host.saw(n[0].host.life)) == 1)
		if without {
			continue
		}
		credit := 0
		for i := 3; i <= 10; i++ {
			n[0].host.publish("broadcast/x", fmt.Sprint(i), release(func() { credit++ }))
			w.settle()
		}
		require.Equal(t, numbers(1, 10), n[1].host.saw(n[0].host.life))
		require.Less(t, credit, 8)
		w.pass(creditHeld + tickEvery)
		require.Equal(t, 8, credit)
	}
}

// TestRing links four gateways in a ring (BC-D3): who is not a neighbour gets nothing, as nobody passes anything on.
func TestRing(t *testing.T) {
	w := newWorld(t)
	var n []*node
	for i := range 4 {
		n = append(n, w.add(string(rune('a'+i)), newHost(t, uint64(i)+1), nil))
	}
	for i := range n {
		w.link(n[i], n[(i+1)%4])
	}
	n[0].publish("broadcast/x", 1, 5)
	w.pass(time.Second)
	require.Equal(t, numbers(1, 5), n[1].host.saw(n[0].host.life))
	require.Equal(t, numbers(1, 5), n[3].host.saw(n[0].host.life))
	require.Nil(t, n[2].host.saw(n[0].host.life))
	require.Nil(t, n[0].host.saw(n[0].host.life))
}

// TestSkip has a peer be away for longer than batches are kept: it is told what was given up, and fetches what rings
// hold. What they do not is missed.
func TestSkip(t *testing.T) {
	for _, test := range []struct {
		name  string
		ring  int
		want  []string
		fetch bool
	}{
		{"all is in the ring", 256, numbers(1, 60), true},
		{"the ring has some", 10, append(append(numbers(1, 3), "miss 4-50"), numbers(51, 60)...), true},
		{"without fetching", 256, append(numbers(1, 3), "miss 4-60"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, a, b, c := pair(t, func(c *Config) { c.Retain, c.without.fetch = 1000, !test.fetch })
			a.host.ring = test.ring
			a.publish("broadcast/x", 1, 3)
			w.settle()
			w.cut(c)
			for i := 4; i <= 60; i++ {
				a.publish("broadcast/x", i, i)
				w.pass(tickEvery)
			}
			a.publish("broadcast/y", 1, 1) // keeps the last batches for something else
			w.pass(creditHeld + tickEvery)
			for i := range 20 {
				a.publish("broadcast/z", i, i)
				w.pass(tickEvery)
			}
			w.pass(creditHeld + tickEvery)
			w.link(a, b)
			w.pass(2 * time.Second)
			require.NotZero(t, b.state("a").SkippedReceived)
			require.Equal(t, test.want, b.host.saw(a.host.life))
			a.publish("broadcast/x", 61, 61)
			w.settle()
			require.Equal(t, append(test.want, numbers(61, 61)...), b.host.saw(a.host.life))
		})
	}
}

// TestFresh has a gateway come to a fleet that has been publishing: it gets the rings, for those who resume, and its
// streams begin where the origin stands.
func TestFresh(t *testing.T) {
	w := newWorld(t)
	a, b, other := w.add("a", newHost(t, 1), nil), w.add("b", newHost(t, 2), nil), w.add("c", newHost(t, 3), nil)
	w.link(a, other)
	a.publish("broadcast/x", 1, 300)
	w.pass(time.Second)
	w.link(b, a)
	require.Empty(t, b.host.saw(a.host.life), "nothing old is delivered")
	c := b.host.copies[a.host.life.String()+" acme broadcast/x"]
	require.Len(t, c.older, 256)
	require.EqualValues(t, 300, c.older[255].Offset)
	require.EqualValues(t, 301, c.next)
	a.publish("broadcast/x", 301, 303)
	w.settle()
	require.Equal(t, numbers(301, 303), b.host.saw(a.host.life))
}

// TestFreshWhileLive has live messages come before the answer: they are delivered at once, and the rest lies before.
func TestFreshWhileLive(t *testing.T) {
	w := newWorld(t)
	a, b, other := w.add("a", newHost(t, 1), nil), w.add("b", newHost(t, 2), nil), w.add("c", newHost(t, 3), nil)
	w.link(a, other)
	a.publish("broadcast/x", 1, 20)
	w.pass(time.Second)
	c := w.connect(b, a)
	c.ends[1].blocked = true
	w.settle()
	c.ends[1].blocked = false
	for c.ends[0].link.at() != up {
		c.ends[0].write()
		c.ends[1].read()
		c.ends[1].write()
		c.ends[0].read()
	}
	a.publish("broadcast/x", 21, 25)
	w.settle()
	require.Equal(t, numbers(21, 25), b.host.saw(a.host.life))
	older := b.host.copies[a.host.life.String()+" acme broadcast/x"].older
	require.Len(t, older, 20)
	require.EqualValues(t, 20, older[19].Offset)
}

// TestLargeAnswers has rings that do not fit one FETCHED.
func TestLargeAnswers(t *testing.T) {
	w, a, b, c := pair(t, func(c *Config) { c.Retain = 1000 })
	big := strings.Repeat("x", 100<<10)
	publish := func(n int) {
		for range n {
			a.host.publish("broadcast/x", big, nil)
			w.pass(tickEvery)
		}
	}
	publish(2)
	w.cut(c)
	publish(9)
	w.pass(time.Second)
	w.link(a, b)
	w.pass(time.Second)
	saw := b.host.saw(a.host.life)
	require.Len(t, saw, 11)
	for i, s := range saw {
		require.True(t, strings.HasPrefix(s, fmt.Sprint(i+1, "=x")), "%.20s", s)
	}
}

// TestNoAnswer gives up a question after a while, and goes on.
func TestNoAnswer(t *testing.T) {
	w, a, b, c := pair(t, nil)
	a.publish("broadcast/x", 1, 1)
	w.settle()
	o := c.ends[1].link.origin
	give := func(offset uint64) {
		m := Message{Key: 1, Tenant: "acme", Topic: "broadcast/x", Offset: offset, Payload: []byte(fmt.Sprint(offset))}
		g := newGather()
		g.add(&m, 0)
		_, body, _, err := nextFrame(appendBatch(nil, o.last.Load()+1, 0, g.entries), maxFrame)
		require.NoError(t, err)
		require.NoError(t, c.ends[1].link.handle(w.now, typeBatch, body))
	}
	c.ends[0].blocked = true
	give(5)
	give(6)
	give(8)
	require.Equal(t, numbers(1, 1), b.host.saw(a.host.life))
	w.pass(fetchWithin + 2*tickEvery)
	require.Equal(t, append(append(numbers(1, 1), "miss 2-4"), numbers(5, 6)...), b.host.saw(a.host.life))
	// What lacks among what was held is asked for as well; then the link goes.
	w.cut(c)
	require.Len(t, b.host.saw(a.host.life), 4, "it may come back")
	w.pass(DefaultHold + 2*tickEvery)
	require.Equal(t, []Change{Met, Lost}, changesOf(b, a.host.life))
	require.Equal(t, "8=8", b.host.saw(a.host.life)[5])
	require.Zero(t, o.holes.bytes)
}

// TestAbandonedWhileClosing has a mesh close while nobody takes what was held: that is not tried for ever.
func TestAbandonedWhileClosing(t *testing.T) {
	w, a, b, c := pair(t, nil)
	a.publish("broadcast/x", 1, 1)
	w.settle()
	o := c.ends[1].link.origin
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.find([]byte("acme"), []byte("broadcast/x"), 0)
	require.NoError(t, o.hold(t.Context(), w.now, r, 5, []byte("5")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.core.ctx = ctx
	b.host.credit.Store(new(chan struct{}))
	o.abandon(w.now)
	require.Equal(t, append(numbers(1, 1), "miss 2-4"), b.host.saw(a.host.life))
}

// TestToldAhead has TOPS say where a stream stands before its messages come, one of which does not: that one is asked for,
// and none that is on its way is given up for it. If the origin leaves then, what has not come is announced.
func TestToldAhead(t *testing.T) {
	w, _, b, c := pair(t, nil)
	o, l := c.ends[1].link.origin, c.ends[1].link
	var tops topsWriter
	tops.add("acme", "broadcast/x", 10)
	tops.close()
	_, body, _, err := nextFrame(tops.frames[0], maxFrame)
	require.NoError(t, err)
	require.NoError(t, o.tops(l.ctx, w.now, body))
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.find([]byte("acme"), []byte("broadcast/x"), 0)
	require.NoError(t, o.deliver(l.ctx, w.now, r, 7, []byte("7")))
	require.NoError(t, o.deliver(l.ctx, w.now, r, 9, []byte("9")))
	q := o.question(r.hole)
	require.Equal(t, []uint64{8, 9}, []uint64{q.from, q.to})
	o.abandon(w.now)
	require.Equal(t, []string{"7=7", "miss 8-8", "9=9"}, b.host.saw(o.life))

	require.NoError(t, o.top(l.ctx, w.now, r, 12))
	o.abandon(w.now)
	require.Equal(t, "miss 10-11", b.host.saw(o.life)[3])
}

// TestSuspended has all questions wait when their link goes: in their order, before those that waited already, and an answer
// that comes late is none.
func TestSuspended(t *testing.T) {
	w, _, _, c := pair(t, nil)
	o, l := c.ends[1].link.origin, c.ends[1].link
	var tops topsWriter
	for i := range maxFetches + 2 {
		tops.add("acme", fmt.Sprintf("broadcast/%d", i), 10)
	}
	tops.close()
	_, body, _, err := nextFrame(tops.frames[0], maxFrame)
	require.NoError(t, err)
	require.NoError(t, o.tops(l.ctx, w.now, body))
	require.Len(t, o.holes.asked, maxFetches)
	require.Equal(t, 2, o.holes.wanted.Len())
	first := o.question(o.holes.asked[0])
	o.mu.Lock()
	o.suspend()
	o.mu.Unlock()
	require.Empty(t, o.holes.asked)
	i := 0
	for e := o.holes.wanted.Front(); e != nil; e = e.Next() {
		require.Equal(t, fmt.Sprintf("broadcast/%d", i), string(e.Value.(*hole).stream.topic))
		i++
	}
	require.Equal(t, maxFetches+2, i)
	require.NoError(t, o.fetched(l.ctx, w.now, first, nil, false))
	require.EqualValues(t, 1, o.member.tally.unasked.Load())
	require.Equal(t, maxFetches+2, o.holes.wanted.Len())
}

// TestDisbelievedMeanwhile has what is believed change between a handshake and the link.
func TestDisbelievedMeanwhile(t *testing.T) {
	w := newWorld(t)
	a := w.add("a", newHost(t, 1), nil)
	l := a.core.open(w.now, endpoint{believed: func() error { return errors.New("it was lost in a taxi") }}, func() {})
	require.Equal(t, closed, l.at())
	require.Equal(t, Disbelieved, l.cause().Why)
}

// TestAskedAgain has a link go that a question was under way on: it is asked again on the next one.
func TestAskedAgain(t *testing.T) {
	w, a, b, c := pair(t, func(c *Config) { c.Retain = 1000 })
	a.publish("broadcast/x", 1, 3)
	w.settle()
	w.cut(c)
	for i := 4; i <= 60; i++ {
		a.publish("broadcast/x", i, i)
		w.pass(tickEvery)
	}
	c = w.connect(b, a)
	for c.ends[0].link.at() != up || len(c.ends[0].link.origin.holes.asked) == 0 {
		c.ends[0].write()
		c.ends[1].read()
		c.ends[1].write()
		c.ends[0].read()
	}
	w.cut(c)
	w.link(a, b)
	require.Equal(t, numbers(1, 60), b.host.saw(a.host.life))
	require.Zero(t, b.core.members["a"].origin.holes.bytes)
}

// TestRefusedTopic refuses what is no broadcast topic here, and counts it; the link goes on.
func TestRefusedTopic(t *testing.T) {
	w, a, b, _ := pair(t, nil)
	b.host.refuse = func(topic string) error {
		if topic == "broadcast/no" {
			return &wire.Error{Code: wire.CodeNotGranted}
		}
		return nil
	}
	a.publish("broadcast/no", 1, 3)
	a.publish("broadcast/x", 1, 3)
	w.settle()
	require.Equal(t, numbers(1, 3), b.host.saw(a.host.life))
	require.NotZero(t, b.state("a").Refused[wire.CodeNotGranted])
}

// TestForeignOrigin refuses what a gateway says for another one (BC-D9), and counts it. Without the guard it gets in.
func TestForeignOrigin(t *testing.T) {
	for _, without := range []bool{false, true} {
		w, a, b, c := pair(t, func(c *Config) { c.without.foreign = without })
		forged := []byte{0, 4, 'a', 'c', 'm', 'e', 11}
		forged = append(append(forged, "broadcast/x"...), flagForeign)
		forged = append(lifeBytes(forged, 9<<24), 0, 1, 2, 'h', 'i')
		_, body, _, err := nextFrame(appendBatch(nil, 1, 0, forged), maxFrame)
		require.NoError(t, err)
		require.NoError(t, c.ends[1].link.handle(w.now, typeBatch, body))
		require.Empty(t, b.host.saw(9<<24))
		require.Equal(t, without, len(b.host.saw(a.host.life)) > 0)
		require.Equal(t, without, b.state("a").Forged == 0)
	}
}

// TestBomb refuses few bytes that say that they are many before there is room for them.
func TestBomb(t *testing.T) {
	w, _, _, c := pair(t, nil)
	bomb := wire.AppendVarint(nil, 1<<31)
	err := c.ends[1].link.handle(w.now, typeBatch, append([]byte{1, flagS2}, bomb...))
	var e *CloseError
	require.ErrorAs(t, err, &e)
	require.Equal(t, Bomb, e.Why)
	_, err = expand(nil, wire.AppendVarint(nil, maxBody+1), true)
	require.ErrorAs(t, err, &e)
	require.Equal(t, Broken, e.Why, "without the guard it is made room for")
}

// TestBatchTwice drops a batch that has come before; without the guard its messages are duplicates.
func TestBatchTwice(t *testing.T) {
	for _, without := range []bool{false, true} {
		w, a, b, c := pair(t, func(c *Config) { c.without.oldBatch = without })
		a.publish("broadcast/x", 1, 1)
		w.settle()
		b1 := a.core.log.kept[0].frame
		_, body, _, err := nextFrame(b1, maxFrame)
		require.NoError(t, err)
		require.NoError(t, c.ends[1].link.handle(w.now, typeBatch, body))
		require.Equal(t, without, b.state("a").Duplicates == 1)
		require.Equal(t, !without, b.state("a").DuplicateBatches == 1)
		require.Equal(t, numbers(1, 1), b.host.saw(a.host.life))
	}
}

// TestGreeting is a table of what each side may be refused for.
func TestGreeting(t *testing.T) {
	good := hello{kind: kindBatches, min: 1, max: 1, cluster: "test", name: "x", life: 7 << 24}
	for _, test := range []struct {
		name   string
		e      endpoint
		change func(*hello)
		want   Why
		ok     bool
	}{
		{name: "good", ok: true},
		{name: "good, newer too", change: func(h *hello) { h.max = 9 }, ok: true},
		{name: "newer only", change: func(h *hello) { h.min, h.max = 2, 9 }, want: Version},
		{name: "older only", change: func(h *hello) { h.min, h.max = 0, 0 }, want: Version},
		{name: "other fleet", change: func(h *hello) { h.cluster = "other" }, want: OtherFleet},
		{name: "relays", change: func(h *hello) { h.kind = kindRelays }, want: Unsupported},
		{name: "its certificate", e: endpoint{proven: "x"}, ok: true},
		{name: "another certificate", e: endpoint{proven: "y"}, want: WrongName},
		{name: "our life", change: func(h *hello) { h.life = 1 << 24 }, want: Self},
		{name: "our name", change: func(h *hello) { h.name = "a" }, want: NameInUse},
		{name: "the life of b", change: func(h *hello) { h.life = 2 << 24 }, want: NameInUse},
		{name: "a life with a run", change: func(h *hello) { h.life++ }, want: Broken},
		{name: "no life", change: func(h *hello) { h.life = 0 }, want: Broken},
		{name: "a name with a slash", change: func(h *hello) { h.name = "x/y" }, want: Broken},
		{name: "no name", change: func(h *hello) { h.name = "" }, want: Broken},
		{name: "more peers than there may be", change: func(h *hello) {}, want: TooMany},
	} {
		t.Run(test.name, func(t *testing.T) {
			most := 2
			if test.want == TooMany {
				most = 1
			}
			w, a, _, _ := pair(t, func(c *Config) { c.Most = most })
			h := good
			if test.change != nil {
				test.change(&h)
			}
			test.e.begun = w.now
			l := a.core.open(w.now, test.e, func() {})
			_, body, _, err := nextFrame(h.frame(), maxGreeting)
			require.NoError(t, err)
			err = l.handle(w.now, typeHello, body)
			if test.ok {
				require.NoError(t, err)
				return
			}
			var e *CloseError
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.want, e.Why, "%v", e)
			l.fail(err)
			bufs, last := l.next(w.now, nil)
			require.True(t, last)
			ty, body, _, err := nextFrame(bufs[len(bufs)-1], maxFrame)
			require.NoError(t, err)
			require.Equal(t, typeClose, ty)
			said, err := parseClose(body)
			require.NoError(t, err)
			require.Equal(t, test.want, said.Why)
		})
	}
}

// TestPhases says which frames may come when; every other one closes the link.
func TestPhases(t *testing.T) {
	may := map[phase][]frameType{
		greeting: {typeHello, typeClose},
		greeted:  {typeAck, typeClose, 0x80},
		up:       {typeBatch, typeAck, typeHeartbeat, typeFetch, typeFetched, typeSkip, typeEnd, typeTops, typeClose, 0x80},
	}
	for p, allowed := range may {
		for ty := range 256 {
			w, a, _, _ := pair(t, nil)
			l := onlyLink(a)
			if p != up {
				l = a.core.open(w.now, endpoint{}, func() {})
				l.phase = p
			}
			err := l.handle(w.now, frameType(ty), []byte{0xFF})
			refused := err != nil && strings.Contains(err.Error(), fmt.Sprintf("frame %02x may not come", ty)) ||
				err != nil && strings.Contains(err.Error(), fmt.Sprintf("frame %02x is unknown", ty))
			require.Equal(t, !slices.Contains(allowed, min(0x80, frameType(ty))), refused, "%v %02x: %v", p, ty, err)
		}
	}
}

func onlyLink(n *node) *link {
	for l := range n.core.links {
		if l.at() == up {
			return l
		}
	}
	return nil
}

// TestLate closes a connection that does not say HELLO.
func TestLate(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a", newHost(t, 1), nil), w.add("b", newHost(t, 2), nil)
	c := w.connect(a, b)
	c.ends[1].blocked = true
	w.pass(defaultGreeting)
	require.Equal(t, Late, c.ends[1].link.cause().Why)
}

// TestLies closes links of peers that say what cannot be.
func TestLies(t *testing.T) {
	for name, f := range map[string]struct {
		t    frameType
		body []byte
	}{
		"an ACK of what was not sent":      {typeAck, []byte{9}},
		"a HEARTBEAT of what did not come": {typeHeartbeat, []byte{9}},
		"a batch that is not the next":     {typeBatch, []byte{9, 0}},
		"a skip that is not the next":      {typeSkip, []byte{9, 10}},
		"a batch that ends early":          {typeBatch, []byte{1, 0, 0, 4}},
		"unknown flags":                    {typeBatch, []byte{1, 2}},
		"no S2":                            {typeBatch, []byte{1, 1, 0xFF}},
	} {
		w, a, _, _ := pair(t, nil)
		var e *CloseError
		err := onlyLink(a).handle(w.now, f.t, f.body)
		require.True(t, errors.As(err, &e), name)
		require.Equal(t, Broken, e.Why, name)
	}
}

// TestTooManyQuestions bounds what a peer may ask at once.
func TestTooManyQuestions(t *testing.T) {
	w, a, _, _ := pair(t, nil)
	l := onlyLink(a)
	q := fetch{life: 1 << 24, tenant: []byte("acme"), topic: []byte("broadcast/x"), from: 1, to: 2}
	for range maxAsked {
		require.NoError(t, l.handle(w.now, typeFetch, q.body(nil)))
	}
	require.Error(t, l.handle(w.now, typeFetch, q.body(nil)))
}

// TestUnasked takes no answer to what was not asked, of whatever origin.
func TestUnasked(t *testing.T) {
	w, _, b, c := pair(t, nil)
	for _, life := range []wire.Life{1 << 24, 9 << 24} {
		var r answer
		r.begin(nil, fetch{life: life, tenant: []byte("acme"), topic: []byte("broadcast/x"), from: 1, to: 3})
		r.add(Kept{Offset: 1, Payload: []byte("no")})
		_, body, _, err := nextFrame(r.finish(), maxFrame)
		require.NoError(t, err)
		require.NoError(t, c.ends[1].link.handle(w.now, typeFetched, body))
	}
	require.Empty(t, b.host.copies)
	require.EqualValues(t, 2, c.ends[1].link.member.tally.unasked.Load())
}

// TestBornLater has a gateway begin later than another one and publish before the two are linked: whoever has subscribed
// there is owed its streams from the first message on, and what rings do not hold any more is announced.
func TestBornLater(t *testing.T) {
	for _, test := range []struct {
		name string
		age  time.Duration // of the later one, as it says
		ring int
		want []string
	}{
		{"later", time.Second, 256, numbers(1, 6)},
		{"later, and its ring holds little", time.Second, 2, append(append([]string{"miss 1-3"}, numbers(4, 5)...), numbers(6, 6)...)},
		{"earlier", time.Hour, 256, numbers(6, 6)},
		{"it does not say", 0, 256, numbers(6, 6)},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.now = time.Minute
			a, b := w.add("a", newHost(t, 1), nil), w.add("b", newHost(t, 2), nil)
			b.host.ring = test.ring
			b.publish("broadcast/x", 1, 5)
			c := w.connect(a, b)
			c.ends[0].write()
			c.ends[1].read()
			h := b.core.hello(test.age, "a")
			c.ends[1].link.out = h.frame()
			c.ends[1].link.out = appendSeq(c.ends[1].link.out, typeAck, 0)
			w.settle()
			require.Equal(t, up, c.ends[0].link.at(), "%v", c.ends[0].link.cause())
			w.pass(time.Second)
			b.publish("broadcast/x", 6, 6)
			w.settle()
			require.Equal(t, test.want, a.host.saw(b.host.life))
		})
	}
}

// TestHelloAge reads what a gateway says of its age, and refuses what is no number.
func TestHelloAge(t *testing.T) {
	h := hello{min: 1, max: 1, cluster: "eu", name: "g1", life: 1 << 24, age: 90 * time.Minute}
	frame := h.frame()
	_, body, _, err := wire.Next(frame, maxGreeting)
	require.NoError(t, err)
	got, err := parseHello(body)
	require.NoError(t, err)
	require.Equal(t, h, got)
	for _, bad := range [][]byte{{}, {0x80}, {1, 1}} {
		h.age = 0
		_, body, _, err := wire.Next(h.frame(), maxGreeting)
		require.NoError(t, err)
		_, err = parseHello(wire.AppendTLV(body, tlvAge, bad))
		require.ErrorContains(t, err, "age", "%x", bad)
	}
	_, body, _, err = wire.Next(h.frame(), maxGreeting)
	require.NoError(t, err)
	got, err = parseHello(wire.AppendTLV(body, tlvAge, wire.AppendVarint(nil, wire.MaxVarint)))
	require.NoError(t, err)
	require.InDelta(t, float64(maxAge), got.age, float64(time.Millisecond), "it does not become negative")
}
