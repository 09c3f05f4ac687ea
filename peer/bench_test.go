package peer

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func benchMessage(i int) Message {
	return Message{Key: 1, Tenant: "acme", Topic: "broadcast/eu/kitchen", Offset: uint64(i + 1), Payload: make([]byte, 64)}
}

// BenchmarkGather is what a publisher pays under its stream's lock, and the bytes of a message in a batch of one topic.
func BenchmarkGather(b *testing.B) {
	for _, topics := range []int{1, 32} {
		b.Run(fmt.Sprint(topics), func(b *testing.B) {
			g := newGather()
			total := 0
			payload := make([]byte, 64)
			b.ReportAllocs()
			for i := range b.N {
				m := Message{Key: uint64(i % topics), Tenant: "acme", Topic: "broadcast/eu/kitchen", Offset: uint64(i/topics + 1), Payload: payload}
				if !g.hasRoom(64) {
					total += len(g.entries)
					g.reset()
				}
				g.add(&m, 0)
			}
			b.ReportMetric(float64(total+len(g.entries))/float64(b.N)-64, "overhead-B/msg")
		})
	}
}

// BenchmarkRead decodes a batch of 32 messages; one op is one message.
func BenchmarkRead(b *testing.B) {
	g := newGather()
	for i := range 32 {
		m := benchMessage(i)
		g.add(&m, 0)
	}
	var r entries
	b.ReportAllocs()
	for i := 0; i < b.N; i += 32 {
		r.f, r.next = fields{b: g.entries}, r.next[:0]
		for {
			if _, ok := r.take(); !ok {
				break
			}
		}
	}
}

