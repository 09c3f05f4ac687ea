package gateway

import (
	"bytes"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// Steps go up at once, several at a time if need be, and down only when the figure
// has fallen well below where they began.
func TestPressureSteps(t *testing.T) {
	p := pressure{budget: 100 * mib}
	for _, c := range []struct {
		percent int64
		want    step
	}{
		{0, stepNone},
		{74, stepNone},
		{75, stepRefuse},
		{71, stepRefuse},
		{70, stepRefuse},
		{69, stepNone},
		{84, stepRefuse},
		{85, stepShrink},
		{80, stepShrink},
		{79, stepRefuse},
		{95, stepDrop},
		{90, stepDrop},
		{89, stepShrink},
		{100, stepDrop},
		{1000, stepDrop},
		{75, stepRefuse},
		{0, stepNone},
		{99, stepDrop},
		{69, stepNone},
	} {
		before := p.step
		require.Equal(t, before != c.want, p.see(c.percent*mib), "%d %%", c.percent)
		require.Equal(t, c.want, p.step, "%d %%", c.percent)
		require.NotEmpty(t, p.step.String())
	}
}

// Against the definition: a step holds from the figure at which it is taken until
// one that is 5 % of the budget below.
func TestPressureAgainstOracle(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 9))
		budget := []int64{leastBudget, 1 << 30, math.MaxInt64}[rng.IntN(3)]
		p := pressure{budget: budget}
		var holds [stepDrop + 1]bool
		for range 1000 {
			used := rng.Int64N(budget)
			p.see(used)
			want := stepNone
			for s := stepRefuse; s <= stepDrop; s++ {
				percent := float64(used) / float64(budget) * 100
				holds[s] = percent >= float64(stepAt[s]) || holds[s] && percent >= float64(stepAt[s]-stepSlack)
				if holds[s] {
					want = s
				}
			}
			require.Equal(t, want, p.step)
		}
	}
}

