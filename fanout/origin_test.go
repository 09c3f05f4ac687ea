package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// accepted is what a copy did with a message.
type accepted struct {
	verdict       fanout.Verdict
	offset, loops uint64
	numbers       []uint64 // of what was posted
	began         uint64   // next, as begins was told; 0: it was not called
	tracked       bool
}

func accept(s *fanout.Stream, offset uint64, now uint32, frame []byte) (a accepted) {
	a.verdict = s.Accept(offset, now,
		func(o uint64, tracked bool) fanout.Entry { a.tracked = tracked; return fanout.Entry{Frame: frame} },
		func(_, number, next uint64) { a.numbers, a.began = append(a.numbers, number), next },
		func(loops, number uint64, e fanout.Entry) {
			a.numbers, a.offset, a.loops = append(a.numbers, number), e.Offset, loops
		})
	return a
}

// missed is what a copy announced; count 0: nothing.
type missed struct {
	first, count, loops uint64
	numbers             []uint64
	began               uint64
}

func miss(s *fanout.Stream, next uint64) (m missed) {
	s.Miss(next,
		func(_, number, next uint64) { m.numbers, m.began = append(m.numbers, number), next },
		func(loops, number, first, count uint64) {
			m.numbers, m.loops, m.first, m.count = append(m.numbers, number), loops, first, count
		})
	return m
}

// offsets reads what a stream keeps, from an offset on.
func offsets(s *fanout.Stream, from uint64, now uint32) (kept []uint64) {
	for r := s.Reader(from); ; {
		e, _, ok := r.Next(now)
		if !ok {
			return kept
		}
		kept = append(kept, e.Offset)
	}
}

func TestCopyBegins(t *testing.T) {
	t.Parallel()
	topic := ensure(t, newIndex(t, fanout.Config{Life: 7}), "a")
	o := fanout.NewOrigin(0xB0, 5)
	require.EqualValues(t, 0xB0, o.Life())
	require.EqualValues(t, 5, o.Number())
	topic.Streams(func(*fanout.Stream) { t.Error("nobody has used the topic") })
	s := topic.CopyOf(o)
	require.Same(t, s, topic.CopyOf(o))
	require.NotSame(t, s, topic.CopyOf(fanout.NewOrigin(0xB1, 6)))
	require.Same(t, o, s.Origin())
	require.Same(t, topic, s.Topic())
	require.EqualValues(t, 0xB0, s.Life())
	require.Nil(t, topic.Own().Origin())
	require.EqualValues(t, 7, topic.Own().Life())
	require.Zero(t, s.Next())
	topic.Mark(func(s *fanout.Stream, next uint64, silent bool) {
		require.Nil(t, s.Origin(), "nothing is known of the others")
		require.EqualValues(t, 1, next)
		require.False(t, silent)
	})
	r := s.Reader(9)
	_, lost, ok := r.Next(0)
	require.False(t, ok)
	require.Zero(t, lost)

	topic.Add(1, 3)
	require.Equal(t, fanout.Duplicate, accept(s, 0, 0, nil).verdict, "there is no offset 0")
	require.Zero(t, s.Next())
	require.Equal(t, accepted{offset: 250, loops: 0b10, numbers: []uint64{1, 2}, began: 250}, accept(s, 250, 9, nil))
	require.EqualValues(t, 251, s.Next())
	require.Equal(t, accepted{offset: 251, loops: 0b10, numbers: []uint64{3}}, accept(s, 251, 9, nil))
	require.Equal(t, accepted{verdict: fanout.Duplicate}, accept(s, 250, 9, nil))
	require.Equal(t, accepted{verdict: fanout.Hole}, accept(s, 253, 9, nil))
	require.EqualValues(t, 9, s.Published())
	require.Equal(t, []uint64{250, 251}, offsets(s, 0, 9))
	oldest, next := s.Kept(9)
	require.Equal(t, [2]uint64{250, 252}, [2]uint64{oldest, next})
}

