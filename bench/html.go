package bench

import (
	"bytes"
	_ "embed" // the page's parts
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

//go:embed html/page.tmpl
var pageTemplate string

//go:embed html/style.css
var pageStyle string

// HTML writes results as one page that needs nothing else: no script, no font,
// no picture from elsewhere, light or dark as the reader's system is, and fit to
// print. It shows the targets, the comparison of systems, latency curves where a
// result has percentiles, and how things went over the run. htmlgroup.go says
// how the names of series decide what belongs together. It does not change the
// results; nothing is written if there is an error.
func HTML(w io.Writer, results []Result) error {
	if len(results) == 0 {
		return errors.New("there are no results to make a page of: measure something first")
	}
	page, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, newHTMLPage(results)); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// htmlPage is what the template shows.
type htmlPage struct {
	Style               template.CSS
	Title, Dates        string
	Met, Missed, Stated int
	Targets             []htmlTarget
	Machines            []htmlMachine
	Results             []htmlResult
	Spread, Curves      bool // there are bars, latency curves
}

// htmlTarget is a target that a result answers.
type htmlTarget struct {
	Section                                        string // heading before it, of the first one of a section
	What, Goal, Measured, Quartiles, Verdict, From string
}

type htmlMachine struct {
	ID    string // empty if there is one only
	Facts []Setting
}

type htmlResult struct {
	ID, Title, What, Command, Server, Date, MachineID string
	Setup                                             []Setting
	Comparisons, Latency, Courses                     []htmlChart
	Figures                                           []htmlFigure
}

type htmlChart struct {
	Title, Unit string
	Picture     template.HTML
}

type htmlFigure struct {
	Name, Median, Unit, Quartiles, Interval, Goal, Verdict string
	Samples                                                int
}

func newHTMLPage(results []Result) htmlPage {
	page := htmlPage{Style: template.CSS(pageStyle), Title: pageTitle(results), Dates: pageDates(results)} //nolint:gosec // it is our own
	var machines []Machine
	for _, r := range results {
		if !slices.Contains(machines, r.Machine) {
			machines = append(machines, r.Machine)
		}
	}
	letter := func(m Machine) string {
		if len(machines) == 1 {
			return ""
		}
		return fmt.Sprintf("machine %d", slices.Index(machines, m)+1)
	}
	for _, m := range machines {
		page.Machines = append(page.Machines, htmlMachine{letter(m), m.facts()})
	}
	for i, r := range results {
		shown := newHTMLResult(r)
		if d := distinction(r, results); d != "" {
			shown.Title += ", " + d
		}
		shown.ID, shown.MachineID = fmt.Sprintf("r%d", i+1), letter(r.Machine)
		page.Results = append(page.Results, shown)
		page.Spread = page.Spread || len(shown.Comparisons) > 0
		page.Curves = page.Curves || len(shown.Latency) > 0
	}
	for _, t := range targets() { // in their own order: one may begin with "the same"
		for i, r := range results {
			for _, f := range r.Figures {
				if f.Target == t.id {
					page.answer(t, f, page.Results[i].Title)
				}
			}
		}
	}
	return page
}

// distinction is what a result's setup has that others of the same scenario have
// differently: "64 bytes, 32 in flight".
func distinction(r Result, all []Result) string {
	var words []string
	for _, own := range r.Setup {
		differs := slices.ContainsFunc(all, func(o Result) bool {
			i := slices.IndexFunc(o.Setup, func(s Setting) bool { return s.Name == own.Name })
			return o.Scenario == r.Scenario && i >= 0 && o.Setup[i].Value != own.Value
		})
		if differs {
			what, unit, ok := strings.Cut(own.Name, ", ")
			if ok {
				words = append(words, what+" "+own.Value+" "+unit)
			} else {
				words = append(words, own.Value+" "+what)
			}
		}
	}
	return strings.Join(words, ", ")
}

// newSection is the heading before a target: that of its section if none of it
// stands there yet.
func (p *htmlPage) newSection(t target) string {
	if slices.ContainsFunc(p.Targets, func(o htmlTarget) bool { return o.Section == t.section }) {
		return ""
	}
	return t.section
}

func (p *htmlPage) answer(t target, f Figure, from string) {
	verdict := t.verdict(f.Median)
	switch verdict {
	case "met":
		p.Met++
	case "missed":
		p.Missed++
	default:
		p.Stated++
	}
	p.Targets = append(p.Targets, htmlTarget{
		What: sentenceCase(t.what), Goal: t.Goal, Measured: quantityText(f.Median, f.Unit),
		Quartiles: span(f.Q1, f.Q3, f.Unit), Verdict: verdict, From: from, Section: p.newSection(t),
	})
}

func newHTMLResult(r Result) htmlResult {
	title, what := scenarioWords(r.Scenario)
	shown := htmlResult{
		Title: title, What: what, Command: r.Command, Server: r.Server,
		Date: r.Date.UTC().Format("2 January 2006, 15:04 UTC"), Setup: r.Setup,
	}
	curves := latencyCurves(r)
	compared := comparisons(r, curves)
	for _, c := range compared {
		shown.Comparisons = append(shown.Comparisons, htmlChart{c.title(), c.caption(), c.draw(widthOf(len(compared)))})
	}
	for _, p := range curves {
		shown.Latency = append(shown.Latency, htmlChart{p.title(), "", p.drawLatency()})
	}
	over := courses(r)
	for _, p := range over {
		shown.Courses = append(shown.Courses, htmlChart{p.title(), "", p.drawCourse(widthOf(len(over)))})
	}
	for _, f := range r.Figures {
		row := htmlFigure{
			Name: f.Name, Median: valueText(f.Median, f.Unit), Unit: f.Unit, Samples: f.Samples,
		}
		if f.Samples > 1 {
			row.Quartiles, row.Interval = span(f.Q1, f.Q3, f.Unit), span(f.Low, f.High, f.Unit)
		}
		if t, ok := targetByID(f.Target); ok {
			row.Goal, row.Verdict = t.goal(), t.verdict(f.Median)
		}
		shown.Figures = append(shown.Figures, row)
	}
	return shown
}

// widthOf is that of each of so many pictures.
func widthOf(pictures int) float64 {
	if pictures == 1 {
		return pageWidth
	}
	return halfWidth
}

// caption is the unit in words, after what the rows have in common.
func (c comparison) caption() string {
	unit := c.unit
	switch {
	case unit == "×" && c.quantity == "":
		unit = "" // the title says so
	case unit == "×":
		unit = "ratio"
	case unit == "/s":
		unit = "per second"
	}
	if c.about == "" || unit == "" {
		return c.about + unit
	}
	return c.about + ", " + unit
}

// facts are what a reader wants to know of a machine.
func (m Machine) facts() []Setting {
	cores := fmt.Sprintf("%d logical", m.Cores)
	if m.Hypervisor {
		cores += ", virtual machine"
	}
	all := []Setting{
		{"Processor", m.CPU},
		{"Cores", cores},
		{"Memory", thousands(fmt.Sprint(m.MemoryMiB)) + " MiB"},
		{"System", m.System},
		{"TCP congestion control", m.Congestion},
		{"Load generator", m.Go},
	}
	if m.Descriptor > 0 {
		all = append(all, Setting{"Open files per process", thousands(fmt.Sprint(m.Descriptor))})
	}
	return slices.DeleteFunc(all, func(s Setting) bool { return strings.TrimSpace(s.Value) == "" })
}

func pageTitle(results []Result) string {
	if len(results) == 1 {
		title, _ := scenarioWords(results[0].Scenario)
		return title
	}
	return "Gateway measurements"
}

func pageDates(results []Result) string {
	first, last := results[0].Date, results[0].Date
	for _, r := range results {
		if r.Date.Before(first) {
			first = r.Date
		}
		if r.Date.After(last) {
			last = r.Date
		}
	}
	const day = "2 January 2006"
	if a, b := first.UTC().Format(day), last.UTC().Format(day); a != b {
		return a + " – " + b
	}
	return first.UTC().Format(day)
}

// scenarioWords are a scenario's title and what it does. One that is not here
// goes by its name.
func scenarioWords(scenario string) (title, what string) {
	switch scenario {
	case "fanout":
		return "Fan-out", "One publisher, many subscribers of one topic: what each delivery costs the server in CPU time."
	case "topics":
		return "Many topics", "Many topics with few subscribers each: what each delivery costs the server in CPU time."
	case "growth":
		return "Growth", "How the CPU time of a delivery grows with the number of subscribers, for each server."
	case "idle":
		return "Idle devices", "Devices that are connected, subscribed and silent: what each costs in memory."
	case "latency":
		return "Latency", "Messages at a fixed rate, timed from the moment at which each was due, so that a stall counts for all that it delays."
	case "connect":
		return "Connecting", "Devices that connect and subscribe: how many per second, and what each costs the server in CPU time."
	case "storm":
		return "Reconnect storm", "The server is killed and started again: how long until all devices are back."
	case "slow":
		return "Slow subscribers", "Some subscribers stop reading: what the others notice."
	case "soak":
		return "Soak", "Devices that come and go under traffic for a long time: nothing may grow."
	case "allocs":
		return "Allocations", "Heap objects that the server allocates per delivery."
	case "compare":
		return "Comparison", "The same load, from the same generator in the same run, for each server."
	case "tls-idle":
		return "Idle devices with TLS", "Devices that are connected over TLS, subscribed and silent: what each costs in memory."
	case "tls-fanout":
		return "Fan-out under TLS", "One publisher, many subscribers over TLS: what each delivery costs the server in CPU time, against a raw write and one seal of its size."
	case "attack":
		return "Half-open connections", "Devices that exchange messages while very many connections stand half open and come again as soon as they are ended."
	case "handshakes":
		return "Handshakes at once", "Devices that all connect at once over TLS, with new sessions and with resumed ones."
	case "fleet":
		return "A fleet", "Gateways that broadcast together: what each other one costs the gateway that a message enters, and how much later the message is there."
	case "million":
		return "Very many devices", "Idle subscribed devices over many gateway processes, then one broadcast to all of them."
	}
	return sentenceCase(scenario), ""
}
