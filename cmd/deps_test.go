package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDepsAreCommitted: deps.txt lists every package of others that the binary links, so a new one shows in review. The
// test cache does not see what go list reads; it sees the files read here, which are all that go list's answer depends on.
func TestDepsAreCommitted(t *testing.T) {
	for _, name := range []string{"go.mod", "go.sum"} {
		readFile(t, name)
	}
	sources(t)

	list := exec.Command("go", "list", "-deps",
		"-f", "{{if and (not .Standard) (not .Module.Main)}}{{.ImportPath}}{{end}}", "./cmd/bellwire")
	list.Dir = root
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	require.NoError(t, err, stderr.String())
	want := strings.Fields(string(out))
	slices.Sort(want)
	require.NotEmpty(t, want)
	committed, err := os.ReadFile(filepath.Join(root, "cmd", "deps.txt"))
	require.NoError(t, err)
	require.Equal(t, want, strings.Fields(string(committed)), "run make deps, and say in the commit what the new ones are for")
}
