package history

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func judge(events []Event) Report { return File{Rules: modelRules(), Events: events}.Check() }

// Whatever happens to a fleet that keeps the promise, the checker is content.
func TestModelKeepsThePromise(t *testing.T) {
	var sum Counts
	for seed := range uint64(60) {
		r := judge(tell(seed, 500))
		require.Equal(t, Passed, r.Verdict(), "seed %d\n%s", seed, r.String())
		sum.Delivered += r.Counts.Delivered
		sum.Missing += r.Counts.Missing
		sum.Unknown += r.Counts.Unknown
		sum.Ended += r.Counts.Ended
		sum.Tail += r.Counts.Tail
	}
	require.Greater(t, sum.Delivered, uint64(50_000))
	for name, n := range map[string]uint64{"missing": sum.Missing, "unknown": sum.Unknown, "ended": sum.Ended, "tail": sum.Tail} {
		require.Greater(t, n, uint64(100), "%s: the model leads everywhere", name)
	}
}

// damage breaks a history in one place.
type damage struct {
	name string
	fits func(events []Event, at int) bool
	do   func(events []Event, at int) []Event // to a copy
	want []Rule                               // one of them
}

// more is where the next message of the same stream comes to the same subscriber, -1 if nowhere; nothing of unknown size
// is between.
func more(events []Event, at int) int {
	for i := at + 1; i < len(events); i++ {
		e := events[i]
		if e.Who != events[at].Who || e.Topic != events[at].Topic || e.Life != events[at].Life {
			continue
		}
		if e.Kind == Message {
			return i
		}
		if e.Kind == Gap && e.Count == 0 {
			return -1
		}
	}
	return -1
}

func isMessage(events []Event, at int) bool { return events[at].Kind == Message }

func isMessageAndMore(events []Event, at int) bool {
	return events[at].Kind == Message && more(events, at) > 0
}

func isGapAndMore(events []Event, at int) bool {
	return events[at].Kind == Gap && events[at].Count > 1 && more(events, at) > 0 && told(events, events[at], isUnknown) == 0
}

func isDropped(events []Event, at int) []Event { return slices.Delete(events, at, at+1) }

func damages() []damage {
	return []damage{
		{"a message is lost", isMessageAndMore, isDropped, []Rule{Honest}},
		{"a gap is not told", isGapAndMore, isDropped, []Rule{Honest}},
		{"a gap is told short", isGapAndMore, func(events []Event, at int) []Event {
			events[at].Count, events[at].Offset = events[at].Count-1, 0
			return events
		}, []Rule{Honest}},
		{"a gap is told long", isGapAndMore, func(events []Event, at int) []Event {
			events[at].Count, events[at].Offset = events[at].Count+1, 0
			return events
		}, []Rule{Ordered, Honest}},
		{"a message comes twice", isMessage, func(events []Event, at int) []Event {
			return slices.Insert(events, at+1, events[at])
		}, []Rule{Unique}},
		{"a message comes again later", isMessageAndMore, func(events []Event, at int) []Event {
			next, again := more(events, at), events[at]
			again.At = events[next].At
			return slices.Insert(events, next+1, again)
		}, []Rule{Unique}},
		{"two messages are swapped", func(events []Event, at int) bool {
			return isMessageAndMore(events, at) && events[more(events, at)].Offset == events[at].Offset+1
		}, func(events []Event, at int) []Event {
			a, b := &events[at], &events[more(events, at)]
			a.Offset, b.Offset = b.Offset, a.Offset
			a.Number, b.Number = b.Number, a.Number
			return events
		}, []Rule{Honest, True}},
		{"a message is another one", isMessage, func(events []Event, at int) []Event {
			events[at].Number++
			return events
		}, []Rule{True, Unique}},
		{"an offset is one too high", isMessage, func(events []Event, at int) []Event {
			events[at].Offset++
			return events
		}, []Rule{True, Unique, Honest}},
		{"an offset is nonsense", isMessage, func(events []Event, at int) []Event {
			events[at].Offset ^= 1 << 40
			return events
		}, []Rule{True}},
		{"END is not told", func(events []Event, at int) bool {
			return events[at].Kind == End && events[at].How == wire.EndRestarted && told(events, events[at], isOver) == 1
		}, isDropped, []Rule{Honest}},
	}
}

