package access_test

import (
	"fmt"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// Everyone hears the broadcasts but for those of the service; each device speaks for itself.
func Example() {
	policy, err := access.New([]access.Rule{
		{Actions: []access.Action{access.Subscribe}, Topics: []string{"broadcast/#"}},
		{Actions: []access.Action{access.Publish}, Topics: []string{"state/{tenant}/{device}/#"}},
		{Deny: true, Devices: []string{"lamp-*"}, Topics: []string{"broadcast/service/#"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	lamp := access.Subject{ID: wire.Identity{Tenant: "acme", Device: "lamp-7"}}
	fmt.Println(policy.May(lamp, access.Publish, "state/acme/lamp-7/on"))
	fmt.Println(policy.May(lamp, access.Publish, "state/acme/lamp-8/on"))
	fmt.Println(policy.Filter(lamp, access.Subscribe, "broadcast/eu/+"))
	fmt.Println(policy.Filter(lamp, access.Subscribe, "broadcast/#"))
	fmt.Println(policy.Filter(lamp, access.Subscribe, "broadcast/service/+"))

	_, err = access.New([]access.Rule{{Topics: []string{"state/{dev}"}}})
	fmt.Println(err)
	// Output:
	// true
	// false
	// whole
	// part
	// none
	// rules[0].topics[0]: "state/{dev}": there is no variable {dev}: write {tenant} or {device}
}

// A token may permit less than the policy, or other things; what is denied stays denied.
func ExampleSubject() {
	policy, err := access.New([]access.Rule{
		{Topics: []string{"broadcast/#"}},
		{Deny: true, Topics: []string{"broadcast/service/#"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	guest := access.Subject{
		ID:        wire.Identity{Tenant: "acme", Device: "guest"},
		Limited:   true,
		Subscribe: []string{"broadcast/news", "broadcast/service/#", "to/{device}"},
	}
	for _, topic := range []string{"broadcast/news", "broadcast/other", "broadcast/service/x", "to/guest"} {
		fmt.Println(topic, policy.May(guest, access.Subscribe, topic))
	}
	// Output:
	// broadcast/news true
	// broadcast/other false
	// broadcast/service/x false
	// to/guest true
}
