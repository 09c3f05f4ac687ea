package history

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errAltered = errors.New("history: the payload is not what was published")
)

// AppendPayload appends a payload that says which message it is: its origin's name, of which there is room for 255 bytes, and
// its number, in at least size bytes, with a checksum over all of it.
func AppendPayload(dst []byte, origin string, number uint64, size int) []byte {
	begin := len(dst)
	origin = origin[:min(len(origin), 255)]
	dst = append(dst, byte(len(origin)))
	dst = append(dst, origin...)
	dst = binary.AppendUvarint(dst, number)
	for len(dst)-begin < size-4 {
		dst = append(dst, byte(number)+byte(len(dst)-begin))
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// ParsePayload says which message a payload is. origin aliases b. The error means that it is none that AppendPayload made.
func ParsePayload(b []byte) (origin []byte, number uint64, err error) {
	if len(b) < 6 {
		return nil, 0, errAltered
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(body):]) || len(body) <= int(body[0]) {
		return nil, 0, errAltered
	}
	behind := 1 + int(body[0])
	origin, rest := body[1:behind], body[behind:]
	number, n := binary.Uvarint(rest)
	if n <= 0 || number == 0 {
		return nil, 0, errAltered
	}
	return origin, number, nil
}
