package gateway

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// The number that keeps a session from taking a run twice begins anew after its
// last value; nobody misses a message, and nobody gets one twice.
func TestRunNumbersBeginAnew(t *testing.T) {
	m := newSim(t, Config{})
	var devices []*simConn
	for i := range 3 {
		c := m.join(0, hello(fmt.Sprint(i)))
		for n, filter := range []string{"broadcast/x", "broadcast/#"}[:1+i%2] {
			c.write(wire.Subscribe{Sub: uint32(n + 1), Filter: []byte(filter)}.Append(nil))
		}
		c.frames()
		devices = append(devices, c)
	}
	l := m.g.loops[0]
	// The last one but one leaves the sessions at number 1, which comes next again.
	for _, runs := range []uint32{math.MaxUint32 - 2, math.MaxUint32 - 1, math.MaxUint32 - 3, math.MaxUint32} {
		l.runs = runs
		for n := range 4 {
			payload := fmt.Sprint(runs, n)
			m.publish("broadcast/x", []byte(payload))
			m.drain()
			for i, c := range devices {
				var got []string
				for f, ok := c.next(); ok; f, ok = c.next() {
					if f.t.Base() == wire.TypeMessage {
						msg, err := wire.ParseMessage(f.t, f.body)
						require.NoError(t, err)
						got = append(got, string(msg.Payload))
					}
				}
				require.Equal(t, []string{payload}, got, "device %d", i)
			}
		}
		require.Less(t, l.runs, uint32(8))
	}
}

// A device that publishes and leaves in one breath gets its ACK, then CLOSE; the
// same before a frame that breaks the protocol [W-5.2] [W-3.6].
func TestAckBeforeClose(t *testing.T) {
	for name, c := range map[string]struct {
		last []byte
		want []string
	}{
		"CLOSE":           {wire.Close{}.Append(nil), []string{"ACK 2 ok", "CLOSE 0 ok"}},
		"an unknown type": {[]byte{0x20, 0}, []string{"ACK 2 ok", "ERROR unknown type for TYPE_0x20 number 0", "CLOSE 0 unknown type"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newSim(t, Config{})
			d := m.join(0, hello("d"))
			var b []byte
			for seq := uint64(1); seq <= 2; seq++ {
				b = wire.Publish{Name: []byte("broadcast/x"), Ack: true, Seq: seq}.Append(b)
			}
			d.write(append(b, c.last...))
			require.Equal(t, c.want, d.frames())
		})
	}
}

// A cursor that claims what its stream has not given yet is refused, and its number
// is free again; one of another gateway's life may claim anything [W-4.5].
func TestCursorAhead(t *testing.T) {
	m := newSim(t, Config{})
	for range 3 {
		m.publish("broadcast/x", nil)
	}
	m.drain()
	own := wire.Life(m.topic("broadcast/x").Stream().Life())
	for _, c := range []struct {
		at   wire.Position
		code wire.Code
	}{
		{wire.Position{Life: own, Offset: 3}, wire.CodeOK},
		{wire.Position{Life: own, Offset: 4}, wire.CodeCursorUnusable},
		{wire.Position{Life: own, Offset: wire.MaxVarint}, wire.CodeCursorUnusable},
		{wire.Position{Life: own ^ 1, Offset: wire.MaxVarint}, wire.CodeOK},
	} {
		d := m.join(0, hello("d"))
		q := wire.Subscribe{
			Sub: 1, Track: true, Start: wire.StartCursor, Filter: []byte("broadcast/x"), Cursor: wire.Cursor{}.AppendPosition(c.at),
		}
		d.write(q.Append(nil))
		got, err := wire.ParseSubscribed(d.frame().body)
		require.NoError(t, err)
		require.Equal(t, c.code, got.Code, "%v", c.at)
		if c.code != wire.CodeOK {
			require.Zero(t, got.Topic)
			require.Empty(t, d.frames())
			q.Start, q.Cursor = wire.StartNow, nil
			d.write(q.Append(nil))
			require.Equal(t, "SUBSCRIBED 1 ok id 1", d.frames()[0])
		}
		m.drain()
		require.NoError(t, d.Close())
	}
}

// Whatever happens to messages on their way, turns that are cut short, devices that
// go, sockets that fail and panics in a turn, their credit comes back once.
func TestCreditIsSettledOnce(t *testing.T) {
	broken := 0 // turns with a walk under way
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		m := newSim(t, Config{Loops: 3, Limits: Limits{PendingBytes: 4096}})
		m.late = func() bool { return rng.IntN(4) == 0 }
		turn := false
		take := func(l *loop, fn func()) {
			turn = true
			l.guard(nil, fn)
			turn = false
		}
		for _, l := range m.g.loops {
			send := l.send
			l.send = func(fd int32, b []byte) (int, error) {
				if turn && rng.IntN(4) == 0 {
					if l.run.walking {
						broken++
					}
					panic("send")
				}
				return send(fd, b)
			}
		}
		devices := map[int]*simConn{}
		for step := range 600 {
			n := rng.IntN(8)
			d := devices[n]
			if d == nil || d.closed {
				d = m.connect(n % 3)
				d.write(hello(fmt.Sprint(n)).Append(nil))
				d.write(wire.Subscribe{Sub: 1, NoEcho: n%2 == 0, Filter: []byte("broadcast/#")}.Append(nil))
				devices[n] = d
				continue
			}
			topic := []byte(fmt.Sprintf("broadcast/%d", rng.IntN(3)))
			switch l := m.g.loops[rng.IntN(3)]; rng.IntN(16) {
			case 0:
				_ = d.Close()
			case 1:
				d.take(rng.IntN(100))
			case 2:
				d.take(-1)
			case 3:
				d.failed = true
			case 4:
				take(l, l.tick)
			case 5, 6, 7, 8, 9, 10:
				take(l, l.drain)
			case 11:
				m.publish(string(topic), make([]byte, rng.IntN(500)))
			default:
				d.write(wire.Publish{Name: topic, Ack: true, Seq: uint64(step + 1), Payload: make([]byte, rng.IntN(500))}.Append(nil))
			}
			used := m.g.credit.used.Load()
			require.GreaterOrEqual(t, used, int64(0), "seed %d, step %d: given back twice", seed, step)
		}
		m.late = nil
		m.drain()
		require.Zero(t, m.g.credit.used.Load(), "seed %d", seed)
		require.Zero(t, m.defaultTenant().lent.Load(), "seed %d", seed)
	}
	require.Greater(t, broken, 20, "hardly any turn was broken off")
}

// What is left in mailboxes and in an interrupted turn is given back when the
// gateway is gone.
func TestCreditComesBackAtTheEnd(t *testing.T) {
	m := newSim(t, Config{Loops: 2})
	for i := range 6 {
		c := m.join(i%2, hello(fmt.Sprint(i)))
		c.write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")}.Append(nil))
		c.write(wire.Publish{Name: []byte("broadcast/a"), Payload: make([]byte, 100)}.Append(nil))
		m.publish("broadcast/b", make([]byte, 100))
	}
	m.late = func() bool { return true }
	m.g.loops[0].drain()
	require.True(t, m.g.loops[0].run.walking, "the turn was not interrupted")
	require.NotZero(t, m.g.credit.used.Load())
	m.g.release()
	require.Zero(t, m.g.credit.used.Load())
	require.Zero(t, m.defaultTenant().lent.Load())
}

// defaultTenant is the default tenant.
func (m *sim) defaultTenant() *tenant {
	m.t.Helper()
	ten, err := m.g.tenants.get(DefaultTenant)
	require.NoError(m.t, err)
	return ten
}
