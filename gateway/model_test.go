package gateway

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// The model: a gateway of two loops without sockets, and a handful of devices
// that subscribe, publish, stop reading, leave and come back, while loops are
// interrupted in the middle of a walk. Each device counts (counter) and complains
// about whatever PROTOCOL.md does not allow. A seed tells a history again.
type model struct {
	*sim
	rng        *rand.Rand
	devices    []*counter
	smallRings bool
	closed     *closedTopics // topics that are not granted; nil: none
	peers      *peers        // what other gateways send; nil: nothing

	said    map[uint32]saying // by the number in the payload
	streams map[streamID]*posted
	order   []streamID // the keys of streams, in the order in which they came
	ids     uint32

	problems []string
	history  []string
}

// saying is one position of a stream: a message, or one that was lost between
// gateways.
type saying struct {
	in     streamID
	offset uint64
	from   string // the device that published it
	lost   bool
}

// streamID is a stream as devices see it.
type streamID struct {
	topic  string
	origin uint32
}

// posted is what was posted of a stream.
type posted struct {
	life wire.Life
	at   map[uint64]saying
	next uint64 // behind the last that was posted, or what the gateway knows; 0: nothing
	// The rest is about streams of others.
	known bool            // the gateway knows where it is
	ends  map[uint64]bool // where its origin has ended
	older map[uint64]bool // these came for the ring only
	loose bool            // its ring was thrown away
}

var modelTopics = []string{"broadcast/a", "broadcast/b", "broadcast/" + strings.Repeat("long", 30)}

var modelFilters = append([]string{"broadcast/#", "broadcast/+", "broadcast/+/#"}, modelTopics...)

func newModel(t testing.TB, seed uint64, cfg Config) *model {
	rng := rand.New(rand.NewPCG(seed, 7))
	cfg.Loops = 2
	cfg.Limits.PendingBytes = 1024
	cfg.Limits.StuckAfter = 1 << 40 // closing is for other tests
	small := rng.IntN(2) == 0
	if small {
		cfg.Limits.RingMessages = 8
	}
	if rng.IntN(2) == 0 {
		cfg.Limits.Replays = 1
	}
	m := &model{
		sim: newSim(t, cfg), rng: rng, smallRings: small,
		said: map[uint32]saying{}, streams: map[streamID]*posted{},
	}
	m.g.cfg.Authorize = func(id wire.Identity, a Action, filter string) error {
		if a == ActionPublish {
			m.listen() // a turn may publish more than a small ring holds
		}
		for _, d := range m.devices {
			if d.name == id.Device && a == ActionSubscribe {
				d.taken(filter)
			}
		}
		return nil
	}
	m.late = func() bool { return m.rng.IntN(3) == 0 }
	for _, l := range m.g.loops {
		l.frames = pick(m, []int{1, 2, readFrames})
	}
	for _, topic := range modelTopics {
		m.stream(streamID{topic, ownOrigin}, m.g.life).next = 1
	}
	for i := range 5 {
		d := &counter{m: m, name: fmt.Sprintf("d%d", i), had: map[streamID]uint64{}, recv: 16, names: 100}
		if rng.IntN(4) == 0 {
			d.recv = wire.MinFrameLog
		}
		if rng.IntN(5) == 0 {
			d.names = 0
		}
		m.devices = append(m.devices, d)
	}
	return m
}

func (m *model) problem(format string, args ...any) {
	m.problems = append(m.problems, fmt.Sprintf(format, args...))
}

func (m *model) must(err error) {
	if err != nil {
		m.problem("%v", err)
	}
}

// learn notes what was published, and then has the devices look at what they got.
func (m *model) learn() {
	m.listen()
	for _, d := range m.devices {
		d.read()
	}
}

