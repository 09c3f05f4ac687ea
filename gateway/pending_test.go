package gateway

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// Whatever policies drop: every position of every stream comes out as a message
// or lies in a gap in its place, control frames all come, and nothing overtakes
// anything but gaps of other streams.
func TestPendingAgainstOracle(t *testing.T) {
	index, err := fanout.NewIndex(fanout.Config{Loops: 1, Topics: 10})
	require.NoError(t, err)
	var topics []*fanout.Topic
	for _, name := range []string{"a", "b", "c"} {
		topic, err := index.Ensure([]byte(name))
		require.NoError(t, err)
		topics = append(topics, topic)
	}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		q := &queued{t: t, next: map[wire.TopicID]uint64{}}
		offsets := map[*fanout.Topic]uint64{}
		most := 200 + rng.IntN(2000)
		dropped, now := 0, uint32(10)
		for range 400 {
			topic := topics[rng.IntN(3)]
			id := wire.TopicID(topic.ID())
			switch rng.IntN(12) {
			case 0:
				n := uint64(1 + rng.IntN(3))
				offsets[topic] += n
				q.out.pushGap(topic, id, ownOrigin, wire.ReasonTooBig, n)
			case 1:
				q.pushed++
				q.out.push(item{kind: itemControl, frame: wire.AppendPong(nil, binary.BigEndian.AppendUint32(nil, q.pushed))})
			case 2:
				q.take(1 + rng.IntN(600))
			case 3:
				now++
				dropped += q.out.expire(now - 3)
			case 4:
				q.out.squeeze()
			default:
				offsets[topic]++
				q.pushed++
				payload := binary.BigEndian.AppendUint32(nil, q.pushed)
				payload = append(payload, make([]byte, rng.IntN(200))...)
				m := wire.Message{Topic: id, Form: wire.OffsetFull, Offset: offsets[topic], Payload: payload}
				policy := wire.Policy(topic.ID() % 2) // oldest or latest
				dropped += q.out.pushMessage(item{
					kind: itemMessage, policy: policy, at: now, id: id, frame: m.Append(nil), topic: topic,
				}, most, mostMessages)
				require.LessOrEqual(t, q.droppable(), most, "more waits than may")
			}
		}
		for len(q.out.items) > 0 {
			q.take(100)
		}
		require.Zero(t, q.out.bytes)
		require.Equal(t, dropped, q.gaps[wire.ReasonSlow]+q.gaps[wire.ReasonSuperseded])
		for topic, last := range offsets {
			require.Equal(t, last, q.next[wire.TopicID(topic.ID())], "topic %s ends", topic.Name())
		}
	}
}

// queued is an outbound and a device that looks at what comes out of it.
type queued struct {
	t      *testing.T
	out    outbound
	pushed uint32
	seen   uint32
	next   map[wire.TopicID]uint64 // last position of each
	gaps   [8]int
}

// droppable is the bytes that may not exceed the bound.
func (q *queued) droppable() (n int) {
	for _, it := range q.out.items {
		if it.kind == itemMessage {
			n += len(it.frame)
		}
	}
	return n
}

func (q *queued) take(most int) {
	waiting := len(q.out.items)
	b := q.out.take(nil, most)
	if waiting > 0 {
		require.Less(q.t, len(q.out.items), waiting, "it does not get on")
	}
	frames := 0
	whole := len(b)
	for len(b) > 0 {
		typ, body, rest, err := wire.Next(b, 1<<wire.MaxFrameLog)
		require.NoError(q.t, err)
		b = rest
		frames++
		switch typ.Base() {
		case wire.TypePong:
			q.order(binary.BigEndian.Uint32(body))
		case wire.TypeGap:
			g, err := wire.ParseGap(body)
			require.NoError(q.t, err)
			q.next[g.Topic] += g.Count
			q.gaps[g.Reason] += int(g.Count)
		default:
			m, err := wire.ParseMessage(typ, body)
			require.NoError(q.t, err)
			q.next[m.Topic]++
			require.Equal(q.t, m.Offset, q.next[m.Topic], "in its place")
			q.order(binary.BigEndian.Uint32(m.Payload))
		}
	}
	require.True(q.t, whole <= most || frames == 1, "%d bytes where %d were asked for", whole, most)
}

func (q *queued) order(n uint32) {
	require.Greater(q.t, n, q.seen, "it overtook")
	q.seen = n
}
