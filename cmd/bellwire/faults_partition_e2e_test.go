//go:build e2e && linux

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/peer/history"
)

// faultPartition cuts gateways off from each other that are machines of their own: both ways, one way, and again and again.
// On both sides devices get what enters there, all the time; a cut is noticed within 3 s, also a one-way one; after healing
// nothing comes twice, and nothing is missing without a word (BC-D5).
func faultPartition(t *testing.T, out *bench.Result) {
	n := newNetwork(t, 3)
	l := load{
		gateways: 3, devices: sized(20, 100), each: 2, topics: sized(10, 50), rate: sized(100, 500), payload: 64, stay: true,
	}
	rounds, lasts, rests, flaps := sized(1, 4), sized(7*time.Second, 10*time.Second), sized(4*time.Second, 10*time.Second), sized(3, 10)
	rules := faultRules()
	rules.Floor = l.floor(0, map[string]uint64{
		"two-way cut": uint64(rounds), "one-way cut": uint64(2 * rounds), "flap": uint64(rounds * flaps),
	})
	dir := t.TempDir()
	fleetCertificates(t, dir, "g1", "g2", "g3")
	tr := newTrial(t, setup{
		load: l, rules: rules, spaces: n.spaces, controls: []*control{withoutProof(), withoutFetch(), withoutDedupe()},
		args: func(m *member) []string { return append(fleetCertificateArgs(dir, m.name), "--central", "off") },
	})
	p := &partitions{trial: tr, network: n, out: out}
	tr.publish()
	rest(t.Context(), rests/2)
	for round := range rounds {
		a, b := round%3, (round+1)%3
		p.isolate(a, lasts)
		rest(t.Context(), rests)
		p.oneWay(a, b, lasts)
		rest(t.Context(), rests)
		p.oneWay(b, a, lasts)
		rest(t.Context(), rests)
		for range flaps {
			p.flap(b)
		}
		rest(t.Context(), rests)
	}
	report := tr.finish(8 * time.Second)
	tr.passed(report)
	tr.results(out, "partition", report)
}

// partitions cuts and heals.
type partitions struct {
	*trial
	network *network
	out     *bench.Result
}

// isolate takes one machine off the network for a while.
func (p *partitions) isolate(a int, lasts time.Duration) {
	p.t.Helper()
	others := without(p.members, a)
	from := p.network.spaces[a]
	p.tell(history.Cut, a, others)
	from.unplug()
	begin := time.Now()
	p.noticed("two-way cut", begin, a, others)
	if proven := !from.reaches(others[0].space) && !others[1].space.reaches(from); proven {
		p.rec.add(history.Event{Kind: history.Fault, Name: "two-way cut", Count: 1})
	}
	rest(p.t.Context(), lasts-time.Since(begin))
	from.plug()
	p.tell(history.Healed, a, others)
	p.healed("two-way cut", a, others)
}

// oneWay has nothing of what one machine sends arrive at another one, for a while.
func (p *partitions) oneWay(a, b int, lasts time.Duration) {
	p.t.Helper()
	from, to := p.network.spaces[a], p.network.spaces[b]
	others := []*member{p.members[b]}
	p.tell(history.Cut, a, others)
	from.mute(to)
	begin := time.Now()
	p.noticed("one-way cut", begin, a, others)
	if proven := !from.reaches(to) && to.reaches(from); proven {
		p.rec.add(history.Event{Kind: history.Fault, Name: "one-way cut", Count: 1})
	}
	rest(p.t.Context(), lasts-time.Since(begin))
	from.unmute(to)
	p.tell(history.Healed, a, others)
	p.healed("one-way cut", a, others)
}

// flap takes a machine off the network for less than it takes to be noticed.
func (p *partitions) flap(a int) {
	p.t.Helper()
	others := without(p.members, a)
	from := p.network.spaces[a]
	p.tell(history.Cut, a, others)
	from.unplug()
	if !from.reaches(others[0].space) {
		p.rec.add(history.Event{Kind: history.Fault, Name: "flap", Count: 1})
	}
	rest(p.t.Context(), 300*time.Millisecond)
	from.plug()
	p.tell(history.Healed, a, others)
	rest(p.t.Context(), 500*time.Millisecond)
}

// tell tells the history what is about to be cut, or was healed.
func (p *partitions) tell(what history.Kind, a int, others []*member) {
	for _, other := range others {
		p.rec.add(history.Event{Kind: what, Gateway: p.members[a].name, Other: other.name})
	}
}

// noticed waits until both ends of all links know that they are cut.
func (p *partitions) noticed(name string, begin time.Time, a int, others []*member) {
	p.t.Helper()
	m := p.members[a]
	type end struct{ at, of *member }
	var ends []end
	for _, other := range others {
		ends = append(ends, end{m, other}, end{other, m})
	}
	took := make([]time.Duration, len(ends))
	var wait sync.WaitGroup
	for i, e := range ends {
		wait.Go(func() {
			for took[i] = time.Since(begin); took[i] < patience && e.at.linked(e.of.name); took[i] = time.Since(begin) {
				rest(p.t.Context(), polling)
			}
		})
	}
	wait.Wait()
	var all []string
	for i, e := range ends {
		all = append(all, fmt.Sprintf("%s of %s after %.2f s", e.at.name, e.of.name, took[i].Seconds()))
		p.out.Add("partition: until an end of the link noticed a "+name, "s", took[i].Seconds())
	}
	p.t.Logf("%s noticed by %s", name, strings.Join(all, ", "))
	// In CI others have the processors as well.
	require.LessOrEqual(p.t, slices.Max(took), sized(5*time.Second, 3*time.Second), "a %s is noticed that soon", name)
}

// healed waits until all links are there again.
func (p *partitions) healed(name string, a int, others []*member) {
	p.t.Helper()
	begin := time.Now()
	m := p.members[a]
	for _, other := range others {
		m.await("it is linked to "+other.name+" again", func() bool { return m.linked(other.name) })
	}
	took := time.Since(begin)
	p.out.Add("partition: until the links were there after a "+name, "s", took.Seconds())
	require.LessOrEqual(p.t, took, 5*time.Second, "after a %s the links are there within 5 s", name)
}

// without is all members but one.
func without(members []*member, i int) []*member {
	return append(append([]*member{}, members[:i]...), members[i+1:]...)
}

// fleetCertificates makes the CA of a fleet and a certificate for each gateway: the one place that knows the commands.
func fleetCertificates(t *testing.T, dir string, names ...string) {
	t.Helper()
	command(t, faultBinary(t), "cert", "fleet-ca", "--dir", dir)
	command(t, faultBinary(t), append([]string{"cert", "fleet", "--dir", dir}, names...)...)
}

// fleetCertificateArgs is how a gateway is told of them.
func fleetCertificateArgs(dir, name string) []string {
	in := func(file string) string { return filepath.Join(dir, file) }
	return []string{
		"--fleet-ca", in("fleet-ca.pem"), "--fleet-cert", in(fmt.Sprintf("fleet-%s.pem", name)), "--fleet-key", in(fmt.Sprintf("fleet-%s-key.pem", name)),
	}
}