// listen reads from the gateway's own streams what was published.
func (m *model) listen() {
	ten, err := m.g.tenants.get(DefaultTenant)
	require.NoError(m.t, err)
	ten.index.Each(func(t *fanout.Topic) bool {
		id := streamID{t.Name(), ownOrigin}
		p := m.streams[id]
		r := t.Stream().Reader(p.next)
		for {
			e, missed, ok := r.Next(m.g.now.Load())
			require.Zero(m.t, missed, "the model looks too seldom")
			if !ok {
				return true
			}
			m.say(binary.BigEndian.Uint32(e.Frame[e.Body:]), saying{in: id, offset: e.Offset, from: m.publisher(e.From)})
		}
	})
}

// stream is what was posted of a stream, which is made on first need.
func (m *model) stream(id streamID, life wire.Life) *posted {
	p := m.streams[id]
	if p == nil {
		p = &posted{life: life, at: map[uint64]saying{}, ends: map[uint64]bool{}, older: map[uint64]bool{}}
		m.streams[id] = p
		m.order = append(m.order, id)
	}
	return p
}

// say notes what is posted; number is that in the payload.
func (m *model) say(number uint32, s saying) {
	p := m.streams[s.in]
	if !s.lost {
		m.said[number] = s
	}
	p.at[s.offset] = s
	p.next, p.known = s.offset+1, true
}

// of calls fn for all streams of a topic.
func (m *model) of(topic string, fn func(streamID, *posted)) {
	for _, id := range m.order {
		if id.topic == topic {
			fn(id, m.streams[id])
		}
	}
}

// top is the position of a stream's next message.
func (m *model) top(id streamID) uint64 {
	if id.origin != ownOrigin {
		return m.streams[id].next
	}
	ten, err := m.g.tenants.get(DefaultTenant)
	require.NoError(m.t, err)
	if t := ten.index.Lookup([]byte(id.topic)); t != nil {
		return t.Stream().Next()
	}
	return 1
}

func (m *model) publisher(tag uint64) string {
	for _, d := range m.devices {
		if m.g.identities.tag(wire.Identity{Tenant: DefaultTenant, Device: d.name}) == tag {
			return d.name
		}
	}
	return ""
}

// others counts the positions from a to before b that a device is owed.
func (m *model) others(id streamID, a, b uint64, device string, noEcho bool) (n uint64) {
	p := m.streams[id]
	for o := a; o < b; o++ {
		if e, ok := p.at[o]; ok && (!noEcho || e.from != device) {
			n++
		}
	}
	return n
}

func pick[T any](m *model, of []T) T { return of[m.rng.IntN(len(of))] }

func (m *model) payload() []byte {
	m.ids++
	b := binary.BigEndian.AppendUint32(nil, m.ids)
	return append(b, make([]byte, pick(m, []int{0, 10, 90, 200}))...)
}

func (m *model) note(format string, args ...any) {
	m.history = append(m.history, fmt.Sprintf(format, args...))
}

// told is the history as the device of the first problem saw it.
func (m *model) told() string {
	name, _, _ := strings.Cut(m.problems[0], ":")
	var out []string
	for _, line := range m.history {
		if strings.HasPrefix(line, name) || strings.Contains(line, "publish") || line[0] != 'd' || strings.HasPrefix(line, "drain") {
			out = append(out, strings.ReplaceAll(line, modelTopics[2], "broadcast/long"))
		}
	}
	return strings.Join(out, "\n")
}

