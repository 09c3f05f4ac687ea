package bench

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// lineClasses is how many styles of lines style.css has; more lines share them.
const lineClasses = 7

// frame is the inner part of a picture of lines, with its scales.
type frame struct {
	*drawing
	x, y                     scale
	left, right, top, bottom float64
}

// drawLatency draws percentiles: each nine as far as the one before, the
// latency logarithmic, the range of the runs as a band.
func (p plot) drawLatency() template.HTML {
	least, most, tail := math.Inf(1), 0.0, 0.0
	for _, l := range p.lines {
		for _, at := range l.places {
			least, most = min(least, at.least), max(most, at.most)
			if at.x < 100 {
				tail = max(tail, nines(at.x))
			}
		}
	}
	edge := math.Floor(tail) + 1 // where the greatest of all is drawn: it has no place of its own
	f := p.newFrame(pageWidth, 380, logarithmic(least, most, 0, 0))
	f.x = scale{from: 0, to: edge, low: f.left, high: f.right}
	for _, mark := range percentileMarks(edge) {
		at := f.x.at(mark.at)
		f.line("grid", at, f.top, at, f.bottom)
		f.text("tick middle", at, f.bottom+17, mark.name)
	}
	f.grid()
	f.text("unit middle", (f.left+f.right)/2, f.bottom+36, "percentile: share of the samples that are not slower")
	position := func(at place) float64 {
		if at.x >= 100 {
			return f.x.at(edge)
		}
		return f.x.at(nines(at.x))
	}
	f.lines(p, position, func(l curve, at place) string {
		name := "p" + strconv.FormatFloat(at.x, 'f', -1, 64)
		switch at.x {
		case 0:
			name = "least"
		case 100:
			name = "greatest"
		}
		return fmt.Sprintf("%s, %s: %s, range %s – %s", l.name, name, quantityText(at.y, p.unit), figureText(at.least), figureText(at.most))
	})
	return f.done()
}

// nines is how far to the right a percentile below 100 lies: 90 at 1, 99 at 2.
func nines(p float64) float64 { return -math.Log10(1 - p/100) }

type percentileMark struct {
	at   float64
	name string
}

func percentileMarks(edge float64) []percentileMark {
	marks := []percentileMark{{0, "least"}, {nines(50), "50 %"}}
	for n := 1.0; n < edge; n++ {
		name := "90 %"
		if n > 1 {
			name = "99"
			if n > 2 {
				name += "." + strings.Repeat("9", int(n)-2)
			}
			name += " %"
		}
		marks = append(marks, percentileMark{n, name})
	}
	return append(marks, percentileMark{edge, "greatest"})
}

// drawCourse draws values over the time of the run.
func (p plot) drawCourse(width float64) template.HTML {
	most, last := 0.0, 0.0
	for _, l := range p.lines {
		for _, at := range l.places {
			most, last = max(most, at.y), max(last, at.x)
		}
	}
	f := p.newFrame(width, 220, linear(most, 0, 0, 4))
	f.x = linear(last, f.left, f.right, 5)
	f.x.to = last // time needs no room to spare
	name, first := "seconds since the start", 0.0
	if !p.clock {
		name, first = "sample", 1
		f.x.from = 1
		f.x.marks[0] = 1
	}
	for i, v := range f.x.marks {
		if v < first || v > last || i > 0 && v != math.Trunc(v) && !p.clock {
			continue
		}
		f.text("tick middle", f.x.at(v), f.bottom+17, tickText(v))
		f.line("tickmark", f.x.at(v), f.bottom, f.x.at(v), f.bottom+4)
	}
	f.grid()
	f.text("unit middle", (f.left+f.right)/2, f.bottom+34, name)
	f.lines(p, func(at place) float64 { return f.x.at(at.x) }, nil)
	return f.done()
}

