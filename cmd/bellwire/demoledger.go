package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/bellwire/bellwire/wire"
)

// demoFate is what the publisher knows of a broadcast.
type demoFate uint8

const (
	fatePending     demoFate = iota // no answer yet
	fatePublished                   // the gateway has acknowledged it
	fateUnknown                     // the gateway was killed before its answer
	fateUnpublished                 // it was never sent
)

// demoBroadcast is one broadcast: where it entered the fleet, and its fate.
type demoBroadcast struct {
	entry int
	fate  demoFate
}

// demoLedger is all that was broadcast, by its number from 1 on. An entry is one life of a gateway: killed and started
// again it is another one.
type demoLedger struct {
	mu         sync.Mutex
	broadcasts []demoBroadcast
	lives      map[wire.Life]int // entry
}

func newDemoLedger() *demoLedger { return &demoLedger{lives: map[wire.Life]int{}} }

// add notes a broadcast that is about to enter, and gives it its number.
func (l *demoLedger) add(entry int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broadcasts = append(l.broadcasts, demoBroadcast{entry: entry})
	return uint64(len(l.broadcasts))
}

func (l *demoLedger) settle(number uint64, fate demoFate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broadcasts[number-1].fate = fate
}

// met notes which entry a life is. It is false if it was another one before.
func (l *demoLedger) met(life wire.Life, entry int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known := l.lives[life]
	l.lives[life] = entry
	return !known || before == entry
}

// demoPage is a copy of a ledger, to count by.
type demoPage struct {
	broadcasts []demoBroadcast
	lives      map[wire.Life]int
}

func (l *demoLedger) page() demoPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return demoPage{broadcasts: slices.Clone(l.broadcasts), lives: maps.Clone(l.lives)}
}

// count is how many broadcasts have a fate.
func (p demoPage) count(fate demoFate) int64 {
	n := int64(0)
	for _, b := range p.broadcasts {
		if b.fate == fate {
			n++
		}
	}
	return n
}

// demoAccount is what one device, or all together, can say of the broadcasts that were acknowledged.
type demoAccount struct {
	arrived int64
	gaps    int64 // announced as gaps with a number
	ended   int64 // behind the end of a killed gateway's stream
	vague   int64 // behind a gap without a number
	missing int64 // nobody said anything
	wrong   demoWrongs
}

// demoWrongs is what must never be.
type demoWrongs struct {
	twice       int64
	order       int64 // after a later one of the same gateway
	altered     int64 // or of a life that is another gateway's
	unpublished int64 // it was never sent, or its publisher was told that
	announced   int64 // as missing, though nothing is
}

func (w *demoWrongs) add(v demoWrongs) {
	w.twice += v.twice
	w.order += v.order
	w.altered += v.altered
	w.unpublished += v.unpublished
	w.announced += v.announced
}

// err names what has happened.
func (w demoWrongs) err() error {
	if w == (demoWrongs{}) {
		return nil
	}
	return fmt.Errorf("what must never be: %s messages came twice, %s out of order, %s altered, %s that were never published, and %s were announced as missing that had come",
		grouped(w.twice), grouped(w.order), grouped(w.altered), grouped(w.unpublished), grouped(w.announced))
}

func (a *demoAccount) add(b demoAccount) {
	a.arrived += b.arrived
	a.gaps += b.gaps
	a.ended += b.ended
	a.vague += b.vague
	a.missing += b.missing
	a.wrong.add(b.wrong)
}

// demoReceipt is what one device got.
type demoReceipt struct {
	seen    []bool         // by number-1
	last    map[int]uint64 // number of the last message of an entry
	gaps    int64          // messages that it was told will not come
	unsized int64          // gaps without a number
	ends    []wire.Life    // whose end it was told
	wrong   demoWrongs
}

// take notes a message; it says whether it is a new one.
func (r *demoReceipt) take(number uint64, entry int) bool {
	if number == 0 || number > mostBroadcasts {
		r.wrong.altered++
		return false
	}
	for uint64(len(r.seen)) < number {
		r.seen = append(r.seen, false)
	}
	if r.last == nil {
		r.last = map[int]uint64{}
	}
	if r.seen[number-1] {
		r.wrong.twice++
		return false
	}
	if number <= r.last[entry] {
		r.wrong.order++
	}
	r.seen[number-1], r.last[entry] = true, max(number, r.last[entry])
	return true
}

// mostBroadcasts bounds what an altered number can make a device remember.
const mostBroadcasts = 1 << 24

// account holds a receipt against what was broadcast. What is missing has to be announced, and nothing beyond it.
func (r *demoReceipt) account(page demoPage) demoAccount {
	ended := map[int]bool{}
	for _, life := range r.ends {
		if entry, known := page.lives[life]; known {
			ended[entry] = true
		}
	}
	a := demoAccount{wrong: r.wrong}
	doubtful := int64(0)
	for i, b := range page.broadcasts {
		seen := i < len(r.seen) && r.seen[i]
		switch {
		case b.fate == fatePublished && seen:
			a.arrived++
		case b.fate == fatePublished && ended[b.entry]:
			a.ended++
		case b.fate == fatePublished:
			a.missing++
		case b.fate == fateUnpublished && seen:
			a.wrong.unpublished++
		case !seen:
			doubtful++ // it may have got as far as an offset, which is then announced
		}
	}
	left := r.gaps
	for _, missing := range []*int64{&a.missing, &a.ended} {
		announced := min(left, *missing)
		left, *missing, a.gaps = left-announced, *missing-announced, a.gaps+announced
	}
	if left > doubtful {
		a.wrong.announced += left - doubtful
	}
	if r.unsized > 0 {
		a.vague, a.missing = a.missing, 0
	}
	return a
}
