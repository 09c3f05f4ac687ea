package bench

import (
	"math"
	"slices"
)

// quantile is the q-quantile (0–1) of sorted, linear between its neighbours;
// NaN of nothing.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// medianInterval is the interval between two of the samples that holds the true
// median with at least 95 % probability, whatever the distribution: the number
// of samples below the median is binomial. Of fewer than six samples it is
// their range, which holds it less often.
func medianInterval(sorted []float64) (low, high float64) {
	n := len(sorted)
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	// below is P(at most k samples lie below the median); p is P(exactly k).
	k, p := 0, math.Pow(0.5, float64(n))
	below := p
	for below <= 0.025 && k < n/2 {
		p *= float64(n-k) / float64(k+1)
		k++
		below += p
	}
	k = max(k-1, 0)
	return sorted[k], sorted[n-1-k]
}

// summarize fills in a figure's median, quartiles and interval.
func (f *Figure) summarize(samples []float64) {
	sorted := slices.Clone(samples)
	slices.Sort(sorted)
	f.Samples = len(sorted)
	f.Median = round(quantile(sorted, 0.5))
	f.Q1, f.Q3 = round(quantile(sorted, 0.25)), round(quantile(sorted, 0.75))
	low, high := medianInterval(sorted)
	f.Low, f.High = round(low), round(high)
}

// round keeps five significant digits: more would be noise in the files.
func round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-4)
	if unit >= 1 {
		return math.Round(v/unit) * unit
	}
	return math.Round(v/unit) / math.Round(1/unit)
}
