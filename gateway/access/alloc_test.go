package access_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
)

// fleetPolicy is one of usual size, with rules that the subject of the questions has nothing to do with.
func fleetPolicy(t testing.TB) *access.Policy {
	rules := []access.Rule{
		{Actions: []access.Action{access.Subscribe}, Topics: []string{"broadcast/#"}},
		{Actions: []access.Action{access.Publish}, Topics: []string{"state/{tenant}/{device}/#"}},
		{Deny: true, Topics: []string{"broadcast/service/#"}},
		{Actions: []access.Action{access.Publish}, Tenants: []string{"acme"}, Devices: []string{"hub-*"}, Topics: []string{"broadcast/{tenant}/+"}},
	}
	for i := range 1000 {
		rules = append(rules,
			access.Rule{Tenants: []string{fmt.Sprintf("tenant-%d", i)}, Topics: []string{fmt.Sprintf("broadcast/%d/#", i)}},
			access.Rule{Tenants: []string{"acme"}, Devices: []string{fmt.Sprintf("device-%d", i)}, Topics: []string{fmt.Sprintf("own/%d", i)}})
	}
	return policy(t, rules...)
}

type question struct {
	what  string
	s     access.Subject
	a     access.Action
	topic string
	want  bool
}

func questions() []question {
	token := subject("acme/hub-7")
	token.Limited, token.Publish = true, []string{"a/{device}", "state/{tenant}/{device}/#"}
	return []question{
		{"allowed to all", subject("acme/lamp-12345"), access.Subscribe, "broadcast/eu/kitchen", true},
		{"allowed by variables", subject("acme/lamp-12345"), access.Publish, "state/acme/lamp-12345/on", true},
		{"allowed to a tenant", subject("tenant-500/lamp"), access.Publish, "broadcast/500/x", true},
		{"allowed to a device", subject("acme/device-77"), access.Publish, "own/77", true},
		{"allowed by a pattern", subject("acme/hub-7"), access.Publish, "broadcast/acme/x", true},
		{"allowed by a token", token, access.Publish, "state/acme/hub-7/on", true},
		{"denied", subject("acme/lamp-12345"), access.Subscribe, "broadcast/service/x", false},
		{"not allowed", subject("acme/lamp-12345"), access.Publish, "broadcast/eu/kitchen", false},
	}
}

// The question that every message asks costs no allocation.
func TestMayDoesNotAllocate(t *testing.T) { // not parallel: others' allocations would count
	p := fleetPolicy(t)
	for _, q := range questions() {
		require.Equal(t, q.want, p.May(q.s, q.a, q.topic), q.what)
		yes := 0
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if p.May(q.s, q.a, q.topic) {
				yes++
			}
		}), q.what)
		require.Equal(t, q.want, yes > 0, q.what)
	}
}

// go test -run '^$' -bench . -benchmem ./gateway/access
func BenchmarkMay(b *testing.B) {
	p := fleetPolicy(b)
	for _, q := range questions() {
		b.Run(q.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.May(q.s, q.a, q.topic) != q.want {
					b.Fatal("another answer than in the test")
				}
			}
		})
	}
}

func BenchmarkFilter(b *testing.B) {
	p := fleetPolicy(b)
	s := subject("acme/lamp-12345")
	for filter, want := range map[string]access.Cover{"broadcast/#": access.Part, "broadcast/eu/+": access.Whole, "other/#": access.None} {
		b.Run(want.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Filter(s, access.Subscribe, filter) != want {
					b.Fatal("another answer than expected")
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		fleetPolicy(b)
	}
}
