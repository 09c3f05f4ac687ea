package bench

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Pixels, as style.css has them.
const (
	pageWidth = 1000.0
	halfWidth = 480.0 // of two pictures beside each other
	labelSize = 13.0
)

// bars draws a comparison: a bar to the median, the quartiles as a thick and the
// range of all samples as a thin line on it, a mark where the target is.
func (c comparison) draw(width float64) template.HTML {
	const (
		barHeight = 14.0
		top       = 22.0
		axis      = 26.0 // below the rows
	)
	widest, values := 0.0, 0.0
	for _, b := range c.rows {
		widest = max(widest, textWidth(b.name, labelSize))
		values = max(values, textWidth(quantityText(b.Median, b.Unit), labelSize))
	}
	// Long names stand above their bars.
	left, rowHeight, drop := widest+12, 30.0, 0.0
	if left > width*0.4 {
		left, rowHeight, drop = 1, 46, 18
	}
	right := width - values - 16
	height := top + rowHeight*float64(len(c.rows)) + axis
	x := linear(c.extent(), left, right, 5)

	own := func(b bar) bool { return underTest(b.Figure.Name) }
	rivals := slices.ContainsFunc(c.rows, own) // else it is all about one server
	d := newDrawing(width, height, c.label())
	bottom := height - axis
	for _, v := range x.marks {
		d.line("grid", x.at(v), top-6, x.at(v), bottom)
		d.text("tick middle", x.at(v), bottom+16, tickText(v))
	}
	if c.unit == "×" && x.to > 1 {
		d.line("one", x.at(1), top-6, x.at(1), bottom) // as much as the other
	}
	for i, b := range c.rows {
		y := top + rowHeight*float64(i) + drop + (rowHeight-drop-barHeight)/2
		middle := y + barHeight/2
		if drop > 0 {
			d.text("label", left+3, y-5, b.name)
		} else {
			d.text("label end", left-10, middle+4.5, b.name)
		}
		class := "other"
		if own(b) || !rivals {
			class = "own"
		}
		d.box("bar "+class, left, y, x.at(b.Median)-left, barHeight, b.hint())
		if b.Samples > 1 {
			d.line("halo", x.at(b.least), middle, x.at(b.most), middle)
			d.line("range", x.at(b.least), middle, x.at(b.most), middle)
			if b.most > x.to { // the line goes on
				end := x.at(b.most)
				d.polyline("range", []point{{end - 5, middle - 4}, {end, middle}, {end - 5, middle + 4}})
			}
			d.box("quartiles", x.at(b.Q1), middle-2.5, max(x.at(b.Q3)-x.at(b.Q1), 1.5), 5, "")
		}
		if b.aimed {
			d.line("goal", x.at(b.target.limit), y-5, x.at(b.target.limit), y+barHeight+5)
			d.text("goaltext "+goalSide(x, b.target.limit, left, right), goalAt(x, b.target.limit, left, right), y-7, "target "+b.target.goal())
		}
		d.text("value end", width-1, middle+4.5, quantityText(b.Median, b.Unit))
	}
	d.line("axis", left, top-6, left, bottom)
	return d.done()
}

// goalSide keeps the word of a target inside the picture.
func goalSide(x scale, limit, left, right float64) string {
	switch at := x.at(limit); {
	case at < left+60:
		return "start"
	case at > right-60:
		return "end"
	}
	return "middle"
}

func goalAt(x scale, limit, left, right float64) float64 {
	switch at := x.at(limit); goalSide(x, limit, left, right) {
	case "start":
		return max(at-3, left+2)
	case "end":
		return at + 3
	default:
		return at
	}
}

// extent is the greatest value that the picture shows: all medians, quartiles
// and targets, and the range if it is not out of all proportion.
func (c comparison) extent() float64 {
	inner, outer := 0.0, 0.0
	for _, b := range c.rows {
		inner = max(inner, b.Median, b.Q3)
		if b.aimed {
			inner = max(inner, b.target.limit)
		}
		outer = max(outer, b.most)
	}
	return max(inner, min(outer, inner*1.5))
}

// title names a comparison.
func (c comparison) title() string {
	if c.quantity != "" {
		return sentenceCase(c.quantity)
	}
	switch c.unit {
	case "×":
		return "Ratios"
	case "":
		return "Counts"
	case "/s":
		return "Rates"
	case "ns", "µs", "ms", "s":
		return "Times"
	case "B", "KiB", "MiB", "GiB":
		return "Memory"
	}
	return "Figures"
}

func (c comparison) label() string {
	said := make([]string, 0, len(c.rows))
	for _, b := range c.rows {
		said = append(said, b.name+" "+quantityText(b.Median, b.Unit))
	}
	return strings.TrimSuffix(c.title()+", "+c.about, ", ") + ": " + strings.Join(said, "; ")
}

func (b bar) hint() string {
	if b.Samples < 2 {
		return fmt.Sprintf("%s: %s", b.name, quantityText(b.Median, b.Unit))
	}
	return fmt.Sprintf("%s: median %s, quartiles %s, range %s, %d samples", b.name, quantityText(b.Median, b.Unit),
		span(b.Q1, b.Q3, b.Unit), span(b.least, b.most, b.Unit), b.Samples)
}

// goal is the target without the explanation in brackets.
func (t target) goal() string {
	short, _, _ := strings.Cut(t.Goal, " (")
	return short
}

// underTest reports whether a name is that of the server that a run is about,
// or of its ratio to another.
func underTest(name string) bool {
	first, _, _ := strings.Cut(name, " ")
	return strings.TrimSuffix(first, ",") == gatewayName
}

// quantityText is a number with its unit, which an unbreakable space keeps near.
func quantityText(v float64, unit string) string {
	switch {
	case unit == "":
		return valueText(v, unit)
	case strings.HasPrefix(unit, "/"):
		return valueText(v, unit) + unit
	}
	return valueText(v, unit) + "\u00a0" + unit
}

// valueText is the number of a quantity. A ratio that happens to be whole is no
// count.
func valueText(v float64, unit string) string {
	if unit == "×" && v == math.Trunc(v) && math.Abs(v) < 100 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return figureText(v)
}

// span is from one number to another.
func span(low, high float64, unit string) string {
	return valueText(low, unit) + " – " + valueText(high, unit)
}

// sentenceCase begins s with a capital, unless its first word has capitals of
// its own.
func sentenceCase(s string) string {
	first, _, _ := strings.Cut(s, " ")
	if s == "" || strings.ToLower(first) != first || percentileWord.MatchString(first) {
		return s
	}
	letters := []rune(s)
	return strings.ToUpper(string(letters[:1])) + string(letters[1:])
}
