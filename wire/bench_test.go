package wire_test

import (
	"testing"

	"github.com/bellwire/bellwire/wire"
)

// The targets: MESSAGE of 64 bytes, encoded or decoded, below 20 ns and without
// an allocation.

var payload64 = make([]byte, 64)

func BenchmarkMessageEncode64(b *testing.B) {
	for _, c := range []struct {
		name string
		m    wire.Message
	}{
		{"plain", wire.Message{Topic: 5, Payload: payload64}},
		{"low", wire.Message{Topic: 5, Form: wire.OffsetLow, Offset: 4712, Payload: payload64}},
		{"origin", wire.Message{Topic: 300, Origin: 2, Form: wire.OffsetLow, Offset: 90, Payload: payload64}},
		{"replay", wire.Message{Topic: 300, Origin: 2, Form: wire.OffsetFull, Offset: 4717, Payload: payload64}},
		{"named", wire.Message{Name: []byte("broadcast/eu/kitchen/temp"), Payload: payload64}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 256)
			for b.Loop() {
				buf = c.m.Append(buf[:0])
			}
		})
	}
}

func BenchmarkMessageDecode64(b *testing.B) {
	for _, c := range []struct {
		name string
		m    wire.Message
	}{
		{"plain", wire.Message{Topic: 5, Payload: payload64}},
		{"low", wire.Message{Topic: 5, Form: wire.OffsetLow, Offset: 4712, Payload: payload64}},
		{"origin", wire.Message{Topic: 300, Origin: 2, Form: wire.OffsetLow, Offset: 90, Payload: payload64}},
		{"replay", wire.Message{Topic: 300, Origin: 2, Form: wire.OffsetFull, Offset: 4717, Payload: payload64}},
		{"named", wire.Message{Name: []byte("broadcast/eu/kitchen/temp"), Payload: payload64}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			frame := c.m.Append(nil)
			var n int
			for b.Loop() {
				t, body, _, err := wire.Next(frame, 1024)
				if err != nil {
					b.Fatal(err)
				}
				m, err := wire.ParseMessage(t, body)
				if err != nil {
					b.Fatal(err)
				}
				n += len(m.Payload)
			}
		})
	}
}

func BenchmarkPublishDecode64(b *testing.B) {
	for _, c := range []struct {
		name string
		p    wire.Publish
	}{
		{"id", wire.Publish{Topic: 5, Payload: payload64}},
		{"id, seq", wire.Publish{Topic: 5, Ack: true, Seq: 300, Payload: payload64}},
		{"named, seq", wire.Publish{Name: []byte("broadcast/eu/kitchen/temp"), Ack: true, Seq: 300, Payload: payload64}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			frame := c.p.Append(nil)
			for b.Loop() {
				t, body, _, _ := wire.Next(frame, 1024)
				if _, err := wire.ParsePublish(t, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVarint(b *testing.B) {
	for _, c := range []struct {
		name string
		v    uint64
	}{{"1 byte", 5}, {"2 bytes", 300}, {"5 bytes", 1<<32 - 1}, {"9 bytes", wire.MaxVarint}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 16)
			for b.Loop() {
				buf = wire.AppendVarint(buf[:0], c.v)
				if v, _ := wire.ConsumeVarint(buf); v != c.v {
					b.Fatal(v)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, filter := range []string{"broadcast/eu/kitchen/temp", "broadcast/+/kitchen/+", "broadcast/#", "broadcast/us/#"} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				wire.Match(filter, "broadcast/eu/kitchen/temp")
			}
		})
	}
}

func BenchmarkCheckTopic(b *testing.B) {
	name := []byte("broadcast/eu/kitchen/temp")
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.CheckTopic(name); err != nil {
			b.Fatal(err)
		}
	}
}