// newFrame starts a picture; y is the scale of its values, without its pixels.
func (p plot) newFrame(width, height float64, y scale) *frame {
	f := &frame{drawing: newDrawing(width, height, p.label()), y: y, top: 32, bottom: height - 42}
	widest, names := 0.0, 0.0
	for _, v := range y.marks {
		widest = max(widest, textWidth(tickText(v), 12))
	}
	for _, l := range p.lines {
		names = max(names, 1.08*textWidth(l.name, 12)) // in bold
	}
	f.left, f.right = widest+10, width-14
	if names > 0 {
		f.right = width - names - 12
	}
	f.y.low, f.y.high = f.bottom, f.top
	return f
}

// grid draws the lines of the values and the unit above them.
func (f *frame) grid() {
	for i, v := range f.y.marks {
		f.line("grid", f.left, f.y.at(v), f.right, f.y.at(v))
		if f.y.labelled(i) {
			f.text("tick end", f.left-7, f.y.at(v)+4, tickText(v))
		}
	}
	f.line("axis", f.left, f.bottom, f.right, f.bottom)
}

// lines draws every curve with its name at its end; the server under test comes
// last, so that it lies above the others. hint gives places a dot.
func (f *frame) lines(p plot, position func(place) float64, hint func(curve, place) string) {
	f.text("unit", 0, f.top-18, p.unitText())
	ends := make([]label, 0, len(p.lines))
	for _, i := range p.order() {
		l, class := p.lines[i], fmt.Sprintf("s%d", i%lineClasses)
		var path, band []point
		ranged := false
		for _, at := range l.places {
			path = append(path, point{position(at), f.y.at(at.y)})
			band = append(band, point{position(at), f.y.at(at.most)})
			ranged = ranged || at.least != at.most
		}
		if ranged {
			for _, at := range slices.Backward(l.places) {
				band = append(band, point{position(at), f.y.at(at.least)})
			}
			f.polygon("band "+class, band)
		}
		f.polyline("line "+class, path)
		if hint != nil {
			for j, at := range l.places {
				f.dot("dot "+class, path[j], 3.2, hint(l, at))
			}
		}
		ends = append(ends, label{y: path[len(path)-1].y, name: l.name, class: class})
	}
	for _, e := range apart(ends, 15, f.top, f.bottom) {
		if e.name != "" {
			f.text("name "+e.class, f.right+9, e.y+4, e.name)
		}
	}
}

// order is that of drawing.
func (p plot) order() []int {
	all := make([]int, len(p.lines))
	for i := range all {
		all[i] = i
	}
	slices.SortStableFunc(all, func(a, b int) int {
		rank := func(i int) int {
			if underTest(p.lines[i].name) {
				return 1
			}
			return 0
		}
		return cmp.Compare(rank(a), rank(b))
	})
	return all
}

// label is a name at the end of a line.
type label struct {
	y           float64
	name, class string
}

// apart moves labels up and down until they are a gap from each other, between
// top and bottom as long as there is room.
func apart(labels []label, gap, top, bottom float64) []label {
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for i := range labels {
		labels[i].y = max(labels[i].y, top)
		if i > 0 {
			labels[i].y = max(labels[i].y, labels[i-1].y+gap)
		}
	}
	for i := len(labels) - 1; i >= 0; i-- {
		limit := bottom
		if i < len(labels)-1 {
			limit = labels[i+1].y - gap
		}
		labels[i].y = min(labels[i].y, limit)
	}
	return labels
}

func (p plot) unitText() string {
	if p.unit == "/s" {
		return "per second"
	}
	return p.unit
}

func (p plot) title() string {
	if p.quantity == "" {
		return p.unitText()
	}
	return sentenceCase(p.quantity)
}

// label says what the picture shows, with the end of each line.
func (p plot) label() string {
	said := make([]string, 0, len(p.lines))
	for _, l := range p.lines {
		last := l.places[len(l.places)-1]
		said = append(said, strings.TrimSpace(l.name+" ends at "+quantityText(last.y, p.unit)))
	}
	return p.title() + ": " + strings.Join(said, "; ")
}
