package secure

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{64, 200, 1 << 10, 1 << 14} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			requireSteady(b, size)
			conn := connect(b, newSite(b).conn(), x25519()).conn
			plain, sealed := make([]byte, size), []byte(nil)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				sealed = conn.Seal(sealed[:0], plain)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 1 << 14} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := connectRaw(b, newSite(b).conn())
			var records [][]byte
			var opened []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if len(records) == 0 {
					b.StopTimer()
					records = r.sealMany(size, 100)
					b.StartTimer()
				}
				var err error
				if opened, err = r.conn.Open(opened[:0], records[0]); err != nil {
					b.Fatal(err)
				}
				records = records[1:]
			}
		})
	}
}

// stopwatch is a gate that tells how long somebody was inside: what a handshake
// computes, without the device's part.
type stopwatch struct {
	from  time.Time
	spent time.Duration
}

func (s *stopwatch) Enter(context.Context) error { s.from = time.Now(); return nil }
func (s *stopwatch) Leave()                      { s.spent += time.Since(s.from) }

func BenchmarkHandshake(b *testing.B) {
	resuming := func(cfg *tls.Config) *tls.Config {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		return cfg
	}
	for _, test := range []struct {
		name string
		cfg  *tls.Config
	}{
		{"full X25519", x25519()},
		{"full ML-KEM", clientConfig()},
		{"resumed X25519", resuming(x25519())},
		{"resumed ML-KEM", resuming(clientConfig())},
		{"mutual X25519", mutual(b, x25519())},
		{"mutual ML-KEM", mutual(b, clientConfig())},
		{"mutual resumed X25519", resuming(mutual(b, x25519()))},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := newSite(b)
			b.ReportAllocs()
			watch := &stopwatch{}
			for b.Loop() {
				d, clientErr, serverErr := tryConnect(b, s.conn(), test.cfg, watch)
				require.NoError(b, clientErr)
				require.NoError(b, serverErr)
				if test.cfg.ClientSessionCache != nil {
					_, err := d.read(nil)
					require.NoError(b, err)
				}
			}
			b.ReportMetric(float64(watch.spent.Nanoseconds())/float64(b.N), "server-ns/op")
		})
	}
}
