package bench

import (
	"encoding/xml"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// drawing is an SVG picture under way. It has no colours of its own: the page's
// style gives them to its classes, for light, dark and paper. Lengths are CSS
// pixels.
type drawing struct {
	strings.Builder
}

// newDrawing starts a picture; label is what it says to those who cannot see it.
func newDrawing(width, height float64, label string) *drawing {
	d := &drawing{}
	fmt.Fprintf(d, `<svg role="img" aria-label="%s" width="%s" height="%s" viewBox="0 0 %[2]s %[3]s">`,
		escaped(label), length(width), length(height))
	return d
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, "\n"+`<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, length(x1), length(y1), length(x2), length(y2))
}

// box is a rectangle; hint shows when it is pointed at.
func (d *drawing) box(class string, x, y, width, height float64, hint string) {
	fmt.Fprintf(d, "\n"+`<rect class="%s" x="%s" y="%s" width="%s" height="%s"`, class, length(x), length(y), length(max(width, 0)), length(height))
	if hint == "" {
		d.WriteString("/>")
		return
	}
	fmt.Fprintf(d, "><title>%s</title></rect>", escaped(hint))
}

func (d *drawing) text(class string, x, y float64, words string) {
	fmt.Fprintf(d, "\n"+`<text class="%s" x="%s" y="%s">%s</text>`, class, length(x), length(y), escaped(words))
}

// point is a place in a picture; y grows downwards.
type point struct{ x, y float64 }

func (d *drawing) polyline(class string, points []point) {
	fmt.Fprintf(d, "\n"+`<polyline class="%s" points="%s"/>`, class, coordinates(points))
}

func (d *drawing) polygon(class string, points []point) {
	fmt.Fprintf(d, "\n"+`<polygon class="%s" points="%s"/>`, class, coordinates(points))
}

func (d *drawing) dot(class string, at point, radius float64, hint string) {
	fmt.Fprintf(d, "\n"+`<circle class="%s" cx="%s" cy="%s" r="%s"><title>%s</title></circle>`,
		class, length(at.x), length(at.y), length(radius), escaped(hint))
}

func (d *drawing) done() template.HTML {
	d.WriteString("\n</svg>")
	return template.HTML(d.String()) //nolint:gosec // every text in it went through escaped
}

func coordinates(points []point) string {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(length(p.x) + "," + length(p.y))
	}
	return b.String()
}

// length is in tenths of a pixel; finer ones only make the page longer.
func length(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

func escaped(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) //nolint:errcheck // a Builder takes everything
	return b.String()
}

// textWidth estimates how wide words are in the page's type, generously: a
// picture is drawn before any browser knows its fonts.
func textWidth(words string, size float64) float64 {
	return float64(len([]rune(words))) * size * 0.61
}
