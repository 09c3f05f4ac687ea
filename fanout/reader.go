package fanout

// Reader is a place in a stream from which kept messages are read one by one. It copies nothing, so the ring may
// overtake it; it then says how many positions it has missed. A Reader is a small value; it must not be used by two
// goroutines at once.
type Reader struct {
	stream *Stream
	offset uint64
}

// Reader returns a reader whose next position is from. A position that the stream has not reached yet is taken as its
// top.
func (s *Stream) Reader(from uint64) Reader {
	return Reader{stream: s, offset: min(max(from, firstOffset), s.Next())}
}

// Offset returns the reader's next position.
func (r *Reader) Offset() uint64 { return r.offset }

// Next returns the next message that is still kept at now and goes past it. missed is how many positions before it the
// ring no longer held. If nothing is left ok is false, and missed counts the positions up to the top.
func (r *Reader) Next(now uint32) (e Entry, missed uint64, ok bool) {
	s := r.stream
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	s.expire(now)
	found := s.ring.since(r.offset)
	if found != nil {
		e, ok = *found, true
		missed = e.Offset - r.offset
		r.offset = e.Offset + 1
	} else {
		missed = s.next - r.offset
		r.offset = s.next
	}
	if s.topic.index.without.tellOvertaken {
		missed = 0
	}
	return e, missed, ok
}

// Join calls fn under the stream's lock and returns true if the reader is at the top; next is then the reader's
// position, and a marker that fn posts is where the live list takes over. Otherwise it returns false and there is more
// to read.
func (r *Reader) Join(fn func(next uint64)) bool {
	s := r.stream
	mu := s.lock()
	mu.Lock()
	defer mu.Unlock()
	if r.offset != s.next && !s.topic.index.without.joinAtTop {
		return false
	}
	fn(s.next)
	return true
}