// What a copy lacks is announced once, behind its beginning; a copy of which nothing is known begins there without a
// word, and tells who is there by its first message.
func TestCopyMisses(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic := ensure(t, x, "a")
	topic.Add(0, 3)
	s := topic.CopyOf(fanout.NewOrigin(1, 2))
	require.Zero(t, miss(s, 7))
	silent := false
	topic.Mark(func(is *fanout.Stream, next uint64, not bool) {
		if is == s {
			require.EqualValues(t, 7, next)
			silent = not
		}
	})
	require.True(t, silent)
	require.Equal(t, missed{first: 7, count: 3, loops: 1, numbers: []uint64{1, 2}, began: 7}, miss(s, 10))
	require.Zero(t, miss(s, 10))
	require.Zero(t, miss(s, 3))
	require.Equal(t, accepted{offset: 10, loops: 1, numbers: []uint64{3}}, accept(s, 10, 0, nil))
	require.Equal(t, missed{first: 11, count: 1, loops: 1, numbers: []uint64{4}}, miss(s, 12))
	require.Zero(t, miss(topic.CopyOf(fanout.NewOrigin(2, 3)), 0))
	x.Join(1, "#", 9, true)
	require.Equal(t, missed{first: 12, count: 1, loops: 3, numbers: []uint64{5}}, miss(s, 13), "groups are told as well")
}

// After an end a copy begins anew for everybody, with what comes first, and once.
func TestCopyBeginsAgainAfterTheEnd(t *testing.T) {
	t.Parallel()
	topic := ensure(t, newIndex(t, fanout.Config{}), "a")
	o := fanout.NewOrigin(1, 2)
	s := topic.CopyOf(o)
	require.Equal(t, accepted{offset: 1, numbers: []uint64{1}}, accept(s, 1, 0, nil), "nobody is there")
	topic.Add(0, 3)
	require.Equal(t, accepted{offset: 2, loops: 1, numbers: []uint64{2}}, accept(s, 2, 0, nil), "who comes is told by Mark")
	for end := uint64(0); end < 3; end++ {
		o.End()
		o.End()
		require.Equal(t, fanout.Duplicate, accept(s, 2, 0, nil).verdict)
		if end == 1 {
			require.EqualValues(t, s.Next(), miss(s, s.Next()+2).began)
		} else {
			require.EqualValues(t, s.Next(), accept(s, s.Next(), 0, nil).began)
		}
		require.Zero(t, accept(s, s.Next(), 0, nil).began)
	}
}

