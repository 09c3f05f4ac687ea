package bench

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFaultTargetsAreAnswered: they name series of the run that is kept, which another name would leave unanswered.
func TestFaultTargetsAreAnswered(t *testing.T) {
	runs, err := readRuns(os.DirFS("results"))
	require.NoError(t, err)
	i := slices.IndexFunc(runs, func(r run) bool { return r.Name == "faults" })
	require.GreaterOrEqual(t, i, 0)
	for _, target := range faultTargets() {
		require.True(t, slices.ContainsFunc(runs[i].Figures, func(f Figure) bool { return f.Target == target.id && f.Series == target.series }), target.series)
	}
}
