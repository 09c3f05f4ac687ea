package gateway

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// A handle finds its session only as long as the slot is still its own.
func TestHandlesOutliveSessionsHarmlessly(t *testing.T) {
	var s slots
	handles := map[fanout.Sub]handle{}
	for range 3 * slotChunk {
		n, sl := s.alloc()
		sl.sess = &session{n: n}
		h := handle{slot: n, gen: sl.gen}
		require.Equal(t, h, unpack(h.packed()))
		if old, had := handles[n]; had {
			require.Nil(t, s.get(old), "a stale handle finds a stranger")
		}
		handles[n] = h
		require.Same(t, sl.sess, s.get(h))
		if n%2 == 0 {
			s.release(n)
			require.Nil(t, s.get(h))
		}
	}
	require.Nil(t, s.get(handle{slot: 1 << 20}), "a slot that never was")
	count := 0
	s.each(func(*session) { count++ })
	require.Equal(t, s.open, count)
}

// A slot is written by every delivery: several fit one pair of cache lines.
func TestSlotStaysSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(slot{}), uintptr(56))
	require.LessOrEqual(t, unsafe.Sizeof(subscription{}), uintptr(24))
}
