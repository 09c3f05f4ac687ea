package central

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A disk that is full has records refused with a code that says so; what passes through
// goes on, and when there is room again records are taken within some seconds, without
// loss of what was acknowledged (reliability.md F6).
func TestDiskFull(t *testing.T) {
	c, fill := fullDisk(t, Config{})
	require.NoError(t, os.Remove(fill))
	freed := time.Now()
	eventually(t, func() bool { _, err := c.Records().Put(t.Context(), "after", nil); return err == nil }, "records are taken again")
	t.Log("taken again after", time.Since(freed))
	require.NoError(t, c.Problem())
	value, _, err := c.Records().Get(t.Context(), "before")
	require.NoError(t, err)
	require.Equal(t, "1", string(value))
}

// Control: a server whose store has failed does not come back by itself.
func TestDiskFullWithoutARestart(t *testing.T) {
	c, fill := fullDisk(t, Config{without: guards{restart: true}})
	require.NoError(t, os.Remove(fill))
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		_, err := c.Records().Put(t.Context(), "after", nil)
		require.Error(t, err)
	}
}

// fullDisk is a Central on a small disk, which a file fills.
func fullDisk(t *testing.T, cfg Config) (c *Central, fill string) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("no right to mount a small disk: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	cfg.Embedded.Dir = filepath.Join(dir, "data")
	c, got := start(t, cfg)
	_, err := c.Records().Put(t.Context(), "before", []byte("1"))
	require.NoError(t, err)
	_, err = c.Subscribe("acme", "live")
	require.NoError(t, err)
	settle(t, c, got, "acme", "live")
	fill = filepath.Join(dir, "fill")
	f, err := os.Create(fill)
	require.NoError(t, err)
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	require.NoError(t, f.Close())
	eventually(t, func() bool {
		_, err = c.Records().Put(t.Context(), "full", make([]byte, MaxRecord))
		return err != nil && c.Problem() != nil
	}, "records are refused")
	require.ErrorIs(t, err, ErrAway)
	t.Log(err)
	t.Log(c.Problem())
	require.ErrorContains(t, c.Problem(), "data directory")
	before := len(got.payloads("live"))
	for range 100 {
		require.NoError(t, c.Publish("acme", "live", nil))
	}
	eventually(t, func() bool { return len(got.payloads("live")) == before+100 }, "live traffic")
	return c, fill
}
