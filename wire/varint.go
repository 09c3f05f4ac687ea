package wire

import "math/bits"

// AppendVarint appends v in its shortest form, least significant group first;
// v is at most MaxVarint [W-2.1].
func AppendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// VarintLen is the number of bytes that AppendVarint appends.
func VarintLen(v uint64) int {
	if v < 0x80 {
		return 1
	}
	return (bits.Len64(v) + 6) / 7
}

// ConsumeVarint reads a varint from the front of b and says how many bytes it
// took: 0 if b ends too early, -1 if it is longer than nine bytes or not in its
// shortest form [W-2.1].
func ConsumeVarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i, c := range b {
		if i == 9 {
			return 0, -1
		}
		v |= uint64(c&0x7F) << (7 * i)
		if c < 0x80 {
			if c == 0 {
				return 0, -1
			}
			return v, i + 1
		}
	}
	if len(b) >= 9 {
		return 0, -1
	}
	return 0, 0
}
