package history

// Settling is how long the subscribers took to settle after a fault: until nothing came any more that was late because of a
// fault, no gap, no END, and until they were back. Who noticed nothing took no time. What is late for no fault is in
// Report.Delays: a machine that has too much to do is late without one.
type Settling struct {
	At    int64 // when
	Fault Kind
	Took  Spread // of each subscriber
}

// begin is a fault, or the end of one, such as that a gateway is started again.
func (c *Checker) begin(e Event) {
	c.epochs = append(c.epochs, &Settling{At: e.At, Fault: e.Kind})
}

// unsettled notes that a subscriber has not settled yet.
func (c *Checker) unsettled(s *subscriber, at int64) {
	c.settle(s)
	s.unsettle = max(s.unsettle, at)
}

// settle closes the account of the faults before the last one.
func (c *Checker) settle(s *subscriber) {
	for ; s.epoch < len(c.epochs); s.epoch++ {
		if s.epoch > 0 {
			c.settled(s, s.epoch-1, c.epochs[s.epoch].At)
		}
		s.unsettle = 0
	}
}

// settled notes how long a subscriber took. until is when the account ends: who is away has not settled.
func (c *Checker) settled(s *subscriber, epoch int, until int64) {
	e := c.epochs[epoch]
	switch {
	case s.joined > e.At:
	case s.away:
		e.Took.add(until - e.At)
	default:
		e.Took.add(max(s.unsettle-e.At, 0))
	}
}
