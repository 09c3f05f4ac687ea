package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlainMetrics(t *testing.T) {
	m, err := plainMetrics(strings.NewReader(`# HELP go_goroutines Number of goroutines.
# TYPE go_goroutines gauge
go_goroutines 12
labelled{le="0.5"} 3
go_memstats_mallocs_total 1.5e+06
with_time 4 1700000000000
`))
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"go_goroutines": 12, "go_memstats_mallocs_total": 1.5e6, "with_time": 4}, m)
	_, err = plainMetrics(strings.NewReader("go_goroutines many\n"))
	require.ErrorContains(t, err, "not a number")
}
