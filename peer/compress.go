package peer

import (
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"
)

const (
	leastS2 = 512 // bytes of entries below which compression is not tried
	// restS2 is how many batches at most go as they are before another one is tried, after those tried did not shrink.
	restS2 = 64
)

// compressor makes frames of batches, with S2 where it pays. One goroutine uses it at a time.
type compressor struct {
	off   bool
	clock func() time.Duration // for the CPU that it takes; nil: not measured
	rest  int                  // batches to leave alone
	pause int                  // how many the last failure meant
	buf   []byte
}

// frame makes the frame of a batch. saved is how many bytes shorter compression made it, and cost what trying took.
func (c *compressor) frame(seq uint64, entries []byte) (frame []byte, saved int, cost time.Duration) {
	flags := uint8(0)
	body := entries
	if !c.off && len(entries) >= leastS2 {
		if c.rest > 0 {
			c.rest--
		} else {
			body, flags, cost = c.try(entries)
		}
	}
	return appendBatch(make([]byte, 0, len(body)+16), seq, flags, body), len(entries) - len(body), cost
}

// try compresses. An eighth is what it has to bring: less is not worth what it takes to undo.
func (c *compressor) try(entries []byte) (body []byte, flags uint8, cost time.Duration) {
	var begun time.Duration
	if c.clock != nil {
		begun = c.clock()
	}
	if need := s2.MaxEncodedLen(len(entries)); cap(c.buf) < need {
		c.buf = make([]byte, need)
	}
	small := s2.Encode(c.buf[:cap(c.buf)], entries)
	if cap(c.buf) > 4*fullBatch {
		c.buf = nil
	}
	if c.clock != nil {
		cost = c.clock() - begun
	}
	if len(small) > len(entries)-len(entries)/8 {
		c.pause = min(max(1, 2*c.pause), restS2)
		c.rest = c.pause
		return entries, 0, cost
	}
	c.pause = 0
	return small, flagS2, cost
}

// expand undoes it into buf. How long it will be is checked before there is room for it: few bytes can say that they are
// many.
func expand(buf, small []byte, unbounded bool) ([]byte, error) {
	n, err := s2.DecodedLen(small)
	if err != nil {
		return buf, &CloseError{Why: Broken, Text: "a compressed batch: " + err.Error()}
	}
	if n > maxBody && !unbounded {
		return buf, &CloseError{Why: Bomb, Text: fmt.Sprintf("%d bytes become %d, want at most %d", len(small), n, maxBody)}
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	out, err := s2.Decode(buf[:n], small)
	if err != nil {
		return buf, &CloseError{Why: Broken, Text: "a compressed batch: " + err.Error()}
	}
	return out, nil
}
