//go:build e2e && linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// TestScripts runs testdata/script/*.txtar against the binary that is shipped. scriptcmd_e2e_test.go has the commands that
// the scripts use beside those of testscript.
func TestScripts(t *testing.T) {
	binary := os.Getenv("BELLWIRE_BINARY")
	require.NotEmpty(t, binary, "make e2e says which binary")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":   start,
			"await":   await,
			"address": address,
			"secure":  secureAddress,
			"signal":  sendSignal,
			"ended":   ended,
			"exits":   exits,
			"until":   until,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
			jobs := map[string]*job{}
			e.Values[jobsKey{}] = jobs
			e.Defer(func() {
				for _, j := range jobs {
					j.kill()
				}
			})
			return nil
		},
	})
}
