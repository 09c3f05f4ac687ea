package bench

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What belongs into one picture is read from the names that scenarios give:
//
//   - "gateway, 32 in flight, CPU per delivery": a system, then the quantity.
//     Names of the same quantity and unit are compared.
//   - a quantity that holds a percentile, "gateway, latency p99.9" or "…, latency
//     max", is a place on that system's latency curve. p0 is the least.
//   - a series named "time" in seconds says when the samples of all series of its
//     length were taken, "time, memory" when those of memory were. Without one,
//     samples are numbered.

// nameParts are the system of a name and its quantity. A name without a comma
// is all system.
func nameParts(name string) (system, quantity string) {
	system, quantity, _ = strings.Cut(name, ", ")
	return system, quantity
}

// figureParts are those of a figure's name. Ratios to the same system are of one
// quantity: "gateway / nats, latency p50" is what gateway's latency p50 is against
// that of nats.
func figureParts(f Figure) (system, quantity string) {
	system, quantity = nameParts(f.Name)
	own, other, ok := strings.Cut(system, " / ")
	if !ok || f.Over == "" {
		return system, quantity
	}
	return own, strings.TrimPrefix(quantity+", against "+other, ", ")
}

// clockName is the series that says when samples were taken.
const clockName = "time"

var percentileWord = regexp.MustCompile(`(?:^|[ ,])(?:p(\d{1,2}(?:\.\d+)?|100)|max)(?:$|[ ,])`)

// percentileOf finds the percentile in a quantity, 100 for max.
func percentileOf(quantity string) (p float64, rest string, ok bool) {
	at := percentileWord.FindStringSubmatchIndex(quantity)
	if at == nil {
		return 0, quantity, false
	}
	p = 100
	if at[2] >= 0 {
		var err error
		if p, err = strconv.ParseFloat(quantity[at[2]:at[3]], 64); err != nil {
			return 0, quantity, false
		}
	}
	rest = strings.Trim(strings.Trim(quantity[:at[0]], " ,")+" "+strings.Trim(quantity[at[1]:], " ,"), " ")
	return p, rest, true
}

// curveParts are those of a name that holds a percentile: what the percentile is
// of, and all else, which is what the curve is called. "gateway, 10 % stopped,
// latency p99" is a place on the curve "gateway, 10 % stopped" of latencies.
func curveParts(name string) (system, quantity string, p float64, ok bool) {
	parts := strings.Split(name, ", ")
	for i, part := range parts {
		if p, quantity, ok := percentileOf(part); ok && i > 0 {
			return strings.Join(slices.Delete(parts, i, i+1), ", "), quantity, p, true
		}
	}
	return name, "", 0, false
}

// comparison is a picture of bars: figures of one quantity and unit.
type comparison struct {
	quantity, unit string
	about          string // what all rows have in common, if the quantity does not say it
	rows           []bar
}

// bar is a figure with the range of its samples.
type bar struct {
	name string
	Figure
	least, most float64 // of the samples
	target      target
	aimed       bool // there is a target
}

// comparisons sorts a result's figures into pictures. Those that a latency curve
// shows are left to it.
func comparisons(r Result, curves []plot) []comparison {
	shared := map[[2]string]int{} // figures of a quantity and unit
	for _, f := range r.Figures {
		_, quantity := figureParts(f)
		shared[[2]string{quantity, f.Unit}]++
	}
	var all []comparison
	for _, f := range r.Figures {
		system, quantity := figureParts(f)
		if _, shown, _, ok := curveParts(f.Name); ok && f.Over == "" && slices.ContainsFunc(curves, func(p plot) bool {
			return p.quantity == shown && p.unit == f.Unit
		}) {
			continue
		}
		if shared[[2]string{quantity, f.Unit}] < 2 {
			system, quantity = f.Name, ""
		}
		b := bar{name: system, Figure: f}
		if b.target, b.aimed = targetByID(f.Target); b.target.stated {
			b.aimed = false
		}
		b.least, b.most = rangeOf(r, f)
		if !finite(f.Median, f.Q1, f.Q3, b.least, b.most) || b.least < 0 {
			continue // a table can say it, a bar cannot
		}
		i := slices.IndexFunc(all, func(c comparison) bool { return c.quantity == quantity && c.unit == f.Unit })
		if i < 0 {
			i = len(all)
			all = append(all, comparison{quantity: quantity, unit: f.Unit})
		}
		all[i].rows = append(all[i].rows, b)
	}
	// One bar alone compares nothing.
	all = slices.DeleteFunc(all, func(c comparison) bool { return len(c.rows) == 1 && !c.rows[0].aimed })
	// What is left over comes last.
	for i := range all {
		if all[i].quantity == "" {
			all[i].shorten()
		}
	}
	named := slices.DeleteFunc(slices.Clone(all), func(c comparison) bool { return c.quantity == "" })
	return append(named, slices.DeleteFunc(all, func(c comparison) bool { return c.quantity != "" })...)
}

// shorten takes from the names of the rows what begins or ends all of them.
func (c *comparison) shorten() {
	if len(c.rows) < 2 {
		return
	}
	names := make([][]string, len(c.rows))
	for i, b := range c.rows {
		names[i] = strings.Split(b.name, ", ")
	}
	var before, after []string
	for same(names, 0) {
		before = append(before, names[0][0])
		for i := range names {
			names[i] = names[i][1:]
		}
	}
	for same(names, -1) {
		after = append([]string{names[0][len(names[0])-1]}, after...)
		for i := range names {
			names[i] = names[i][:len(names[i])-1]
		}
	}
	c.about = strings.Join(append(before, after...), ", ")
	for i := range names {
		c.rows[i].name = strings.Join(names[i], ", ")
	}
}

// same reports whether all names have the same part at a place, -1 being the
// last, and others beside it.
func same(names [][]string, place int) bool {
	return !slices.ContainsFunc(names, func(parts []string) bool {
		if len(parts) < 2 {
			return true
		}
		if place < 0 {
			return parts[len(parts)-1] != names[0][len(names[0])-1]
		}
		return parts[place] != names[0][place]
	})
}

// rangeOf is the least and the greatest of the samples behind a figure.
func rangeOf(r Result, f Figure) (least, most float64) {
	least, most = f.Low, f.High // if the samples are not there
	samples, err := r.samplesOf(f)
	if err == nil && len(samples) > 0 {
		least, most = slices.Min(samples), slices.Max(samples)
	}
	return min(least, f.Q1), max(most, f.Q3)
}

// samplesOf are those that a figure is made of.
func (r *Result) samplesOf(f Figure) ([]float64, error) {
	s, err := r.series(f.Series)
	if err != nil || f.Over == "" {
		return s.Samples, err
	}
	over, err := r.series(f.Over)
	if err != nil {
		return nil, err
	}
	ratios := slices.Clone(s.Samples[:min(len(s.Samples), len(over.Samples))])
	for i := range ratios {
		ratios[i] /= over.Samples[i]
	}
	return ratios, nil
}

func finite(all ...float64) bool {
	return !slices.ContainsFunc(all, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}
