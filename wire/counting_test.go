package wire_test

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

type countingVector struct {
	Name, Start string
	Had         []positionVector
	Frames      []string
	Events      []countingEvent
	Positions   []positionVector
	Broken      bool
}

type countingEvent struct {
	Take    uint64
	Life    string
	Payload string
	Lost    *uint64
	Reason  uint8
}

type positionVector struct {
	Life   string
	Offset uint64
}

// counter is a device of level 1 with one topic: the pseudo-code of [W-11.2],
// line by line, so that the text is known to work.
type counter struct {
	topic    wire.TopicID
	resuming bool
	cursor   map[wire.Life]bool // sent in SUBSCRIBE, and no STREAM so far
	had      map[wire.Life]uint64
	bound    map[uint32]*counted // by origin
	main     uint32
	take     func(life wire.Life, offset uint64, payload []byte)
	missing  func(life wire.Life, known bool, n uint64, why wire.Reason) // known: of a tracked stream
	ignore   string                                                      // the rule that is taken out, for the control
}

type counted struct {
	life   wire.Life
	next   uint64 // 0: unknown
	sparse bool
}

var errBroken = errors.New("a position that nobody announced")

func (d *counter) frame(t wire.Type, body []byte) error {
	f, ok, err := parse(t, body)
	if !ok || err != nil {
		return err
	}
	switch f := f.(type) {
	case wire.Subscribed:
		d.topic, d.resuming = f.Topic, d.cursor != nil && f.Code != wire.CodeOKLiveOnly
	case wire.Stream:
		d.stream(f)
	case wire.Gap:
		return d.gap(f)
	case wire.Message:
		return d.message(f)
	case wire.End:
		d.end(f)
	case wire.Live:
		d.resuming = false
		for life := range d.cursor {
			d.missing(life, true, 0, 0)
			delete(d.had, life)
		}
		d.cursor = nil
	}
	return nil
}

func (d *counter) stream(f wire.Stream) {
	if old := d.bound[f.Origin]; old != nil && old.life != f.Life && d.ignore != "life" {
		delete(d.had, old.life)
	}
	s := &counted{f.Life, f.Next, f.Flags&wire.StreamSparse != 0}
	d.bound[f.Origin] = s
	delete(d.cursor, f.Life)
	if f.Flags&wire.StreamMain != 0 {
		d.main = f.Origin
	}
	if _, ok := d.had[f.Life]; !ok {
		if d.resuming {
			d.had[f.Life] = 0
		} else {
			d.had[f.Life] = f.Next - 1
		}
	}
	if had := d.had[f.Life]; !s.sparse && f.Next > had+1 && d.ignore != "stream" {
		d.missing(f.Life, true, f.Next-1-had, 0)
		d.had[f.Life] = f.Next - 1
	}
}

func (d *counter) gap(f wire.Gap) error {
	s := d.bound[f.Origin]
	if f.Topic != d.topic {
		s = nil
	}
	switch {
	case s == nil || s.sparse:
		if f.Reason != wire.ReasonOwn {
			d.missing(0, s != nil, f.Count, f.Reason)
		}
	case f.Count == 0:
		d.missing(s.life, true, 0, f.Reason)
		s.next = 0
	case s.next == 0:
		d.missing(s.life, true, f.Count, f.Reason)
	case f.Count > wire.MaxVarint-s.next:
		return errBroken
	case d.ignore == "own" && f.Reason == wire.ReasonOwn:
	default:
		s.next += f.Count
		if had := d.had[s.life]; s.next-1 > had {
			if f.Reason != wire.ReasonOwn {
				d.missing(s.life, true, s.next-1-had, f.Reason)
			}
			d.had[s.life] = s.next - 1
		}
	}
	return nil
}

