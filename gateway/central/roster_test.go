package central

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A step of a roster's history. The lease is 30.
type step struct {
	at    time.Duration
	do    string   // heard, left, deleted, away, back
	names []string // of whom
	dead  []string // who does not answer from now on
	want  []string // who is on the list then; nil: not looked at
	held  int
}

func names(from, to int) (all []string) {
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprintf("g%02d", n))
	}
	return all
}

// The guard against mass expiry, in fleets of all sizes (reliability.md F8, §2.6; X-4).
func TestRoster(t *testing.T) {
	for _, c := range []struct {
		name  string
		mute  bool // nobody says who answers
		steps []step
	}{
		{"one goes when its lease has run out and it does not answer", false, []step{
			{at: 0, do: "heard", names: names(0, 3), dead: []string{"g02"}, want: names(0, 3)},
			{at: 20, do: "heard", names: names(0, 2)},
			{at: 39, do: "heard", names: names(0, 2), want: names(0, 3)}, // due, not judged
			{at: 40, want: names(0, 2)},
		}},
		{"of two the other goes", true, []step{
			{at: 0, do: "heard", names: names(0, 2)},
			{at: 25, do: "heard", names: names(0, 1)},
			{at: 45, do: "heard", names: names(0, 1), want: names(0, 1)},
		}},
		{"one that answers stays", false, []step{
			{at: 0, do: "heard", names: names(0, 3)},
			{at: 25, do: "heard", names: names(0, 2)},
			{at: 50, do: "heard", names: names(0, 2), want: names(0, 3), held: 1},
			{at: 75, do: "heard", names: names(0, 2), want: names(0, 3), held: 1},
			{at: 76, do: "heard", names: []string{"g02"}, want: names(0, 3)},
		}},
		{"one that answered goes when it stops to", false, []step{
			{at: 0, do: "heard", names: names(0, 3)},
			{at: 25, do: "heard", names: names(0, 2)},
			{at: 50, do: "heard", names: names(0, 2), dead: []string{"g02"}, want: names(0, 2)},
		}},
		{"one that leaves goes at once, many too", true, []step{
			{at: 0, do: "heard", names: names(0, 10)},
			{at: 1, do: "left", names: names(1, 10), want: names(0, 1)},
		}},
		{"all records are deleted, all answer", false, []step{
			{at: 0, do: "heard", names: names(0, 10)},
			{at: 1, do: "deleted", names: names(0, 10), want: names(0, 10), held: 10},
			{at: 12, want: names(0, 10), held: 10},
			{at: 500, want: names(0, 10), held: 10},
			{at: 501, do: "heard", names: names(0, 10), want: names(0, 10)},
		}},
		{"all records are deleted, nobody says who answers", true, []step{
			{at: 0, do: "heard", names: names(0, 10)},
			{at: 1, do: "deleted", names: names(0, 10), want: names(0, 10), held: 10},
			{at: 5000, want: names(0, 10), held: 10},
		}},
		{"many vanish, some do not answer for a lease more", false, []step{
			{at: 0, do: "heard", names: names(0, 10), dead: names(0, 2)},
			{at: 1, do: "deleted", names: names(0, 5), want: names(0, 10), held: 5},
			{at: 29, do: "heard", names: names(5, 10), want: names(0, 10), held: 5},
			{at: 32, do: "heard", names: names(5, 10), want: names(2, 10), held: 3},
		}},
		{"of three both others vanish, and are kept", true, []step{
			{at: 0, do: "heard", names: names(0, 3)},
			{at: 25, do: "heard", names: names(0, 1)},
			{at: 45, do: "heard", names: names(0, 1), want: names(0, 3), held: 2},
		}},
		{"one after the other within a lease is many at once", true, []step{
			{at: 0, do: "heard", names: names(0, 8)},
			{at: 1, do: "deleted", names: names(7, 8)},
			{at: 12, do: "heard", names: names(0, 7), want: names(0, 7)},
			{at: 13, do: "deleted", names: names(6, 7)},
			{at: 28, do: "heard", names: names(0, 6), want: names(0, 7), held: 1},
		}},
		{"three of twenty are 15 %, and go", true, []step{
			{at: 0, do: "heard", names: names(0, 20)},
			{at: 1, do: "deleted", names: names(17, 20)},
			{at: 12, want: names(0, 17)},
		}},
		{"four of twenty are more, and stay", true, []step{
			{at: 0, do: "heard", names: names(0, 20)},
			{at: 1, do: "deleted", names: names(16, 20)},
			{at: 12, want: names(0, 20), held: 4},
		}},
		{"the service is away for long, then all have a lease to be heard of", true, []step{
			{at: 0, do: "heard", names: names(0, 2)},
			{at: 5, do: "away"},
			{at: 5000, want: names(0, 2)},
			{at: 5001, do: "back", want: names(0, 2)},
			{at: 5030, want: names(0, 2)},
			{at: 5031, do: "heard", names: names(0, 1)},
			{at: 5045, want: names(0, 1)},
		}},
		{"one who comes back is one again", false, []step{
			{at: 0, do: "heard", names: names(0, 2), dead: names(1, 2)},
			{at: 25, do: "heard", names: names(0, 1)},
			{at: 50, do: "heard", names: names(0, 1), want: names(0, 1)},
			{at: 51, do: "heard", names: names(1, 2), want: names(0, 2)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { history(t, newRoster(30), c.steps, c.mute) })
	}
}

// Controls: what each guard keeps is lost without it.
func TestRosterWithoutGuards(t *testing.T) {
	for _, c := range []struct {
		name    string
		without guards
		alive   bool
	}{{"mass expiry", guards{massExpiry: true}, false}, {"alive", guards{alive: true, massExpiry: true}, true}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoster(30)
			r.without = c.without
			history(t, r, []step{
				{at: 0, do: "heard", names: names(0, 10)},
				{at: 1, do: "deleted", names: names(0, 10)},
				{at: 12},
			}, !c.alive)
			all, _ := r.list()
			require.Empty(t, all)
		})
	}
}

func history(t *testing.T, r *roster, steps []step, mute bool) {
	t.Helper()
	dead := map[string]bool{}
	alive := func(name string) bool { return !dead[name] }
	if mute {
		alive = nil
	}
	r.back(0)
	for i, s := range steps {
		for _, n := range s.dead {
			dead[n] = true
		}
		switch s.do {
		case "away":
			r.away()
		case "back":
			r.back(s.at)
		}
		for _, n := range s.names {
			switch s.do {
			case "heard":
				r.heard(Gateway{Name: n}, s.at)
			case "left":
				r.left(n)
			case "deleted":
				r.deleted(n, s.at)
			}
		}
		r.judge(s.at, alive)
		if s.want == nil {
			continue
		}
		all, held := r.list()
		got := []string{}
		for _, g := range all {
			got = append(got, g.Name)
		}
		require.True(t, slices.IsSorted(got))
		require.Equal(t, s.want, got, "step %d", i)
		require.Equal(t, s.held, held, "step %d: held", i)
	}
}
