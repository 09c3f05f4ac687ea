package peer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBroadcastAllocates nothing per message, neither here nor where it comes: a batch costs a few.
func TestBroadcastAllocates(t *testing.T) {
	l := newLog(1<<20, compressor{off: true})
	now := time.Second
	c, err := l.attach("b", 7, 0, now, func() {})
	require.NoError(t, err)
	payload := make([]byte, 64)
	offset := uint64(0)
	var bufs [][]byte
	held := release(func() {})
	round := func() {
		for range 100 {
			offset++
			for key := range uint64(2) {
				m := Message{Key: key, Tenant: "acme", Topic: "broadcast/x", Offset: offset, Payload: payload, Held: held}
				l.add(&m)
			}
		}
		l.seal(now)
		var taken taken
		taken, bufs = l.take(c, now, bufs[:0])
		require.NotZero(t, taken.batches)
		require.True(t, l.ack(c, taken.last, now))
	}
	for range 100 {
		round()
	}
	require.LessOrEqual(t, testing.AllocsPerRun(100, round), 8.0, "per batch of 200 messages")

	g := newGather()
	for i := range uint64(100) {
		m := Message{Key: i % 3, Tenant: "acme", Topic: "broadcast/x", Offset: i/3 + 1, Payload: payload}
		g.add(&m, 0)
	}
	o := newOrigin(&core{cfg: Config{Streams: sink{}}}, &member{}, 1<<24)
	require.NoError(t, o.messages(t.Context(), now, g.entries))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = o.messages(t.Context(), now, g.entries) }))
}
