package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// check calls one frame's Append, Len, Next and parser on a reused buffer.
func check[F frame](f F, parse func(wire.Type, []byte) (F, error)) func() {
	buf := make([]byte, 0, 2048)
	return func() {
		buf = f.Append(buf[:0])
		t, body, rest, err := wire.Next(buf, 2048)
		if err != nil || len(rest) != 0 || f.Len() != len(buf) {
			panic("Next refused what Append wrote")
		}
		if _, err := parse(t, body); err != nil {
			panic(err)
		}
	}
}

func plain[F frame](parse func([]byte) (F, error)) func(wire.Type, []byte) (F, error) {
	return func(_ wire.Type, body []byte) (F, error) { return parse(body) }
}

// Encoding into room that is there, and decoding into the caller's struct,
// allocate nothing for any frame.
func TestNoAllocations(t *testing.T) {
	name, payload, tlvs := []byte("broadcast/eu/kitchen"), make([]byte, 64), wire.AppendTLV(nil, 1, []byte("x"))
	cursor := wire.Cursor{}.AppendPosition(wire.Position{Life: 1, Offset: 300}).AppendPosition(wire.Position{Life: 2})
	message, publish := wire.ParseMessage, wire.ParsePublish
	cases := map[string]func(){
		"HELLO":             check(wire.Hello{MinVersion: 1, MaxVersion: 1, Recv: 7, Method: wire.AuthToken, Auth: name}, plain(wire.ParseHello)),
		"WELCOME":           check(wire.Welcome{Version: 1, Recv: 12, Credit: 16384}, plain(wire.ParseWelcome)),
		"SUBSCRIBE":         check(wire.Subscribe{Sub: 1, Filter: name}, plain(wire.ParseSubscribe)),
		"SUBSCRIBE cursor":  check(wire.Subscribe{Sub: 1, Filter: name, Start: wire.StartCursor, Cursor: cursor}, plain(wire.ParseSubscribe)),
		"SUBSCRIBED":        check(wire.Subscribed{Sub: 1, Code: wire.CodeReplayBusy, Retry: 1, Text: name}, plain(wire.ParseSubscribed)),
		"UNSUBSCRIBE":       check(wire.Unsubscribe{Sub: 1}, plain(wire.ParseUnsubscribe)),
		"UNSUBSCRIBED":      check(wire.Unsubscribed{Sub: 1}, plain(wire.ParseUnsubscribed)),
		"TOPIC":             check(wire.Topic{Topic: 1, Name: name}, plain(wire.ParseTopic)),
		"GOAWAY":            check(wire.Goaway{Within: 1, Target: name}, plain(wire.ParseGoaway)),
		"ERROR":             check(wire.Refusal{Code: wire.CodeMalformed, Text: name}, plain(wire.ParseRefusal)),
		"AUTH":              check(wire.Auth{Data: name}, plain(wire.ParseAuth)),
		"ACK":               check(wire.Ack{Seq: 300, Code: wire.CodeThrottled, Retry: 500, Text: name}, plain(wire.ParseAck)),
		"CREDIT":            check(wire.Credit{Bytes: 8192}, plain(wire.ParseCredit)),
		"CLOSE":             check(wire.Close{Code: wire.CodeConnectRate, Text: name, Retry: 30_000}, plain(wire.ParseClose)),
		"GAP":               check(wire.Gap{Topic: 5, Origin: 1, Count: 3}, plain(wire.ParseGap)),
		"STREAM":            check(wire.Stream{Topic: 5, Life: 1, Next: 4711}, plain(wire.ParseStream)),
		"END":               check(wire.End{Topic: 5}, plain(wire.ParseEnd)),
		"LIVE":              check(wire.Live{Sub: 1}, plain(wire.ParseLive)),
		"PUBLISH id":        check(wire.Publish{Topic: 5, Payload: payload}, publish),
		"PUBLISH all":       check(wire.Publish{Name: name, Ack: true, Seq: 9, Confirmed: true, TLVs: tlvs, Payload: payload}, publish),
		"MESSAGE":           check(wire.Message{Topic: 5, Payload: payload}, message),
		"MESSAGE low":       check(wire.Message{Topic: 5, Form: wire.OffsetLow, Offset: 4712, Payload: payload}, message),
		"MESSAGE replay":    check(wire.Message{Topic: 300, Origin: 4, Form: wire.OffsetFull, Offset: 4717, Payload: payload}, message),
		"MESSAGE named all": check(wire.Message{Name: name, Origin: 4, Form: wire.OffsetTLVs, Offset: 1, TLVs: tlvs, Payload: payload}, message),
	}
	for name, fn := range cases {
		require.Zero(t, testing.AllocsPerRun(100, fn), name)
	}
	buf := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		buf = wire.AppendPong(wire.AppendPing(buf[:0], payload[:8]), payload[:8])
		if wire.CheckPing(wire.TypePing, buf[2:10]) != nil {
			panic("refused")
		}
	}), "PING and PONG")
}

// The checks and look-ups of the hot path allocate nothing either.
func TestNoAllocationsInNames(t *testing.T) {
	name, filter := []byte("broadcast/eu/kitchen/temp"), []byte("broadcast/+/kitchen/#")
	text, pattern := string(name), string(filter)
	cursor := wire.Cursor{}.AppendPosition(wire.Position{Life: 1, Offset: 300})
	id := wire.Identity{Tenant: "default", Device: "kitchen-1"}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if wire.CheckTopic(name) != nil || wire.CheckFilter(filter) != nil || !wire.IsWildcard(filter) || id.Check() != nil {
			panic("refused")
		}
		if _, ok := cursor.Find(1); !ok || cursor.Len() != 1 || !wire.Match(pattern, text) {
			panic("not found")
		}
	}))
}
