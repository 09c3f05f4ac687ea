package gateway

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// pings are PINGs that carry the numbers from first on.
func pings(first, n int) (b []byte) {
	for i := range n {
		b = wire.AppendPing(b, binary.BigEndian.AppendUint32(nil, uint32(first+i)))
	}
	return b
}

// pongs requires that the device has got the answers to the PINGs from first on,
// in order, and returns how many.
func (c *simConn) pongs(first int) (n int) {
	c.m.t.Helper()
	for f, ok := c.next(); ok; f, ok = c.next() {
		require.Equal(c.m.t, wire.TypePong, f.t)
		require.EqualValues(c.m.t, first+n, binary.BigEndian.Uint32(f.body))
		n++
	}
	return n
}

// A device that sends very much at once gets its answers in order and in parts; what
// it sends meanwhile is not looked at before its turn.
func TestFramesTakeTurns(t *testing.T) {
	m := newSim(t, Config{})
	d := m.join(0, hello("d"))
	d.write(pings(0, 3000))
	require.Equal(t, readFrames, d.pongs(0))
	peeks := d.peeks
	d.write(pings(3000, 100))
	require.Equal(t, peeks, d.peeks)
	require.Zero(t, d.pongs(0))
	m.drain()
	require.Equal(t, 3100-readFrames, d.pongs(readFrames))
	require.Empty(t, d.in)
	d.write(pings(0, 1))
	require.Equal(t, 1, d.pongs(0), "it waits for nothing")
}

// However much some have sent, each turn gives all of them a part before one gets a
// second, and what others publish is delivered in each turn.
func TestTurnsAreFair(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	sub, pub := m.join(0, hello("sub")), m.join(0, hello("pub"))
	sub.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
	sub.frames()
	var flood []*simConn
	for i := range 3 {
		d := m.join(0, hello(fmt.Sprint(i)))
		d.write(pings(0, readFrames+4*turnFrames))
		require.Equal(t, readFrames, d.pongs(0))
		flood = append(flood, d)
	}
	m.late = func() bool { return true } // one part is all that a turn has time for
	for turn := range 4 * len(flood) {
		pub.write(wire.Publish{Name: []byte("broadcast/x")}.Append(nil))
		l.drain()
		l.drain() // the walk was one turn, its end the next
		require.NotEmpty(t, sub.frames(), "turn %d", turn)
		for i, d := range flood {
			done := 2 * (turn + 1)
			parts := min(4, done/len(flood))
			if i < done%len(flood) {
				parts = min(4, parts+1)
			}
			require.Equal(t, 4*turnFrames-parts*turnFrames, len(d.in)/len(pings(0, 1)), "turn %d, device %d", turn, i)
		}
	}
	m.late = nil
	m.drain()
	for _, d := range flood {
		require.Equal(t, 4*turnFrames, d.pongs(readFrames))
	}
}

// A burst of publishes in one read is handled in one go, so that a subscriber gets
// it in one send.
func TestBurstIsOneSend(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	sub, pub := m.join(0, hello("sub")), m.join(0, hello("pub"))
	sub.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
	sub.frames()
	var b []byte
	for range 128 {
		b = wire.Publish{Name: []byte("broadcast/x")}.Append(b)
		b = wire.AppendPing(b, nil)
	}
	pub.write(b)
	sends := 0
	send := l.send
	l.send = func(fd int32, b []byte) (int, error) { sends++; return send(fd, b) }
	m.drain()
	require.Equal(t, 1, sends)
	require.Len(t, sub.frames(), 128)
}

// What stands behind a wildcard that waits for the end of a walk is not looked at
// until then, and is bounded.
func TestStalledIsBounded(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	for i := range 3 {
		c := m.join(0, hello(fmt.Sprint(i)))
		c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
	}
	good, bad := m.join(0, hello("good")), m.join(0, hello("bad"))
	m.late = func() bool { return true }
	m.publish("broadcast/x", nil)
	l.drain()
	require.True(t, l.run.walking, "the walk was not interrupted")
	for _, d := range []*simConn{good, bad} {
		d.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(nil))
	}
	skipped := make([]byte, 16000)
	skipped[0], skipped[1], skipped[2] = 0xf0, 0xfd, 0x7c // a type to skip, 15,997 bytes of body
	goods, bads := good.peeks, bad.peeks
	most := l.g.limits.Load().held()
	for len(good.in)+len(skipped) <= most {
		good.write(skipped)
	}
	require.Equal(t, goods, good.peeks)
	for !bad.closed && bad.s.stage == stageOpen {
		require.LessOrEqual(t, len(bad.in), most+len(skipped))
		bad.write(skipped)
	}
	require.Equal(t, bads, bad.peeks)
	require.Empty(t, bad.in)
	require.Equal(t, []string{"CLOSE 0 overload"}, bad.frames())
	good.write(wire.AppendPing(nil, nil))
	m.late = nil
	m.drain()
	require.Equal(t, []string{"SUBSCRIBED 1 ok id 0", `PONG ""`}, good.frames())
	require.Empty(t, good.in)
}