func (d *counter) message(f wire.Message) error {
	origin := f.Origin
	if origin == 0 {
		origin = d.main
	}
	s := d.bound[origin]
	if s == nil && d.ignore == "told" {
		d.take(0, 0, f.Payload)
		return nil
	}
	if s == nil {
		return errBroken // its one subscription tracks
	}
	full := f.Form >= wire.OffsetFull
	pos := s.next
	if full {
		pos = f.Offset
	}
	switch {
	case pos == 0:
		return errBroken
	case f.Form == wire.OffsetLow && byte(f.Offset) != byte(pos) && d.ignore != "check":
		return errBroken
	case full && !s.sparse && s.next != 0 && pos < s.next:
		return nil
	case full && !s.sparse && s.next != 0 && pos > s.next && d.ignore != "jump":
		return errBroken
	}
	s.next = pos + 1
	if pos > d.had[s.life] || d.ignore == "had" {
		d.had[s.life] = pos
		d.take(s.life, pos, f.Payload)
	}
	return nil
}

func (d *counter) end(f wire.End) {
	s := d.bound[f.Origin]
	if s == nil || f.Topic != 0 && f.Topic != d.topic {
		return
	}
	if f.How == wire.EndComplete || f.How == wire.EndRestarted {
		delete(d.had, s.life)
	} else {
		d.missing(s.life, true, 0, 0)
	}
	delete(d.bound, f.Origin)
}

// event is what a device tells its application.
type event struct {
	taken   bool
	life    string
	n       uint64
	reason  uint8
	payload string
}

func (v countingVector) run(t *testing.T, ignore string) (events []event, had map[wire.Life]uint64, err error) {
	d := &counter{had: map[wire.Life]uint64{}, bound: map[uint32]*counted{}, ignore: ignore}
	if v.Start == "cursor" {
		d.cursor = map[wire.Life]bool{}
	}
	for _, p := range v.Had {
		d.had[parseLife(t, p.Life)] = p.Offset
		d.cursor[parseLife(t, p.Life)] = true
	}
	d.take = func(life wire.Life, offset uint64, payload []byte) {
		events = append(events, event{taken: true, life: life.String(), n: offset, payload: hex.EncodeToString(payload)})
	}
	d.missing = func(life wire.Life, known bool, n uint64, why wire.Reason) {
		e := event{n: n, reason: uint8(why)}
		if known {
			e.life = life.String()
		}
		events = append(events, e)
	}
	for i, b := range hexes(t, v.Frames) {
		typ, body, _, err := wire.Next(b, 128)
		require.NoError(t, err)
		if err := d.frame(typ, body); err != nil {
			require.Equal(t, len(v.Frames)-1, i, "error before the last frame")
			return events, d.had, err
		}
	}
	return events, d.had, nil
}

func (v countingVector) want(t *testing.T) (events []event, had map[wire.Life]uint64) {
	for _, e := range v.Events {
		if e.Lost != nil {
			events = append(events, event{life: e.Life, n: *e.Lost, reason: e.Reason})
		} else {
			events = append(events, event{taken: true, life: e.Life, n: e.Take, payload: e.Payload})
		}
	}
	had = map[wire.Life]uint64{}
	for _, p := range v.Positions {
		had[parseLife(t, p.Life)] = p.Offset
	}
	return events, had
}

// The rules of [W-6.7], as the pseudo-code has them, explain every scenario.
func TestVectorCounting(t *testing.T) {
	for _, v := range load(t).Counting {
		t.Run(v.Name, func(t *testing.T) {
			events, had, err := v.run(t, "")
			if v.Broken {
				require.ErrorIs(t, err, errBroken)
			} else {
				require.NoError(t, err)
			}
			wantEvents, wantHad := v.want(t)
			require.Equal(t, wantEvents, events)
			require.Equal(t, wantHad, had)
		})
	}
}

// Each rule taken out shows in a scenario, so the scenarios hold the rules.
func TestVectorCountingNeedsEveryRule(t *testing.T) {
	for _, rule := range []string{"stream", "own", "check", "jump", "had", "life", "told"} {
		t.Run(rule, func(t *testing.T) {
			var failing []string
			for _, v := range load(t).Counting {
				events, had, err := v.run(t, rule)
				wantEvents, wantHad := v.want(t)
				if v.Broken != (err != nil) || !equal(wantEvents, events) || !equal(wantHad, had) {
					failing = append(failing, v.Name)
				}
			}
			require.NotEmpty(t, failing, "no scenario needs the rule")
		})
	}
}
