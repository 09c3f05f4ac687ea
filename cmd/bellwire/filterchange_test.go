package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/central"
)

// fakeFleet are gateways that do what the record says, each as late as it is slow; a negative time is never.
type fakeFleet struct {
	value    []byte
	revision uint64
	history  []string
	written  time.Time
	slow     map[string]time.Duration
	onlyIn   string // slowness counts for steps that hold this only
	others   bool   // b has other filters, whatever it says that it has done
}

func (f *fakeFleet) Get(context.Context, string) ([]byte, uint64, error) {
	if f.revision == 0 {
		return nil, 0, central.ErrNotFound
	}
	return f.value, f.revision, nil
}

func (f *fakeFleet) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return f.Update(ctx, key, value, 0)
}

func (f *fakeFleet) Update(_ context.Context, _ string, value []byte, revision uint64) (uint64, error) {
	if revision != f.revision {
		return 0, central.ErrRevision
	}
	f.value, f.revision, f.written = value, f.revision+1, time.Now()
	f.history = append(f.history, string(value))
	return f.revision, nil
}

func (f *fakeFleet) listed() (all []central.Gateway) {
	for name, slow := range f.slow {
		g := central.Gateway{Name: name, Applied: f.revision, Filters: 1}
		if f.others && name == "b" {
			g.Filters = 2
		}
		if strings.Contains(string(f.value), f.onlyIn) && (slow < 0 || time.Since(f.written) < slow) {
			g.Applied--
		}
		all = append(all, g)
	}
	return all
}

func (f *fakeFleet) change() *filterChange {
	return &filterChange{
		records: f, listed: f.listed, linked: func() []string { return nil }, self: "a", own: []string{"broadcast/#"}, filters: func() uint64 { return 1 },
	}
}

const (
	stepNone = `{"filters":["broadcast/#"]}`
	stepA    = `{"filters":["broadcast/#"],"also":["x/#"]}`
	stepB    = `{"filters":["x/#"],"also":["broadcast/#"]}`
	stepC    = `{"filters":["x/#"]}`
)

// No gateway is a step behind another but one, and what some gateway does not do is taken back (BC-D4).
func TestFiltersChangeInSteps(t *testing.T) {
	for name, c := range map[string]struct {
		slow   time.Duration
		onlyIn string
		steps  []string
		fails  string
	}{
		"all do it":                       {time.Second, "", []string{stepA, stepB, stepC}, ""},
		"one does not begin":              {-1, `"also":["x/#"]`, []string{stepA, stepNone}, "all is as it was: gateway b has not done it within 8s"},
		"one does not switch":             {-1, `"filters":["x/#"],"also"`, []string{stepA, stepB, stepA, stepNone}, "all is as it was: gateway b has not done it within 8s"},
		"one does not end":                {-1, stepC, []string{stepA, stepB, stepC}, "the filters are stored, but: gateway b has not"},
		"one cannot even be brought back": {-1, `"also":["b`, []string{stepA, stepB, stepA}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeFleet{slow: map[string]time.Duration{"a": 0, "b": c.slow}, onlyIn: c.onlyIn}
				if strings.HasPrefix(name, "one cannot") {
					change := f.change()
					change.listed = func() []central.Gateway {
						if len(f.history) > 1 {
							f.onlyIn = ""
						}
						return f.listed()
					}
					err := change.run(t.Context(), []string{"x/#"})
					require.ErrorContains(t, err, "take both: say the old ones again")
					require.Equal(t, c.steps, f.history, "both ways are open")
					f.slow["b"] = 0 // it is back
					require.NoError(t, f.change().run(t.Context(), []string{"broadcast/#"}))
					require.Equal(t, stepNone, string(f.value))
					return
				}
				err := f.change().run(t.Context(), []string{"x/#"})
				require.Equal(t, c.steps, f.history)
				if c.fails == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, c.fails)
			})
		})
	}
}

func TestFiltersDoNotChangeInAFleetThatSharesNothing(t *testing.T) {
	f := &fakeFleet{slow: map[string]time.Duration{"a": 0}}
	c := f.change()
	c.linked = func() []string { return []string{"b"} }
	err := c.run(t.Context(), []string{"x/#"})
	require.ErrorIs(t, err, gateway.ErrNotStored)
	require.ErrorContains(t, err, "gateway b is linked to this one and not on the list")
	require.Empty(t, f.history)
	f.value, f.revision = []byte(`{}`), 3
	require.ErrorContains(t, f.change().run(t.Context(), nil), "no filters in it")
}

// A revision of records that were lost since proves nothing.
func TestFiltersDoNotChangeByRevisionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFleet{slow: map[string]time.Duration{"a": 0, "b": 0}, others: true}
		require.ErrorContains(t, f.change().run(t.Context(), []string{"x/#"}), "all is as it was: gateway b has not done it")
		require.Equal(t, []string{stepA, stepNone}, f.history)
	})
}