// A frame that is larger than what is looked at of a session that waited is found
// whole.
func TestLargeFrameWaits(t *testing.T) {
	m := newSim(t, Config{})
	d := m.join(0, hello("d"))
	b := pings(0, readFrames+1)
	for range 3 {
		b = wire.Publish{Ack: true, Seq: 1, Name: []byte("broadcast/x"), Payload: make([]byte, 30_000)}.Append(b)
	}
	d.write(append(b, pings(readFrames+1, 1)...))
	require.Equal(t, readFrames, d.pongs(0))
	m.drain()
	require.EqualValues(t, 4, m.topic("broadcast/x").Stream().Next())
	require.Empty(t, d.in)
}

// What a device sent before it hung up counts, also what waited then.
func TestLastBreathCounts(t *testing.T) {
	m := newSim(t, Config{})
	d := m.join(0, hello("d"))
	var b []byte
	for range 1000 {
		b = wire.Publish{Name: []byte("broadcast/x")}.Append(b)
	}
	d.write(b)
	d.l.hungUp(d.s, os.NewSyscallError("read", io.EOF))
	require.True(t, d.s.closed)
	require.EqualValues(t, 1001, m.topic("broadcast/x").Stream().Next())
	m.drain()
}

// Frames that a transport has opened take turns as well, and none is lost or comes
// twice.
func TestSealedFramesTakeTurns(t *testing.T) {
	m := newSim(t, Config{newTransport: func() transport { return &xorTransport{} }})
	c := &sealedConn{simConn: m.connect(0)}
	c.send(hello("a").Append(nil), 1000)
	c.send(pings(0, 1000), 100_000)
	c.send(pings(1000, 10), 7)
	m.drain()
	frames, records := c.received()
	require.Len(t, frames, 1+1010)
	require.Greater(t, records, 3)
	want := (&simConn{m: m, got: wire.AppendPong(nil, binary.BigEndian.AppendUint32(nil, 1009))}).frames()
	require.Equal(t, want, frames[1010:])
}

// What a device that does not read asks for costs little: its part ends with its
// answers, so gnet's buffer stays small, and the answers that wait are bounded by
// their bytes.
func TestAnswersAreBounded(t *testing.T) {
	m := newSim(t, Config{})
	l := m.g.loops[0]
	most := l.g.limits.Load().pendingAnswers()
	d := m.join(0, hello("d"))
	d.take(0)
	open := []byte{0x10, 1, 1} // what later versions offer: an ERROR of a dozen times its size
	var b []byte
	for len(b) < mostRead {
		b = append(b, open...)
	}
	d.write(b)
	require.LessOrEqual(t, len(d.out), answerBytes+wire.MaxControl)
	m.late = func() bool { return true }
	for range 1000 {
		if d.closed {
			break
		}
		require.LessOrEqual(t, d.s.out.answers, most)
		require.LessOrEqual(t, len(d.s.out.items), 2*most/joinedAnswers+1)
		l.drain()
	}
	require.True(t, d.closed, "it asked for more than may wait")
	require.LessOrEqual(t, len(d.out), answerBytes+2*wire.MaxControl)
	d.take(-1)
	frames := d.frames()
	require.Equal(t, "CLOSE 0 slow", frames[len(frames)-1])
}

// One frame may have many answers: they end a part before its frames do.
func TestAnswersEndAPart(t *testing.T) {
	m := newSim(t, Config{Limits: Limits{Subscriptions: 1000}})
	d := m.join(0, hello("d"))
	var b []byte
	for i := range 100 {
		b = wire.Subscribe{Sub: uint32(i + 1), Filter: []byte(fmt.Sprintf("broadcast/%d", i))}.Append(b)
	}
	d.write(b)
	d.frames()
	b = nil
	for i := range 20 {
		b = wire.Subscribe{Sub: uint32(i + 101), Track: true, Filter: []byte("broadcast/+")}.Append(b)
	}
	d.write(b)
	require.NotEmpty(t, d.in)
	require.Greater(t, len(d.got), answerBytes)
	require.Less(t, len(d.got), 2*answerBytes)
	m.drain()
	require.Empty(t, d.in)
}