// told counts what a subscriber is told of a life.
func told(events []Event, of Event, which func(Event) bool) (n int) {
	for _, e := range events {
		if e.Who == of.Who && e.Topic == of.Topic && e.Life == of.Life && which(e) {
			n++
		}
	}
	return n
}

func isUnknown(e Event) bool { return e.Kind == Gap && e.Count == 0 }

func isOver(e Event) bool { return e.Kind == End || isUnknown(e) }

// Whatever is taken out of a good history, or put in, is found, and the excerpt of the finding shows it again.
func TestDamageIsFound(t *testing.T) {
	var histories [][]Event
	for seed := range uint64(25) {
		histories = append(histories, tell(seed, 400))
	}
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			found := 0
			for seed, events := range histories {
				at := rand.New(rand.NewPCG(uint64(seed), 5)).IntN(len(events))
				for n := 0; n < len(events) && !d.fits(events, at); n++ {
					at = (at + 1) % len(events)
				}
				if !d.fits(events, at) {
					continue
				}
				r := judge(d.do(slices.Clone(events), at))
				what := fmt.Sprintf("seed %d, event %d: %+v\n%s", seed, at, events[at], r.String())
				require.Equal(t, Failed, r.Verdict(), what)
				f := r.Findings[0]
				require.Contains(t, d.want, f.Rule, what)
				require.Equal(t, events[at].Who, f.Event.Who, what)
				shows(t, r, f)
				found++
			}
			require.Greater(t, found, 5)
		})
	}
}

// shows checks that a finding's excerpt, written and read again, shows the finding. One that needs what another subscriber
// got cannot.
func shows(t *testing.T, r Report, f Finding) {
	t.Helper()
	if f.Rule == True || f.Text == "it was seen at another position as well" {
		return
	}
	var b bytes.Buffer
	require.NoError(t, r.Excerpt(f).Write(&b))
	file, err := Read(&b)
	require.NoError(t, err)
	again := file.Check()
	require.True(t, slices.ContainsFunc(again.Findings, func(g Finding) bool {
		return g.Rule == f.Rule && g.Event == f.Event
	}), "%s\n%s", f, again.String())
}

// The excerpt begins where the subscriber was when what is kept of it began: after a long run it still shows the finding.
func TestExcerptOfALongRun(t *testing.T) {
	const messages = 2000
	c := New(Rules{Late: 1e9})
	c.Add(Event{Kind: Born, Gateway: "g1", Origin: "g1.1"})
	c.Add(Event{Kind: Subscribed, Who: "s", Gateway: "g1", Topic: "t"})
	for n := uint64(1); n <= messages; n++ {
		e := Event{At: int64(n) * 1e6, Kind: Publish, Origin: "g1.1", Topic: "t", Number: n}
		c.Add(e)
		e.Kind = Accepted
		c.Add(e)
		if n != messages-10 {
			c.Add(Event{At: e.At, Kind: Message, Who: "s", Topic: "t", Life: 1 << 24, Offset: n, Origin: "g1.1", Number: n})
		}
	}
	r := c.Close()
	require.Len(t, r.Findings, 1, r.String())
	shows(t, r, r.Findings[0])
	file := r.Excerpt(r.Findings[0])
	seen := 0
	for _, e := range file.Events {
		if e.Kind == Message {
			seen++
		}
	}
	require.Less(t, seen, 3*mostTail)
	require.Greater(t, seen, mostTail-1)
}

// A run that lacked processors is late everywhere, and says nothing of time. What it says of all else stands.
func TestVoidRunSaysNothingOfTime(t *testing.T) {
	for name, want := range map[string]Verdict{"late": Void, "late-end": Void, "hole": Failed, "twice": Failed} {
		file := kept(t, "broken")[name]
		require.Equal(t, Failed, file.Check().Verdict(), name)
		file.Rules.Floor.Subscribers = 1000
		require.Equal(t, want, file.Check().Verdict(), name)
	}
}

