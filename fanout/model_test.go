package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// The model: one topic, two loops with mailboxes, sessions that subscribe by name (from now on, or from a position that is
// replayed first) and by wildcard, and publishers. It runs on one goroutine; where real ones could be interrupted it goes
// off and lets others do something, unless these would wait for the stream's lock or for a loop that is busy. So every
// interleaving that matters can happen and a seed tells it again.
//
// The checker is a device that counts. It knows:
//
//	order      each message has the position that the device expects; what is missing was announced before
//	told       a member of a group was told about the topic, after it joined, before its first message
//	late       a member gets every message whose publish began after it joined
//	stranger   nobody gets a message who is not subscribed
//	tail       when all is quiet every device has come to the top
type world struct {
	t      testing.TB
	rng    *rand.Rand
	index  *fanout.Index
	topic  *fanout.Topic
	boxes  [modelLoops][]item
	busy   [modelLoops]bool // code of this loop is under way
	deep   int              // how many operations were interrupted
	nobody fanout.Sub       // the next slot

	devices  map[fanout.Sub]*device
	problems []string
}

const modelLoops = 2

// item is a message, or a start if device is set.
type item struct {
	offset uint64
	start  *device
	next   uint64
}

type device struct {
	slot     fanout.Sub
	loop     int
	state    state
	position uint64 // what it expects next; 0: was not told yet
	last     uint64 // the last mailbox entry that it took
	reader   fanout.Reader
	group    *fanout.Group
	tracks   bool
	first    uint64 // of a member: the position that it was told
	due      uint64 // the first message whose publish began after it joined
}

type state int

const (
	gone state = iota
	replaying
	starting // its start is in the mailbox
	live
	inGroup
)

func newWorld(t testing.TB, seed uint64, without string) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 9)), devices: map[fanout.Sub]*device{}}
	w.index = newIndex(t, fanout.Config{Loops: modelLoops, Ring: fanout.RingLimits{Messages: 3}})
	if without != "" {
		w.index.Without(without)
	}
	w.topic = ensure(t, w.index, "a/b")
	return w
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// elsewhere is a point where other goroutines may come in between.
func (w *world) elsewhere() {
	if w.deep > 2 {
		return
	}
	w.deep++
	for range w.rng.IntN(3) {
		w.step()
	}
	w.deep--
}

// step lets somebody do something that does not have to wait.
func (w *world) step() {
	free := !w.topic.Stream().Locked()
	if free && w.rng.IntN(3) == 0 {
		w.publish()
		return
	}
	loop := w.rng.IntN(modelLoops)
	if w.busy[loop] {
		return
	}
	w.busy[loop] = true
	defer func() { w.busy[loop] = false }()
	switch w.rng.IntN(11) {
	case 0:
		w.join(loop)
	case 1:
		w.leave(loop)
	case 2:
		if free {
			w.subscribe(loop)
		}
	case 3:
		if free {
			w.resume(loop)
		}
	case 4, 5:
		if free {
			w.replay(loop)
		}
	case 6:
		w.index.Sweep(1 + w.rng.IntN(3)) // part of a pass
	default:
		w.drain(loop)
	}
}

func (w *world) publish() {
	var waiting []*device
	for _, slot := range w.slots() {
		if d := w.devices[slot]; d.state == inGroup && d.due == 0 {
			waiting = append(waiting, d)
		}
	}
	w.elsewhere()
	offset := w.topic.Stream().Publish(0,
		func(uint64, bool) fanout.Entry {
			w.elsewhere()
			return fanout.Entry{}
		},
		func(loops, _ uint64, e fanout.Entry) {
			for loop := range modelLoops {
				w.elsewhere()
				if loops>>loop&1 != 0 {
					w.boxes[loop] = append(w.boxes[loop], item{offset: e.Offset})
				}
			}
		})
	for _, d := range waiting {
		if d.due == 0 {
			d.due = offset
		}
		if d.first > d.due {
			w.problem("late: %d joined before %d was published and was told %d", d.slot, d.due, d.first)
		}
	}
}

func (w *world) device(loop int, s state) *device {
	d := &device{slot: w.nobody, loop: loop, state: s}
	w.nobody++
	w.devices[d.slot] = d
	return d
}

func (w *world) slots() []fanout.Sub {
	slots := make([]fanout.Sub, 0, len(w.devices))
	for s := range w.devices {
		slots = append(slots, s)
	}
	slices.Sort(slots)
	return slots
}