// BenchmarkS2 compresses and expands a batch of 32 messages that look like what sensors say.
func BenchmarkS2(b *testing.B) {
	g := newGather()
	for i := range 32 {
		m := benchMessage(i)
		m.Payload = fmt.Appendf(nil, `{"sensor":%d,"temp":%d.%d,"hum":%d,"at":%d,"state":"ok"}`, i*7919%1000, 15+i%10, i%7, 40+i*13%30, 1700000000+i*17)
		g.add(&m, 0)
	}
	b.Run("encode", func(b *testing.B) {
		c := &compressor{}
		b.ReportAllocs()
		saved := 0
		for range b.N {
			_, saved, _ = c.frame(1, g.entries)
		}
		b.ReportMetric(100*float64(saved)/float64(len(g.entries)), "%saved")
	})
	b.Run("decode", func(b *testing.B) {
		c := &compressor{}
		frame, _, _ := c.frame(1, g.entries)
		_, body, _, err := nextFrame(frame, maxFrame)
		require.NoError(b, err)
		_, _, small, err := parseBatch(body)
		require.NoError(b, err)
		var buf []byte
		b.ReportAllocs()
		for range b.N {
			if buf, err = expand(buf, small, false); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMesh is a gateway with 10 peers, which are other processes, and a publisher that has a number of messages
// under way. It reports the CPU of this process per message and peer, less what the same publisher costs without peers.
func BenchmarkMesh(b *testing.B) {
	for _, topics := range []int{1, 32} {
		for _, inFlight := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("topics=%d/inflight=%d", topics, inFlight), func(b *testing.B) { benchMesh(b, topics, inFlight, noCompression) })
		}
	}
	b.Run("topics=32/inflight=32/s2", func(b *testing.B) { benchMesh(b, 32, 32, func(*Config) {}) })
}

func noCompression(c *Config) { c.NoCompression = true }

const benchPeers = 10

func benchMesh(b *testing.B, topics, inFlight int, change func(*Config)) {
	alone := benchLoad(b, 0, topics, inFlight, change)
	with := benchLoad(b, benchPeers, topics, inFlight, change)
	b.ReportMetric((with.cpu-alone.cpu)/benchPeers, "cpu-ns/msg/peer")
	b.ReportMetric(with.wire-64, "overhead-B/msg/peer")
	b.ReportMetric(with.batch, "msg/batch")
	b.ReportMetric(with.rate, "msg/s")
}

type benchResult struct{ cpu, wire, batch, rate float64 }

// window is publish credit: so many messages may be under way.
type window struct{ free chan struct{} }

func (w window) Release() { w.free <- struct{}{} }

func benchLoad(b *testing.B, peers, topics, inFlight int, change func(*Config)) benchResult {
	h := newHost(b, 1)
	m := start(b, h, "origin", change)
	names := benchFleet(b, m.Addr().String(), peers)
	eventually(b, "all are linked", func() bool { return linked(m, names...) })
	w := window{make(chan struct{}, inFlight)}
	for range inFlight {
		w.free <- struct{}{}
	}
	payload := []byte(`{"sensor":4711,"temp":21.57,"hum":40,"at":1764463200,"ok":true}  `)[:64]
	b.ResetTimer()
	before, begun := cpu(), time.Now()
	for i := range b.N {
		<-w.free
		m.Broadcast(Message{
			Key: uint64(i % topics), Tenant: "acme", Topic: benchTopics[i%topics], Offset: uint64(i/topics + 1), Payload: payload, Held: w,
		})
	}
	for range inFlight {
		<-w.free
	}
	took := time.Since(begun)
	eventually(b, "all is acknowledged", func() bool {
		for _, s := range m.Links() {
			if s.Retained > 0 {
				return false
			}
		}
		return true
	})
	b.StopTimer()
	r := benchResult{cpu: float64(cpu()-before) / float64(b.N), rate: float64(b.N) / took.Seconds()}
	if peers > 0 {
		t := m.Totals()
		r.wire, r.batch = float64(t.Bytes)/float64(t.Messages), float64(t.Messages)/float64(t.Batches)
	}
	require.NoError(b, m.Close())
	return r
}

var benchTopics = func() (list [32]string) {
	for i := range list {
		list[i] = fmt.Sprintf("broadcast/eu/kitchen/%d", i)
	}
	return list
}()

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchFleet starts one process with so many gateways that dial address.
func benchFleet(b *testing.B, address string, n int) (names []string) {
	for i := range n {
		names = append(names, "p"+strconv.Itoa(i))
	}
	if n == 0 {
		return nil
	}
	child := exec.Command(os.Args[0], "-test.run=TestBenchPeers")
	child.Env = append(os.Environ(), "BENCH_PEERS="+strconv.Itoa(n)+" "+address)
	in, err := child.StdinPipe()
	require.NoError(b, err)
	require.NoError(b, child.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = child.Wait()
	})
	return names
}

// TestBenchPeers is the process with the peers of a benchmark; alone it does nothing.
func TestBenchPeers(t *testing.T) {
	n, address, ok := strings.Cut(os.Getenv("BENCH_PEERS"), " ")
	if !ok {
		return
	}
	count, err := strconv.Atoi(n)
	require.NoError(t, err)
	for i := range count {
		h := newHost(t, uint64(i)+100)
		start(t, h, "p"+strconv.Itoa(i), func(c *Config) { c.Streams, c.Listen, c.Peers = sink{}, "", []string{address} })
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// sink takes everything at no cost.
type sink struct{}

func (sink) Stream(wire.Life, []byte, []byte) (Stream, error) { return &sinkStream{}, nil }
func (sink) Changed(wire.Life, string, Change)                {}

type sinkStream struct{ next uint64 }

func (s *sinkStream) Next() uint64 { return s.next }

func (s *sinkStream) Accept(_ context.Context, offset uint64, _ []byte) (Verdict, error) {
	switch {
	case offset < s.next:
		return Duplicate, nil
	case s.next != 0 && offset > s.next:
		return Hole, nil
	}
	s.next = offset + 1
	return Taken, nil
}

func (s *sinkStream) Miss(next uint64) { s.next = max(s.next, next) }
func (s *sinkStream) Backfill([]Kept)  {}