// A panic in what the caller passes in leaves a copy usable, and its message can come again.
func TestAcceptSurvivesPanic(t *testing.T) {
	t.Parallel()
	topic := ensure(t, newIndex(t, fanout.Config{}), "a")
	s := topic.CopyOf(fanout.NewOrigin(1, 2))
	topic.Add(0, 1)
	nothing := func(_, _, _ uint64) {}
	for _, c := range []struct {
		encode func(uint64, bool) fanout.Entry
		begins func(_, _, _ uint64)
	}{
		{func(uint64, bool) fanout.Entry { panic("encode") }, nothing},
		{func(uint64, bool) fanout.Entry { return fanout.Entry{} }, func(_, _, _ uint64) { panic("begins") }},
	} {
		require.Panics(t, func() { s.Accept(5, 0, c.encode, c.begins, func(_, _ uint64, _ fanout.Entry) {}) })
		s.Origin().End()
	}
	require.EqualValues(t, 5, s.Next())
	require.Equal(t, fanout.Taken, accept(s, 5, 0, nil).verdict)
	require.Panics(t, func() { s.Miss(9, nothing, func(_, _, _, _ uint64) { panic("post") }) })
	require.EqualValues(t, 9, s.Next(), "it may have been posted to some")
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	older := func(from, to uint64, at uint32) (entries []fanout.Entry) {
		for o := from; o < to; o++ {
			entries = append(entries, fanout.Entry{Offset: o, At: at, Frame: []byte("0123456789")})
		}
		return entries
	}
	limits := fanout.RingLimits{Messages: 8, Bytes: 60, Age: 10}
	for name, c := range map[string]struct {
		before func(*fanout.Stream)
		older  []fanout.Entry
		want   []uint64
	}{
		"nothing is known":        {func(*fanout.Stream) {}, older(1, 4, 90), nil},
		"an empty ring":           {func(s *fanout.Stream) { miss(s, 5) }, older(3, 5, 95), []uint64{3, 4}},
		"not beyond the top":      {func(s *fanout.Stream) { miss(s, 5) }, older(3, 9, 95), []uint64{3, 4}},
		"no offset 0":             {func(s *fanout.Stream) { miss(s, 3) }, older(0, 3, 95), []uint64{1, 2}},
		"before what is kept":     {func(s *fanout.Stream) { accept(s, 5, 100, []byte("0123456789")) }, older(3, 6, 95), []uint64{3, 4, 5}},
		"with a hole":             {func(s *fanout.Stream) { accept(s, 9, 100, []byte("0123456789")) }, older(3, 5, 95), []uint64{3, 4, 9}},
		"what does not fit":       {func(s *fanout.Stream) { accept(s, 20, 100, []byte("0123456789")) }, older(1, 20, 95), []uint64{15, 16, 17, 18, 19, 20}},
		"what is too old":         {func(s *fanout.Stream) { miss(s, 5) }, append(older(1, 3, 89), older(3, 5, 90)...), []uint64{3, 4}},
		"of the future":           {func(s *fanout.Stream) { miss(s, 5) }, older(3, 5, 200), []uint64{3, 4}},
		"not rising":              {func(s *fanout.Stream) { miss(s, 9) }, append(older(5, 7, 95), older(2, 4, 95)...), []uint64{2, 3}},
		"older than what is kept": {func(s *fanout.Stream) { accept(s, 5, 92, []byte("0123456789")) }, older(3, 5, 95), []uint64{3, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			budget := fanout.NewBudget(1<<20, 0)
			x := newIndex(t, fanout.Config{Ring: limits, Budget: budget})
			s := ensure(t, x, "a").CopyOf(fanout.NewOrigin(1, 2))
			c.before(s)
			next := s.Next()
			s.Backfill(100, c.older)
			require.Equal(t, next, s.Next(), "it delivers nothing")
			require.Equal(t, c.want, offsets(s, 0, 100))
			at := uint32(0)
			for r := s.Reader(0); ; {
				e, _, ok := r.Next(100)
				if !ok {
					break
				}
				require.GreaterOrEqual(t, e.At, at, "times rise")
				at = e.At
			}
			require.GreaterOrEqual(t, s.Published(), at, "it goes when the last one is too old")
			require.Zero(t, budget.Expire(at+limits.Age, 100))
			require.Equal(t, min(len(c.want), 1), budget.Expire(at+limits.Age+1, 100))
			require.Zero(t, budget.Used())
		})
	}
}

// Only the newest message decides when the ring is due: else Expire would look at the same ring again and again, and
// come to no other.
func TestBackfilledRingsExpire(t *testing.T) {
	t.Parallel()
	budget := fanout.NewBudget(1<<20, 0)
	x := newIndex(t, fanout.Config{Ring: fanout.RingLimits{Age: 10}, Budget: budget})
	s := ensure(t, x, "a").CopyOf(fanout.NewOrigin(1, 2))
	miss(s, 9)
	s.Backfill(100, []fanout.Entry{{Offset: 7, At: 91, Frame: []byte("x")}, {Offset: 8, At: 99, Frame: []byte("x")}})
	publish(ensure(t, x, "b"), 93, []byte("x"))
	require.Equal(t, 1, budget.Expire(105, 2))
	require.Equal(t, []uint64{8}, offsets(s, 0, 105))
	require.Zero(t, ensure(t, x, "b").Own().RingPlaces())
}

