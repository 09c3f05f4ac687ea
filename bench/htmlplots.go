package bench

import "slices"

// plot is a picture of lines: what systems did in one quantity and unit.
type plot struct {
	quantity, unit string
	clock          bool // x is seconds, not the number of a sample
	lines          []curve
}

// curve is one system's line.
type curve struct {
	name   string
	places []place
}

// place is a median with the range of its samples.
type place struct{ x, y, least, most float64 }

// put adds a place to a system's line, which it starts if need be.
func put(all []plot, quantity, unit, system string, p place) []plot {
	i := slices.IndexFunc(all, func(p plot) bool { return p.quantity == quantity && p.unit == unit })
	if i < 0 {
		i = len(all)
		all = append(all, plot{quantity: quantity, unit: unit})
	}
	lines := &all[i].lines
	j := slices.IndexFunc(*lines, func(c curve) bool { return c.name == system })
	if j < 0 {
		j = len(*lines)
		*lines = append(*lines, curve{name: system})
	}
	(*lines)[j].places = append((*lines)[j].places, p)
	return all
}

// latencyCurves are pictures of the percentiles of a result, where it has three
// of a quantity or more; x is the percentile.
func latencyCurves(r Result) []plot {
	var all []plot
	for _, s := range r.Series {
		system, quantity, p, ok := curveParts(s.Name)
		if !ok || len(s.Samples) == 0 || !finite(s.Samples...) || slices.Min(s.Samples) <= 0 {
			continue
		}
		sorted := slices.Sorted(slices.Values(s.Samples))
		all = put(all, quantity, s.Unit, system, place{x: p, y: quantile(sorted, 0.5), least: sorted[0], most: sorted[len(sorted)-1]})
	}
	for i := range all {
		for j := range all[i].lines {
			slices.SortFunc(all[i].lines[j].places, func(a, b place) int {
				if a.x < b.x {
					return -1
				}
				return 1
			})
		}
		all[i].lines = slices.DeleteFunc(all[i].lines, func(c curve) bool { return len(c.places) < 3 })
	}
	return slices.DeleteFunc(all, func(p plot) bool { return len(p.lines) == 0 })
}

// courses are pictures of how quantities went over the run, of series with five
// samples or more.
func courses(r Result) []plot {
	var all []plot
	alone := soleSystem(r)
	for _, s := range r.Series {
		system, quantity := nameParts(s.Name)
		if _, _, _, percentile := curveParts(s.Name); percentile || len(s.Samples) < 5 || !finite(s.Samples...) || slices.Min(s.Samples) < 0 || system == clockName {
			continue
		}
		clock, onClock := r.clockOf(s)
		if !slices.ContainsFunc(r.Series, func(o Series) bool {
			_, q := nameParts(o.Name)
			return o.Name != s.Name && q == quantity && o.Unit == s.Unit && quantity != ""
		}) {
			if !alone {
				quantity = s.Name // it says whose
			}
			system = "" // the title says it all
		}
		for i, v := range s.Samples {
			x := float64(i + 1)
			if onClock {
				x = clock[i]
			}
			all = put(all, quantity, s.Unit, system, place{x: x, y: v, least: v, most: v})
		}
		at := slices.IndexFunc(all, func(p plot) bool { return p.quantity == quantity && p.unit == s.Unit })
		all[at].clock = onClock
	}
	return all
}

// soleSystem reports whether all series are of one system, which needs no
// mention then.
func soleSystem(r Result) bool {
	only := ""
	for _, s := range r.Series {
		system, quantity := nameParts(s.Name)
		if system == clockName {
			continue
		}
		if quantity == "" || only != "" && system != only {
			return false
		}
		only = system
	}
	return true
}

// clockOf says when the samples of a series were taken.
func (r *Result) clockOf(s Series) (at []float64, ok bool) {
	_, quantity := nameParts(s.Name)
	for _, name := range []string{clockName + ", " + s.Name, clockName + ", " + quantity, clockName} {
		if c, err := r.series(name); err == nil && c.Unit == "s" && len(c.Samples) == len(s.Samples) && finite(c.Samples...) && slices.IsSorted(c.Samples) {
			return c.Samples, true
		}
	}
	return nil, false
}
