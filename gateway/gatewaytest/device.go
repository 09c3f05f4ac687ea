package gatewaytest

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// Device is a device under a test's full control: it sends what it is told to
// and shows every frame that it is sent.
type Device struct {
	t    testing.TB
	Conn net.Conn
	buf  []byte
}

// Frame is one frame that was received.
type Frame struct {
	Type wire.Type
	Body []byte
}

// Connect opens a connection and sends nothing.
func Connect(t testing.TB, addr net.Addr) *Device {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &Device{t: t, Conn: c}
}

// Hello is a HELLO that any gateway without an authenticator takes.
func Hello(name string) wire.Hello {
	return wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: 16, Flags: wire.HelloTracks, Names: 100,
		Incarnation: 1, Method: wire.AuthToken, Auth: []byte(name),
	}
}

// Join connects, says HELLO and awaits WELCOME.
func Join(t testing.TB, addr net.Addr, name string) *Device {
	t.Helper()
	d := Connect(t, addr)
	d.Send(Hello(name).Append(nil))
	d.Expect(wire.TypeWelcome)
	return d
}

// Send writes bytes.
func (d *Device) Send(b []byte) {
	d.t.Helper()
	_, err := d.Conn.Write(b)
	require.NoError(d.t, err)
}

// Subscribe subscribes and returns the topic's id.
func (d *Device) Subscribe(s wire.Subscribe) wire.TopicID {
	d.t.Helper()
	d.Send(s.Append(nil))
	f := d.Expect(wire.TypeSubscribed)
	got, err := wire.ParseSubscribed(f.Body)
	require.NoError(d.t, err)
	require.Equal(d.t, s.Sub, got.Sub)
	require.Equal(d.t, wire.ClassFine, got.Code.Class(), "SUBSCRIBED says %s", got.Code)
	return got.Topic
}

// Next is the next frame, whatever it is; io.EOF when the gateway has hung up.
func (d *Device) Next(wait time.Duration) (Frame, error) {
	_ = d.Conn.SetReadDeadline(time.Now().Add(wait))
	for {
		t, body, rest, err := wire.Next(d.buf, 1<<wire.MaxFrameLog)
		if err == nil {
			f := Frame{t, bytes.Clone(body)}
			d.buf = rest
			return f, nil
		}
		if !errors.Is(err, wire.ErrShort) {
			return Frame{}, err
		}
		chunk := make([]byte, 64<<10)
		n, err := d.Conn.Read(chunk)
		d.buf = append(d.buf, chunk[:n]...)
		if err != nil && n == 0 {
			return Frame{}, err
		}
	}
}

// Expect is the next frame, which must be of that type.
func (d *Device) Expect(t wire.Type) Frame {
	d.t.Helper()
	f, err := d.Next(Patience)
	require.NoError(d.t, err, "waiting for %s", t)
	require.Equal(d.t, t.String(), f.Type.String(), "body %s", hex.EncodeToString(f.Body))
	return f
}

// Message is the next frame, which must be a MESSAGE.
func (d *Device) Message() wire.Message {
	d.t.Helper()
	f := d.Expect(wire.TypeMessage)
	m, err := wire.ParseMessage(f.Type, f.Body)
	require.NoError(d.t, err)
	return m
}

// ExpectClosed awaits CLOSE with a code, after any other frames, and then the
// end of the stream; then it hangs up.
func (d *Device) ExpectClosed(code wire.Code) {
	d.t.Helper()
	for {
		f, err := d.Next(Patience)
		require.NoError(d.t, err, "waiting for CLOSE %s", code)
		if f.Type != wire.TypeClose {
			continue
		}
		c, err := wire.ParseClose(f.Body)
		require.NoError(d.t, err)
		require.Equal(d.t, code.String(), c.Code.String(), "text %s", c.Text)
		break
	}
	_, err := d.Next(Patience)
	require.ErrorIs(d.t, err, io.EOF)
	_ = d.Conn.Close()
}

// Stream is the next frame, which must be a STREAM.
func (d *Device) Stream() wire.Stream {
	d.t.Helper()
	s, err := wire.ParseStream(d.Expect(wire.TypeStream).Body)
	require.NoError(d.t, err)
	return s
}

// Gap is the next frame, which must be a GAP.
func (d *Device) Gap() wire.Gap {
	d.t.Helper()
	g, err := wire.ParseGap(d.Expect(wire.TypeGap).Body)
	require.NoError(d.t, err)
	return g
}

// Publish publishes with a sequence and returns the code of its ACK.
func (d *Device) Publish(seq uint64, topic, payload string) wire.Code {
	d.t.Helper()
	d.Send(wire.Publish{Ack: true, Seq: seq, Name: []byte(topic), Payload: []byte(payload)}.Append(nil))
	for {
		f, err := d.Next(Patience)
		require.NoError(d.t, err, "waiting for ACK %d", seq)
		if f.Type == wire.TypeCredit {
			continue
		}
		require.Equal(d.t, wire.TypeAck.String(), f.Type.String(), "waiting for ACK %d", seq)
		a, err := wire.ParseAck(f.Body)
		require.NoError(d.t, err)
		require.Equal(d.t, seq, a.Seq)
		return a.Code
	}
}

// Ping checks that the gateway answers at once; nothing else may have come.
func (d *Device) Ping() {
	d.t.Helper()
	d.Send(wire.AppendPing(nil, []byte("ping")))
	require.Equal(d.t, "ping", string(d.Expect(wire.TypePong).Body))
}

// Slow makes a device's receive buffer small, so that it falls behind soon after
// it stops reading. It must come before much was sent.
func (d *Device) Slow() *Device {
	d.t.Helper()
	socket := d.Conn
	if c, ok := socket.(*tls.Conn); ok {
		socket = c.NetConn()
	}
	require.NoError(d.t, socket.(*net.TCPConn).SetReadBuffer(64<<10))
	return d
}
