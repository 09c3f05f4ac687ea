package gateway

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every poster's entries stay in order, none is lost, and the loop is woken
// exactly when the mailbox goes from empty to not empty.
func TestMailboxOrderAndArming(t *testing.T) {
	const posters, each = 4, 500
	woken := make(chan struct{}, posters*each)
	m := mailbox{arm: func() { woken <- struct{}{} }}
	var done sync.WaitGroup
	for p := range posters {
		done.Go(func() {
			for i := range each {
				require.True(t, m.post(entry{from: uint64(p), offset: uint64(i + 1)}))
			}
		})
	}
	last, got := map[uint64]uint64{}, 0
	var batch []entry
	for got < posters*each {
		<-woken
		for {
			clear(batch)
			batch = m.take(batch[:0])
			if len(batch) == 0 {
				break
			}
			for _, e := range batch {
				require.Equal(t, last[e.from]+1, e.offset)
				last[e.from] = e.offset
				got++
			}
		}
	}
	done.Wait()
	require.Empty(t, woken, "woken for nothing")
	require.True(t, m.idle())
}

func TestMailboxClose(t *testing.T) {
	arms := 0
	var m mailbox
	m.arm = func() {
		arms++
		require.False(t, m.mu.TryLock(), "a close can come between, and take away what this uses")
	}
	require.True(t, m.post(entry{offset: 1}))
	require.True(t, m.post(entry{offset: 2}))
	require.Equal(t, 1, arms)
	require.Equal(t, 2, m.depth())
	require.Len(t, m.close(), 2)
	require.False(t, m.post(entry{}))
	require.Empty(t, m.close())
}

// Of posts that run against a close each is either refused or handed back, and
// nothing is woken after it: what arm uses is gone by then.
func TestMailboxPostAgainstClose(t *testing.T) {
	const posters, each, rounds = 4, 50, 100
	for range rounds {
		var gone atomic.Bool
		m := mailbox{arm: func() {
			if gone.Load() {
				t.Error("woken after close")
			}
		}}
		var accepted atomic.Int64
		var posting sync.WaitGroup
		for range posters {
			posting.Go(func() {
				for range each {
					if m.post(entry{offset: 1}) {
						accepted.Add(1)
					}
				}
			})
		}
		got := len(m.take(nil))
		got += len(m.close())
		gone.Store(true)
		posting.Wait()
		require.EqualValues(t, accepted.Load(), got)
		require.False(t, m.post(entry{}))
		require.Empty(t, m.close())
	}
}
