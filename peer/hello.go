package peer

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// The versions of the peer protocol that this package speaks.
const (
	minVersion = 1
	maxVersion = 1
)

// Kinds of connection between two gateways.
const (
	kindBatches = 0
	kindRelays  = 1
)

const magic = "BWP"

// hello is the first frame of each side.
type hello struct {
	kind     uint8
	min, max uint8 // versions
	cluster  string
	name     string
	life     wire.Life
	filters  uint64 // hash of the broadcast filters
	lastOf   wire.Life
	last     uint64 // the last batch that is held of that life of the other side
	// age is how long the life has been going on; 0: it was not said. It is TLV 1, in milliseconds.
	age time.Duration
}

const (
	tlvAge = 1
	maxAge = 1 << 62 // of what is said; nanoseconds
)

func (h hello) frame() []byte {
	dst := append(append(begin(nil), magic...), h.kind, h.min, h.max)
	dst = appendStr(appendStr(dst, h.cluster), h.name)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.life))
	dst = binary.BigEndian.AppendUint64(dst, h.filters)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.lastOf))
	dst = wire.AppendVarint(dst, h.last)
	if h.age >= time.Millisecond {
		dst = wire.AppendTLV(dst, tlvAge, wire.AppendVarint(nil, uint64(h.age/time.Millisecond)))
	}
	return finish(dst, 0, typeHello)
}

// parseHello reads a HELLO. Of another version only the versions are read: the rest may have changed.
func parseHello(body []byte) (hello, error) {
	f := fields{t: typeHello, b: body}
	for i := range len(magic) {
		if f.u8("magic") != magic[i] && f.err == nil {
			f.fail("this is not a gateway")
		}
	}
	h := hello{kind: f.u8("kind"), min: f.u8("min"), max: f.u8("max")}
	if f.err == nil && (h.min > maxVersion || h.max < minVersion) {
		return h, &CloseError{Why: Version, Text: fmt.Sprintf("want %d to %d, not %d to %d", minVersion, maxVersion, h.min, h.max)}
	}
	h.cluster, h.name = string(f.name("cluster", maxName)), string(f.name("name", maxName))
	h.life, h.filters = wire.Life(f.u64("life")), f.u64("filters")
	h.lastOf, h.last = wire.Life(f.u64("life held")), f.varint("last")
	if f.err == nil {
		f.names(h)
	}
	for len(f.b) > 0 {
		key, value, rest, ok := wire.NextTLV(f.b)
		switch {
		case !ok:
			f.fail("what follows is no TLV")
		case key == tlvAge:
			millis, n := wire.ConsumeVarint(value)
			if n != len(value) || n <= 0 {
				f.fail("age is not a whole shortest-form varint")
				break
			}
			h.age = time.Duration(min(millis, uint64(maxAge/time.Millisecond))) * time.Millisecond
			f.b = rest
		case key%2 == 0:
			f.fail("a TLV that must be understood is not")
		default:
			f.b = rest
		}
	}
	return h, f.err
}

func (f *fields) names(h hello) {
	for _, err := range []error{checkName("cluster", h.cluster), checkName("gateway", h.name)} {
		if err != nil {
			f.fail(err.Error())
		}
	}
	if h.life == 0 || h.life != base(h.life) {
		f.fail("life is not that of a boot")
	}
}
