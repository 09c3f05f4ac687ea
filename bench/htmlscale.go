package bench

import (
	"math"
	"strconv"
	"strings"
)

// scale maps values to pixels.
type scale struct {
	from, to   float64 // values at the ends; positive if log
	low, high  float64 // pixels there
	log        bool
	marks      []float64 // values where the axis has a tick
	everyLabel bool      // all of them have a label; else those that begin with 1, 2 or 5
}

// linear is a scale from zero to a round value that is not less than to, with
// about count ticks.
func linear(to float64, low, high float64, count int) scale {
	if to <= 0 || math.IsInf(to, 0) || math.IsNaN(to) {
		to = 1
	}
	step := roundStep(to / float64(count))
	s := scale{low: low, high: high, everyLabel: true}
	// An integer counts the steps: adding them up would drift.
	for i := 0; ; i++ {
		s.to = roundTo(float64(i)*step, step)
		s.marks = append(s.marks, s.to)
		if s.to >= to*(1-1e-9) {
			return s
		}
	}
}

// logarithmic is a scale from a value of 1, 2 or 5 times a power of ten to
// another, that hold from and to between them. Both must be positive.
func logarithmic(from, to, low, high float64) scale {
	s := scale{low: low, high: high, log: true}
	unit := math.Pow(10, math.Floor(math.Log10(from)))
	for i := 0; len(s.marks) == 0 || s.marks[len(s.marks)-1] < to*(1-1e-9); i++ {
		v := []float64{1, 2, 5}[i%3] * unit * math.Pow(10, float64(i/3))
		if v <= from*(1+1e-9) {
			s.marks = s.marks[:0] // a later start is closer
		}
		s.marks = append(s.marks, v)
	}
	s.from, s.to = s.marks[0], s.marks[len(s.marks)-1]
	if s.from == s.to {
		s.to *= 2
		s.marks = append(s.marks, s.to)
	}
	s.everyLabel = len(s.marks) <= 13
	return s
}

// at is where v lies, at the nearer end if it is beyond the scale.
func (s scale) at(v float64) float64 {
	share := (v - s.from) / (s.to - s.from)
	if s.log {
		share = math.Log(v/s.from) / math.Log(s.to/s.from)
	}
	if !(share > 0) { // NaN as well
		share = 0
	}
	return s.low + min(share, 1)*(s.high-s.low)
}

// labelled reports whether the i-th mark has a label: on long logarithmic
// scales only powers of ten do.
func (s scale) labelled(i int) bool {
	if s.everyLabel {
		return true
	}
	power := math.Log10(s.marks[i])
	return math.Abs(power-math.Round(power)) < 1e-9
}

// roundStep is 1, 2, 2.5 or 5 times a power of ten, not less than v.
func roundStep(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if v <= m*unit*(1+1e-9) {
			return m * unit
		}
	}
	return 10 * unit
}

// roundTo drops what arithmetic has added to a multiple of step.
func roundTo(v, step float64) float64 {
	digits := max(0, 2-int(math.Floor(math.Log10(step))))
	s, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', digits, 64), 64)
	if err != nil {
		return v
	}
	return s
}

// figureText is a number for people: three significant digits, zeros at the end
// as well, so that neighbours have the same form; whole numbers as they are;
// commas between thousands.
func figureText(v float64) string {
	if v == math.Trunc(v) {
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	}
	_, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', 2, 64), "e")
	power, err := strconv.Atoi(exponent)
	if err != nil {
		return number(v) // no number at all
	}
	return thousands(strconv.FormatFloat(v, 'f', max(0, 2-power), 64))
}

// tickText is a number of an axis, whole.
func tickText(v float64) string { return thousands(strconv.FormatFloat(v, 'f', -1, 64)) }

func thousands(digits string) string {
	sign := ""
	if rest, ok := strings.CutPrefix(digits, "-"); ok {
		sign, digits = "−", rest
	}
	whole, fraction, has := strings.Cut(digits, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if has {
		whole += "." + fraction
	}
	return sign + whole
}
