package bench

import (
	"context"
	"errors"
	"time"
)

// The quantities of an idle run; memory is per device.
const (
	idleRSS  = "user memory of the server (RSS)"
	idleAnon = "of it heap and stacks (anonymous)"
	idleHeap = "of it Go heap in use"
	idleSlab = "kernel objects (slab), both ends of the connection"
	idleCPU  = "CPU of the server with all idle"
)

var errNoProcess = errors.New("memory is asked of the server's process: say which it is (PID)")

// runIdle measures the memory that an idle, subscribed device costs: the server
// before its first connection against the same process some time after the last.
func runIdle(ctx context.Context, b *bed) error {
	if b.Address != "" && b.PID == 0 {
		return errNoProcess
	}
	b.r.set("devices", b.Subscribers)
	b.r.set("filters of each", 1)
	b.r.set("name of each, characters", 24)
	b.r.set("read after the last connection", b.Settle)
	b.bar.say("%d devices, memory read %v after the last connection, %d runs", b.Subscribers, b.Settle, b.Pairs)
	err := b.each(ctx, func(ctx context.Context, s *system) (string, error) {
		rss, err := b.idle(ctx, s)
		return number(rss) + " B per device", err
	})
	if err != nil {
		return err
	}
	for _, q := range []string{idleRSS, idleAnon, idleHeap, idleSlab, idleCPU, connectCost, connectRate} {
		err = errors.Join(err, b.state(q, func(name, over string) string {
			if q == idleRSS && name == gatewayName && over == "" && b.Subscribers == 15_000 && b.Settle >= 30*time.Second {
				return "idle-rss"
			}
			return ""
		}))
	}
	return err
}

// idle adds one sample of each quantity, from a server that has had no connection.
func (b *bed) idle(ctx context.Context, s *system) (rss float64, err error) {
	if err := pause(ctx, min(time.Second, b.Settle)); err != nil { // until its start is over
		return 0, err
	}
	heap := metric{url: s.admin + "/metrics", names: []string{"go_memstats_heap_inuse_bytes", "go_memory_classes_heap_objects_bytes"}}
	inUse := func() float64 {
		if s.admin == "" {
			return 0
		}
		v, err := heap.read(ctx)
		if err != nil {
			return 0 // it may not say; the figure is then left out
		}
		return v
	}
	before, err := processMemory(s.pid())
	if err != nil {
		return 0, err
	}
	heapBefore := inUse()
	cpuBefore, err := processCPU(s.pid())
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := b.connect(ctx, s, b.load()); err != nil {
		return 0, err
	}
	elapsed := time.Since(begin)
	cpuAfter, err := processCPU(s.pid())
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, b.Settle/2); err != nil { // until what follows the connects is done
		return 0, err
	}
	cpuSettled, err := processCPU(s.pid())
	if err != nil {
		return 0, err
	}
	begin = time.Now()
	if err := pause(ctx, b.Settle-b.Settle/2); err != nil {
		return 0, err
	}
	quiet := time.Since(begin)
	cpuQuiet, err := processCPU(s.pid())
	if err != nil {
		return 0, err
	}
	after, err := processMemory(s.pid())
	if err != nil {
		return 0, err
	}
	heapAfter := inUse()
	if _, err := s.do(ctx, order{Quiet: true}); err != nil { // all are still there
		return 0, err
	}
	n := float64(b.Subscribers + 1) // the publisher is a device too
	each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / n }
	rss = each(after.rss, before.rss)
	b.add(s, idleRSS, "B", rss)
	b.add(s, idleAnon, "B", each(after.anon, before.anon))
	b.add(s, idleSlab, "B", each(after.slab, before.slab))
	if heapAfter > 0 {
		b.add(s, idleHeap, "B", (heapAfter-heapBefore)/n)
	}
	b.add(s, idleCPU, "ms/s", milli(cpuQuiet-cpuSettled)/quiet.Seconds())
	b.add(s, connectCost, "µs", micro(cpuAfter-cpuBefore)/n)
	b.add(s, connectRate, "/s", n/elapsed.Seconds())
	return rss, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
