package history

import "math/bits"

// Spread is how many durations of which size there were. A bucket is at most 1/16 wider than its lower end.
type Spread struct {
	buckets [61 * 16]uint64
	count   uint64
	most    int64
}

// add counts one; below 0 is 0.
func (s *Spread) add(nanos int64) {
	nanos = max(nanos, 0)
	s.buckets[bucket(uint64(nanos))]++
	s.count++
	s.most = max(s.most, nanos)
}

// merge adds all of another one.
func (s *Spread) merge(other *Spread) {
	for i, n := range other.buckets {
		s.buckets[i] += n
	}
	s.count += other.count
	s.most = max(s.most, other.most)
}

// Count is how many there were.
func (s *Spread) Count() uint64 { return s.count }

// Most is the longest, in nanoseconds.
func (s *Spread) Most() int64 { return s.most }

// Quantile is the nanoseconds that a part q (0–1) of them did not exceed, rounded up by at most 1/16.
func (s *Spread) Quantile(q float64) int64 {
	rank := uint64(q * float64(s.count))
	for i, n := range s.buckets {
		if rank < n {
			return min(int64(lowerEnd(i+1))-1, s.most)
		}
		rank -= n
	}
	return s.most
}

// bucket is the place of a duration: below 16 each has its own, above it the highest five bits decide.
func bucket(n uint64) int {
	if n < 16 {
		return int(n)
	}
	exp := bits.Len64(n) - 5
	return exp*16 + int(n>>exp)
}

// lowerEnd is the least duration of a bucket.
func lowerEnd(i int) uint64 {
	if i < 32 {
		return uint64(i)
	}
	exp := i/16 - 1
	return uint64(i-exp*16) << exp
}
