package gateway

import "github.com/bellwire/bellwire/fanout"

// wheelSize is the number of buckets of one second. Sessions that are due later
// than one turn stay in their bucket and are looked at once a turn.
const wheelSize = 512

// wheel is the timers of one loop: a hashed wheel of slots, linked through the
// slots themselves, so that a timer costs no memory of its own. It has no clock.
type wheel struct {
	slots   *slots
	buckets [wheelSize]fanout.Sub // first slot + 1; 0: none
	turned  uint32                // the last second that was looked at
}

// set makes a slot due at a second, instead of what was set before.
func (w *wheel) set(n fanout.Sub, due uint32) {
	s := w.slots.at(n)
	w.unset(n)
	s.due = due
	b := &w.buckets[due%wheelSize]
	s.next, s.prev = *b, 0
	if *b != 0 {
		w.slots.at(*b - 1).prev = n + 1
	}
	*b = n + 1
}

// unset takes a slot out.
func (w *wheel) unset(n fanout.Sub) {
	s := w.slots.at(n)
	b := &w.buckets[s.due%wheelSize]
	switch {
	case s.prev != 0:
		w.slots.at(s.prev - 1).next = s.next
	case *b == n+1:
		*b = s.next
	default:
		return
	}
	if s.next != 0 {
		w.slots.at(s.next - 1).prev = s.prev
	}
	s.next, s.prev = 0, 0
}

// turn calls due for every slot that is due by now; due sets or unsets it. It is
// false if the time was over first: then it goes on when it is called again.
func (w *wheel) turn(now uint32, due func(fanout.Sub), over func() bool) bool {
	if now-w.turned > wheelSize {
		w.turned = now - wheelSize
	}
	for w.turned != now {
		w.turned++
		for n := w.buckets[w.turned%wheelSize]; n != 0; {
			s := w.slots.at(n - 1)
			this, next := n-1, s.next
			if int32(now-s.due) >= 0 {
				w.unset(this)
				due(this)
				if over() {
					w.turned-- // the rest of this second is looked at again
					return false
				}
			}
			n = next
		}
	}
	return true
}
