package client_test

import (
	"errors"
	"testing"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// seeds are whole sessions, which fuzzing then breaks.
func seeds() [][]byte {
	sub := wire.Subscribed{Sub: 1, Topic: 5}.Append(nil)
	stream := wire.Stream{Topic: 5, Origin: 1, Flags: wire.StreamMain, Life: 0xA1, Next: 4}.Append(nil)
	low := wire.Message{Topic: 5, Form: wire.OffsetLow, Offset: 4, Payload: []byte("x")}.Append(nil)
	full := wire.Message{Topic: 5, Origin: 1, Form: wire.OffsetFull, Offset: 5}.Append(nil)
	live := wire.Live{Sub: 1}.Append(nil)
	cat := func(frames ...[]byte) (all []byte) {
		for _, f := range frames {
			all = append(all, f...)
		}
		return all
	}
	return [][]byte{
		cat(sub, stream, low, full, live),
		cat(sub, stream, wire.Gap{Topic: 5, Origin: 1, Reason: wire.ReasonSlow, Count: 9}.Append(nil), low),
		cat(sub, stream, wire.Gap{Topic: 5, Origin: 1, Count: 0}.Append(nil), stream, low),
		cat(sub, stream, wire.End{Origin: 1, How: wire.EndRestarted}.Append(nil), wire.Stream{Topic: 5, Origin: 1, Life: 0xB2, Next: 1}.Append(nil), low),
		cat(sub, stream, wire.Unsubscribed{Sub: 1, Code: wire.CodeNotGranted}.Append(nil), low),
		cat(wire.Subscribed{Sub: 1, Code: wire.CodeReplayBusy, Retry: 5}.Append(nil), wire.Subscribed{Sub: 1}.Append(nil)),
		cat(wire.Topic{Topic: 5, Name: []byte("t")}.Append(nil), stream, low, wire.Gap{Reason: wire.ReasonTooBig, Count: 1}.Append(nil)),
		cat(wire.Ack{Seq: 1}.Append(nil), wire.Ack{Seq: 2, Code: wire.CodeThrottled, Retry: 1}.Append(nil), wire.Credit{Bytes: 1 << 40}.Append(nil)),
		cat(wire.Goaway{Code: wire.CodeDraining, Target: []byte("a:1")}.Append(nil), wire.AppendPing(nil, []byte("12345678")), wire.Close{Code: 0x22}.Append(nil)),
		cat(sub, wire.Stream{Topic: 5, Origin: 1, Flags: 3, Life: 0xA1, Next: 4}.Append(nil), full, wire.Message{Name: []byte("t")}.Append(nil)),
	}
}

// FuzzSession: whatever a gateway sends, the session does not panic; every error
// is one that the connection ends with; and what the application sees of each
// life goes only forward.
func FuzzSession(f *testing.F) {
	for _, s := range seeds() {
		for mode := range uint8(6) {
			f.Add(mode, s)
		}
	}
	f.Fuzz(func(t *testing.T, mode uint8, b []byte) {
		filter, opts := "t", []client.SubOption{}
		switch mode % 6 {
		case 1:
			opts = append(opts, client.WithCursor(client.TopicPosition{Position: wire.Position{Life: 0xA1, Offset: 2}}))
		case 2:
			opts = append(opts, client.WithStart(wire.StartKept))
		case 3:
			filter = "#"
		case 4:
			filter = "#"
			opts = append(opts, client.WithCursor(client.TopicPosition{Topic: "t", Position: wire.Position{Life: 0xA1, Offset: 2}}))
		case 5:
			opts = append(opts, client.Untracked())
		}
		core := client.NewCore(filter, opts...)
		first, second := core.Publish("broadcast/a", []byte("x"), true, true), core.Publish("broadcast/a", b[:len(b)/2], true, false)
		events, err := core.Feed(b)
		if err != nil && !errors.Is(err, client.ErrProtocol) && !errors.Is(err, wire.ErrShort) && !client.ByGateway(err) {
			if broken := (*wire.Error)(nil); !errors.As(err, &broken) {
				t.Fatalf("an error that says nothing to the gateway: %v", err)
			}
		}
		for _, c := range []<-chan error{first, second} {
			select {
			case <-c:
			default:
			}
		}
		type stream struct {
			topic string
			life  wire.Life
		}
		at := make(map[stream]uint64)
		for _, e := range events {
			switch e := e.(type) {
			case client.Message:
				if e.Life == 0 {
					continue
				}
				if s := (stream{e.Topic, e.Life}); e.Offset <= at[s] {
					t.Fatalf("%v is at %d and goes back to %d", s, at[s], e.Offset)
				} else {
					at[s] = e.Offset
				}
			case client.End:
				delete(at, stream{e.Topic, e.Life}) // what comes after is another story
			}
		}
		for _, p := range core.Had() {
			if p.Offset < at[stream{p.Topic, p.Life}] {
				t.Fatalf("position %v is behind what was delivered", p)
			}
		}
		written := core.Written()
		for len(written) > 0 {
			_, _, rest, err := wire.Next(written, 1<<20)
			if err != nil {
				t.Fatalf("the client writes what is not a frame: %v", err)
			}
			written = rest
		}
	})
}
