//go:build e2e && linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/peer/history"
	"github.com/bellwire/bellwire/wire"
)

// faultDisk fills the disk below the data directory. Broadcasts go on; what has to be stored is refused with a code that
// says later, and works again soon after there is room, with all that was stored before and without a restart.
func faultDisk(t *testing.T, out *bench.Result) {
	needRoot(t, "a file system of its own for a data directory")
	l := load{gateways: 1, devices: sized(50, 300), each: 2, topics: sized(10, 50), rate: sized(100, 500), payload: 64, stay: true}
	lasts := sized(8*time.Second, time.Minute)
	rules := faultRules()
	rules.Floor = l.floor(lasts, map[string]uint64{"disk full": 1})
	disk := smallDisk(t, "32m")
	free, err := freeAddresses(1)
	require.NoError(t, err)
	central := free[0]
	tr := newTrial(t, setup{
		load: l, rules: rules, controls: []*control{withoutProof(), withoutDedupe(), withoutSome()},
		args: func(*member) []string {
			return []string{"--central", "embedded", "--central-listen", central, "--data", filepath.Join(disk, "data")}
		},
	})
	// A stream that stores what devices publish to orders/….
	b := natsRequest(t, central, "$JS.API.STREAM.CREATE.ORDERS", `{"name":"ORDERS","subjects":["bw.t.default.orders.>"],"storage":"file"}`)
	require.NotContains(t, string(b), `"error"`)
	p := newPlain(t, tr)
	p.works()
	before := stored(t, central)
	require.Positive(t, before, "what was published to orders was not stored")
	tr.publish()
	rest(t.Context(), 2*time.Second)

	filler := fill(t, disk)
	tr.rec.add(history.Event{Kind: history.Fault, Name: "disk full", Count: 1})
	begin := time.Now()
	var refusal *client.RefusedError
	require.Eventually(t, func() bool { return errors.As(p.send("no room"), &refusal) }, patience, 100*time.Millisecond, "it is acknowledged and cannot be stored")
	require.Equal(t, wire.ClassLater, refusal.Code.Class(), "%v", refusal)
	rest(t.Context(), lasts-time.Since(begin))

	require.NoError(t, os.Remove(filler))
	begin = time.Now()
	p.works()
	took := time.Since(begin)
	require.GreaterOrEqual(t, stored(t, central), before+1, "what was stored before is there")
	out.Add("disk: until messages were stored again after there was room", "s", took.Seconds())
	require.LessOrEqual(t, took, sized(10*time.Second, 5*time.Second))

	report := tr.finish(4 * time.Second)
	tr.passed(report)
	tr.results(out, "disk", report)
	require.Zero(t, report.Counts.Missing)
}

// smallDisk is an empty file system.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	command(t, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir)
	t.Cleanup(func() { quietly("umount", "-l", dir) })
	return dir
}

// fill writes a file until there is no room left at all: the kernel says so.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2] // the last bytes as well
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	return path
}

// stored is how many messages the stream of orders holds.
func stored(t *testing.T, central string) uint64 {
	t.Helper()
	var answer struct {
		State struct {
			Messages uint64 `json:"messages"`
		} `json:"state"`
	}
	var b []byte
	require.Eventually(t, func() bool {
		var err error
		b, err = askNATS(central, "$JS.API.STREAM.INFO.ORDERS", "")
		return err == nil && json.Unmarshal(b, &answer) == nil && answer.State.Messages > 0
	}, patience, 100*time.Millisecond, "%s", fmt.Sprint(string(b)))
	return answer.State.Messages
}
