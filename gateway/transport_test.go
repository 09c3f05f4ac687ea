package gateway

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// xorTransport is a toy with what TLS has: records that come in pieces, a state
// that both sides must agree on, and an error when a record was tampered with.
type xorTransport struct {
	cipher []byte // not a whole record yet
	opened uint32
	sealed uint32
}

var errTampered = errors.New("record was tampered with")

func (x *xorTransport) Open(dst, cipher []byte) ([]byte, error) {
	x.cipher = append(x.cipher, cipher...)
	for len(x.cipher) >= 8 {
		n := int(binary.BigEndian.Uint32(x.cipher))
		if binary.BigEndian.Uint32(x.cipher[4:]) != x.opened {
			return dst, errTampered
		}
		if len(x.cipher) < 8+n {
			break
		}
		for _, c := range x.cipher[8 : 8+n] {
			dst = append(dst, c^byte(x.opened)^0x55)
		}
		x.cipher = x.cipher[8+n:]
		x.opened++
	}
	return dst, nil
}

func (x *xorTransport) Answer(dst []byte) []byte { return dst }

func (x *xorTransport) CloseNotify(dst []byte) []byte { return dst }

func (x *xorTransport) Seal(dst, plain []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(plain)))
	dst = binary.BigEndian.AppendUint32(dst, x.sealed)
	for _, c := range plain {
		dst = append(dst, c^byte(x.sealed)^0x55)
	}
	x.sealed++
	return dst
}

// sealedConn is a device behind the toy: got holds records, plain what they say.
type sealedConn struct {
	*simConn
	x xorTransport
}

func (c *sealedConn) send(plain []byte, piece int) {
	b := c.x.Seal(nil, plain)
	for len(b) > 0 && !c.closed {
		n := min(piece, len(b))
		c.write(b[:n])
		b = b[n:]
	}
}

// received opens what has come and returns it decoded, and how many records it was.
func (c *sealedConn) received() (frames []string, records int) {
	before := c.x.opened
	plain, err := c.x.Open(nil, c.got)
	require.NoError(c.m.t, err)
	c.got = nil
	device := &simConn{m: c.m, got: plain}
	frames = device.frames()
	require.Empty(c.m.t, device.got, "a piece of a frame")
	return frames, int(c.x.opened - before)
}

// A session behind a transport: frames in any pieces in, whatever a turn brings
// joined into one record out, also when the socket is full in between.
func TestTransportSeam(t *testing.T) {
	m := newSim(t, Config{newTransport: func() transport { return &xorTransport{} }})
	for _, piece := range []int{1, 3, 1000} {
		c := &sealedConn{simConn: m.connect(0)}
		join := hello("a").Append(nil)
		join = wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/a")}.Append(join)
		half := len(join) / 2
		c.send(join[:half], piece)
		c.send(join[half:], piece)
		m.drain()
		frames, _ := c.received()
		require.Len(t, frames, 3, "%v", frames)

		next := m.topic("broadcast/a").Stream().Next()
		m.publish("broadcast/a", []byte("one"))
		m.publish("broadcast/b", []byte("not subscribed"))
		m.publish("broadcast/a", []byte("two"))
		m.drain()
		frames, records := c.received()
		require.Len(t, frames, 2)
		require.Equal(t, 1, records, "a turn is one record")

		// Pieces of a record that the socket did not take are not sealed again.
		c.take(5)
		for range 20 {
			m.publish("broadcast/a", make([]byte, 100))
			m.drain()
		}
		c.send(wire.AppendPing(nil, []byte("x")), piece)
		c.take(-1)
		m.drain()
		m.drain()
		frames, _ = c.received()
		require.Len(t, frames, 21, "%v", frames)
		require.Equal(t, next+22, m.topic("broadcast/a").Stream().Next())

		c.x.sealed++ // a record is missing
		c.send(wire.AppendPing(nil, nil), piece)
		require.True(t, c.closed)
	}
}

// CLOSE is sealed too, whether the device keeps up or not.
func TestTransportClose(t *testing.T) {
	for _, full := range []bool{false, true} {
		cfg := Config{newTransport: func() transport { return &xorTransport{} }}
		m := newSim(t, cfg)
		c := &sealedConn{simConn: m.connect(0)}
		c.send(hello("a").Append(nil), 100)
		c.send(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/a")}.Append(nil), 100)
		_, _ = c.received()
		if full {
			c.take(0)
			m.publish("broadcast/a", []byte("one"))
			m.drain()
			m.pass(7) // it takes nothing for more than StuckAfter
			require.True(t, c.closed)
		} else {
			c.send([]byte{0x7F, 0}, 100)
		}
		c.take(-1)
		frames, _ := c.received()
		last := "CLOSE 0 unknown type"
		if full {
			last = "CLOSE 0 slow"
		}
		require.Equal(t, last, frames[len(frames)-1])
	}
}

// Random pieces and turns never change what a device behind a transport sees.
func TestTransportAnyPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var want []string
	for round := range 30 {
		m := newSim(t, Config{newTransport: func() transport { return &xorTransport{} }})
		c := &sealedConn{simConn: m.connect(0)}
		b := hello("a").Append(nil)
		for i := range uint32(20) {
			b = wire.Subscribe{Sub: i + 1, Filter: []byte{'b', 'r', 'o', 'a', 'd', 'c', 'a', 's', 't', '/', byte('a' + i)}}.Append(b)
			b = wire.AppendPing(b, []byte{byte(i)})
		}
		for len(b) > 0 {
			n := min(1+rng.IntN(60), len(b))
			c.send(b[:n], 1+rng.IntN(40))
			b = b[n:]
		}
		m.drain()
		got, _ := c.received()
		if round == 0 {
			want = got
			require.Len(t, want, 41)
		}
		require.Equal(t, want, got)
	}
}
