package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteComparison writes one table of several results: a row for each quantity,
// a column for each server. A cell is the median, with what the pairs say of it
// over a C loop of single sends. The targets that the results answer follow, with
// the interval of the median, then the servers that are missing, and why.
func WriteComparison(w io.Writer, results []Result) error {
	columns := columnsOf(results)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%s\t", titleOf(c))
	}
	fmt.Fprintln(t)
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\n", strings.ToUpper(sizeOf(r)), strings.Repeat("\t", len(columns)))
		for _, row := range rowsOf(r, columns) {
			fmt.Fprintf(t, "  %s\t%s\t\n", row.name, strings.Join(row.cells, "\t"))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := writeAnswers(w, results); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nMedians; in brackets the median of the ratios to C single, pair by pair. %s\n", legendOf(results))
	said := map[string]bool{}
	for _, r := range results {
		for _, text := range notes(r) {
			if !said[text] {
				said[text] = true
				fmt.Fprintln(w, text)
			}
		}
	}
	return nil
}

// writeAnswers writes what the results say of the targets that they answer.
func writeAnswers(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range targets() {
		for _, r := range results {
			for _, f := range r.Figures {
				if f.Target != g.id {
					continue
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s – %s\t%s\n", f.Name, g.Goal, strings.TrimSpace(number(f.Median)+" "+f.Unit),
					number(f.Low), number(f.High), g.verdict(f.Median))
			}
		}
	}
	fmt.Fprintln(w)
	return t.Flush()
}

// legendOf tells how the tables of results are read.
func legendOf(results []Result) string {
	columns := columnsOf(results)
	measured := slices.ContainsFunc(results, func(r Result) bool {
		return slices.ContainsFunc(r.Series, func(s Series) bool { return strings.Contains(s.Name, "CPU") })
	})
	var lines []string
	if measured {
		lines = append(lines, "CPU is the server's own accounting.")
	} else if slices.Contains(columns, serverName) {
		lines = append(lines, "What the server spent is not known: --pid says which process it is, if it runs on this machine.\n"+
			"Deliveries and latencies are those of server, network and load together. Without --server the same command measures a gateway of this machine and shows how fast the load can be.")
	}
	if slices.Contains(columns, "single") || slices.Contains(columns, "joined") {
		lines = append(lines, "C single is a C program that does nothing but the sends, C joined the same with the messages of one read in one send.")
	}
	if slices.ContainsFunc(results, func(r Result) bool { return r.Scenario != "attack" }) {
		lines = append(lines, "Every delivery was counted and its content and order checked: a run that lost one has no figures.")
	} else {
		lines = append(lines, "Every message was counted and its content and order checked. Latency counts from the time at which a message should have been sent.")
	}
	return strings.Join(lines, "\n")
}

// notes are what a result says of the servers beside the one under test: their
// versions, and why they are missing.
func notes(r Result) []string {
	var all []string
	for _, s := range r.Setup {
		failed := strings.HasSuffix(s.Name, " failed")
		name, _, _ := strings.Cut(strings.TrimSuffix(s.Name, " failed"), ",")
		switch {
		case !slices.Contains(PeerNames(), name):
		case failed:
			all = append(all, fmt.Sprintf("%s in %s: %s", s.Name, sizeOf(r), s.Value))
		default:
			all = append(all, fmt.Sprintf("%s: %s", s.Name, s.Value))
		}
	}
	return all
}

// columnsOf are the servers in the results, in a fixed order.
func columnsOf(results []Result) []string {
	all := append(append([]string{gatewayName, serverName}, PeerNames()...), "single", "joined")
	return slices.DeleteFunc(all, func(c string) bool {
		return !slices.ContainsFunc(results, func(r Result) bool {
			return slices.ContainsFunc(r.Series, func(s Series) bool { return strings.HasPrefix(s.Name, c+", ") })
		})
	})
}

// sizeOf is the scenario and how much of it was measured.
func sizeOf(r Result) string {
	text := r.Scenario
	for _, s := range r.Setup {
		switch s.Name {
		case "subscribers", "topics", "payload, bytes", "devices", "devices of one sample", "in flight":
			name, unit, _ := strings.Cut(s.Name, ", ")
			if unit == "" {
				text += fmt.Sprintf(", %s %s", s.Value, name)
			} else {
				text += fmt.Sprintf(", %s %s", s.Value, unit)
			}
		}
	}
	return text
}

// row is a line of the table.
type row struct {
	name  string
	cells []string
}

// rowsOf has a row for each quantity of the figures.
func rowsOf(r Result, columns []string) []row {
	var rows []row
	for _, f := range r.Figures {
		system, quantity := nameParts(f.Name)
		column := slices.Index(columns, system)
		if column < 0 || f.Over != "" && !strings.Contains(quantity, "stopped over") {
			continue
		}
		name := quantity
		if f.Unit != "" {
			name += ", " + f.Unit
		}
		i := slices.IndexFunc(rows, func(o row) bool { return o.name == name })
		if i < 0 {
			i = len(rows)
			rows = append(rows, row{name, make([]string, len(columns))})
		}
		rows[i].cells[column] = number(f.Median)
		over := fmt.Sprintf("%s / %s, %s", titleOf(system), titleOf("single"), quantity)
		if j := slices.IndexFunc(r.Figures, func(o Figure) bool { return o.Name == over }); j >= 0 {
			rows[i].cells[column] += fmt.Sprintf(" (%s×)", number(r.Figures[j].Median))
		}
	}
	return rows
}
