package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is one run of a scenario: what was measured on what, each sample, and
// the figures made of the samples.
type Result struct {
	Name     string    `json:"name"`     // by which its file is called; of a run alone that of the scenario
	Scenario string    `json:"scenario"` // of Scenarios, or allocs
	Date     time.Time `json:"date"`     // start of the run, UTC, whole seconds
	Command  string    `json:"command"`  // what produces it
	Server   string    `json:"server"`   // command line of the server under test
	Machine  Machine   `json:"machine"`
	Setup    []Setting `json:"setup"`
	Series   []Series  `json:"series"`
	Figures  []Figure  `json:"figures"`
}

// Setting is one condition of a run.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Series holds all samples of one quantity, in the order in which they were
// taken. Samples of the same index of several series were taken moments apart.
type Series struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"`
}

// Figure is what the samples of one series say, or the ratios of two, pair by
// pair.
type Figure struct {
	Name    string  `json:"name"`
	Target  string  `json:"target,omitempty"` // id of the target that it answers
	Series  string  `json:"series"`
	Over    string  `json:"over,omitempty"` // the series that it is divided by
	Unit    string  `json:"unit"`
	Samples int     `json:"samples"`
	Median  float64 `json:"median"`
	Q1      float64 `json:"q1"` // quartiles
	Q3      float64 `json:"q3"`
	Low     float64 `json:"low"` // 95 % interval of the median; of fewer than six samples their range
	High    float64 `json:"high"`
}

func (r *Result) set(name string, value any) {
	r.Setup = append(r.Setup, Setting{name, fmt.Sprint(value)})
}

// add appends a sample to a series, which it starts if need be.
func (r *Result) add(name, unit string, v float64) {
	i := slices.IndexFunc(r.Series, func(s Series) bool { return s.Name == name })
	if i < 0 {
		i = len(r.Series)
		r.Series = append(r.Series, Series{Name: name, Unit: unit})
	}
	r.Series[i].Samples = append(r.Series[i].Samples, round(v))
}

// drop forgets all samples of a system.
func (r *Result) drop(system string) {
	r.Series = slices.DeleteFunc(r.Series, func(s Series) bool { return strings.HasPrefix(s.Name, system+", ") })
}

func (r *Result) series(name string) (Series, error) {
	for _, s := range r.Series {
		if s.Name == name {
			return s, nil
		}
	}
	return Series{}, fmt.Errorf("result has no series %q", name)
}

// figure appends a figure of a series.
func (r *Result) figure(name, target, series string) error {
	return r.derive(Figure{Name: name, Target: target, Series: series})
}

// ratio appends a figure of the paired ratios of two series.
func (r *Result) ratio(name, target, series, over string) error {
	return r.derive(Figure{Name: name, Target: target, Series: series, Over: over})
}

func (r *Result) derive(f Figure) error {
	s, err := r.series(f.Series)
	if err != nil {
		return err
	}
	samples := s.Samples
	f.Unit = s.Unit
	if f.Over != "" {
		over, err := r.series(f.Over)
		if err != nil {
			return err
		}
		if len(over.Samples) != len(samples) {
			return fmt.Errorf("series %q and %q have %d and %d samples: they are no pairs",
				f.Series, f.Over, len(samples), len(over.Samples))
		}
		f.Unit = "×"
		samples = slices.Clone(samples)
		for i := range samples {
			samples[i] /= over.Samples[i]
		}
	}
	f.summarize(samples)
	r.Figures = append(r.Figures, f)
	return nil
}

// check makes all figures anew and reports the first that its samples do not
// bear out.
func (r *Result) check() error {
	again := Result{Series: r.Series}
	for _, f := range r.Figures {
		if err := again.derive(Figure{Name: f.Name, Target: f.Target, Series: f.Series, Over: f.Over}); err != nil {
			return fmt.Errorf("figure %q: %w", f.Name, err)
		}
		if made := again.Figures[len(again.Figures)-1]; made != f {
			return fmt.Errorf("figure %q is %+v, its samples say %+v: a result is measured anew, not edited", f.Name, f, made)
		}
	}
	return nil
}

// WriteFile writes the result as JSON, the form in which results are kept.
func (r Result) WriteFile(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	// A run may have taken minutes: a missing folder must not cost its result.
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// WriteTable writes the figures as a table for people.
func (r Result) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tmedian\t\tquartiles\t95 % of median\tn\ttarget\t")
	for _, f := range r.Figures {
		goal, verdict := "", ""
		if g, ok := targetByID(f.Target); ok {
			goal, verdict = g.Goal, g.verdict(f.Median)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s – %s\t%s – %s\t%d\t%s\t%s\n", f.Name, number(f.Median), f.Unit,
			number(f.Q1), number(f.Q3), number(f.Low), number(f.High), f.Samples, goal, verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Over != "" }) {
		fmt.Fprint(w, "A ratio (×) is taken of samples moments apart, pair by pair. ")
	}
	fmt.Fprintln(w, legendOf([]Result{r}))
	for _, note := range notes(r) {
		fmt.Fprintln(w, note)
	}
	return nil
}

// number is v with three significant digits, without an exponent.
func number(v float64) string {
	if v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	s := strconv.FormatFloat(v, 'g', 3, 64)
	if small, err := strconv.ParseFloat(s, 64); err == nil && v != 0 {
		return strconv.FormatFloat(small, 'f', -1, 64)
	}
	return s
}
