package access

import "github.com/bellwire/bellwire/wire"

// Cover is how much of a filter is granted.
type Cover uint8

// The covers.
const (
	None  Cover = iota // no topic that the filter matches
	Part               // some topics: ask for each
	Whole              // all topics, also those that do not exist yet
)

// String is the cover in a word.
func (c Cover) String() string {
	switch c {
	case None:
		return "none"
	case Whole:
		return "whole"
	case Part:
	}
	return "part"
}

// Filter reports how much of a filter the subject may do a with. An exact filter is never Part. What is no filter is None.
//
// It weighs rules together: two that each allow half of a filter allow the whole, and a deny rule that takes all that is
// allowed leaves none. Only the length of topics in bytes is left out, so that it may say Part of a filter where the few
// bytes left of 255 decide; never Whole or None where that is not so.
func (p *Policy) Filter(s Subject, a Action, text string) Cover {
	if !a.known() || wire.CheckFilter([]byte(text)) != nil {
		return None
	}
	if !wire.IsWildcard([]byte(text)) {
		if p.May(s, a, text) {
			return Whole
		}
		return None
	}
	if p == nil && !s.Limited {
		return Whole
	}
	if !isPlain(s.ID.Tenant) || !isPlain(s.ID.Device) {
		return None
	}
	asked := parseFilter(text)
	return asked.cover(p.allowed(s, a, asked), p.denied(s.ID, a, asked))
}

// mostWeighed is how many pairs of an allowed and a denied part are weighed. It is asked on an event loop, of a filter that
// a device chose: with thousands of rules that overlap it would take seconds.
const mostWeighed = 4096

// cover weighs what is allowed and denied of f; both lie within f. Where too much would have to be weighed it says Part,
// which is safe: each message is asked about then.
func (f filter) cover(allowed, denied []filter) Cover {
	if len(denied) == 0 && f.covered(allowed) {
		return Whole
	}
	if len(allowed)*len(denied) > mostWeighed {
		return Part
	}
	for _, part := range allowed {
		if !part.covered(denied) {
			return Part
		}
	}
	return None
}

// allowed is what of the filter that is asked for is allowed.
func (p *Policy) allowed(s Subject, a Action, asked filter) []filter {
	var found []filter
	if s.Limited {
		for _, text := range s.list(a) {
			if filled, err := fill(text, s.ID); err != nil || wire.CheckFilter([]byte(filled)) != nil {
				continue
			}
			if f, err := fillFilter(text, s.ID); err == nil {
				found = asked.appendMeet(found, f)
			}
		}
		return found
	}
	if own := p.tenants[s.ID.Tenant]; own != nil {
		found = own.allow.appendWithin(found, s.ID, a, asked, true)
	}
	return p.common.allow.appendWithin(found, s.ID, a, asked, true)
}

// denied is what of the filter that is asked for is denied.
func (p *Policy) denied(id wire.Identity, a Action, asked filter) []filter {
	if p == nil {
		return nil
	}
	var found []filter
	if own := p.tenants[id.Tenant]; own != nil {
		found = own.deny.appendWithin(found, id, a, asked, false)
	}
	return p.common.deny.appendWithin(found, id, a, asked, false)
}

// appendWithin appends what the rules that concern the identity match of the filter that is asked for; fitting as in match.
func (g *grants) appendWithin(found []filter, id wire.Identity, a Action, asked filter, fitting bool) []filter {
	for _, list := range [][]*grant{g.devices[id.Device], g.common} {
		for _, rule := range list {
			if !rule.concerns(id, a) {
				continue
			}
			for i := range rule.topics {
				t := &rule.topics[i]
				if fitting && t.variable && !fits(t.text, id) {
					continue
				}
				found = asked.appendMeet(found, t.filter(id))
			}
		}
	}
	return found
}

func (f filter) appendMeet(found []filter, g filter) []filter {
	if both, some := f.meet(g); some {
		found = append(found, both)
	}
	return found
}