// A subscriber settles after a fault when nothing late comes any more: each of those who were there counts once.
func TestSettling(t *testing.T) {
	file := kept(t, "good")["killed"]
	file.Rules.Prompt = 1e8 + 1
	r := file.Check()
	require.Equal(t, Passed, r.Verdict(), r.String())
	took := r.Took(Died)
	require.EqualValues(t, 2, took.Count())
	require.EqualValues(t, 2e9, took.Most(), "END came two seconds after")
	require.Zero(t, r.Took(Cut).Count())
	require.EqualValues(t, 2, r.Took(Born).Count(), "it was started again")
	require.Zero(t, r.Took(Born).Most())

	file.Rules.Prompt = 1e8 - 1 // now all messages are late
	r = file.Check()
	require.EqualValues(t, 2e9, r.Took(Died).Most(), "those of the other gateway are so for no fault")
	require.EqualValues(t, 8e8, r.Took(Born).Most(), "those of the new one are so for want of a link, perhaps")

	again := kept(t, "void")["absent"]
	again.Events = append(again.Events, Event{At: 12e9, Kind: Died, Origin: "g1.1"}, Event{At: 20e9, Kind: Gauge, Name: "x"})
	r = again.Check()
	took = r.Took(Died)
	require.EqualValues(t, 8e9, took.Most(), "who is away has not settled")
}

func TestSpread(t *testing.T) {
	var s Spread
	require.Zero(t, s.Quantile(0.5))
	for i := range int64(1000) {
		s.add(i * 1_000_000)
	}
	s.add(-5)
	require.EqualValues(t, 1001, s.Count())
	require.EqualValues(t, 999_000_000, s.Most())
	for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.99, 1} {
		exact := q * 1e9
		require.InDelta(t, exact, float64(s.Quantile(q)), exact/16+1_000_000, "%g", q)
	}
	for i := range len(s.buckets) - 1 {
		require.Equal(t, i, bucket(lowerEnd(i)), "%d", i)
		require.Equal(t, i, bucket(lowerEnd(i+1)-1), "%d", i)
	}
	require.Equal(t, bucket(1<<63-1), 58*16+31)
}

func TestPayload(t *testing.T) {
	for _, size := range []int{0, 16, 64, 1024} {
		b := AppendPayload([]byte("before"), "g1.1", 300, size)[len("before"):]
		require.Len(t, b, max(size, 1+4+2+4))
		origin, number, err := ParsePayload(b)
		require.NoError(t, err)
		require.Equal(t, "g1.1", string(origin))
		require.EqualValues(t, 300, number)
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 0x10
			_, _, err := ParsePayload(bad)
			require.ErrorIs(t, err, errAltered, "byte %d", i)
			_, _, err = ParsePayload(b[:i])
			require.ErrorIs(t, err, errAltered, "the first %d", i)
		}
	}
	long := strings.Repeat("g", 300)
	origin, number, err := ParsePayload(AppendPayload(nil, long, 7, 0))
	require.NoError(t, err)
	require.Equal(t, long[:255], string(origin))
	require.EqualValues(t, 7, number)
}

// BenchmarkMessage is what judging one delivery costs.
func BenchmarkMessage(b *testing.B) {
	c := New(Rules{Late: 1e9, Prompt: 1e8})
	const subscribers, topics = 1500, 100
	c.Add(Event{Kind: Born, Gateway: "g1", Origin: "g1.1"})
	var who, names []string
	for i := range topics {
		names = append(names, fmt.Sprintf("broadcast/%d", i))
	}
	for i := range subscribers {
		who = append(who, fmt.Sprintf("s%d", i))
		c.Add(Event{Kind: Subscribed, Who: who[i], Gateway: "g1", Topic: names[i%topics]})
	}
	b.ReportAllocs()
	var number uint64
	for i := 0; b.Loop(); i++ {
		at, topic := int64(i)*16_000, names[i/(subscribers/topics)%topics]
		if i%subscribers == 0 {
			number++
			for _, name := range names {
				c.Add(Event{At: at, Kind: Publish, Origin: "g1.1", Topic: name, Number: number})
			}
		}
		c.Add(Event{
			At: at, Kind: Message, Who: who[i/(subscribers/topics)%topics+topics*(i%(subscribers/topics))], Topic: topic, Life: 1 << 24,
			Offset: number, Origin: "g1.1", Number: number,
		})
	}
	require.Empty(b, c.findings)
}
