package access

import (
	"fmt"
	"strings"
)

// maxPlaces bounds how often rules are listed by the names in them, so that a small text with two long lists does not
// become gigabytes: the lists of a rule multiply.
const maxPlaces = 1 << 20

// New compiles rules. Its error is an *InvalidError that names all that is wrong, each by its place, such as
// rules[2].topics[0]. No rules are a policy that grants nothing.
func New(rules []Rule) (*Policy, error) {
	p := &Policy{tenants: map[string]*scope{}}
	var invalid InvalidError
	var places int64 // two long lists do not fit 32 bits
	for i, r := range rules {
		path := fmt.Sprintf("rules[%d]", i)
		before := len(invalid.Problems)
		invalid.check(path, r)
		if len(invalid.Problems) > before {
			continue
		}
		if places += int64(max(1, len(r.Tenants))) * int64(max(1, len(r.Devices))); places > maxPlaces {
			invalid.wrong(path, "names too much: tenants times devices, over all rules, may be %d: "+
				"write patterns such as sensor-*, or {device} in the topics", maxPlaces)
			break
		}
		p.add(r)
	}
	if len(invalid.Problems) > 0 {
		return nil, &invalid
	}
	return p, nil
}

// add lists the rule under each tenant that it names, and once in common if it goes by pattern, or for all.
func (p *Policy) add(r Rule) {
	names, prefixes := split(r.Tenants)
	shared := grant{actions: mask(r.Actions), topics: make([]template, len(r.Topics))}
	for i, text := range r.Topics {
		shared.topics[i] = newTemplate(text)
	}
	for _, name := range names {
		own := p.tenants[name]
		if own == nil {
			own = &scope{}
			p.tenants[name] = own
		}
		own.add(r, shared)
	}
	if len(prefixes) > 0 || len(r.Tenants) == 0 {
		shared.tenants = prefixes
		p.common.add(r, shared)
	}
}

func (s *scope) add(r Rule, shared grant) {
	g := &s.allow
	if r.Deny {
		g = &s.deny
	}
	names, prefixes := split(r.Devices)
	if len(names) > 0 {
		if g.devices == nil {
			g.devices = map[string][]*grant{}
		}
		exact := shared
		for _, name := range names {
			g.devices[name] = append(g.devices[name], &exact)
		}
	}
	if len(prefixes) > 0 || len(r.Devices) == 0 {
		shared.devices = prefixes
		g.common = append(g.common, &shared)
	}
}

// split parts patterns into names and beginnings of names; either is nil if there are none.
func split(patterns []string) (names, prefixes []string) {
	for _, pattern := range patterns {
		if prefix, found := strings.CutSuffix(pattern, "*"); found {
			prefixes = append(prefixes, prefix)
		} else {
			names = append(names, pattern)
		}
	}
	return names, prefixes
}

func mask(list []Action) uint8 {
	if len(list) == 0 {
		return 1<<(lastAction+1) - 1
	}
	var bits uint8
	for _, a := range list {
		bits |= 1 << a
	}
	return bits
}
