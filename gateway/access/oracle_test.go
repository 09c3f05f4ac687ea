package access_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// oracle is the page of rules, read word by word for each question. none: there is no policy.
type oracle struct {
	rules []access.Rule
	none  bool
}

func (o oracle) may(s access.Subject, a access.Action, topic string) bool {
	allowed := o.none && !s.Limited
	for _, r := range o.rules {
		concerned := (len(r.Actions) == 0 || slices.Contains(r.Actions, a)) &&
			(len(r.Tenants) == 0 || slices.ContainsFunc(r.Tenants, func(p string) bool { return slowPattern(p, s.ID.Tenant) })) &&
			(len(r.Devices) == 0 || slices.ContainsFunc(r.Devices, func(p string) bool { return slowPattern(p, s.ID.Device) }))
		for _, text := range r.Topics {
			if !concerned || !slowTemplate(text, topic, s.ID, r.Deny) {
				continue
			}
			if r.Deny {
				return false
			}
			allowed = allowed || !s.Limited
		}
	}
	if s.Limited {
		list := s.Publish
		if a == access.Subscribe {
			list = s.Subscribe
		}
		for _, text := range list {
			allowed = allowed || slowTemplate(text, topic, s.ID, false)
		}
	}
	return allowed
}

// slowPattern says that a * at the end stands for what is left.
func slowPattern(pattern, name string) bool {
	for i := range len(name) + 1 {
		if pattern == name || pattern == name[:i]+"*" {
			return true
		}
	}
	return false
}

// slowTemplate puts the names in and asks wire, which is only sound for names without syntax.
func slowTemplate(text, topic string, id wire.Identity, tooLongToo bool) bool {
	put := func(tenant, device string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, "{tenant}", tenant), "{device}", device)
	}
	filled := put(id.Tenant, id.Device)
	if strings.ContainsAny(put("", ""), "{}") || !wire.Match(filled, topic) {
		return false
	}
	err := wire.CheckFilter([]byte(filled))
	return err == nil || tooLongToo && strings.Contains(err.Error(), "bytes long")
}

// covers adds up the answers to every topic of a universe.
func (o oracle) covers(s access.Subject, a access.Action, universe, filters []string) map[string]access.Cover {
	may := map[string]bool{}
	for _, topic := range universe {
		may[topic] = o.may(s, a, topic)
	}
	covers := map[string]access.Cover{}
	for _, filter := range filters {
		some, all := false, true
		for topic, yes := range may {
			if wire.Match(filter, topic) {
				some, all = some || yes, all && yes
			}
		}
		switch {
		case some && all:
			covers[filter] = access.Whole
		case some:
			covers[filter] = access.Part
		default:
			covers[filter] = access.None
		}
	}
	return covers
}

// combine makes every name of up to depth of the levels.
func combine(levels []string, depth int) []string {
	all := slices.Clone(levels)
	for last := all; depth > 1; depth-- {
		var longer []string
		for _, head := range last {
			for _, l := range levels {
				longer = append(longer, head+"/"+l)
			}
		}
		all, last = append(all, longer...), longer
	}
	return all
}

// topicsOf and filtersOf are combine, without what is no topic or filter.
func topicsOf(levels []string, depth int) []string {
	return slices.DeleteFunc(combine(levels, depth), func(s string) bool { return wire.CheckTopic([]byte(s)) != nil })
}

func filtersOf(levels []string, depth int) []string {
	return slices.DeleteFunc(combine(levels, depth), func(s string) bool { return wire.CheckFilter([]byte(s)) != nil })
}

// dice is a source of random rules; its seed is printed if the test fails.
func dice(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 4))
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// some picks up to most of a list, or nil.
func some[T any](rng *rand.Rand, from []T, most int) []T {
	var picked []T
	for range rng.IntN(most + 1) {
		picked = append(picked, pick(rng, from))
	}
	return picked
}

// The names, topics and filters of the small world that random rules are about. "z" stands in no rule, as topics of the
// future will; topics have one level more than templates.
var (
	worldTenants  = []string{"t", "tt"}
	worldDevices  = []string{"d", "dd", "a"}
	worldPatterns = []string{"t", "tt", "t*", "d", "dd", "d*", "a", "*"}
	worldLevels   = []string{"a", "", "t", "tt", "d", "dd", "ddd", "da", "z"}
	worldTopics   = topicsOf(worldLevels, 3)
	worldFilters  = filtersOf([]string{"a", "", "d", "+", "#"}, 2)
	worldTexts    = filtersOf([]string{"a", "", "{tenant}", "{device}", "d{device}", "+", "#"}, 2)
)

func randomRules(rng *rand.Rand) []access.Rule {
	rules := make([]access.Rule, rng.IntN(6))
	for i := range rules {
		rules[i] = access.Rule{
			Deny:    rng.IntN(3) == 0,
			Actions: some(rng, []access.Action{access.Publish, access.Subscribe}, 1),
			Tenants: some(rng, worldPatterns, 2),
			Devices: some(rng, worldPatterns, 2),
			Topics:  append(some(rng, worldTexts, 3), pick(rng, worldTexts)),
		}
	}
	return rules
}

func randomSubject(rng *rand.Rand) access.Subject {
	s := access.Subject{ID: wire.Identity{Tenant: pick(rng, worldTenants), Device: pick(rng, worldDevices)}}
	if rng.IntN(3) == 0 {
		broken := append(slices.Clone(worldTexts), "{", "}", "{other}", "a/{device", "#/a", "a+", "")
		s.Limited, s.Publish, s.Subscribe = true, some(rng, broken, 3), some(rng, broken, 3)
	}
	return s
}

func describe(rules []access.Rule, s access.Subject) string {
	var out strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&out, "%+v\n", r)
	}
	return fmt.Sprintf("%s%+v", out.String(), s)
}