func TestBudgetOf(t *testing.T) {
	for wanted, want := range map[int64]int64{-1: 0, leastBudget: leastBudget, math.MaxInt64: math.MaxInt64, 0: groupMemory()} {
		got, err := budgetOf(wanted)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := New(Config{Memory: leastBudget - 1})
	require.ErrorContains(t, err, "config: memory: 67108863: want at least 67108864 bytes, 0 (the cgroup's limit)")
}

// pressed is a simulated gateway whose memory in use is what the test says.
type pressed struct {
	*sim
	used int64
	now  time.Time
}

func newPressed(t *testing.T, cfg Config) *pressed {
	cfg.Memory = leastBudget
	m := &pressed{sim: newSim(t, cfg), now: time.Unix(1000, 0)}
	m.g.memory.used = func() (int64, bool) { return m.used, m.used > 0 }
	return m
}

// percent has the gateway see that much of the budget in use.
func (m *pressed) percent(percent int64) {
	m.used = leastBudget / 100 * percent
	m.now = m.now.Add(lookEvery)
	m.g.watchMemory(m.now)
	m.g.memory.relief.Wait()
	m.pass(1)
}

func (m *pressed) queued(c *simConn) int {
	if c.s.out == nil {
		return 0
	}
	return c.s.out.messages
}

// Each step gives up what it should and takes it back: connections, then three
// quarters of queues and rings, then both. Nothing is lost without a gap, and
// whoever keeps up notices nothing. Without the guard nothing is given up.
func TestStepsOfMemory(t *testing.T) {
	for name, guarded := range map[string]bool{"guarded": true, "without the guard": false} {
		t.Run(name, func(t *testing.T) {
			m := newPressed(t, Config{without: guards{memory: !guarded}, Limits: Limits{PendingMessages: 100, PendingAge: time.Hour, StuckAfter: time.Hour, RingTotal: mib}})
			want := func(guardedWant, else_ int) int {
				if guarded {
					return guardedWant
				}
				return else_
			}
			good := m.join(0, hello("good"))
			good.write(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/x")}.Append(nil))
			slow := m.slowDevice(hello("slow"), wire.DropOldest)
			pub := m.join(0, hello("pub"))
			published := 0
			publish := func(n int) {
				for range n {
					m.publish("broadcast/x", make([]byte, 1000))
				}
				published += n
				m.drain()
			}
			publish(500)
			require.Equal(t, 100, m.queued(slow))
			full := m.g.rings.Used()
			require.Greater(t, full, int64(256*1000))

			m.percent(80)
			require.Equal(t, 100, m.queued(slow), "step 1 leaves queues alone")
			refused := m.connect(0)
			require.Equal(t, guarded, refused.closed)
			if guarded {
				after, code := retryOf(t, refused.got)
				require.Equal(t, wire.CodeOverload, code)
				require.GreaterOrEqual(t, after, stepDelay)
				require.Less(t, after, 3*stepDelay)
			}

			m.percent(90)
			require.Equal(t, want(25, 100), m.queued(slow))
			require.LessOrEqual(t, m.g.rings.Used(), int64(want(mib/4, int(full))))
			publish(200)
			require.Equal(t, want(25, 100), m.queued(slow))

			m.percent(96)
			require.Equal(t, want(0, 100), m.queued(slow))
			require.Equal(t, want(0, int(full)), int(m.g.rings.Used()))
			publish(200)
			require.Equal(t, want(0, 100), m.queued(slow))
			require.Equal(t, want(0, int(full)), int(m.g.rings.Used()))
			if guarded {
				require.Less(t, cap(slow.s.out.items), 2*mergeReach, "the places are given back too")
			}
			pub.write(wire.Publish{Ack: true, Seq: 1, Name: []byte("broadcast/x"), Payload: []byte("y")}.Append(nil))
			ack, err := wire.ParseAck(pub.frame().body)
			require.NoError(t, err)
			require.Equal(t, guarded, ack.Code == wire.CodeOverload)
			if !guarded {
				published++
				m.drain()
			}
			good.write(wire.AppendPing(nil, nil))
			got := good.frames()
			require.Contains(t, got[len(got)-1], "PONG", "control frames go on")

			m.percent(10)
			require.Equal(t, stepNone, m.g.memory.at())
			require.False(t, m.connect(0).closed)
			publish(300)
			require.Equal(t, 100, m.queued(slow))
			require.Greater(t, m.g.rings.Used(), int64(256*1000))
			require.EqualValues(t, want(4, 0), m.g.memory.changes.Load())

			all := m.drainSlow(slow)
			require.False(t, slow.closed)
			require.Equal(t, published, all.messages[1]+all.gaps[1][wire.ReasonSlow], "a message or a gap for each position")
		})
	}
}

// retryOf reads a CLOSE with a delay.
func retryOf(t *testing.T, frame []byte) (time.Duration, wire.Code) {
	t.Helper()
	typ, body, rest, err := wire.Next(frame, wire.MaxControl)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, wire.TypeClose, typ)
	c, err := wire.ParseClose(body)
	require.NoError(t, err)
	return time.Duration(c.Retry) * time.Millisecond, c.Code
}

// A figure that cannot be read changes nothing, and none is read more often than
// ten times a second, unless memory runs short.
func TestMemoryIsLookedAtSeldom(t *testing.T) {
	m := newPressed(t, Config{})
	m.percent(80)
	require.Equal(t, stepRefuse, m.g.memory.at())
	m.percent(0)
	require.Equal(t, stepRefuse, m.g.memory.at(), "nothing is known")
	looks := 0
	look := func() (int64, bool) { looks++; return m.used, true }
	ticks := func() int {
		looks, m.g.memory.used = 0, look
		for range 100 {
			m.now = m.now.Add(tickEvery)
			m.g.watchMemory(m.now)
		}
		m.g.memory.relief.Wait()
		return looks
	}
	m.used = leastBudget / 100 * 80
	require.Equal(t, 100, ticks(), "with each tick while a step is taken")
	m.percent(1)
	require.Equal(t, 10, ticks())
	none := newSim(t, Config{Memory: -1})
	none.g.memory.used = func() (int64, bool) { looks++; return 1, true }
	looks = 0
	none.g.watchMemory(m.now)
	require.Zero(t, looks, "without a budget nobody looks")
}

// Each change of step is a line of the log, with figures.
func TestStepsAreLogged(t *testing.T) {
	var log bytes.Buffer
	m := newPressed(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, percent := range []int64{80, 81, 99, 10} {
		m.percent(percent)
	}
	require.Equal(t, 3, bytes.Count(log.Bytes(), []byte("memory"))-bytes.Count(log.Bytes(), []byte("memory=")))
	require.Contains(t, log.String(), `level=WARN msg="memory runs short" step=3 means="who is behind gets gaps, devices do not publish"`)
	require.Contains(t, log.String(), `level=INFO msg="memory has eased" step=0`)
	status := m.g.Status()
	require.EqualValues(t, leastBudget, status.MemoryBudget)
	require.Equal(t, m.used, status.Memory)
}
