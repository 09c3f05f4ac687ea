package bench

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// What servers sent to a subscriber of defaultTopic and to a publisher of two
// messages of 20 bytes: Debian's MQTT broker 2.0.11 (mochi-mqtt 2.7.9 sent the same),
// Redis 7.0.15, nats-server 2.15.2 (its INFO is shortened).
const (
	payload0 = "\x00\x00\x00\x00\x00\x00\x00\x008?FMT[bipw~\x85"
	payload1 = "\x00\x00\x00\x00\x00\x00\x00\x018?FMT[bipw~\x85"

	mqttSubscriber = " \x02\x00\x00\x90\x03\x00\x01\x00" +
		"0/\x00\x19broadcast/bench/telemetry" + payload0 + "0/\x00\x19broadcast/bench/telemetry" + payload1
	mqttPublisher = " \x02\x00\x00\xd0\x00"

	redisSubscriber = "*3\r\n$9\r\nsubscribe\r\n$25\r\nbroadcast/bench/telemetry\r\n:1\r\n" +
		"*3\r\n$7\r\nmessage\r\n$25\r\nbroadcast/bench/telemetry\r\n$20\r\n" + payload0 + "\r\n" +
		"*3\r\n$7\r\nmessage\r\n$25\r\nbroadcast/bench/telemetry\r\n$20\r\n" + payload1 + "\r\n"
	redisPublisher = "+PONG\r\n:1\r\n:1\r\n"

	natsInfo       = `INFO {"server_id":"N","version":"2.15.2","proto":1,"headers":true,"max_payload":1048576} ` + "\r\n"
	natsSubscriber = natsInfo + "PONG\r\n" + natsInfo +
		"MSG broadcast.bench.telemetry 1 20\r\n" + payload0 + "\r\nPING\r\nMSG broadcast.bench.telemetry 1 20\r\n" + payload1 + "\r\n"
	natsPublisher = natsInfo + "PONG\r\n" + natsInfo
)

// bellwireSubscriber is what a gateway sends in the same case.
func bellwireSubscriber() string {
	b := wire.Welcome{Version: 1, Recv: 12, Credit: 16384, MaxSubs: 8}.Append(nil)
	b = wire.Subscribed{Sub: 1, Topic: testTopic}.Append(b)
	return string(message(1).Append(message(0).Append(b)))
}

var recordings = []struct {
	protocol, subscriber, publisher, answers string
}{
	{"bellwire", bellwireSubscriber(), "", ""},
	{"mqtt", mqttSubscriber, mqttPublisher, ""},
	{"redis", redisSubscriber, redisPublisher, ""},
	{"nats", natsSubscriber, natsPublisher, "PONG\r\n"},
}

func tallyOf(protocol string) tally {
	p := protocols[protocol]
	return tally{speaks: p, topics: []string{p.topic(defaultTopic)}, payload: pattern(20)}
}

// feedPieces feeds a stream in pieces of n bytes.
func feedPieces(r *receiver, t *tally, b string, n int) error {
	for len(b) > 0 {
		k := min(n, len(b))
		if err := r.feed([]byte(b[:k]), t); err != nil {
			return err
		}
		b = b[k:]
	}
	return nil
}

func TestEveryProtocolInAnyChunking(t *testing.T) {
	for _, rec := range recordings {
		t.Run(rec.protocol, func(t *testing.T) {
			for n := 1; n <= len(rec.subscriber); n++ {
				r, tally := receiver{}, tallyOf(rec.protocol)
				require.NoError(t, feedPieces(&r, &tally, rec.subscriber, n), "pieces of %d", n)
				require.EqualValues(t, 2, tally.delivered)
				require.Equal(t, 1, tally.ready)
				require.Equal(t, rec.answers, string(tally.answers))
				require.Empty(t, r.partial)
			}
			if rec.publisher == "" {
				return
			}
			for n := 1; n <= len(rec.publisher); n++ {
				r, tally := receiver{publisher: true}, tallyOf(rec.protocol)
				require.NoError(t, feedPieces(&r, &tally, rec.publisher, n))
				require.True(t, r.up)
				require.Equal(t, uint64(unlimited), tally.credit)
				require.Zero(t, tally.delivered)
			}
		})
	}
}

// A stream that ends anywhere is no error and delivers only what is whole.
func TestEveryProtocolWaitsForTheRest(t *testing.T) {
	for _, rec := range recordings {
		last := uint64(0)
		for n := range len(rec.subscriber) {
			r, tally := receiver{}, tallyOf(rec.protocol)
			require.NoError(t, r.feed([]byte(rec.subscriber[:n]), &tally), "%s cut after %d", rec.protocol, n)
			require.GreaterOrEqual(t, tally.delivered, last)
			require.Less(t, tally.delivered, uint64(2))
			last = tally.delivered
			require.NoError(t, r.feed([]byte(rec.subscriber[n:]), &tally))
			require.EqualValues(t, 2, tally.delivered)
		}
	}
}

