package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

func TestStreamBegins(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{Life: 0xa1a2a3})
	topic := ensure(t, x, "a")
	s := topic.Stream()
	require.Same(t, s, topic.Stream())
	require.EqualValues(t, 0xa1a2a3, s.Life())
	require.EqualValues(t, 1, s.Next())
	oldest, next := s.Kept(0)
	require.Equal(t, [2]uint64{1, 1}, [2]uint64{oldest, next})
	r := s.Reader(0)
	require.EqualValues(t, 1, r.Offset())
	_, missed, ok := r.Next(0)
	require.Zero(t, missed)
	require.False(t, ok)
	joined := uint64(0)
	require.True(t, r.Join(func(next uint64) { joined = next }))
	require.EqualValues(t, 1, joined)
	s.Mark(func(next uint64) { joined = next + 10 })
	require.EqualValues(t, 11, joined)
}

func TestPublishFillsTheEntry(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fanout.Config{})
	topic := ensure(t, x, "a")
	topic.Add(1, 3)
	for want := uint64(1); want < 4; want++ {
		var posted fanout.Entry
		offset := topic.Stream().Publish(70,
			func(offset uint64, tracked bool) fanout.Entry {
				require.Equal(t, want, offset)
				require.False(t, tracked)
				require.True(t, topic.Stream().Locked())
				return fanout.Entry{Offset: 99, At: 98, From: 97, Frame: []byte("head body"), Body: 5}
			},
			func(loops, _ uint64, e fanout.Entry) {
				require.True(t, topic.Stream().Locked())
				require.EqualValues(t, 0b10, loops)
				posted = e
			})
		require.Equal(t, want, offset)
		require.Equal(t, fanout.Entry{Offset: want, At: 70, From: 97, Frame: []byte("head body"), Body: 5}, posted)
		r := topic.Stream().Reader(want)
		kept, _, ok := r.Next(70)
		require.True(t, ok)
		require.Equal(t, posted, kept)
	}
}

// A panic in what the caller passes in leaves the stream usable and gives no offset away.
func TestPublishSurvivesPanic(t *testing.T) {
	t.Parallel()
	topic := ensure(t, newIndex(t, fanout.Config{}), "a")
	require.Panics(t, func() {
		topic.Stream().Publish(0, func(uint64, bool) fanout.Entry { panic("encode") }, func(_, _ uint64, _ fanout.Entry) {})
	})
	require.EqualValues(t, 1, topic.Stream().Next())
	require.Panics(t, func() {
		topic.Stream().Publish(0, func(uint64, bool) fanout.Entry { return fanout.Entry{} }, func(_, _ uint64, _ fanout.Entry) { panic("post") })
	})
	require.EqualValues(t, 2, topic.Stream().Next(), "it may have been posted to some")
	offset, _ := publish(topic, 0, nil)
	require.EqualValues(t, 2, offset)
}

// kept is the oracle of rings: all messages ever published, with the times and sizes that decide which are still there.
type kept struct {
	limits  fanout.RingLimits
	entries []fanout.Entry // still kept, in order
	next    uint64
	now     uint32
}

func (k *kept) publish(now uint32, frame []byte) {
	k.now = max(k.now, now)
	e := fanout.Entry{Offset: k.next, At: k.now, Frame: frame}
	k.next++
	k.expire(e.At)
	if len(frame) > k.limits.Bytes {
		return
	}
	k.entries = append(k.entries, e)
	for len(k.entries) > k.limits.Messages || k.bytes() > k.limits.Bytes {
		k.entries = k.entries[1:]
	}
}

func (k *kept) bytes() (n int) {
	for _, e := range k.entries {
		n += len(e.Frame)
	}
	return n
}

func (k *kept) expire(now uint32) {
	for len(k.entries) > 0 && int(now)-int(k.entries[0].At) > int(k.limits.Age) {
		k.entries = k.entries[1:]
	}
}

// read is what a reader at offset from must answer next.
func (k *kept) read(from uint64, now uint32) (e fanout.Entry, missed uint64, ok bool) {
	k.expire(now)
	for _, e := range k.entries {
		if e.Offset >= from {
			return e, e.Offset - from, true
		}
	}
	return e, k.next - from, false
}

func TestRingAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 6))
		history := make([]byte, 2000)
		for i := range history {
			history[i] = byte(rng.Uint32())
		}
		runStream(t, history)
	}
}

// runStream reads a history from bytes, so that fuzzing can steer it: limits, then publishes, readers and time.
func runStream(t testing.TB, history []byte) {
	pull := func(n int) int {
		if len(history) == 0 {
			return 0
		}
		v := int(history[0]) % n
		history = history[1:]
		return v
	}
	k := &kept{next: 1, limits: fanout.RingLimits{Messages: 1 + pull(20), Bytes: 1 + 10*pull(50), Age: 1 + uint32(pull(10))}}
	topic := ensure(t, newIndex(t, fanout.Config{Ring: k.limits}), "a")
	s := topic.Stream()
	readers := []fanout.Reader{s.Reader(0)}
	now := uint32(1000)
	for len(history) > 0 {
		switch pull(8) {
		case 0:
			now += uint32(pull(4))
		case 1:
			if from := uint64(pull(256)); len(readers) < 10 {
				readers = append(readers, s.Reader(from))
				require.Equal(t, min(max(from, 1), k.next), readers[len(readers)-1].Offset())
			}
		case 2, 3:
			r := &readers[pull(len(readers))]
			wantEntry, wantMissed, wantOK := k.read(r.Offset(), now)
			e, missed, ok := r.Next(now)
			require.Equal(t, wantOK, ok)
			require.Equal(t, wantMissed, missed)
			require.Equal(t, wantEntry, e)
			if ok {
				require.Equal(t, e.Offset+1, r.Offset())
			} else {
				require.Equal(t, k.next, r.Offset())
			}
		case 4:
			r := &readers[pull(len(readers))]
			called := false
			require.Equal(t, r.Offset() == k.next, r.Join(func(next uint64) {
				called = true
				require.Equal(t, k.next, next)
			}))
			require.Equal(t, r.Offset() == k.next, called)
		case 5:
			k.expire(now)
			oldest, next := s.Kept(now)
			require.Equal(t, k.next, next)
			if len(k.entries) == 0 {
				require.Equal(t, next, oldest)
			} else {
				require.Equal(t, k.entries[0].Offset, oldest)
			}
		default:
			frame := fmt.Appendf(nil, "%0*d", pull(200), k.next)
			late := now - uint32(pull(2)) // another loop's clock
			k.publish(late, frame)
			offset, _ := publish(topic, late, frame)
			require.Equal(t, k.next-1, offset)
		}
		require.LessOrEqual(t, s.RingPlaces(), 2*k.limits.Messages)
	}
}

func TestRingGivesMemoryBack(t *testing.T) {
	t.Parallel()
	topic := ensure(t, newIndex(t, fanout.Config{}), "a")
	for range 1000 {
		publish(topic, 0, []byte("x"))
	}
	s := topic.Stream()
	require.Equal(t, fanout.DefaultRingMessages, s.RingPlaces())
	publish(topic, 100, []byte("x"))
	s.Kept(121)
	require.Less(t, s.RingPlaces(), fanout.DefaultRingMessages)
	s.Kept(221)
	require.Zero(t, s.RingPlaces())
	require.EqualValues(t, 1002, s.Next(), "the count stays")
}
