package gateway

import "github.com/bellwire/bellwire/fanout"

// mark is how much was gathered at some moment of a loop.
type mark struct{ dirty, nodes, arena int }

func (l *loop) mark() mark { return mark{len(l.dirty), len(l.nodes), len(l.arena)} }

// cutBack frees what was gathered since the mark, if it was all for one session,
// which has it. A walk may be suspended meanwhile, for as long as devices keep the
// loop busy: without this, answers would pile up until it is done.
func (l *loop) cutBack(m mark, n fanout.Sub) {
	if len(l.dirty) < m.dirty || len(l.nodes) < m.nodes || len(l.arena) < m.arena || l.slots.at(n).head != 0 {
		return // nothing of it is left, or it was not flushed
	}
	for _, other := range l.dirty[m.dirty:] {
		if other != n {
			return
		}
	}
	l.dirty = l.dirty[:m.dirty]
	clear(l.nodes[m.nodes:])
	l.nodes, l.arena = l.nodes[:m.nodes], l.arena[:m.arena]
}
