package gateway

import (
	"fmt"
	"slices"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// classes say which topics are broadcasts. While the fleet changes from some filters
// to others its gateways do not do so in the same instant, so each of them takes both
// ways what belongs to one of the two only. They are never changed, only replaced.
type classes struct {
	filters []string // publishing and subscribing go by these
	also    []string // what other gateways have, or will; nil: the same
	before  *classes // what is under way by these is still taken; its own before is nil

	// turned are the topics with streams of this gateway that are none any more.
	turned map[*tenant][]*fanout.Topic

	hash uint64 // of filters
	text []byte // goes with a refusal of what is not broadcast
}

func newClasses(filters, also []string) *classes {
	return &classes{filters: filters, also: also, hash: filtersHash(filters), text: broadcastText(filters)}
}

// checkBroadcast says what is wrong with filters.
func checkBroadcast(name string, filters []string) error {
	for i, f := range filters {
		if err := wire.CheckFilter([]byte(f)); err != nil {
			return fmt.Errorf("%s[%d]: %w", name, i, err)
		}
	}
	return nil
}

// broadcast reports whether a topic is delivered from the gateway's own table.
func (c *classes) broadcast(topic string) bool { return anyMatches(c.filters, topic) }

// both reports whether a topic comes both ways: its class changes.
func (c *classes) both(topic string) bool {
	return c.also != nil && anyMatches(c.also, topic) != c.broadcast(topic)
}

// relays reports whether other gateways may broadcast a topic.
func (c *classes) relays(topic string) bool {
	return c.broadcast(topic) || anyMatches(c.also, topic) || c.before != nil && c.before.relays(topic)
}

// brings reports whether the central service may bring a topic.
func (c *classes) brings(topic string) bool {
	return !c.broadcast(topic) || c.both(topic) || c.before != nil && c.before.brings(topic)
}

// allBroadcast reports whether a filter matches topics only that the central service
// does not bring: some broadcast filter, taken as a topic, covers it level by level.
func (c *classes) allBroadcast(filter string) bool {
	return covered(c.filters, filter) && (c.also == nil || covered(c.also, filter))
}

// leadsTo reports whether nothing is lost by going on to others: what was not taken
// both ways did not change its class.
func (c *classes) leadsTo(next *classes) bool {
	switch {
	case sameFilters(c.filters, next.filters):
		return true
	case c.also == nil || next.also == nil:
		return false
	}
	return sameFilters(c.also, next.filters) && sameFilters(c.filters, next.also)
}

// is reports whether they are the same as others.
func (c *classes) is(o *classes) bool {
	return sameFilters(c.filters, o.filters) && (c.also == nil) == (o.also == nil) && sameFilters(c.also, o.also)
}

func anyMatches(filters []string, topic string) bool {
	for _, f := range filters {
		if wire.Match(f, topic) {
			return true
		}
	}
	return false
}

func covered(filters []string, filter string) bool {
	for _, f := range filters {
		if f == filter || wire.Match(f, filter) {
			return true
		}
	}
	return false
}

// sameFilters: their order is of no account, nor how often one is there.
func sameFilters(a, b []string) bool {
	within := func(a, b []string) bool {
		return !slices.ContainsFunc(a, func(f string) bool { return !slices.Contains(b, f) })
	}
	return within(a, b) && within(b, a)
}
