package cmd

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

// codeBlocks are the fenced blocks of a Markdown text.
func codeBlocks(markdown string) []string {
	var blocks []string
	for i, part := range strings.Split("\n"+markdown, "\n```") {
		if i%2 == 1 {
			_, block, _ := strings.Cut(part, "\n")
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// makeTargets are the targets that a Makefile documents.
func makeTargets(makefile string) []string {
	var targets []string
	for _, match := range regexp.MustCompile(`(?m)^([a-z0-9-]+):.*## `).FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, match[1])
	}
	return targets
}

var makeCall = regexp.MustCompile(`(?m)(?:^|&& |; )\s*(?:\$ )?make ((?:[a-z0-9-]+ ?)+)`)

// makeCalls are the targets that a text asks make for, comments and variables left out.
func makeCalls(text string) []string {
	var calls []string
	for _, match := range makeCall.FindAllStringSubmatch(text, -1) {
		calls = append(calls, strings.Fields(match[1])...)
	}
	return calls
}

func TestMakeTargetsInDocumentsExist(t *testing.T) {
	targets := makeTargets(readFile(t, "Makefile"))
	for _, name := range []string{"README.md", ".github/CONTRIBUTING.md"} {
		for _, block := range codeBlocks(readFile(t, name)) {
			for _, call := range makeCalls(block) {
				require.Contains(t, targets, call, "%s says: make %s", name, call)
			}
		}
	}
	for _, call := range makeCalls(readFile(t, ".ci/run")) {
		require.Contains(t, targets, call, ".ci/run says: make %s", call)
	}
}

func TestMakefileHasWhatIsPromised(t *testing.T) {
	targets := makeTargets(readFile(t, "Makefile"))
	for _, target := range strings.Fields("help all demo test lint e2e fuzz bench bench-smoke results build dist clean deps") {
		require.Contains(t, targets, target)
	}
}

func TestReadingOfDocuments(t *testing.T) {
	blocks := codeBlocks("words make nothing\n```sh\nmake demo   # comment\n$ make lint test\ncd x && make build BENCH=y\nunmake me\n```\nmake neither\n```\nbare\n```\n")
	require.Equal(t, []string{"make demo   # comment\n$ make lint test\ncd x && make build BENCH=y\nunmake me", "bare"}, blocks)
	require.Equal(t, []string{"demo", "lint", "test", "build"}, makeCalls(blocks[0]))
	require.Equal(t, []string{"a-b", "c"}, makeTargets("a-b: x ## one\nx: y\nc: ## two\n# d: ## no\n"))
}

// machinePath finds places of one developer's machine. It is put together so that it does not find itself.
var machinePath = regexp.MustCompile(`(^|[^A-Za-z0-9_.~-])/` + `(work|root|home/[a-z]+|Users/[A-Za-z]+)/`)

func TestNoFileNamesAPlaceOfOneMachine(t *testing.T) {
	for _, name := range repositoryFiles(t) {
		for number, line := range strings.Split(readFile(t, name), "\n") {
			require.False(t, machinePath.MatchString(line), "%s:%d: %s", name, number+1, line)
		}
	}
}

func TestMachinePath(t *testing.T) {
	for _, text := range []string{"/work" + "/main", "see /root" + "/x", "\"/home" + "/anna/x\""} {
		require.True(t, machinePath.MatchString(text), text)
	}
	for _, text := range []string{"homework/main", "a/b/root/c", "broadcast/root/x", "https://x.example/root/y", "~/root/x"} {
		require.False(t, machinePath.MatchString(text), text)
	}
}

// TestEachPackageHasOneDoc: two package comments are joined by godoc in the order of file names, which nobody wants.
func TestEachPackageHasOneDoc(t *testing.T) {
	documented := map[string][]string{}
	for _, file := range sources(t) {
		if file.test {
			continue
		}
		dir := dirOf(file.path)
		tree, err := parser.ParseFile(token.NewFileSet(), "", readFile(t, file.path), parser.PackageClauseOnly|parser.ParseComments)
		require.NoError(t, err, file.path)
		if _, seen := documented[dir]; !seen {
			documented[dir] = nil
		}
		if tree.Doc != nil {
			documented[dir] = append(documented[dir], file.path)
		}
	}
	for dir, files := range documented {
		require.Len(t, files, 1, "package comments of %s", dir)
	}
}

func TestNoReplaceInModuleFile(t *testing.T) {
	require.NotRegexp(t, `(?m)^\s*(replace|exclude)\b`, readFile(t, "go.mod"))
}

// TestSkipsHaveReasons: .ci/run takes a line of skips.txt as leave to skip, so a line needs its reason.
func TestSkipsHaveReasons(t *testing.T) {
	for _, line := range strings.Split(readFile(t, "cmd/skips.txt"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		require.GreaterOrEqual(t, len(fields), 3, "import path, test and reason: %s", line)
		require.True(t, strings.HasPrefix(fields[0], module+"/"), line)
	}
}
