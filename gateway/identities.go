package gateway

import (
	"hash/maphash"
	"sync"

	"github.com/bellwire/bellwire/wire"
)

// identities knows the one session of each device that is connected here: a
// newer connection takes over. Keys are 64-bit hashes under a seed of this
// process, which cost a third of the names and cannot be aimed at.
type identities struct {
	seed   maphash.Seed
	shards [64]struct {
		mu sync.Mutex
		by map[uint64]uint64 // tag → packed handle
	}
}

func newIdentities() *identities {
	d := &identities{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].by = map[uint64]uint64{}
	}
	return d
}

// tag is the key of an identity, also used to tell a device's own messages.
func (d *identities) tag(id wire.Identity) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seed)
	_, _ = h.WriteString(id.Tenant)
	_ = h.WriteByte('/')
	_, _ = h.WriteString(id.Device)
	return h.Sum64() | 1 // 0 is nobody
}

// claim makes h the session of the identity and returns the one before.
func (d *identities) claim(tag uint64, h handle) (old handle, had bool) {
	s := &d.shards[tag>>58]
	s.mu.Lock()
	defer s.mu.Unlock()
	p, had := s.by[tag]
	s.by[tag] = h.packed()
	return unpack(p), had
}

// release forgets h if it is still the session of the identity.
func (d *identities) release(tag uint64, h handle) {
	s := &d.shards[tag>>58]
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.by[tag]; ok && p == h.packed() {
		delete(s.by, tag)
	}
}

func (d *identities) find(id wire.Identity) (handle, bool) {
	tag := d.tag(id)
	s := &d.shards[tag>>58]
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.by[tag]
	return unpack(p), ok
}
