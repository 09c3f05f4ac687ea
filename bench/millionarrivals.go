package bench

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// arrivals are the times at which devices received a message, in microseconds
// from the instant of its publication.
type arrivals []uint32

// text is the sorted times in one word: base64 of the differences as varints, so
// a byte or two per device.
func (a arrivals) text() string {
	slices.Sort(a)
	b, last := make([]byte, 0, 2*len(a)), uint32(0)
	for _, v := range a {
		b = binary.AppendUvarint(b, uint64(v-last))
		last = v
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// parseArrivals reads what text wrote.
func parseArrivals(s string) (arrivals, error) {
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("arrival times: %w", err)
	}
	var all arrivals
	last := uint64(0)
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<32-1 || last+v > 1<<32-1 {
			return nil, errors.New("arrival times: not a list of microseconds")
		}
		last += v
		all = append(all, uint32(last))
		b = b[n:]
	}
	return all, nil
}

// reached is when a share (0–1) of the devices had the message, which is when
// the device at that place of the order had it; the list must be sorted and not
// empty.
func (a arrivals) reached(share float64) time.Duration {
	// The place is ⌈share·n⌉, counted from one; a hair less so that 0.99·100 is 99.
	place := int(share*float64(len(a)) - 1e-9)
	return time.Duration(a[min(place, len(a)-1)]) * time.Microsecond
}
