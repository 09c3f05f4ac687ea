package gateway

import (
	"regexp"
	"strings"

	"github.com/bellwire/bellwire/gateway/access"
)

// oracle decides by regular expressions and loops.
type oracle struct {
	p   matrixPolicy
	who matrixIdentity
}

func (o oracle) filter(f string) *regexp.Regexp {
	f = strings.NewReplacer("{tenant}", o.who.id.Tenant, "{device}", o.who.id.Device).Replace(f)
	f = strings.ReplaceAll(regexp.QuoteMeta(f), `\+`, `[^/]*`)
	if base, found := strings.CutSuffix(f, "/#"); found {
		f = base + `(/.*)?`
	}
	return regexp.MustCompile("^" + f + "$")
}

func (o oracle) any(filters []string, topic string) bool {
	for _, f := range filters {
		if o.filter(f).MatchString(topic) {
			return true
		}
	}
	return false
}

func among[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return len(list) == 0
}

func (o oracle) may(a access.Action, topic string) bool {
	allowed := o.p.rules == nil
	for _, r := range o.p.rules {
		if !among(r.Actions, a) || !among(r.Tenants, o.who.id.Tenant) || !among(r.Devices, o.who.id.Device) || !o.any(r.Topics, topic) {
			continue
		}
		if r.Deny {
			return false
		}
		allowed = true
	}
	if p := o.who.proof; p != nil {
		if a == access.Publish {
			return o.any(p.Publish, topic)
		}
		return o.any(p.Subscribe, topic)
	}
	return allowed
}

// some reports whether anything that broadcast/# matches may be subscribed to.
func (o oracle) some() bool {
	levels := []string{"news", "secret", "x", "to", "acme", "other", "a", "b", "state", "anything"}
	topics := []string{"broadcast"}
	for at, n := 0, 0; n < 3; n++ {
		for end := len(topics); at < end; at++ {
			for _, l := range levels {
				topics = append(topics, topics[at]+"/"+l)
			}
		}
	}
	for _, topic := range topics {
		if o.may(access.Subscribe, topic) {
			return true
		}
	}
	return false
}
