package central

import (
	"slices"
	"strings"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Gateway is one of the fleet, as it says of itself.
type Gateway struct {
	Name        string    `json:"name"`
	Life        wire.Life `json:"life"` // since it started; another one is another process
	PeerAddr    string    `json:"peer_addr,omitempty"`
	DeviceAddrs []string  `json:"device_addrs,omitempty"`
	AdminAddr   string    `json:"admin_addr,omitempty"`
	Version     string    `json:"version,omitempty"`
	Devices     int64     `json:"devices"` // connected when it was last heard of
	Since       time.Time `json:"since"`
	Applied     uint64    `json:"applied,omitempty"` // what Config.Applied said
	Filters     uint64    `json:"filters,omitempty"`
}

// roster decides which gateways are on the list. It has no clock: the times are since
// whenever, and rise.
//
// A gateway whose lease runs out, or whose record is deleted, is due. It is judged a
// third of a lease later, so that those who vanish together are judged together. It
// goes, but for these:
//   - while the service is away nobody's lease runs out, and all begin anew when it is back;
//   - who still answers on a link stays: it is the records that are wrong;
//   - if more than 15 % of the list, and two at least, are due within one lease, all of them stay
//     until they are heard of again, or do not answer for one more lease. If nobody can
//     say who answers they stay until they are heard of.
//
// One that says that it leaves goes at once.
type roster struct {
	lease   time.Duration
	without guards

	members map[string]*member
	here    bool            // the service is there and all that it knows was told
	gone    []time.Duration // when those were due who were taken off
	alarm   bool            // many are held
}

type member struct {
	gateway Gateway
	heard   time.Duration
	due     bool
	dueAt   time.Duration
	held    bool
}

// A fleet loses so many at once, and no more, without an alarm.
const (
	massPercent = 15
	massLeast   = 2
)

func newRoster(lease time.Duration) *roster {
	return &roster{lease: lease, members: map[string]*member{}}
}

// heard: it has renewed its lease.
func (r *roster) heard(g Gateway, now time.Duration) {
	r.members[g.Name] = &member{gateway: g, heard: now}
}

// left: it says that it leaves.
func (r *roster) left(name string) { delete(r.members, name) }

// deleted: its record is gone.
func (r *roster) deleted(name string, now time.Duration) {
	if m := r.members[name]; m != nil && !m.due {
		m.due, m.dueAt = true, now
	}
}

// away: what happens to leases is not known from now on.
func (r *roster) away() { r.here = false }

// back: it is known again, so everyone has a whole lease to be heard of.
func (r *roster) back(now time.Duration) {
	r.here = true
	for _, m := range r.members {
		m.due, m.heard = false, now
	}
}

// judge takes off the list who is gone. alive says whether a gateway answers on a link;
// nil: nobody knows.
func (r *roster) judge(now time.Duration, alive func(name string) bool) {
	if !r.here {
		return
	}
	r.gone = slices.DeleteFunc(r.gone, func(at time.Duration) bool { return now-at > r.lease+r.lease/3 })
	due := 0
	for _, m := range r.members {
		if !m.due && now-m.heard > r.lease {
			m.due, m.dueAt = true, m.heard+r.lease
		}
		if m.due {
			due++
		}
	}
	together, all := due+len(r.gone), len(r.members)+len(r.gone)
	mass := together >= massLeast && together*100 > massPercent*all && !r.without.massExpiry
	r.alarm = mass && due > 0
	for name, m := range r.members {
		if m.held = false; !m.due {
			continue
		}
		if r.goes(m, now, mass, alive) {
			delete(r.members, name)
			r.gone = append(r.gone, m.dueAt)
			continue
		}
		m.held = mass || now-m.dueAt >= r.lease/3
	}
}

func (r *roster) goes(m *member, now time.Duration, mass bool, alive func(string) bool) bool {
	switch {
	case now-m.dueAt < r.lease/3:
		return false
	case alive != nil && !r.without.alive && alive(m.gateway.Name):
		m.dueAt = max(m.dueAt, now-r.lease/3) // it has a lease from here on, should it stop to answer
		return false
	case !mass:
		return true
	}
	return alive != nil && now-m.dueAt > r.lease
}

// list is who is there, by name, and how many of them are only not believed to be gone.
func (r *roster) list() (all []Gateway, held int) {
	for _, m := range r.members {
		all = append(all, m.gateway)
		if m.held {
			held++
		}
	}
	slices.SortFunc(all, func(a, b Gateway) int { return strings.Compare(a.Name, b.Name) })
	return all, held
}
