package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// metric is one number on a server's /metrics page.
type metric struct {
	url   string
	names []string // in order of preference; after a reading, the one that was found
}

func (m *metric) read(ctx context.Context) (float64, error) {
	body, err := get(ctx, m.url)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	found, err := plainMetrics(body)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", m.url, err)
	}
	for _, name := range m.names {
		if v, ok := found[name]; ok {
			m.names = []string{name}
			return v, nil
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", m.url, strings.Join(m.names, " or "))
}

// plainMetrics reads the samples without labels of a page in the Prometheus text
// format.
func plainMetrics(r io.Reader) (map[string]float64, error) {
	all := map[string]float64{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") || strings.Contains(name, "{") {
			continue
		}
		value, _, _ = strings.Cut(value, " ") // a time may follow
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s is %q, not a number", name, value)
		}
		all[name] = v
	}
	return all, lines.Err()
}
