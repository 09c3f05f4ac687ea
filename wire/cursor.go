package wire

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Life names one life of a stream: 40 bits that its gateway drew at boot and 24
// bits of run. It says where the stream entered the fleet and since when its
// offsets count. A stream that is restarted comes back with another Life.
type Life uint64

// String is the life as 16 hexadecimal digits.
func (l Life) String() string { return fmt.Sprintf("%016x", uint64(l)) }

// Position is the last offset that was taken from one life of a stream. Offsets
// begin at 1, so 0 means: nothing yet.
type Position struct {
	Life   Life
	Offset uint64
}

// Cursor is a list of positions in its wire form, as SUBSCRIBE carries it. It is
// no secret and valid at any gateway.
type Cursor []byte

// AppendPosition appends one position.
func (c Cursor) AppendPosition(p Position) Cursor {
	return AppendVarint(binary.BigEndian.AppendUint64(c, uint64(p.Life)), p.Offset)
}

// Positions yields the positions; it stops where the bytes are not a cursor,
// which never happens to one that ParseSubscribe returned.
func (c Cursor) Positions() iter.Seq[Position] {
	return func(yield func(Position) bool) {
		for b := []byte(c); len(b) > 8; {
			off, n := ConsumeVarint(b[8:])
			if n <= 0 || !yield(Position{Life(binary.BigEndian.Uint64(b)), off}) {
				return
			}
			b = b[8+n:]
		}
	}
}

// Find is the position of one life.
func (c Cursor) Find(l Life) (Position, bool) {
	for p := range c.Positions() {
		if p.Life == l {
			return p, true
		}
	}
	return Position{}, false
}

// Len is the number of positions.
func (c Cursor) Len() int {
	n := 0
	for range c.Positions() {
		n++
	}
	return n
}