// pick returns a random device of the loop in one of the states, nil if there is none.
func (w *world) pick(loop int, states ...state) *device {
	var found []*device
	for _, s := range w.slots() {
		if d := w.devices[s]; d.loop == loop && slices.Contains(states, d.state) {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[w.rng.IntN(len(found))]
}

func (w *world) join(loop int) {
	filters := []string{"a/+", "#"}
	d := w.device(loop, inGroup)
	d.tracks = w.rng.IntN(2) == 0
	d.group = w.index.Join(loop, filters[w.rng.IntN(len(filters))], d.slot, d.tracks)
}

func (w *world) leave(loop int) {
	d := w.pick(loop, live, inGroup)
	if d == nil {
		return
	}
	if d.state == live {
		require.True(w.t, w.topic.Remove(loop, d.slot))
	} else {
		w.index.Leave(d.group, d.slot, d.tracks)
	}
	d.state = gone
	delete(w.devices, d.slot)
}

func (w *world) subscribe(loop int) {
	d := w.device(loop, starting)
	w.topic.Hold(loop)
	w.topic.Stream().Mark(func(next uint64) {
		w.elsewhere()
		d.position = next
		w.boxes[loop] = append(w.boxes[loop], item{start: d, next: next})
	})
}

func (w *world) resume(loop int) {
	s := w.topic.Stream()
	d := w.device(loop, replaying)
	from := s.Next() - min(s.Next()-1, w.rng.Uint64N(6))
	d.reader, d.position = s.Reader(from), from
	w.topic.Hold(loop)
}

func (w *world) replay(loop int) {
	d := w.pick(loop, replaying)
	if d == nil {
		return
	}
	if d.reader.Join(func(next uint64) {
		w.elsewhere()
		w.boxes[loop] = append(w.boxes[loop], item{start: d, next: next})
	}) {
		d.state = starting
		return
	}
	e, missed, ok := d.reader.Next(0)
	d.position += missed // a GAP
	if ok {
		w.deliver(d, e.Offset)
	}
}

func (w *world) deliver(d *device, offset uint64) {
	if offset != d.position {
		w.problem("order: %d expects %d and gets %d", d.slot, d.position, offset)
	}
	d.position = offset + 1
}

// drain takes one item out of the loop's mailbox.
func (w *world) drain(loop int) {
	if len(w.boxes[loop]) == 0 {
		return
	}
	it := w.boxes[loop][0]
	w.boxes[loop] = w.boxes[loop][1:]
	if d := it.start; d != nil {
		if d.position != it.next {
			w.problem("order: %d has come to %d and starts at %d", d.slot, d.position, it.next)
		}
		w.topic.Add(loop, d.slot)
		w.topic.Release(loop)
		d.state = live
		return
	}
	for walk := w.topic.WalkFor(loop, it.offset); ; {
		subs, link := walk.Next(1 + w.rng.IntN(2))
		if len(subs) == 0 {
			return
		}
		if link != nil && !link.Told() {
			w.tell(link, it.offset)
		}
		for _, s := range subs {
			w.take(s, link, it.offset)
		}
		for range w.rng.IntN(2) { // the walk is suspended and someone leaves
			w.leave(loop)
		}
	}
}

// tell gives all members of the group the position of the message that is on its way.
func (w *world) tell(link *fanout.Link, offset uint64) {
	for _, s := range w.slots() {
		d := w.devices[s]
		if d.group != link.Group() || d.position != 0 {
			continue
		}
		d.position, d.first = offset, offset
		if d.due != 0 && offset > d.due {
			w.problem("late: %d joined before %d was published and is told %d", s, d.due, offset)
		}
	}
	link.SetTold()
}

func (w *world) take(s fanout.Sub, link *fanout.Link, offset uint64) {
	d := w.devices[s]
	switch {
	case d == nil || d.state != live && d.state != inGroup || (link == nil) != (d.state == live):
		w.problem("stranger: %d gets %d", s, offset)
	case d.last == offset: // twice in one walk
	case d.position == 0:
		w.problem("told: %d gets %d without knowing the topic", s, offset)
	default:
		d.last = offset
		w.deliver(d, offset)
	}
}

// settle lets everything come to an end and checks what is left.
func (w *world) settle() {
	w.deep = 100
	for loop := range modelLoops {
		for d := w.pick(loop, replaying); d != nil; d = w.pick(loop, replaying) {
			w.replay(loop)
		}
	}
	w.publish() // must reach everybody
	for loop := range modelLoops {
		for len(w.boxes[loop]) > 0 {
			w.drain(loop)
		}
	}
	next := w.topic.Stream().Next()
	for _, s := range w.slots() {
		if d := w.devices[s]; d.position != next && d.state != gone {
			w.problem("tail: %d is at %d of %d", s, d.position, next)
		}
	}
}

func runModel(t testing.TB, seed uint64, without string) []string {
	w := newWorld(t, seed, without)
	for range 150 {
		w.step()
	}
	w.settle()
	return w.problems
}

// Whatever happens a device gets each position once, in order, or hears that it is missing (BC-7).
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		require.Empty(t, runModel(t, seed, ""), "seed %d", seed)
	}
}

// Each rule is needed: without it the checker finds the problem that it is there for.
func TestModelWithoutRules(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		fanout.PostUnderLock:   "order",
		fanout.MarkUnderLock:   "order",
		fanout.JoinAtTop:       "order",
		fanout.TellOvertaken:   "order",
		fanout.TellJoiners:     "told",
		fanout.AnnounceFilters: "late",
		fanout.BeginGroups:     "order",
		fanout.WalkDownwards:   "order|tail",
		fanout.KeepLinks:       "order|tail|late",
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(1500) {
				if problems := runModel(t, seed, rule); len(problems) > 0 {
					require.Regexp(t, "^("+want+"):", problems[0], "seed %d", seed)
					t.Logf("seed %d: %s", seed, problems[0])
					return
				}
			}
			t.Fatal("nobody noticed")
		})
	}
}