func TestForget(t *testing.T) {
	t.Parallel()
	budget := fanout.NewBudget(1<<20, 0)
	x := newIndex(t, fanout.Config{Budget: budget})
	a, b := fanout.NewOrigin(1, 2), fanout.NewOrigin(2, 3)
	topic := ensure(t, x, "a")
	ensure(t, x, "unused")
	s, other := topic.CopyOf(a), topic.CopyOf(b)
	topic.Add(0, 1)
	for o := uint64(1); o < 20; o++ {
		accept(s, o, 0, []byte("x"))
		accept(other, o, 0, []byte("x"))
	}
	half := budget.Used() / 2
	r := s.Reader(5)
	_, _, ok := r.Next(0)
	require.True(t, ok)
	a.End()
	x.Forget(a)
	require.Equal(t, half, budget.Used())
	require.True(t, s.Forgotten())
	require.False(t, other.Forgotten())
	require.False(t, topic.Own().Forgotten())
	var listed, marked []*fanout.Stream
	topic.Streams(func(is *fanout.Stream) { listed = append(listed, is) })
	topic.Mark(func(is *fanout.Stream, _ uint64, _ bool) { marked = append(marked, is) })
	require.Equal(t, []*fanout.Stream{topic.Own(), other}, listed)
	require.Equal(t, listed, marked)
	_, lost, ok := r.Next(0)
	require.False(t, ok)
	require.EqualValues(t, 14, lost, "a reader that is under way hears what it will not get")
	x.Forget(a)

	// It comes back where it was, and begins for everybody.
	require.Equal(t, fanout.Duplicate, accept(s, 19, 0, nil).verdict)
	require.True(t, s.Forgotten())
	require.EqualValues(t, 20, accept(s, 20, 0, nil).began)
	require.False(t, s.Forgotten())
	require.Same(t, s, topic.CopyOf(a))

	a.End()
	x.Forget(a)
	anew := topic.CopyOf(a)
	require.NotSame(t, s, anew)
	require.Zero(t, anew.Next(), "whoever has not kept it knows nothing")
	x.Forget(a)
	x.Forget(b)
	require.Zero(t, budget.Used())
}

// A group remembers of each origin whom it has told, and in which era.
func TestToldOf(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic := ensure(t, x, "a/b")
	g := x.Join(0, "a/#", 1, true)
	w := topic.Walk(0)
	_, link := w.Next(1)
	require.Same(t, g, link.Group())
	require.False(t, link.Told())
	require.False(t, link.ToldOf(2, 0))
	link.SetToldOf(2, 0)
	require.True(t, link.ToldOf(2, 0))
	require.False(t, link.Told(), "each stream for itself")
	require.False(t, link.ToldOf(3, 0))
	require.False(t, link.ToldOf(2, 1), "it has ended since")
	link.SetToldOf(2, 1)
	require.False(t, link.ToldOf(2, 0))
	link.SetToldOf(3, 0)
	link.SetTold()
	x.Join(0, "a/#", 2, false)
	require.False(t, link.Told() || link.ToldOf(2, 1) || link.ToldOf(3, 0), "somebody has joined")
	link.SetToldOf(2, 1)
	g.Retell()
	require.False(t, link.ToldOf(2, 1))
	for o := range uint32(100) { // what it forgets is told again, no more
		link.SetToldOf(o, 0)
		require.True(t, link.ToldOf(o, 0))
	}
	told := 0
	for o := range uint32(100) {
		if link.ToldOf(o, 0) {
			told++
		}
	}
	require.Equal(t, 64, told)
	require.True(t, link.ToldOf(99, 0))
}

// copyOracle is what a copy must be.
type copyOracle struct {
	kept
	known, began, forgotten bool
}

// copies is the oracle of a topic with streams of others: a stream for each, the loops where somebody is, and the number
// of the last post.
type copies struct {
	t       testing.TB
	x       *fanout.Index
	topic   *fanout.Topic
	budget  *fanout.Budget
	origins [3]*fanout.Origin // the first is nobody: the topic's own stream
	streams [3]*fanout.Stream
	oracles [3]copyOracle
	loops   uint64
	posts   uint64
	now     uint32

	problems []string
}

func newCopies(t testing.TB, limits fanout.RingLimits, without string) *copies {
	c := &copies{t: t, now: 1000, budget: fanout.NewBudget(1<<30, 0)}
	c.x = newIndex(t, fanout.Config{Ring: limits, Budget: c.budget})
	if without != "" {
		c.x.Without(without)
	}
	c.topic = ensure(t, c.x, "a")
	for i := range c.origins {
		c.oracles[i].limits = limits
		if i == 0 {
			c.streams[i], c.oracles[i].next, c.oracles[i].known = c.topic.Stream(), 1, true
			continue
		}
		c.origins[i] = fanout.NewOrigin(uint64(i), uint32(i+1))
		c.streams[i] = c.topic.CopyOf(c.origins[i])
	}
	return c
}

