package central

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecords(t *testing.T) {
	c, _ := start(t, Config{})
	s, ctx := c.Records(), t.Context()
	_, _, err := s.Get(ctx, "a")
	require.ErrorIs(t, err, ErrNotFound)
	first, err := s.Create(ctx, "a", []byte("1"))
	require.NoError(t, err)
	_, err = s.Create(ctx, "a", []byte("2"))
	require.ErrorIs(t, err, ErrExists)
	second, err := s.Update(ctx, "a", []byte("2"), first)
	require.NoError(t, err)
	_, err = s.Update(ctx, "a", []byte("3"), first)
	require.ErrorIs(t, err, ErrRevision)
	require.ErrorIs(t, s.Delete(ctx, "a", first), ErrRevision)
	value, revision, err := s.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "2", string(value))
	require.Equal(t, second, revision)
	require.NoError(t, s.Delete(ctx, "a", second))
	_, _, err = s.Get(ctx, "a")
	require.ErrorIs(t, err, ErrNotFound)
	third, err := s.Create(ctx, "a", nil)
	require.NoError(t, err)
	require.Greater(t, third, second)
	_, err = s.Put(ctx, "a", make([]byte, MaxRecord))
	require.NoError(t, err)
	_, err = s.Put(ctx, "a", make([]byte, MaxRecord+1))
	require.ErrorContains(t, err, "65537 bytes, want at most 65536")
	_, err = s.Put(ctx, "", nil)
	require.ErrorContains(t, err, "want 1 to 255 bytes")
	for _, key := range []string{"g:7311", "..", ".", "a..b", "é b", "*", ">", "=", "$x", strings.Repeat("k", MaxKey)} {
		_, err := s.Put(ctx, key, []byte(key))
		require.NoError(t, err, key)
		value, _, err := s.Get(ctx, key)
		require.NoError(t, err, key)
		require.Equal(t, key, string(value))
	}
}

// Of many who write at once each revision is one's.
func TestRecordsCompareAndSwap(t *testing.T) {
	c, _ := start(t, Config{})
	_, err := c.Records().Create(t.Context(), "n", []byte("0"))
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for done := 0; done < 10; {
				value, revision, err := c.Records().Get(context.Background(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				_, _ = fmt.Sscan(string(value), &n)
				switch _, err := c.Records().Update(context.Background(), "n", fmt.Append(nil, n+1), revision); {
				case err == nil:
					done++
				case !errors.Is(err, ErrRevision):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	value, _, err := c.Records().Get(t.Context(), "n")
	require.NoError(t, err)
	require.Equal(t, "80", string(value))
}

// watched is what a watcher knows.
type watched struct {
	mu      sync.Mutex
	records map[string]string
	current bool
	times   int
}

func (w *watched) is(want map[string]string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current && maps.Equal(w.records, want)
}

func watchAll(t *testing.T, c *Central, prefix string) *watched {
	w := &watched{records: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- c.Records().Watch(ctx, prefix, func(key string, value []byte, revision uint64) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.records[key] = string(value)
			if revision == 0 {
				delete(w.records, key)
			}
		}, func() { w.mu.Lock(); w.current = true; w.times++; w.mu.Unlock() }, func() { w.mu.Lock(); w.current = false; w.mu.Unlock() })
	}()
	t.Cleanup(func() { cancel(); require.Error(t, <-done) })
	return w
}

// A watcher knows what is there, each change, and after the service was away what it missed.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	a, _, url := offered(t, Config{Name: "a", Embedded: Embedded{Dir: dir}})
	addr := a.Addr().String()
	b, _ := start(t, Config{Name: "b", URLs: []string{url}})
	ctx := t.Context()
	put := func(c *Central, key, value string) {
		_, err := c.Records().Put(ctx, key, []byte(value))
		require.NoError(t, err)
	}
	put(a, "filters.x", "1")
	put(a, "other", "1")
	all, some := watchAll(t, b, ""), watchAll(t, b, "filters.")
	eventually(t, func() bool { return all.is(map[string]string{"filters.x": "1", "other": "1"}) }, "what is there")
	eventually(t, func() bool { return some.is(map[string]string{"filters.x": "1"}) }, "what is there below filters")
	put(a, "filters.y", "2")
	put(b, "other", "2")
	require.NoError(t, a.Records().Delete(ctx, "filters.x", 0))
	eventually(t, func() bool { return all.is(map[string]string{"filters.y": "2", "other": "2"}) }, "changes")
	eventually(t, func() bool { return some.is(map[string]string{"filters.y": "2"}) }, "changes below filters")

	// What happens while b is away: a record goes, one changes, one comes.
	require.NoError(t, a.Close())
	eventually(t, func() bool { return !b.Connected() }, "away")
	alone, _ := start(t, Config{Name: "a", Embedded: Embedded{Dir: dir}})
	require.NoError(t, alone.Records().Delete(ctx, "filters.y", 0))
	put(alone, "other", "3")
	put(alone, "filters.z", "3")
	require.NoError(t, alone.Close())
	start(t, Config{Name: "a", Embedded: Embedded{Dir: dir, Listen: addr}})
	eventually(t, func() bool { return all.is(map[string]string{"filters.z": "3", "other": "3"}) }, "what was missed")
	eventually(t, func() bool { return some.is(map[string]string{"filters.z": "3"}) }, "what was missed below filters")
}

// A service that comes back without its records takes none away.
func TestWatchOfAServiceThatForgot(t *testing.T) {
	a, _, url := offered(t, Config{Name: "a"})
	addr := a.Addr().String()
	b, _ := start(t, Config{Name: "b", URLs: []string{url}})
	_, err := a.Records().Put(t.Context(), "k", []byte("1"))
	require.NoError(t, err)
	w := watchAll(t, b, "")
	eventually(t, func() bool { return w.is(map[string]string{"k": "1"}) }, "the record")
	require.NoError(t, a.Close())
	again, _ := start(t, Config{Name: "a", Embedded: Embedded{Listen: addr}})
	eventually(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.times == 2 }, "back")
	require.True(t, w.is(map[string]string{"k": "1"}))
	// The new record has the revision of the old one.
	_, err = again.Records().Put(t.Context(), "k", []byte("2"))
	require.NoError(t, err)
	eventually(t, func() bool { return w.is(map[string]string{"k": "2"}) }, "it is written anew")
}

func FuzzKey(f *testing.F) {
	for _, k := range []string{"a", "a.b", ".", "..", "a..b", "g:7311", "=41", "é", "=", "a.=2E"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if key != "" {
			e := escapeKey(key)
			for _, part := range strings.Split(e, ".") {
				require.NotEmpty(t, part)
			}
			require.Empty(t, strings.Trim(e, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/=."))
			got, ok := unescapeKey(e)
			require.True(t, ok)
			require.Equal(t, key, got)
		}
		if got, ok := unescapeKey(key); ok {
			require.Equal(t, key, escapeKey(got), "two keys for one")
		}
	})
}
