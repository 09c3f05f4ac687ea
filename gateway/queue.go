package gateway

import "container/list"

// queue is who waits at the gate. Those who resume a TLS session go first, since
// they cost half and were here before; but every fourth place is for the others,
// so that a claim that costs nothing cannot keep them out. Within each, source
// networks take turns: one that sends thousands waits for itself. It holds nobody
// who gave up.
type queue struct {
	lines [2]turns // who resumes, the others
	n     int      // of both
	taken int      // counts what was popped
}

// turns are lines of source networks that take turns: the first one is next, and
// goes to the end if there is more of it. So whoever waits comes when all networks
// before it had one turn, however many new ones appear meanwhile.
type turns struct {
	by    map[uint64]*line
	order list.List // of *line, none empty
	n     int       // waiters of all
}

type line struct {
	network uint64
	waiters list.List // of *waiter
	place   *list.Element
}

// waiter is one that waits; ready is closed when it has a ticket.
type waiter struct {
	ready chan struct{}
	turns *turns
	line  *line
	place *list.Element
}

// everyNth place is for those who do not resume.
const everyNth = 4

// of are the turns of those who resume, or of the others.
func (q *queue) of(resumes bool) (own, other *turns) {
	if resumes {
		return &q.lines[0], &q.lines[1]
	}
	return &q.lines[1], &q.lines[0]
}

func (q *queue) push(w *waiter, network uint64, resumes bool) {
	t, _ := q.of(resumes)
	t.push(w, network)
	q.n++
}

// pop is whose turn it is; nil: nobody waits.
func (q *queue) pop() *waiter {
	if q.n == 0 {
		return nil
	}
	q.taken++
	t, other := q.of(q.taken%everyNth != 0)
	if t.n == 0 {
		t = other
	}
	q.n--
	return t.pop()
}

// drop forgets a waiter that has not been popped.
func (q *queue) drop(w *waiter) {
	w.turns.remove(w)
	q.n--
}

// ahead is about how many would be popped before one of a network that comes now.
// It may be too many, never more than wait.
func (q *queue) ahead(network uint64, resumes bool) int {
	own, other := q.of(resumes)
	n := own.ahead(network)
	between := n/(everyNth-1) + 1
	if !resumes {
		between = (everyNth - 1) * (n + 1)
	}
	return n + min(other.n, between)
}

func (t *turns) push(w *waiter, network uint64) {
	l := t.by[network]
	if l == nil {
		if t.by == nil {
			t.by = map[uint64]*line{}
		}
		l = &line{network: network}
		l.place = t.order.PushBack(l)
		t.by[network] = l
	}
	w.turns, w.line, w.place = t, l, l.waiters.PushBack(w)
	t.n++
}

// pop is the next one; there is one.
func (t *turns) pop() *waiter {
	l := t.order.Front().Value.(*line)
	w := l.waiters.Front().Value.(*waiter)
	t.order.MoveToBack(l.place)
	t.remove(w)
	return w
}

func (t *turns) remove(w *waiter) {
	l := w.line
	l.waiters.Remove(w.place)
	if t.n--; l.waiters.Len() == 0 {
		t.order.Remove(l.place)
		delete(t.by, l.network)
	}
}

// ahead: each network has as many turns before as the one that comes has waiters.
func (t *turns) ahead(network uint64) int {
	own := 0
	if l := t.by[network]; l != nil {
		own = l.waiters.Len()
	}
	return min(t.n, own+(own+1)*t.order.Len())
}
