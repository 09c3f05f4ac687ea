package bench

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pageSample has what every picture needs: two systems with ratios and a target,
// percentiles of both, quantities over time.
func pageSample(t *testing.T) Result {
	r := Result{
		Scenario: "fanout", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "bellwire bench fanout --pin", Server: "bellwire serve",
		Machine: Machine{CPU: "A Processor", Cores: 2, MemoryMiB: 24105, System: "linux 6", Go: "go1", Congestion: "cubic", Hypervisor: true},
	}
	r.set("subscribers", 1000)
	for i := range 6 {
		v := float64(i)
		r.add("time", "s", v/2)
		r.add("gateway, CPU per delivery", "µs", 3.4+v/10)
		r.add("single, CPU per delivery", "µs", 3+v/8)
		r.add("resident memory", "MiB", 60+v)
		for j, p := range []string{"p0", "p50", "p99", "max"} {
			r.add("gateway, latency "+p, "ms", (1+v/10)*[]float64{0.4, 3, 12, 30}[j])
			r.add("single, latency "+p, "ms", (1+v/12)*[]float64{0.3, 2, 14, 50}[j])
		}
	}
	require.NoError(t, r.ratio("gateway / C single, one in flight", "fanout-1", "gateway, CPU per delivery", "single, CPU per delivery"))
	for _, s := range r.Series[1:] {
		require.NoError(t, r.figure(s.Name, "", s.Name))
	}
	return r
}

func golden(t *testing.T, name, have string) {
	path := filepath.Join("html", "golden", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(have+"\n"), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), have+"\n", "look at the picture; -update writes it anew")
}

func TestPictures(t *testing.T) {
	r := pageSample(t)
	curves := latencyCurves(r)
	require.Len(t, curves, 1)
	golden(t, "latency.svg", string(curves[0].drawLatency()))

	bars := comparisons(r, curves)
	require.Len(t, bars, 2, "the percentiles are left to the curve, what stands alone to the table")
	require.Equal(t, "CPU per delivery", bars[0].title())
	golden(t, "bars.svg", string(bars[0].draw(halfWidth)))
	require.Equal(t, 1, strings.Count(string(bars[0].draw(halfWidth)), `class="bar own"`), "one of the two is the server under test")
	require.Equal(t, "Ratios", bars[1].title())
	require.Empty(t, bars[1].about, "one row has nothing in common with others")
	golden(t, "ratios.svg", string(bars[1].draw(pageWidth)))

	over := courses(r)
	require.Len(t, over, 2, "neither percentiles nor the clock are a course")
	require.True(t, over[0].clock)
	golden(t, "course.svg", string(over[0].drawCourse(halfWidth)))
	require.Equal(t, "Resident memory", over[1].title())
	require.Empty(t, over[1].lines[0].name, "its name is the title")
}

var (
	svgPart = regexp.MustCompile(`(?s)<svg .*?</svg>`)
	// beyond finds whatever could make a browser ask for something.
	beyond = regexp.MustCompile(`(?i)https?:|//[a-z]|\bsrc\s*=|url\s*\(|@import|<link|<script|<iframe|<object|<embed|<base|href="[^#]`)
)

func TestPageNeedsNothingElse(t *testing.T) {
	second := pageSample(t)
	second.Machine.Cores, second.Scenario = 4, "latency"
	var page strings.Builder
	require.NoError(t, HTML(&page, []Result{pageSample(t), second}))
	html := page.String()
	require.Empty(t, beyond.FindString(html))
	pictures := svgPart.FindAllString(html, -1)
	require.Len(t, pictures, 10)
	for _, picture := range pictures {
		requireXML(t, picture)
	}
	for _, part := range []string{
		"<title>Gateway measurements · Bellwire</title>", "2 January 2026", ">2 met<", "≤ 1.15 ×", `<span class="met">met</span>`,
		"<code>bellwire bench fanout --pin</code>", "A Processor", "24,105 MiB", "machine 2", `<a href="#r2">Latency</a>`,
	} {
		require.Contains(t, html, part)
	}
	require.Empty(t, beyond.FindString(pageStyle))
	for _, planted := range []string{`<img src=x>`, `<a href="/x">`, `url(x)`, `//host`, `<script>`} {
		require.NotEmpty(t, beyond.FindString(planted), "the check is blind to %s", planted)
	}
}

func requireXML(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, text)
	}
}

