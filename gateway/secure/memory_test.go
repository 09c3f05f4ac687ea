package secure

import (
	"context"
	"crypto/tls"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func heapNow() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func stackNow() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.StackInuse
}

// exactly skips what the race detector makes inexact: with it a sync.Pool, as
// crypto/tls has one, loses a part of what it is given. Benchmarks hold the same.
func exactly(t *testing.T) {
	if raceDetector {
		t.Skip("not exact with the race detector")
	}
}

// A steady connection costs the collector nothing to seal, and to open only what
// crypto/tls itself allocates to read: 24 bytes for each record.
func TestSteadyAllocations(t *testing.T) {
	exactly(t)
	for _, size := range []int{64, 1 << 10, 1 << 14} {
		requireSteady(t, size)
	}
}

func requireSteady(t testing.TB, size int) {
	r := connectRaw(t, newSite(t).conn())
	var sealed, opened []byte
	plain := make([]byte, size)
	require.Zero(t, testing.AllocsPerRun(100, func() { sealed = r.conn.Seal(sealed[:0], plain) }), "seal %d", size)
	records := r.sealMany(size, 150)
	open := func() {
		var err error
		if opened, err = r.conn.Open(opened[:0], records[0]); err != nil || len(opened) != size {
			panic("Open did not open what was sealed")
		}
		records = records[1:]
	}
	for range 20 {
		open()
	}
	require.LessOrEqual(t, testing.AllocsPerRun(100, open), 1.0, "open %d", size)
}

// heapOfIdle is the heap that one of n idle connections holds, after something
// was done with each. Who else frees or keeps memory meanwhile makes it inexact,
// so it measures until the figure is within the limit, or three times.
func heapOfIdle(t testing.TB, cfg *tls.Config, n, most int, after func(d *device)) (got int) {
	s := newSite(t)
	connect(t, s.conn(), cfg) // what is made once
	for range 3 {
		conns := make([]*Conn, 0, n)
		before := heapNow()
		for range n {
			d := connect(t, s.conn(), cfg)
			plain, err := d.conn.Open(nil, nil)
			require.NoError(t, err)
			require.Empty(t, plain)
			if after != nil {
				after(d)
			}
			conns = append(conns, d.conn)
		}
		got = (int(heapNow()) - int(before)) / n
		runtime.KeepAlive(conns)
		runtime.KeepAlive(s)
		if got < most {
			break
		}
	}
	return got
}

// What a gateway keeps beside a Conn of an idle session.
const sessionRoom = 600

func mutual(t testing.TB, cfg *tls.Config) *tls.Config {
	cfg.Certificates = []tls.Certificate{newTestCA(t).device("kitchen-1")}
	return cfg
}

// With its session, an idle device is within 5 KiB, 8 KiB with a hello for
// ML-KEM, and 11 KiB with a certificate. The figures are exact to some bytes.
func TestHeapOfIdleConnections(t *testing.T) {
	exactly(t)
	for name, c := range idleGoals(t) {
		got := heapOfIdle(t, c.cfg, 100, c.most-sessionRoom, nil)
		t.Logf("%s: %d B", name, got)
		require.Less(t, got+sessionRoom, c.most, name)
	}
}

func BenchmarkHeapOfIdleConnections(b *testing.B) {
	for name, c := range idleGoals(b) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				got := heapOfIdle(b, c.cfg, 100, c.most-sessionRoom, nil)
				require.Less(b, got+sessionRoom, c.most)
				b.ReportMetric(float64(got), "B/conn")
			}
		})
	}
}

type idleGoal struct {
	cfg  *tls.Config
	most int
}

func idleGoals(t testing.TB) map[string]idleGoal {
	return map[string]idleGoal{
		"X25519":        {x25519(), 5 << 10},
		"ML-KEM":        {clientConfig(), 8 << 10},
		"mutual X25519": {mutual(t, x25519()), 11 << 10},
		"mutual ML-KEM": {mutual(t, clientConfig()), 11 << 10},
	}
}

// A connection in its handshake costs at most 32 KiB with its goroutine.
// With the longest hello, which no device sends, it is twice as much: crypto/tls
// holds each byte of a hello three times.
func TestMemoryOfHandshakes(t *testing.T) {
	exactly(t)
	padding := strings.Repeat("x", 250)
	longest := clientConfig()
	for range 58 {
		longest.NextProtos = append(longest.NextProtos, padding)
	}
	for name, c := range map[string]struct {
		hello []byte
		most  int
	}{
		"X25519": {helloOf(t, x25519()), 32 << 10}, "ML-KEM": {helloOf(t, clientConfig()), 32 << 10}, "longest": {helloOf(t, longest), 80 << 10},
	} {
		const n = 100
		s := newSite(t)
		s.tickets.base.NextProtos = []string{padding}
		conns, waiting, done := make([]*Conn, n), make(chan struct{}, n), make(chan error, n)
		ctx, cancel := context.WithCancel(t.Context())
		before, stacks := heapNow(), stackNow()
		for i := range conns {
			conns[i] = s.conn()
			conns[i].Feed(c.hello)
			go func() {
				_, err := conns[i].Handshake(ctx, nil, func([]byte) { waiting <- struct{}{} })
				done <- err
			}()
			<-waiting
		}
		// The answer is the last that they do before they wait.
		heap, stack := (int(heapNow())-int(before))/n, (int(stackNow())-int(stacks))/n
		cancel()
		for range n {
			require.ErrorIs(t, <-done, context.Canceled)
		}
		t.Logf("%s, hello of %d B: %d B of heap, %d B of stack", name, len(c.hello), heap, stack)
		require.Less(t, heap+stack, c.most, name)
	}
}

// crypto/tls keeps a buffer for the longest record that came, up to twice its
// size. It does not depend on how many came at once, or in what pieces.
func TestHeapAfterRecords(t *testing.T) {
	exactly(t)
	const n = 50
	idle := heapOfIdle(t, x25519(), n, 4<<10, nil)
	for _, test := range []struct{ size, most int }{{64, 0}, {500, 0}, {1 << 10, 1300}, {4 << 10, 8200}, {1 << 14, 33000}} {
		for _, piece := range []int{700, 1 << 16} {
			got := heapOfIdle(t, x25519(), n, idle+test.most+200, func(d *device) {
				var cipher []byte
				for range 20 {
					cipher = append(cipher, d.write(make([]byte, test.size))...)
				}
				for len(cipher) > 0 {
					n := min(piece, len(cipher))
					_, err := d.conn.Open(nil, cipher[:n])
					require.NoError(t, err)
					cipher = cipher[n:]
				}
			})
			t.Logf("20 records of %d B in pieces of %d: %d B more", test.size, piece, got-idle)
			require.Less(t, got-idle, test.most+200, "records of %d in pieces of %d", test.size, piece)
		}
	}
}

// A hello that came as one record, as all of them do, costs less than it would if
// it were handed on so.
func TestHelloIsCutForItsBuffers(t *testing.T) {
	record := helloOf(t, clientConfig())
	cut := cutHello(record)
	hello, err := ClientHello(cut)
	require.NoError(t, err)
	require.True(t, hello.TLS13)
	require.Equal(t, joinHello(record, len(record)-recordHeader), joinHello(cut, len(record)-recordHeader))
	for rest := cut; len(rest) > 0; rest = rest[recordSize(rest):] {
		require.LessOrEqual(t, recordSize(rest), recordHeader+helloPiece)
	}
	small := helloOf(t, x25519())
	require.Equal(t, small, cutHello(small))
}