func (c *copies) check(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// posted checks what was posted: to whom, in which order, and whether the stream began before, as it must once.
func (c *copies) posted(i int, loops uint64, numbers []uint64, began uint64) {
	o := &c.oracles[i]
	for _, n := range numbers {
		c.check(n > c.posts, "post %d comes after %d", n, c.posts)
		c.posts = n
	}
	c.check(loops == c.loops, "stream %d is posted to %b, not %b", i, loops, c.loops)
	begins := i > 0 && !o.began && c.loops != 0
	c.check(began != 0 == begins && (!begins || began == o.next), "stream %d begins at %d, must be at %d: %v", i, began, o.next, begins)
	o.began, o.forgotten = true, false
}

func (c *copies) take(i int, offset uint64, frame []byte) {
	o := &c.oracles[i]
	if i == 0 {
		var posted []uint64
		var to uint64
		c.streams[0].Publish(c.now, func(uint64, bool) fanout.Entry { return fanout.Entry{Frame: frame} },
			func(loops, number uint64, _ fanout.Entry) { posted, to = append(posted, number), loops })
		c.posted(0, to, posted, 0)
		o.publish(c.now, frame)
		return
	}
	want := fanout.Taken
	switch {
	case offset == 0 || o.known && offset < o.next:
		want = fanout.Duplicate
	case o.known && offset > o.next:
		want = fanout.Hole
	}
	a := accept(c.streams[i], offset, c.now, frame)
	c.check(a.verdict == want, "stream %d at %d: %d, must be %d", i, offset, a.verdict, want)
	if want != fanout.Taken {
		c.check(len(a.numbers) == 0, "stream %d at %d was posted", i, offset)
		return
	}
	o.known, o.next = true, offset
	c.posted(i, a.loops, a.numbers, a.began)
	o.publish(c.now, frame)
}

func (c *copies) miss(i int, next uint64) {
	o := &c.oracles[i]
	m := miss(c.streams[i], next)
	switch {
	case !o.known:
		c.check(m.count == 0 && m.numbers == nil, "stream %d begins at %d and misses %d", i, next, m.count)
		o.known, o.next = true, max(next, 1)
	case next <= o.next:
		c.check(m.count == 0 && m.numbers == nil, "stream %d misses what it has", i)
	default:
		c.check(m.first == o.next && m.count == next-o.next, "stream %d misses %d from %d on", i, m.count, m.first)
		c.posted(i, m.loops, m.numbers, m.began)
		o.next = next
	}
}

// backfill keeps so many messages before the oldest one that is kept, but for skip.
func (c *copies) backfill(i, n, skip int, age uint32) {
	o := &c.oracles[i]
	var older []fanout.Entry
	o.expire(c.now)
	end := o.next
	if len(o.entries) > 0 {
		end = o.entries[0].Offset
	}
	for end -= min(end, uint64(skip)); n > 0 && end > 1; n-- {
		end--
		older = append([]fanout.Entry{{Offset: end, At: c.now - min(age, c.now), Frame: fmt.Appendf(nil, "%0*d", n, end)}}, older...)
	}
	c.streams[i].Backfill(c.now, older)
	if o.known && !o.forgotten {
		o.prepend(c.now, older)
	}
}

// prepend keeps older ones, the newest first, as long as they fit.
func (k *kept) prepend(now uint32, older []fanout.Entry) {
	for len(older) > 0 {
		e := older[len(older)-1]
		older = older[:len(older)-1]
		if len(k.entries) > 0 {
			e.At = min(e.At, k.entries[0].At)
		}
		if len(k.entries) == k.limits.Messages || k.bytes()+len(e.Frame) > k.limits.Bytes || int(now)-int(e.At) > int(k.limits.Age) {
			return
		}
		k.now = max(k.now, e.At)
		k.entries = append([]fanout.Entry{e}, k.entries...)
	}
}

func (c *copies) forget(i int) {
	c.origins[i].End()
	c.x.Forget(c.origins[i])
	c.oracles[i].began, c.oracles[i].forgotten, c.oracles[i].entries = false, true, nil
}

// look compares everything that can be seen.
func (c *copies) look() {
	var used int64
	for i, s := range c.streams {
		o := &c.oracles[i]
		want := o.next
		if !o.known {
			want = 0
		}
		c.check(s.Next() == want, "stream %d is at %d, must be %d", i, s.Next(), want)
		c.check(s.Forgotten() == o.forgotten, "stream %d is forgotten: %v", i, s.Forgotten())
		var got []fanout.Entry
		for r := s.Reader(0); ; {
			e, _, ok := r.Next(c.now)
			if !ok {
				break
			}
			got = append(got, e)
		}
		o.expire(c.now)
		c.check(fmt.Sprint(got) == fmt.Sprint(o.entries), "stream %d keeps %v, must be %v", i, got, o.entries)
		used += int64(s.RingPlaces())*int64(fanout.EntrySize) + int64(o.bytes())
	}
	c.check(c.budget.Used() == used, "the budget is charged %d, must be %d", c.budget.Used(), used)
	listed := map[*fanout.Stream]uint64{}
	c.topic.Mark(func(s *fanout.Stream, next uint64, silent bool) {
		listed[s] = next
		for i := range c.streams {
			c.check(s != c.streams[i] || i == 0 || silent == !c.oracles[i].began, "stream %d is silent: %v", i, silent)
		}
	})
	for i, s := range c.streams {
		o := &c.oracles[i]
		c.check((listed[s] != 0) == (o.known && !o.forgotten), "stream %d is marked at %d", i, listed[s])
	}
}

// runCopies reads a history from bytes, so that fuzzing can steer it.
func runCopies(t testing.TB, history []byte, without string) []string {
	pull := func(n int) int {
		if len(history) == 0 {
			return 0
		}
		v := int(history[0]) % n
		history = history[1:]
		return v
	}
	c := newCopies(t, fanout.RingLimits{Messages: 1 + pull(20), Bytes: 1 + 10*pull(50), Age: 1 + uint32(pull(10))}, without)
	groups := [2]*fanout.Group{}
	for len(history) > 0 && len(c.problems) == 0 {
		i := pull(3)
		o := &c.oracles[i]
		switch op := pull(12); {
		case op == 0:
			c.now += uint32(pull(4))
		case op == 1:
			loop := pull(2)
			if groups[loop] == nil {
				groups[loop] = c.x.Join(loop, "#", 7, false)
			} else {
				c.x.Leave(groups[loop], 7, false)
				groups[loop] = nil
			}
		case op == 2:
			if loop := pull(2); !c.topic.Remove(loop, 1) {
				c.topic.Add(loop, 1)
			}
		case op < 7 || i == 0:
			c.take(i, max(o.next, 1), fmt.Appendf(nil, "%0*d", pull(100), o.next))
		case op == 7:
			c.take(i, uint64(pull(256)), nil)
		case op == 8:
			c.miss(i, uint64(pull(256)))
		case op == 9:
			c.backfill(i, pull(10), pull(3), uint32(pull(12)))
		case op == 10:
			c.origins[i].End()
			o.began = false
		case op == 11:
			c.forget(i)
		}
		c.loops = 0
		for loop := range 2 {
			if groups[loop] != nil || c.topic.Subscribers(loop) > 0 {
				c.loops |= 1 << loop
			}
		}
		c.look()
	}
	for i := range c.origins {
		if i > 0 && len(c.problems) == 0 {
			c.forget(i)
		}
	}
	if len(c.problems) == 0 {
		c.streams[0].Kept(c.now + 100)
		c.check(c.budget.Used() == 0, "the budget is left with %d", c.budget.Used())
	}
	return c.problems
}

func copiesHistory(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 16))
	history := make([]byte, 1200)
	for i := range history {
		history[i] = byte(rng.Uint32())
	}
	return history
}

// Random histories of copies: verdicts, posts in one order over all streams of the topic, one beginning in each era, rings
// that are filled from both ends, and a budget that is charged for what they hold.
func TestCopiesAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		require.Empty(t, runCopies(t, copiesHistory(seed), ""), "seed %d", seed)
	}
}

// The oracle notices rules that are taken away.
func TestCopiesOracleNotices(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{fanout.PostNumbers, fanout.BeginOnce} {
		noticed := false
		for seed := range uint64(20) {
			noticed = noticed || len(runCopies(t, copiesHistory(seed), rule)) > 0
		}
		require.True(t, noticed, rule)
	}
}
