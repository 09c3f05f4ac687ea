package bench

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// GoBenchmarks is the output of `go test -bench`. Lines that begin with
// "command:" and "date:" may stand before it; they say where it is from.
type GoBenchmarks struct {
	Command, Date     string
	System, Arch, CPU string // goos, goarch, cpu
	Runs              []GoRun
}

// GoRun is one line of a benchmark.
type GoRun struct {
	Package string // import path
	Name    string // without "Benchmark" and the number of CPUs
	N       int
	Values  map[string]float64 // by unit: ns/op, B/op, allocs/op and what the benchmark reports itself
}

// ParseGoBenchmarks reads the output of `go test -bench`. A line that begins like
// a result and is none is an error; others are passed over.
func ParseGoBenchmarks(r io.Reader) (GoBenchmarks, error) {
	var all GoBenchmarks
	pkg := ""
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "command":
			all.Command = value
		case "date":
			all.Date = value
		case "goos":
			all.System = value
		case "goarch":
			all.Arch = value
		case "cpu":
			all.CPU = value
		case "pkg":
			pkg = value
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		run, err := parseGoRun(fields)
		if err != nil {
			return all, fmt.Errorf("line %d: %w", n, err)
		}
		run.Package = pkg
		all.Runs = append(all.Runs, run)
	}
	return all, lines.Err()
}

func parseGoRun(fields []string) (GoRun, error) {
	run := GoRun{Name: strings.TrimPrefix(fields[0], "Benchmark"), Values: map[string]float64{}}
	if i := strings.LastIndexByte(run.Name, '-'); i > 0 {
		if _, err := strconv.Atoi(run.Name[i+1:]); err == nil {
			run.Name = run.Name[:i]
		}
	}
	var err error
	if run.N, err = strconv.Atoi(fields[1]); err != nil {
		return run, fmt.Errorf("%s has no number of runs: %q", fields[0], fields[1])
	}
	if len(fields)%2 != 0 {
		return run, fmt.Errorf("%s ends in a number without a unit", fields[0])
	}
	for i := 2; i < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return run, fmt.Errorf("%s: %q is not a number of %s", fields[0], fields[i], fields[i+1])
		}
		run.Values[fields[i+1]] = v
	}
	return run, nil
}

// samples are all values that a benchmark gave in a unit.
func (b GoBenchmarks) samples(name, unit string) []float64 {
	var all []float64
	for _, r := range b.Runs {
		if v, ok := r.Values[unit]; ok && r.name() == name {
			all = append(all, v)
		}
	}
	return all
}

// name is the package's last element and the benchmark's name: wire.Decode.
func (r GoRun) name() string {
	return r.Package[strings.LastIndexByte(r.Package, '/')+1:] + "." + r.Name
}

// names are those of all benchmarks, each once, in the order of the output.
func (b GoBenchmarks) names() []string {
	var all []string
	for _, r := range b.Runs {
		if !slices.Contains(all, r.name()) {
			all = append(all, r.name())
		}
	}
	return all
}

// units are those of all benchmarks: the usual three first.
func (b GoBenchmarks) units(name string) []string {
	var others []string
	for _, r := range b.Runs {
		if r.name() != name {
			continue
		}
		for unit := range r.Values {
			if !slices.Contains(usualUnits, unit) && !slices.Contains(others, unit) {
				others = append(others, unit)
			}
		}
	}
	slices.Sort(others)
	return append(slices.Clone(usualUnits), others...)
}

var usualUnits = []string{"ns/op", "B/op", "allocs/op"}

// WriteGoBench writes the samples of results as `go test -bench` would, one line
// each, for benchstat.
func WriteGoBench(w io.Writer, results []Result) error {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "command: %s\ndate: %s\ngoos: linux\ncpu: %s\npkg: bench/%s\n", r.Command, r.Date.Format("2006-01-02"), r.Machine.CPU, r.Scenario)
		for _, s := range r.Series {
			unit, factor := goUnit(s.Unit)
			for _, v := range s.Samples {
				fmt.Fprintf(&b, "Benchmark%s/%s 1 %s %s\n", goName(r.Scenario, true), goName(s.Name, false), strconv.FormatFloat(round(v*factor), 'f', -1, 64), unit)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// goUnit is a unit as benchmarks give it, and how many of it one of ours is.
func goUnit(unit string) (name string, factor float64) {
	switch unit {
	case "s":
		return "ns/op", 1e9
	case "ms":
		return "ns/op", 1e6
	case "µs":
		return "ns/op", 1e3
	case "B":
		return "B/op", 1
	case "MiB":
		return "B/op", 1 << 20
	case "/s":
		return "n/s", 1
	}
	return "n/op", 1
}

// goName is a name without spaces; the first of a benchmark begins with a capital.
func goName(name string, first bool) string {
	if first {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	return strings.NewReplacer(", ", "/", " ", "_").Replace(name)
}
