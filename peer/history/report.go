package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rule is what a finding breaks.
type Rule string

// The rules.
const (
	True    Rule = "G0 true"
	Unique  Rule = "G1 unique"
	Ordered Rule = "G2 ordered"
	Honest  Rule = "G3 honest"
	Timely  Rule = "G7 timely"
	Bounded Rule = "G8 bounded"
)

// mostFindings is how many are kept; the others are counted.
const mostFindings = 50

// Finding is one thing that should not be.
type Finding struct {
	Rule  Rule
	Event Event // what showed it; at the end of a run, the position that should have come last
	Text  string

	tail []Event // what its subscriber saw last
}

// String is the finding in one line.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s: ", f.Rule, seconds(f.Event.At))
	for _, part := range []string{f.Event.Who, f.Event.Topic} {
		if part != "" {
			b.WriteString(part + " ")
		}
	}
	if f.Event.Life != 0 {
		fmt.Fprintf(&b, "%x:%d ", uint64(f.Event.Life), f.Event.Offset)
	}
	if f.Event.Number != 0 {
		fmt.Fprintf(&b, "(number %d of %s) ", f.Event.Number, f.Event.Origin)
	}
	return b.String() + f.Text
}

// Counts is what happened in a run.
type Counts struct {
	Published, Accepted, Refused uint64 // messages
	Delivered                    uint64 // messages to subscribers, each once
	Missing                      uint64 // positions announced to subscribers as missing
	Unexplained                  uint64 // of these, without a fault that explains it
	Unknown                      uint64 // gaps of unknown size
	Ended                        uint64 // ENDs told
	Tail                         uint64 // positions of dead gateways that lie behind END
	Unseen                       uint64 // messages of dead gateways in streams that a subscriber was not told of yet
	Absent                       uint64 // subscribers without a connection at the end
}

// Verdict is what a run shows.
type Verdict string

// The verdicts.
const (
	Passed Verdict = "passed"
	Failed Verdict = "failed"
	Void   Verdict = "void" // it shows nothing
)

// Report is what a checker has to say.
type Report struct {
	Counts   Counts
	Findings []Finding       // the first ones
	PerRule  map[Rule]uint64 // how many there are
	Void     []string        // why the run shows nothing
	// Delays are the times from publication to delivery where no fault explains one.
	Delays Spread
	// Settled is one for each fault, and each end of one.
	Settled []*Settling
	// Seconds is the time from the first message that was published to the last one.
	Seconds float64

	checker *Checker
}

// Verdict is Failed if there is a finding, else Void if there is a reason, else Passed. What a void run says of time is
// void as well: it comes of what it lacked.
func (r Report) Verdict() Verdict {
	all := uint64(0)
	for _, n := range r.PerRule {
		all += n
	}
	switch {
	case all > r.PerRule[Timely]:
		return Failed
	case len(r.Void) > 0:
		return Void
	case all > 0:
		return Failed
	}
	return Passed
}

// String is the report for people: the verdict, what happened, and the first findings.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %+v in %.1f s, delay p50 %s p99 %s most %s\n", r.Verdict(), r.Counts, r.Seconds,
		seconds(r.Delays.Quantile(0.5)), seconds(r.Delays.Quantile(0.99)), seconds(r.Delays.Most()))
	for _, reason := range r.Void {
		fmt.Fprintf(&b, "void: %s\n", reason)
	}
	for _, rule := range slices.Sorted(maps.Keys(r.PerRule)) {
		fmt.Fprintf(&b, "%s: %d\n", rule, r.PerRule[rule])
	}
	for _, f := range r.Findings {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// Took is how long the subscribers took to settle after all faults of a kind together.
func (r Report) Took(fault Kind) *Spread {
	var all Spread
	for _, s := range r.Settled {
		if s.Fault == fault {
			all.merge(&s.Took)
		}
	}
	return &all
}

// find notes a finding.
func (c *Checker) find(rule Rule, e Event, format string, args ...any) {
	c.perRule[rule]++
	if len(c.findings) >= mostFindings {
		return
	}
	f := Finding{Rule: rule, Event: e, Text: fmt.Sprintf(format, args...)}
	if s := c.subscribers[e.Who]; s != nil {
		f.tail = s.tail.all()
	}
	c.findings = append(c.findings, f)
}

// floor says what a run lacked.
func (c *Checker) floor() {
	short := func(format string, args ...any) { c.void = append(c.void, fmt.Sprintf(format, args...)) }
	f := c.rules.Floor
	span := c.last - c.first
	if span < f.Span {
		short("it published for %s, which should be %s", seconds(span), seconds(f.Span))
	}
	rate := func(n uint64) float64 { return float64(n) / (float64(max(span, 1)) / 1e9) }
	if got := rate(c.counts.Accepted); got < f.Published {
		short("%.0f messages per second were accepted, which should be %.0f", got, f.Published)
	}
	if got := rate(c.counts.Delivered); got < f.Delivered {
		short("%.0f messages per second were delivered, which should be %.0f", got, f.Delivered)
	}
	if got := len(c.order); got < f.Subscribers {
		short("%d have subscribed, which should be %d", got, f.Subscribers)
	}
	if c.counts.Absent > 0 {
		short("%d subscribers were away at the end", c.counts.Absent)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Faults)) {
		if got := c.faults[name]; got < f.Faults[name] {
			short("%d faults of the sort %q are proven, which should be %d", got, name, f.Faults[name])
		}
	}
	if c.counts.Delivered == 0 {
		short("nothing was delivered at all")
	}
}

func (c *Checker) report() Report {
	return Report{
		Counts: c.counts, Findings: c.findings, PerRule: c.perRule, Void: c.void, Delays: c.delays, Settled: c.epochs,
		Seconds: float64(c.last-c.first) / 1e9, checker: c,
	}
}

// seconds is a time for people.
func seconds(nanos int64) string { return fmt.Sprintf("%.3f s", float64(nanos)/1e9) }
