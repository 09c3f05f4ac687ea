package access

import (
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// Policy is compiled rules. It never changes, so any number of goroutines may ask it; new rules make a new one. A nil
// Policy denies nothing and allows everything.
type Policy struct {
	tenants map[string]*scope // rules that name a tenant
	common  scope             // all others
}

// Subject is who asks: a proven identity, and what its token permits if that says anything.
type Subject struct {
	ID wire.Identity
	// Limited: these lists are what is allowed, instead of the policy's allow rules. Entries are filters in which {tenant}
	// and {device} may stand; one that CheckTemplate refuses allows nothing.
	Limited            bool
	Publish, Subscribe []string
}

// list is what the token permits for an action.
func (s *Subject) list(a Action) []string {
	if a == Publish {
		return s.Publish
	}
	return s.Subscribe
}

// scope is the rules for one tenant, or for all.
type scope struct {
	deny, allow grants
}

// grants finds the rules that may concern a device.
type grants struct {
	devices map[string][]*grant // rules that name a device
	common  []*grant            // all others
}

// grant is a rule, without the names by which it was found.
type grant struct {
	actions uint8    // a bit for each
	tenants []string // beginnings, one of which the tenant must have; nil: none is asked for
	devices []string // likewise
	topics  []template
}

// May reports whether the subject may do a with the topic. It allocates nothing. It is false for what is no topic but a
// filter with a wildcard: that is a question for Filter.
func (p *Policy) May(s Subject, a Action, topic string) bool {
	if !a.known() || !isTopic(topic) {
		return false
	}
	if p == nil && !s.Limited {
		return true
	}
	if !isPlain(s.ID.Tenant) || !isPlain(s.ID.Device) || p.denies(s.ID, a, topic) {
		return false
	}
	if s.Limited {
		return lists(s.list(a), s.ID, topic)
	}
	return p.allows(s.ID, a, topic)
}

// isTopic knows what a mistake would make of a topic. All other rules [W-4.1] were checked before.
func isTopic(name string) bool {
	return name != "" && name[0] != '$' && strings.IndexByte(name, '+') < 0 && strings.IndexByte(name, '#') < 0
}

// isPlain: a name in which syntax stands was never checked, and a deny rule that names the device in a level would miss it.
func isPlain(name string) bool {
	for i := range len(name) {
		switch name[i] {
		case '/', '+', '#':
			return false
		}
	}
	return name != ""
}

func (p *Policy) denies(id wire.Identity, a Action, topic string) bool {
	if p == nil {
		return false
	}
	if own := p.tenants[id.Tenant]; own != nil && own.deny.match(id, a, topic, false) {
		return true
	}
	return p.common.deny.match(id, a, topic, false)
}

func (p *Policy) allows(id wire.Identity, a Action, topic string) bool {
	if own := p.tenants[id.Tenant]; own != nil && own.allow.match(id, a, topic, true) {
		return true
	}
	return p.common.allow.match(id, a, topic, true)
}

// match reports whether a rule matches; fitting: only by a topic that is a filter with the names in it.
func (g *grants) match(id wire.Identity, a Action, topic string, fitting bool) bool {
	for _, rule := range g.devices[id.Device] {
		if rule.match(id, a, topic, fitting) {
			return true
		}
	}
	for _, rule := range g.common {
		if rule.match(id, a, topic, fitting) {
			return true
		}
	}
	return false
}

func (g *grant) match(id wire.Identity, a Action, topic string, fitting bool) bool {
	if !g.concerns(id, a) {
		return false
	}
	for i := range g.topics {
		t := &g.topics[i]
		if !t.matches(topic, id) {
			continue
		}
		if !fitting || !t.variable || fits(t.text, id) {
			return true
		}
	}
	return false
}

func (g *grant) concerns(id wire.Identity, a Action) bool {
	return g.actions&(1<<a) != 0 && begins(id.Tenant, g.tenants) && begins(id.Device, g.devices)
}

func begins(name string, with []string) bool {
	for _, prefix := range with {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return with == nil
}

// lists reports whether an entry of a token's list matches.
func lists(list []string, id wire.Identity, topic string) bool {
	for _, text := range list {
		if matches(text, topic, id) && fits(text, id) {
			return true
		}
	}
	return false
}
