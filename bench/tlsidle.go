package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The quantities of an idle run with TLS, beside those of an idle run.
const (
	tlsIdleHeap    = "Go heap in use"
	tlsIdleObjects = "of it objects"
	tlsIdleStacks  = "stacks"
	tlsIdleCost    = "CPU per handshake and subscribe"
	tlsIdleRate    = "handshakes with subscribe"
)

const usualName = "usual Go server"

// tlsVariant is a server and a kind of device.
type tlsVariant struct {
	name   string // of the system
	target string // that its heap answers
	mutual bool
	x25519 bool
	usual  bool
}

func tlsVariants() []tlsVariant {
	return []tlsVariant{
		{name: "gateway with X25519 hello", target: "tls-idle-x25519", x25519: true},
		{name: "gateway with ML-KEM hello", target: "tls-idle-mlkem"},
		{name: "gateway with mTLS and ML-KEM hello", target: "tls-idle-mtls", mutual: true},
		{name: usualName + " with ML-KEM hello", target: "tls-idle-usual", usual: true},
		{name: usualName + " with mTLS and ML-KEM hello", mutual: true, usual: true},
	}
}

// runTLSIdle measures the memory that an idle, subscribed device with TLS costs,
// for each kind of device: the server before its first connection against the
// same process when it has collected its garbage after the last.
func runTLSIdle(ctx context.Context, b *secureBed) error {
	b.r.set("devices", b.Subscribers)
	b.r.set("filters of each", 1)
	b.r.set("name of each, characters", len(deviceName(0)))
	b.r.set("certificates, keys", "ECDSA P-256, with mTLS one for each device")
	b.r.set("read when garbage was collected after the last connection, at most after", b.Settle)
	b.bar.say("%d devices, memory read after the next garbage collection, which may take two minutes, %d runs of each", b.Subscribers, b.Pairs)
	kinds := map[string]tlsVariant{}
	for _, v := range tlsVariants() {
		command := b.conf.Server
		if v.usual {
			command = b.conf.Usual
		}
		if v.mutual {
			if len(b.conf.DeviceCA) == 0 {
				continue
			}
			command = append(command[:len(command):len(command)], b.conf.DeviceCA...)
		}
		if v.usual && len(b.conf.Usual) == 0 {
			continue
		}
		kinds[v.name] = v
		b.candidates = append(b.candidates, b.server(v.name, command))
	}
	err := b.each(ctx, func(ctx context.Context, s *system) (string, error) {
		heap, err := b.tlsIdle(ctx, s, kinds[s.name])
		return number(heap) + " B of heap per device", err
	})
	if err != nil {
		return err
	}
	for _, q := range []string{tlsIdleHeap, tlsIdleObjects, tlsIdleStacks, idleRSS, idleAnon, idleSlab, tlsIdleCost, tlsIdleRate} {
		err = errors.Join(err, b.state(q, func(name, over string) string {
			if q == tlsIdleObjects && over == "" && b.Subscribers == 10_000 && b.Settle >= 2*time.Minute {
				return kinds[name].target
			}
			return ""
		}))
	}
	return err
}

// heapState is what a Go server says of its memory, in bytes.
type heapState struct{ inUse, objects, stacks, collected float64 }

func heapOf(ctx context.Context, admin string) (h heapState, err error) {
	for _, m := range []struct {
		to   *float64
		name string
	}{
		{&h.inUse, "go_memstats_heap_inuse_bytes"},
		{&h.objects, "go_memstats_heap_alloc_bytes"},
		{&h.stacks, "go_memstats_stack_inuse_bytes"},
		{&h.collected, "go_memstats_last_gc_time_seconds"},
	} {
		one := metric{url: admin + "/metrics", names: []string{m.name}}
		if *m.to, err = one.read(ctx); err != nil {
			return h, err
		}
	}
	return h, nil
}

// afterCollection waits until a server has collected its garbage since a time.
// Go does so after two minutes at the latest.
func afterCollection(ctx context.Context, admin string, since time.Time, atMost time.Duration) (h heapState, err error) {
	step := min(time.Second, max(atMost/10, time.Millisecond))
	for end := time.Now().Add(atMost); ; {
		if h, err = heapOf(ctx, admin); err != nil {
			return h, err
		}
		if h.collected > float64(since.UnixNano())/1e9 {
			if err = pause(ctx, step); err != nil { // it is swept in the background
				return h, err
			}
			return heapOf(ctx, admin)
		}
		if !time.Now().Before(end) {
			return h, nil
		}
		if err = pause(ctx, step); err != nil {
			return h, err
		}
	}
}

// tlsIdle adds one sample of each quantity, from a server that has had no
// connection.
func (b *secureBed) tlsIdle(ctx context.Context, s *system, kind tlsVariant) (heap float64, err error) {
	if err := pause(ctx, min(time.Second, b.Settle)); err != nil { // until its start is over
		return 0, err
	}
	before, err := processMemory(s.pid())
	if err != nil {
		return 0, err
	}
	heapBefore, err := heapOf(ctx, s.admin)
	if err != nil {
		return 0, err
	}
	cpuBefore, err := processCPU(s.pid())
	if err != nil {
		return 0, err
	}
	l := b.load()
	l.Alone, l.TLS = true, b.secret(s)
	l.TLS.X25519 = kind.x25519
	if kind.mutual {
		if l.TLS.Issuer, err = b.authority.encode(true); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	if err := b.connect(ctx, s, l); err != nil {
		return 0, err
	}
	last := time.Now()
	cpuAfter, err := processCPU(s.pid())
	if err != nil {
		return 0, err
	}
	heapAfter, err := afterCollection(ctx, s.admin, last, b.Settle)
	if err != nil {
		return 0, err
	}
	if heapAfter.collected <= float64(last.UnixNano())/1e9 {
		b.bar.say("%s: no garbage was collected within %v: its heap holds some", s.label, b.Settle)
		b.r.set(s.label+": heap", fmt.Sprintf("with garbage, none was collected within %v", b.Settle))
	}
	after, err := processMemory(s.pid())
	if err != nil {
		return 0, err
	}
	if _, err := s.do(ctx, order{Quiet: true}); err != nil { // all are still there
		return 0, err
	}
	n := float64(b.Subscribers)
	each := func(after, before float64) float64 { return (after - before) / n }
	heap = each(heapAfter.inUse, heapBefore.inUse)
	b.add(s, tlsIdleHeap, "B", heap)
	b.add(s, tlsIdleObjects, "B", each(heapAfter.objects, heapBefore.objects))
	b.add(s, tlsIdleStacks, "B", each(heapAfter.stacks, heapBefore.stacks))
	b.add(s, idleRSS, "B", each(float64(after.rss), float64(before.rss)))
	b.add(s, idleAnon, "B", each(float64(after.anon), float64(before.anon)))
	b.add(s, idleSlab, "B", each(float64(after.slab), float64(before.slab)))
	b.add(s, tlsIdleCost, "µs", micro(cpuAfter-cpuBefore)/n)
	b.add(s, tlsIdleRate, "/s", n/last.Sub(begin).Seconds())
	return heap, nil
}
