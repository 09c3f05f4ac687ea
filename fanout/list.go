package fanout

import "slices"

// linearSearch is the length up to which a list finds a subscriber by looking at all of them: 256 bytes, four cache
// lines, which beats a map and costs no memory.
const linearSearch = 64

// list is a set of subscribers in an order that suits walking: removing puts the last one into the gap, so a walk from
// the end downwards never misses anybody. It belongs to one loop.
type list struct {
	subs []Sub
	at   map[Sub]uint32 // places in subs; nil while the list is short
}

func (l *list) find(s Sub) int {
	if l.at == nil {
		return slices.Index(l.subs, s)
	}
	if i, ok := l.at[s]; ok {
		return int(i)
	}
	return -1
}

func (l *list) add(s Sub) bool {
	if l.find(s) >= 0 {
		return false
	}
	l.subs = append(l.subs, s)
	switch {
	case l.at != nil:
		l.at[s] = uint32(len(l.subs) - 1)
	case len(l.subs) > linearSearch:
		l.remember()
	}
	return true
}

func (l *list) remove(s Sub) bool {
	i := l.find(s)
	if i < 0 {
		return false
	}
	last := len(l.subs) - 1
	moved := l.subs[last]
	l.subs[i] = moved
	l.subs = l.subs[:last]
	if l.at != nil {
		l.at[moved] = uint32(i)
		delete(l.at, s)
	}
	if cap(l.subs) > 2*linearSearch && 4*last < cap(l.subs) {
		l.shrink()
	}
	return true
}

// shrink gives memory back after many have left. Maps do not shrink, so it makes a new one. It runs once per at least
// cap/4 removals.
func (l *list) shrink() {
	l.subs = append(make([]Sub, 0, 2*len(l.subs)), l.subs...)
	l.at = nil
	if len(l.subs) > linearSearch {
		l.remember()
	}
}

func (l *list) remember() {
	l.at = make(map[Sub]uint32, len(l.subs))
	for i, s := range l.subs {
		l.at[s] = uint32(i)
	}
}
