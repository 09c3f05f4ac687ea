package main

import (
	"encoding/json"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersion(t *testing.T) {
	code, stdout, stderr := ran(nil, "version")
	require.Equal(t, exitDone, code, stderr)
	require.Regexp(t, `^bellwire \S+ \(commit \S+, go\S+, `+runtime.GOOS+"/"+runtime.GOARCH+`\)\n$`, stdout)
}

func TestVersionJSON(t *testing.T) {
	code, stdout, stderr := ran(nil, "version", "--json")
	require.Equal(t, exitDone, code, stderr)
	var got build
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, thisBuild(), got)
	require.NotEmpty(t, got.Version)
	require.NotEmpty(t, got.Commit)
	require.Equal(t, runtime.Version(), got.Go)
}
