//go:build e2e && linux

package main

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/peer/history"
	"github.com/bellwire/bellwire/wire"
)

// recorder tells what happens to the history, from any goroutine, and the time of it.
type recorder struct {
	began time.Time

	mu       sync.Mutex
	checker  *history.Checker
	controls []*control
	closed   bool
	names    map[string]string // of origins, so that each is kept once
}

// control is the same history with something taken out of it, as if a guard of the gateways were missing. It must be red.
type control struct {
	name    string
	changed int
	want    history.Verdict
	rule    history.Rule // one of the findings', unless the control is void
	// alter says what becomes of an event: it, something else, or nothing.
	alter   func(e history.Event) []history.Event
	checker *history.Checker
}

func newRecorder(rules history.Rules, controls ...*control) *recorder {
	r := &recorder{began: time.Now(), checker: history.New(rules), controls: controls, names: map[string]string{}}
	for _, c := range controls {
		c.checker = history.New(rules)
	}
	return r
}

// add tells one event, which happens now.
func (r *recorder) add(e history.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	e.At = int64(time.Since(r.began))
	r.checker.Add(e)
	for _, c := range r.controls {
		altered := c.alter(e)
		if len(altered) != 1 || altered[0] != e {
			c.changed++
		}
		for _, a := range altered {
			c.checker.Add(a)
		}
	}
}

// origin is the one copy of a name.
func (r *recorder) origin(name []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.names[string(name)]
	if !ok {
		known = string(name)
		r.names[known] = known
	}
	return known
}

// close ends the history: what happens later is not of it.
func (r *recorder) close() history.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.checker.Close()
}

// checkControls wants each control to be red.
func (r *recorder) checkControls(t *testing.T) {
	t.Helper()
	for _, c := range r.controls {
		report := c.checker.Close()
		require.Positive(t, c.changed, "control %q: nothing was altered, so the trial did not need the guard", c.name)
		require.Equal(t, c.want, report.Verdict(), "control %q: %s", c.name, report)
		if c.want == history.Failed {
			require.Contains(t, report.PerRule, c.rule, "control %q: %s", c.name, report)
		}
	}
}

// The guards that controls take away.

// withoutProof is an injector that never did anything.
func withoutProof() *control {
	return &control{name: "no fault took hold", want: history.Void, alter: func(e history.Event) []history.Event {
		if e.Kind == history.Fault {
			return nil
		}
		return []history.Event{e}
	}}
}

// withoutEnd is a fleet that does not notice the dead.
func withoutEnd() *control {
	return &control{name: "no END", want: history.Failed, rule: history.Honest, alter: func(e history.Event) []history.Event {
		if e.Kind == history.End {
			return nil
		}
		return []history.Event{e}
	}}
}

// withoutDedupe is a fleet that sends again what was sent, every tenth message.
func withoutDedupe() *control {
	return &control{name: "no dropping of duplicates", want: history.Failed, rule: history.Unique, alter: func(e history.Event) []history.Event {
		if e.Kind == history.Message && e.Offset%10 == 0 {
			return []history.Event{e, e}
		}
		return []history.Event{e}
	}}
}

// withoutReplay is a fleet in which who comes back begins where it is.
func withoutReplay() *control {
	fresh := map[string]int{} // messages to leave out
	return &control{name: "no resuming", want: history.Failed, rule: history.Honest, alter: func(e history.Event) []history.Event {
		switch {
		case e.Kind == history.Back:
			fresh[e.Who] = 3
		case e.Kind == history.Message && fresh[e.Who] > 0:
			fresh[e.Who]--
			return nil
		}
		return []history.Event{e}
	}}
}

// withoutFetch is a fleet in which what was sent over a cut is never fetched: what comes after healing begins where it is.
func withoutFetch() *control {
	skip := map[string]int{}
	return &control{name: "no FETCH", want: history.Failed, rule: history.Honest, alter: func(e history.Event) []history.Event {
		switch {
		case e.Kind == history.End:
			skip[e.Who+" "+e.Topic+e.Life.String()] = 2
		case e.Kind == history.Message:
			if key := e.Who + " " + e.Topic + e.Life.String(); skip[key] > 0 {
				skip[key]--
				return nil
			}
		}
		return []history.Event{e}
	}}
}

// withoutAlarm is a fleet that believes a list from which gateways have vanished.
func withoutAlarm() *control {
	return &control{name: "no guard against mass expiry", want: history.Failed, rule: history.Honest, alter: func(e history.Event) []history.Event {
		if e.Kind == history.Message && e.Offset == 20 {
			return []history.Event{e, {At: e.At, Kind: history.End, Who: e.Who, Topic: e.Topic, Life: e.Life, How: wire.EndLost}}
		}
		return []history.Event{e}
	}}
}

// withoutSome is a fleet that loses a message now and then and does not know it.
func withoutSome() *control {
	return &control{name: "no counting", want: history.Failed, rule: history.Honest, alter: func(e history.Event) []history.Event {
		if e.Kind == history.Message && e.Offset%20 == 0 {
			return nil
		}
		return []history.Event{e}
	}}
}