// Names come from files that anyone may have written.
func TestPageEscapesWhatItShows(t *testing.T) {
	evil := `<script>alert("x")</script>&'`
	r := Result{Scenario: evil, Command: evil, Server: evil, Machine: Machine{CPU: evil}}
	r.set(evil, evil)
	for range 6 {
		r.add(evil, evil, 1)
		r.add("gateway, "+evil, evil, 2)
		r.add("other, "+evil, evil, 2)
		for _, p := range []string{"p1", "p2", "p3"} {
			r.add(evil+", "+p, evil, 2)
		}
	}
	for _, s := range r.Series {
		require.NoError(t, r.figure(s.Name, "", s.Name))
	}
	var page strings.Builder
	require.NoError(t, HTML(&page, []Result{r}))
	require.NotContains(t, strings.ToLower(page.String()), "<script")
	require.Len(t, svgPart.FindAllString(page.String(), -1), 3)
	for _, picture := range svgPart.FindAllString(page.String(), -1) {
		requireXML(t, picture)
	}
}

func TestPageOfAnything(t *testing.T) {
	require.ErrorContains(t, HTML(io.Discard, nil), "no results")
	for name, samples := range map[string][]float64{
		"none": nil, "one": {1}, "zeros": {0, 0, 0, 0, 0, 0}, "negative": {-3, -2, -1, 0, 1, 2}, "huge": {1e300, 1e300, 2e300, 1e300, 1e300, 1e300},
		"tiny": {1e-12, 1e-12, 1e-12, 1e-12, 1e-12, 2e-12}, "infinite": {math.Inf(1), 1, 1, 1, 1, 1}, "none of a number": {math.NaN(), 1, 1, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := Result{Scenario: "x", Series: []Series{{Name: "gateway, q", Samples: samples}, {Name: "other, q", Samples: samples}}}
			for _, p := range []string{"p50", "p90", "p99"} {
				r.Series = append(r.Series, Series{Name: "gateway, " + p, Unit: "ms", Samples: samples})
			}
			for _, s := range r.Series {
				require.NoError(t, r.figure(s.Name, "", s.Name))
			}
			var page strings.Builder
			require.NoError(t, HTML(&page, []Result{r}))
			if name == "negative" {
				require.Empty(t, svgPart.FindString(page.String()), "a bar or a course begins at zero")
			}
			for _, picture := range svgPart.FindAllString(page.String(), -1) {
				requireXML(t, picture)
				require.NotRegexp(t, `="[^"]*(NaN|Inf)[^"]*"`, regexp.MustCompile(`aria-label="[^"]*"`).ReplaceAllString(picture, ""))
			}
		})
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestPageReportsAFailedWrite(t *testing.T) {
	require.ErrorContains(t, HTML(failing{}, []Result{pageSample(t)}), "disk full")
}

func TestNamesSayWhatBelongsTogether(t *testing.T) {
	for _, test := range []struct {
		quantity string
		p        float64
		rest     string
		ok       bool
	}{
		{"latency p50", 50, "latency", true},
		{"p99.9", 99.9, "", true},
		{"latency max", 100, "latency", true},
		{"worst p0 of latency", 0, "worst of latency", true},
		{"p100", 100, "", true},
		{"ipv4 packets", 0, "ipv4 packets", false},
		{"maximum", 0, "maximum", false},
		{"step5", 0, "step5", false},
		{"p101", 0, "p101", false},
	} {
		p, rest, ok := percentileOf(test.quantity)
		require.Equal(t, test.ok, ok, test.quantity)
		require.Equal(t, test.rest, rest)
		require.InDelta(t, test.p, p, 0, test.quantity)
	}
	for _, test := range []struct {
		name, system, quantity string
		ok                     bool
	}{
		{"gateway, 10 % stopped, latency p99", "gateway, 10 % stopped", "latency", true},
		{"gateway, latency max, 10 % stopped", "gateway, 10 % stopped", "latency", true},
		{"gateway, p50", "gateway", "", true},
		{"p50, gateway", "p50, gateway", "", false},
		{"gateway, CPU", "gateway, CPU", "", false},
	} {
		system, quantity, _, ok := curveParts(test.name)
		require.Equal(t, test.ok, ok, test.name)
		require.Equal(t, test.system, system)
		require.Equal(t, test.quantity, quantity)
	}
	for _, test := range []struct{ name, over, system, quantity string }{
		{"gateway / nats, p50", "x", "gateway", "p50, against nats"},
		{"gateway / nats", "x", "gateway", "against nats"},
		{"gateway / nats, p50", "", "gateway / nats", "p50"},
		{"gateway, 1 in flight, CPU", "", "gateway", "1 in flight, CPU"},
	} {
		system, quantity := figureParts(Figure{Name: test.name, Over: test.over})
		require.Equal(t, test.system, system)
		require.Equal(t, test.quantity, quantity)
	}
}

func TestResultsOfOneScenarioAreToldApart(t *testing.T) {
	first, second, other := Result{Scenario: "fanout"}, Result{Scenario: "fanout"}, Result{Scenario: "idle"}
	first.set("subscribers", 1000)
	first.set("payload, bytes", 64)
	second.set("subscribers", 10000)
	second.set("payload, bytes", 64)
	other.set("payload, bytes", 8)
	all := []Result{first, second, other}
	require.Equal(t, "1000 subscribers", distinction(first, all))
	require.Equal(t, "10000 subscribers", distinction(second, all))
	require.Empty(t, distinction(other, all))
	second.Setup[1].Value = "1024"
	require.Equal(t, "1000 subscribers, payload 64 bytes", distinction(first, all))
}

func TestNamesAreShortened(t *testing.T) {
	for _, test := range []struct {
		names, want []string
		about       string
	}{
		{[]string{"gateway / C single, latency p50", "gateway / C single, latency p90"}, []string{"latency p50", "latency p90"}, "gateway / C single"},
		{[]string{"gateway, CPU, half over all", "gateway, RSS, half over all"}, []string{"CPU", "RSS"}, "gateway, half over all"},
		{[]string{"gateway, a, x", "other, b, x"}, []string{"gateway, a", "other, b"}, "x"},
		{[]string{"a, x", "a"}, []string{"a, x", "a"}, ""},
		{[]string{"a, x", "a, x"}, []string{"x", "x"}, "a"},
		{[]string{"a", "b"}, []string{"a", "b"}, ""},
		{[]string{"alone, x"}, []string{"alone, x"}, ""},
	} {
		c := comparison{}
		for _, name := range test.names {
			c.rows = append(c.rows, bar{name: name})
		}
		c.shorten()
		require.Equal(t, test.about, c.about)
		for i, name := range test.want {
			require.Equal(t, name, c.rows[i].name)
		}
	}
}

func TestScales(t *testing.T) {
	for _, test := range []struct {
		to    float64
		marks string
	}{
		{1.15, "[0 0.25 0.5 0.75 1 1.25]"},
		{9.6, "[0 2 4 6 8 10]"},
		{0.08, "[0 0.02 0.04 0.06 0.08]"},
		{3.1e6, "[0 1e+06 2e+06 3e+06 4e+06]"},
		{0, "[0 0.2 0.4 0.6 0.8 1]"},
		{math.NaN(), "[0 0.2 0.4 0.6 0.8 1]"},
		{0.3, "[0 0.1 0.2 0.3]"},
	} {
		s := linear(test.to, 100, 200, 5)
		require.Equal(t, test.marks, fmt.Sprint(s.marks))
		require.InDelta(t, 100, s.at(0), 1e-9)
		require.InDelta(t, 200, s.at(s.to), 1e-9)
		require.InDelta(t, 200, s.at(2*s.to), 1e-9, "beyond the scale is at its end")
		require.InDelta(t, 100, s.at(math.NaN()), 1e-9)
	}
	for _, test := range []struct {
		from, to float64
		marks    string
	}{
		{0.3, 51, "[0.2 0.5 1 2 5 10 20 50 100]"}, {1, 1, "[1 2]"}, {1.5, 1.6, "[1 2]"}, {10, 20, "[10 20]"},
	} {
		s := logarithmic(test.from, test.to, 0, 100)
		require.Equal(t, test.marks, fmt.Sprint(s.marks))
		require.LessOrEqual(t, s.from, test.from)
		require.GreaterOrEqual(t, s.to, test.to)
		require.InDelta(t, 50, s.at(math.Sqrt(s.from*s.to)), 1e-9)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 14: "14", 1.1: "1.10", 0.059: "0.0590", 12.34: "12.3", 99.96: "100", 2651100: "2,651,100", -1234.5: "−1,234", 123.4: "123", 0.00012345: "0.000123",
	} {
		require.Equal(t, want, figureText(v))
	}
	require.Equal(t, "3.10\u00a0µs", quantityText(3.1, "µs"))
	require.Equal(t, "1,000/s", quantityText(1000, "/s"))
	require.Equal(t, "7", quantityText(7, ""))
}

func TestLabelsKeepApart(t *testing.T) {
	have := apart([]label{{y: 50, name: "b"}, {y: 49, name: "a"}, {y: 99, name: "d"}, {y: 98, name: "c"}}, 10, 20, 100)
	for i, want := range []label{{y: 49, name: "a"}, {y: 59, name: "b"}, {y: 90, name: "c"}, {y: 100, name: "d"}} {
		require.Equal(t, want, have[i])
	}
}
