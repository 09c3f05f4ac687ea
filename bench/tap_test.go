package bench

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// record is a TLS record with so many bytes of plaintext, as its header looks.
func record(plain int) []byte {
	n := plain + 1 + recordTag
	return append([]byte{recordOfData, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
}

func TestRecordsInPieces(t *testing.T) {
	sizes := []int{1, 64, 0, 16384, 300}
	var stream []byte
	for _, n := range sizes {
		stream = append(stream, record(n)...)
	}
	for _, piece := range []int{1, 2, 4, 5, 6, 21, 22, 23, 1000, len(stream)} {
		var r records
		var got []int
		for b := stream; len(b) > 0; {
			n := min(piece, len(b))
			require.NoError(t, r.feed(b[:n], func(plain int) error { got = append(got, plain); return nil }))
			b = b[n:]
		}
		require.Equal(t, sizes, got, "pieces of %d", piece)
	}
	for cut := range record(3) { // a record that is not complete is none
		var r records
		require.NoError(t, r.feed(record(3)[:cut], func(int) error { return errors.New("too soon") }))
	}
}

func TestRecordsThatAreNone(t *testing.T) {
	for name, head := range map[string][]byte{
		"an alert": {21, 3, 3, 0, 19}, "a version": {23, 3, 1, 0, 30}, "too short": {23, 3, 3, 0, 16}, "too long": {23, 3, 3, 0x41, 1}, "no TLS": []byte("HTTP/"),
	} {
		var r records
		require.ErrorContains(t, r.feed(head, func(int) error { return nil }), "no header of a TLS record", name)
	}
	wrong := errors.New("wrong")
	require.ErrorIs(t, new(records).feed(record(1), func(int) error { return wrong }), wrong)
}

// However a stream is cut, it has the same records, or is wrong as well.
func FuzzRecords(f *testing.F) {
	f.Add(append(record(5), record(0)...), uint8(3))
	f.Add([]byte("\x17\x03\x03\x00\x10"), uint8(1))
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		follow := func(step int) (got []int, wrong bool) {
			var r records
			for b := stream; len(b) > 0; {
				n := min(step, len(b))
				if r.feed(b[:n], func(plain int) error { got = append(got, plain); return nil }) != nil {
					return got, true
				}
				b = b[n:]
			}
			return got, false
		}
		whole, bad := follow(max(1, len(stream)))
		got, wrong := follow(max(1, int(piece)))
		require.Equal(t, whole, got)
		require.Equal(t, bad, wrong)
	})
}

// memorySession is a server's end whose records a test takes, and a device's end that is fed.
func memorySession(t *testing.T) (server *tls.Conn, sent *[]byte, device *opened) {
	a, err := newAuthority()
	require.NoError(t, err)
	pair, err := a.server()
	require.NoError(t, err)
	root, err := a.encode(false)
	require.NoError(t, err)
	cfg, err := (&secret{Roots: root}).client()
	require.NoError(t, err)
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	kept := &keeper{Conn: ours}
	server = tls.Server(kept, &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true})
	tapped := &tap{Conn: theirs}
	client := tls.Client(tapped, cfg)
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	require.NoError(t, server.Handshake())
	require.NoError(t, <-done)
	kept.keep, tapped.cut = true, true
	return server, &kept.kept, &opened{conn: client, tap: tapped}
}

type keeper struct {
	net.Conn
	keep bool
	kept []byte
}

func (k *keeper) Write(b []byte) (int, error) {
	if !k.keep {
		return k.Conn.Write(b)
	}
	k.kept = append(k.kept, b...)
	return len(b), nil
}

// A device that opens its records and one that counts them say the same of the same stream.
func TestCountingAgreesWithOpening(t *testing.T) {
	server, sent, opens := memorySession(t)
	payload := pattern(64)
	message := func(number byte) []byte {
		p := append([]byte(nil), payload...)
		copy(p, []byte{0, 0, 0, 0, 0, 0, 0, number})
		return wire.Message{Topic: 5, Payload: p}.Append(nil)
	}
	opens.unit = len(message(0))
	counts := &opened{unit: opens.unit}
	newTally := func() *tally { return &tally{speaks: bellwire{}, payload: payload, topics: []string{"t"}} }
	opening, counting := newTally(), newTally()
	one, other := &receiver{up: true, id: 5}, &receiver{up: true, id: 5}
	scratch := make([]byte, 4096)
	feed := func(b []byte) error {
		return errors.Join(opens.feed(b, one, opening, scratch), counts.feed(b, other, counting, nil))
	}
	for i := range byte(10) {
		frame := message(i)
		if i%3 == 0 { // a frame in two records
			_, err := server.Write(frame[:7])
			require.NoError(t, err)
			frame = frame[7:]
		}
		_, err := server.Write(frame)
		require.NoError(t, err)
	}
	for len(*sent) > 0 {
		n := min(13, len(*sent))
		require.NoError(t, feed((*sent)[:n]))
		*sent = (*sent)[n:]
	}
	require.EqualValues(t, 10, opening.delivered)
	require.EqualValues(t, 10, counting.delivered)
	require.EqualValues(t, 14, opening.records)
	require.EqualValues(t, 14, counting.records)

	// What has another length than those that count believe is noticed by those that open.
	_, err := server.Write(wire.AppendPing(nil, []byte("x")))
	require.NoError(t, err)
	err = opens.feed(*sent, one, opening, scratch)
	require.ErrorContains(t, err, "cannot be counted")
	*sent = nil
	_, err = server.Write(message(99))
	require.NoError(t, err)
	require.ErrorContains(t, opens.feed(*sent, one, opening, scratch), "message 99 arrived where 10 was due")
}

func TestADeviceThatOnlyListensDoesNotWrite(t *testing.T) {
	_, err := (&tap{cut: true}).Write([]byte{1})
	require.ErrorContains(t, err, "only listens")
}