func (m *model) step() {
	d := pick(m, m.devices)
	switch n := m.rng.IntN(100); {
	case !d.open():
		loop := m.rng.IntN(2)
		m.note("%s connects on loop %d, recv %d names %d", d.name, loop, d.recv, d.names)
		d.connect(loop)
		m.learn()
		for range m.rng.IntN(3) {
			m.subscribe(d)
			m.learn()
		}
	case m.closed != nil && m.rng.IntN(8) == 0:
		m.closed.step(m)
	case m.peers != nil && m.rng.IntN(3) == 0:
		m.peers.step()
	case n < 30:
		topic := pick(m, modelTopics)
		m.note("publish %d to %.14s", m.ids+1, topic)
		m.publish(topic, m.payload())
	case n < 45:
		var b []byte
		for range pick(m, []int{1, 1, 5}) {
			topic := pick(m, modelTopics)
			d.seq++
			m.note("%s publishes %d to %.14s", d.name, m.ids+1, topic)
			b = wire.Publish{Ack: true, Seq: d.seq, Name: []byte(topic), Payload: m.payload()}.Append(b)
		}
		d.c.write(b)
	case n < 70:
		l := m.g.loops[m.rng.IntN(2)]
		m.note("drain %d", l.n)
		l.drain()
	case n < 78:
		m.subscribe(d)
	case n < 84:
		for num := uint32(1); num <= d.nextSub; num++ {
			if s := d.subs[num]; s != nil && !s.ends && m.rng.IntN(2) == 0 {
				m.note("%s unsubscribes %d", d.name, num)
				s.ends = true
				d.c.write(wire.Unsubscribe{Sub: num}.Append(nil))
				break
			}
		}
	case n < 90:
		room := pick(m, []int{0, 0, 30, 300})
		m.note("%s takes %d", d.name, room)
		d.blocked = true
		d.c.take(room)
	case n < 96:
		m.note("%s takes all", d.name)
		d.c.take(-1)
	case n < 98:
		m.note("%s leaves", d.name)
		d.read()
		_ = d.c.Close()
	default:
		m.second()
	}
	m.learn()
}

func (m *model) second() {
	m.note("a second passes")
	m.g.now.Add(1)
	for _, l := range m.g.loops {
		l.tick()
		m.g.sweep()
	}
	if m.peers != nil {
		m.peers.sweep()
	}
}

func (m *model) subscribe(d *counter) {
	q := wire.Subscribe{
		Filter: []byte(pick(m, modelFilters)), Track: m.rng.IntN(3) > 0, NoEcho: m.rng.IntN(3) == 0,
		Policy: pick(m, []wire.Policy{wire.DropOldest, wire.DropOldest, wire.LatestOnly, wire.Lossless}),
	}
	if m.rng.IntN(2) == 0 && !wire.IsWildcard(q.Filter) {
		q.Start = pick(m, []wire.Start{wire.StartLast, wire.StartKept, wire.StartCursor, wire.StartCursor})
	}
	d.subscribe(q)
	m.note("%s subscribes %s", d.name, d.subs[d.nextSub])
}

// play runs a history to its end and returns what the devices complain about.
func play(t testing.TB, seed uint64, steps int, without guards) *model {
	m := newModel(t, seed, Config{without: without})
	return m.play(steps)
}

// play runs a history to its end.
func (m *model) play(steps int) *model {
	for range steps {
		m.step()
		if len(m.problems) > 0 {
			return m
		}
	}
	m.note("rest")
	m.late = nil
	for _, d := range m.devices {
		if d.c != nil && !d.c.closed {
			d.c.take(-1)
		}
	}
	m.drain()
	m.drain()
	m.learn()
	for _, d := range m.devices {
		d.rest()
	}
	return m
}

// Random histories: on one connection every position is a message or lies in a
// gap in its place, nothing comes twice, nothing is lost in silence (BC-7, BC-15,
// BC-D1, BC-D2, BC-D6).
func TestModel(t *testing.T) {
	for seed := range uint64(400) {
		m := play(t, seed, 150, guards{})
		if len(m.problems) > 0 {
			require.Fail(t, "seed "+fmt.Sprint(seed), "%s\n\n%s", strings.Join(m.problems, "\n"), m.told())
		}
	}
}

// Every rule that the model holds taken away turns it red: so it would notice.
func TestModelNoticesMissingRules(t *testing.T) {
	rules := map[string]guards{
		"a gap stands in its place": {gapInPlace: true},
		"own messages are gaps":     {gapOf: wire.ReasonOwn},
		"what is too big is a gap":  {gapOf: wire.ReasonTooBig},
		"a start has a marker":      {startMarker: true},
		"a replay withholds live":   {withhold: true},
		"a replay tells offsets":    {replayOffset: true},
		"a group is told":           {tell: true},
		"a message comes once":      {takeOnce: true},
	}
	for name, without := range rules {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(400) {
				if m := play(t, seed, 150, without); len(m.problems) > 0 {
					return
				}
			}
			t.Fatal("no history noticed")
		})
	}
}
