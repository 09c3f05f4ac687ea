package gateway

import "github.com/bellwire/bellwire/fanout"

// handle names a session from outside its loop: code there holds no session,
// because it may be gone, and its slot another's, by the time a loop looks.
type handle struct {
	loop uint32
	slot fanout.Sub
	gen  uint32 // of 24 bits
}

// packed is a handle in one word.
func (h handle) packed() uint64 { return uint64(h.loop)<<56 | uint64(h.gen)<<32 | uint64(h.slot) }

func unpack(p uint64) handle {
	return handle{loop: uint32(p >> 56), gen: uint32(p>>32) & genMask, slot: fanout.Sub(p)}
}

// genMask bounds generations, so that a handle fits one word.
const genMask = 1<<24 - 1
