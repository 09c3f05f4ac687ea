package bench

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

const testTopic wire.TopicID = 5

func testTally() tally {
	return tally{speaks: bellwire{}, topics: []string{defaultTopic}, payload: pattern(20)}
}

func subscribedReceiver() (*receiver, *tally) {
	t := testTally()
	return &receiver{up: true, id: uint32(testTopic)}, &t
}

func message(number uint64) wire.Message {
	p := pattern(20)
	binary.BigEndian.PutUint64(p, number)
	return wire.Message{Topic: testTopic, Payload: p}
}

// session is all that a subscriber may get in a good run.
func session() []byte {
	b := wire.Welcome{Version: 1, Recv: 12, Credit: 16384, MaxSubs: 8}.Append(nil)
	b = wire.Subscribed{Sub: 1, Topic: testTopic}.Append(b)
	b = message(0).Append(b)
	b = wire.AppendPing(b, []byte("12345678"))
	checked := message(1)
	checked.Form, checked.Offset = wire.OffsetLow, 77
	b = checked.Append(b)
	named := message(2)
	named.Name = []byte(defaultTopic)
	b = named.Append(b)
	b = wire.Credit{Bytes: 500}.Append(b)
	b = append(b, 0x9F, 3, 1, 2, 3) // a type that may be skipped
	return message(3).Append(b)
}

// feedChunks feeds b in pieces whose lengths are those of cuts, in turns.
func feedChunks(b, cuts []byte) (receiver, tally, error) {
	r, t := receiver{}, testTally()
	for i := 0; len(b) > 0; i++ {
		n := len(b)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		if err := r.feed(b[:n], &t); err != nil {
			return r, t, err
		}
		b = b[n:]
	}
	return r, t, nil
}

func TestReceiverTakesASessionInAnyChunking(t *testing.T) {
	whole := session()
	for n := range len(whole) + 1 {
		r, tally, err := feedChunks(whole, []byte{byte(n)})
		require.NoError(t, err)
		require.EqualValues(t, 4, tally.delivered, "pieces of %d", n+1)
		require.EqualValues(t, 4, r.next)
		require.True(t, r.up)
		require.EqualValues(t, testTopic, r.id)
		require.Equal(t, 1, tally.ready)
		require.EqualValues(t, 16384, tally.welcome.Credit)
		require.EqualValues(t, 500, tally.credit, "a subscriber's WELCOME gives none")
		require.Equal(t, wire.AppendPong(nil, []byte("12345678")), tally.answers)
		require.Empty(t, r.partial)
	}
}

func TestReceiverWaitsForTheRestOfAFrame(t *testing.T) {
	frame := message(0).Append(nil)
	for n := range frame {
		r, tally := subscribedReceiver()
		require.NoError(t, r.feed(frame[:n], tally))
		require.Zero(t, tally.delivered)
		require.NoError(t, r.feed(frame[n:], tally))
		require.EqualValues(t, 1, tally.delivered)
	}
}

func TestReceiverFailsTheRun(t *testing.T) {
	altered, short, other := message(0), message(0), message(0)
	altered.Payload[19]++
	short.Payload = short.Payload[:19]
	other.Topic++
	for want, b := range map[string][]byte{
		"message 1 arrived where 0 was due": message(1).Append(nil),
		"message 0 arrived where 1 was due": message(0).Append(message(0).Append(nil)),
		"altered":                           altered.Append(nil),
		"altered: 19 bytes":                 short.Append(nil),
		"message of topic 6":                other.Append(nil),
		"left out 3 messages":               wire.Gap{Topic: testTopic, Reason: wire.ReasonSlow, Count: 3}.Append(nil),
		"a second time":                     wire.Subscribed{Sub: 1, Topic: testTopic}.Append(nil),
		"the subscription was refused":      wire.Subscribed{Sub: 1, Code: wire.CodeBadTopic}.Append(nil),
		"refused a PUBLISH":                 wire.Refusal{Code: wire.CodeNoCentral, Type: wire.TypePublish}.Append(nil),
		"closed the connection":             wire.Close{Code: wire.CodeSlow}.Append(nil),
		"go elsewhere":                      wire.Goaway{Code: wire.CodeDraining}.Append(nil),
		"no device here expects":            wire.Hello{}.Append(nil),
		"length":                            {0x50, 0xFF, 0xFF, 0xFF, 0x7F},
		"MESSAGE":                           {0x50, 0x00},
	} {
		r, tally := subscribedReceiver()
		require.ErrorContains(t, r.feed(b, tally), want)
	}
}

// The credit that counts is the publisher's: subscribers that connect later have
// their own, which nobody uses.
func TestPublisherHasItsCredit(t *testing.T) {
	tally := testTally()
	p, s := receiver{publisher: true}, receiver{}
	require.NoError(t, p.feed(wire.Subscribed{Sub: 1, Topic: testTopic}.Append(wire.Welcome{Version: 1, Recv: 12, Credit: 1000, MaxSubs: 8}.Append(nil)), &tally))
	require.NoError(t, s.feed(wire.Welcome{Version: 1, Recv: 12, Credit: 77, MaxSubs: 8}.Append(nil), &tally))
	require.EqualValues(t, 1000, tally.credit)
	require.NoError(t, p.feed(wire.Credit{Bytes: 5}.Append(nil), &tally))
	require.EqualValues(t, 1005, tally.credit)
}

// However a stream is cut, its bytes mean the same.
func FuzzReceiver(f *testing.F) {
	f.Add(session(), []byte{0})
	f.Add(session(), []byte{3, 1, 200})
	f.Add(wire.Close{Code: wire.CodeSlow}.Append(session()), []byte{6})
	f.Fuzz(func(t *testing.T, b, cuts []byte) {
		r1, t1, err1 := feedChunks(b, nil)
		r2, t2, err2 := feedChunks(b, cuts)
		require.Equal(t, fmt.Sprint(err1), fmt.Sprint(err2))
		require.Equal(t, t1, t2)
		if err1 == nil {
			require.Equal(t, string(r1.partial), string(r2.partial))
			r1.partial, r2.partial = nil, nil
			require.Equal(t, r1, r2)
		}
	})
}

func BenchmarkReceiver(b *testing.B) {
	r, t := subscribedReceiver()
	var burst []byte
	for i := range uint64(32) {
		burst = message(i).Append(burst)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.next = 0
		if err := r.feed(burst, t); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(t.delivered), "ns/delivery")
}