func TestEveryProtocolFailsTheRun(t *testing.T) {
	type stream struct{ protocol, bytes, want string }
	streams := []stream{
		{"mqtt", " \x02\x00\x05", "refused the connection: CONNACK 0005"},
		{"mqtt", " \x01\x00", "refused the connection"},
		{"mqtt", "\x90\x03\x00\x01\x80", "the subscription was refused"},
		{"mqtt", "\x90\x02\x00\x01", "the subscription was refused"},
		{"mqtt", "0\x01\x00", "cut short"},
		{"mqtt", "0\x03\x00\x09a", "cut short"},
		{"mqtt", "0\x03\x00\x01a", "subscribed to"},
		{"mqtt", "2/\x00\x19broadcast/bench/telemetry" + payload0, "no device here expects: type 0x32"},
		{"mqtt", "0\xff\xff\xff\xff\x01", "more than four bytes"},
		{"redis", "-ERR max number of clients reached\r\n", "the server refused: ERR max"},
		{"redis", ":1\r\n", "no device here expects"},
		{"redis", "*2\r\n", "no device here expects"},
		{"redis", "\r\n", "no device here expects"},
		{"redis", "*3\n", "CR LF"},
		{"redis", "*3\r\n$-1\r\n", "no bulk string"},
		{"redis", "*3\r\n$999999999999\r\n", "no bulk string"},
		{"redis", "*3\r\n:1\r\n", "no bulk string"},
		{"redis", "*3\r\n$1\r\nabc", "CR LF is missing"},
		{"redis", "*3\r\n$4\r\nquit\r\n$1\r\na\r\n", "no device here expects: \"quit\""},
		{"redis", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n", "subscribed to"},
		{"redis", string(make([]byte, 70_000)), "a line of more than"},
		{"nats", "-ERR 'Slow Consumer'\r\n", "the server refused: 'Slow Consumer'"},
		{"nats", "HELP\r\n", "no device here expects"},
		{"nats", "MSG a 1 20\r\n" + payload0 + "\r\n", "subscribed to"},
		{"nats", "MSG broadcast.bench.telemetry 2 20\r\n", "a message of subscription"},
		{"nats", "MSG broadcast.bench.telemetry 1 x\r\n", "a message of subscription"},
		{"nats", "MSG broadcast.bench.telemetry 1 19\r\n" + payload0 + "\r\n", "CR LF is missing"},
		{"nats", "PONG\r\nPONG\r\n", "a second time"},
	}
	for _, rec := range recordings {
		if rec.protocol != "bellwire" { // the receiver's own tests have it
			end := len(rec.subscriber)
			streams = append(streams, stream{rec.protocol, rec.subscriber + rec.subscriber, ""})
			streams = append(streams, stream{rec.protocol, rec.subscriber[:end-4] + "!" + rec.subscriber[end-3:], ""})
		}
	}
	for _, s := range streams {
		r, tally := receiver{}, tallyOf(s.protocol)
		err := r.feed([]byte(s.bytes), &tally)
		require.ErrorContains(t, err, s.want, "%s %.60q", s.protocol, s.bytes)
	}
}

func TestEveryProtocolPublishes(t *testing.T) {
	payload := pattern(20)
	binary.BigEndian.PutUint64(payload, 1)
	for protocol, want := range map[string]string{
		"mqtt":     "0/\x00\x19broadcast/bench/telemetry" + payload1,
		"redis":    "*3\r\n$7\r\nPUBLISH\r\n$25\r\nbroadcast/bench/telemetry\r\n$20\r\n" + payload1 + "\r\n",
		"nats":     "PUB broadcast.bench.telemetry 20\r\n" + payload1 + "\r\n",
		"bellwire": "\x41\x2e\x19broadcast/bench/telemetry" + payload1,
	} {
		p := protocols[protocol]
		require.Equal(t, want, string(p.publish(nil, destination{topic: p.topic(defaultTopic)}, payload)), protocol)
	}
	require.Equal(t, "\x40\x15\x05"+payload1, string(bellwire{}.publish(nil, destination{topic: defaultTopic, id: 5}, payload)))
	long := mqtt{}.publish(nil, destination{topic: "a"}, make([]byte, 200))
	require.Equal(t, []byte{0x30, 0xcb, 0x01, 0, 1, 'a'}, long[:6])
}

func TestEveryProtocolGreets(t *testing.T) {
	for protocol, want := range map[string][2]string{
		"mqtt": {
			"\x10\x23\x00\x04MQTT\x04\x02\x00\x00\x00\x17bench-device-0000000007\x82\x06\x00\x01\x00\x01a\x00",
			"\x10\x23\x00\x04MQTT\x04\x02\x00\x00\x00\x17bench-device-0000000007\xc0\x00",
		},
		"redis": {"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n", "*1\r\n$4\r\nPING\r\n"},
		"nats": {
			`CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"1","protocol":1,"name":"bench-device-00000000007"}` + "\r\nSUB a 1\r\nPING\r\n",
			`CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"1","protocol":1,"name":"bench-device-00000000007"}` + "\r\nPING\r\n",
		},
	} {
		for i, publisher := range []bool{false, true} {
			got := protocols[protocol].greet(nil, greeting{number: 7, topic: "a", publisher: publisher})
			require.Equal(t, want[i], string(got), protocol)
		}
	}
	typ, body, rest, err := wire.Next(bellwire{}.greet(nil, greeting{number: 7, topic: "a"}), maxFrame)
	require.NoError(t, err)
	require.Equal(t, wire.TypeHello, typ)
	h, err := wire.ParseHello(body)
	require.NoError(t, err)
	require.Len(t, h.Auth, 24)
	require.Equal(t, wire.Subscribe{Sub: 1, Filter: []byte("a")}.Append(nil), rest, "in the same segment")
}

// However a stream is cut, its bytes mean the same, in every protocol; none
// makes a receiver panic.
func FuzzProtocols(f *testing.F) {
	for i, rec := range recordings {
		f.Add(uint8(i), []byte(rec.subscriber), uint8(3))
		f.Add(uint8(i), []byte(rec.publisher), uint8(1))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte, cut uint8) {
		protocol := recordings[int(which)%len(recordings)].protocol
		r1, t1 := receiver{}, tallyOf(protocol)
		r2, t2 := receiver{}, tallyOf(protocol)
		err1 := r1.feed(b, &t1)
		err2 := feedPieces(&r2, &t2, string(b), int(cut)+1)
		require.Equal(t, fmt.Sprint(err1), fmt.Sprint(err2))
		require.Equal(t, t1, t2)
	})
}
