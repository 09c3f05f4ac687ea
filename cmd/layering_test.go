package cmd

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/bellwire/bellwire"

// layer is what the code of one directory may import. Names of the module are directories; a name of others covers what
// lies below it.
type layer struct {
	own     []string // of this module
	others  []string // of other modules
	no      []string // of the standard library, which is open otherwise
	tests   []string // of this module, for external tests (package x_test) only
	inside  []string // of this module, for tests inside of the package as well
	noSpawn bool     // starts no goroutine
}

var (
	noSystem = []string{"net", "os", "syscall", "time", "log", "plugin", "unsafe"}
	// anyTest may be imported by every test.
	anyTest = []string{"github.com/stretchr/testify", "github.com/rogpeppe/go-internal"}
)

// layers are the arrows between the packages. A directory that is not here fails the test: its arrows are to be decided,
// not to happen.
var layers = map[string]layer{
	"wire": {no: noSystem, noSpawn: true},
	"fanout": {
		others: []string{"github.com/cespare/xxhash/v2"},
		no:     []string{"net", "os", "syscall", "time", "log", "plugin"}, noSpawn: true,
		tests: []string{"wire"},
	},
	"gateway": {
		own: []string{"wire", "fanout", "peer", "gateway/access", "gateway/secure"},
		others: []string{
			"github.com/panjf2000/gnet/v2", "github.com/prometheus", "github.com/cespare/xxhash/v2", "github.com/valyala/bytebufferpool",
			"golang.org/x/sys", "golang.org/x/time",
		},
		tests: []string{"gateway/gatewaytest", "client", "gateway"},
	},
	"peer": {
		own:    []string{"wire"},
		others: []string{"github.com/klauspost/compress", "golang.org/x/sys"},
		inside: []string{"peer/history", "fanout"}, // the simulator drives the core, which is not exported
	},
	"peer/history": {own: []string{"wire"}, no: noSystem, noSpawn: true},
	"gateway/central": {
		own:    []string{"wire"},
		others: []string{"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go", "golang.org/x/time"},
	},
	"gateway/access": {own: []string{"wire"}, no: noSystem, noSpawn: true},
	"gateway/gatewaytest": {
		own:    []string{"gateway", "gateway/secure", "wire", "client"},
		others: []string{"github.com/stretchr/testify", "golang.org/x/sys"},
		tests:  []string{"gateway/gatewaytest"},
	},
	"gateway/secure": {
		own:    []string{"wire"},
		others: []string{"github.com/golang-jwt/jwt/v5", "github.com/pires/go-proxyproto"},
		no:     []string{"os", "syscall", "log", "plugin", "unsafe"}, noSpawn: true,
	},
	"client": {
		own:    []string{"wire"},
		others: []string{"github.com/valyala/bytebufferpool"},
		tests:  []string{"client", "gateway", "gateway/gatewaytest"},
	},
	"bench": {
		own:    []string{"wire", "client"},
		others: []string{"github.com/HdrHistogram/hdrhistogram-go", "golang.org/x/sys", "golang.org/x/term", "golang.org/x/time"},
		tests:  []string{"bench", "gateway", "gateway/gatewaytest", "fanout"},
	},
	"cmd": {},
	"cmd/bellwire": {
		own: []string{"wire", "peer", "peer/history", "gateway", "gateway/access", "gateway/secure", "gateway/central", "client", "bench"},
		others: []string{
			"github.com/alecthomas/kong", "github.com/goccy/go-yaml", "github.com/HdrHistogram/hdrhistogram-go",
			"github.com/prometheus", "golang.org/x/sys", "golang.org/x/term", "golang.org/x/time",
		},
		tests: []string{"gateway/gatewaytest"},
	},
}

// source is what the check needs to know of one Go file.
type source struct {
	path     string // relative to the root, with slashes
	test     bool   // *_test.go
	external bool   // package x_test
	imports  []string
	spawns   bool // has a go statement
}

// violations are the arrows of files that layers do not allow, one line each.
func violations(files []source) []string {
	var found []string
	for _, file := range files {
		dir := dirOf(file.path)
		rule, known := layers[dir]
		if !known {
			found = append(found, fmt.Sprintf("%s: %s is not in layers: say there what it may import", file.path, dir))
			continue
		}
		if rule.noSpawn && file.spawns && !file.test {
			found = append(found, fmt.Sprintf("%s: starts a goroutine, which %s leaves to its caller", file.path, dir))
		}
		for _, path := range file.imports {
			if why := rule.refuses(file, path); why != "" {
				found = append(found, fmt.Sprintf("%s: imports %s: %s", file.path, path, why))
			}
		}
	}
	return found
}

// refuses says why a file must not import path, or nothing.
func (l layer) refuses(file source, path string) string {
	dir := dirOf(file.path)
	if own, inside := strings.CutPrefix(path, module+"/"); inside {
		switch {
		case own == "cmd" || strings.HasPrefix(own, "cmd/"):
			return "nothing imports cmd"
		case slices.Contains(l.own, own) || own == dir && file.external:
			return ""
		case file.external && slices.Contains(l.tests, own), file.test && slices.Contains(l.inside, own):
			return ""
		}
		return dir + " knows only " + list(l.own)
	}
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		if !file.test && covers(l.no, path) {
			return dir + " does without it"
		}
		return ""
	}
	if covers(l.others, path) || file.test && covers(anyTest, path) {
		return ""
	}
	return dir + " uses, of others, only " + list(l.others)
}

// covers says whether one of names is path or lies above it.
func covers(names []string, path string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return path == name || strings.HasPrefix(path, name+"/")
	})
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func dirOf(path string) string { return path[:max(0, strings.LastIndexByte(path, '/'))] }

// TestLayering parses the imports of every file itself: the test cache cannot see what a child such as go list reads, and
// would answer with a stale ok.
func TestLayering(t *testing.T) {
	files := sources(t)
	require.Greater(t, len(files), 20, "the walk lost its way")
	for _, line := range violations(files) {
		t.Error(line)
	}
}

func TestLayeringFindsPlantedViolations(t *testing.T) {
	for _, test := range []struct {
		name string
		file source
		want string // nothing: allowed
	}{
		{"codec on a socket", source{path: "wire/frame.go", imports: []string{"net"}}, "wire does without it"},
		{"codec on part of a socket", source{path: "wire/frame.go", imports: []string{"net/netip"}}, "wire does without it"},
		{"codec with a clock", source{path: "wire/frame.go", imports: []string{"time"}}, "wire does without it"},
		{"codec test with files", source{path: "wire/frame_test.go", test: true, imports: []string{"os"}}, ""},
		{"codec on the index", source{path: "wire/frame.go", imports: []string{module + "/fanout"}}, "wire knows only nothing"},
		{"codec with a library", source{path: "wire/frame.go", imports: []string{"golang.org/x/sys/unix"}}, "only nothing"},
		{"codec with a goroutine", source{path: "wire/frame.go", spawns: true}, "starts a goroutine"},
		{"codec test with a goroutine", source{path: "wire/frame_test.go", test: true, spawns: true}, ""},
		{"index with its hash", source{path: "fanout/index.go", imports: []string{"github.com/cespare/xxhash/v2", "sync/atomic"}}, ""},
		{"index on the codec", source{path: "fanout/index.go", imports: []string{module + "/wire"}}, "fanout knows only nothing"},
		{"index's own test on the codec", source{path: "fanout/index_test.go", test: true, imports: []string{module + "/wire"}}, "knows only"},
		{"index's external test on the codec", source{path: "fanout/oracle_test.go", test: true, external: true, imports: []string{module + "/wire"}}, ""},
		{"gateway on the engine", source{path: "gateway/engine.go", imports: []string{"github.com/panjf2000/gnet/v2/pkg/logging"}}, ""},
		{"gateway on a name like the engine's", source{path: "gateway/engine.go", imports: []string{"github.com/panjf2000/gnet/v23"}}, "only github.com"},
		{"gateway on the SDK", source{path: "gateway/engine.go", imports: []string{module + "/client"}}, "gateway knows only wire, fanout, peer, gateway/access"},
		{"gateway's external test on the SDK", source{path: "gateway/e_test.go", test: true, external: true, imports: []string{module + "/client"}}, ""},
		{"permissions on names", source{path: "gateway/access/policy.go", imports: []string{module + "/wire"}}, ""},
		{"permissions on the gateway", source{path: "gateway/access/policy.go", imports: []string{module + "/gateway"}}, "gateway/access knows only wire"},
		{"permissions from a file", source{path: "gateway/access/policy.go", imports: []string{"os"}}, "gateway/access does without it"},
		{"permissions with a clock", source{path: "gateway/access/policy.go", imports: []string{"time"}}, "gateway/access does without it"},
		{"permissions with a goroutine", source{path: "gateway/access/policy.go", spawns: true}, "starts a goroutine"},
		{"permissions with YAML", source{path: "gateway/access/policy.go", imports: []string{"github.com/goccy/go-yaml"}}, "only nothing"},
		{"credentials on the gateway", source{path: "gateway/secure/trust.go", imports: []string{module + "/gateway"}}, "gateway/secure knows only wire"},
		{"credentials from files", source{path: "gateway/secure/trust.go", imports: []string{"os"}}, "gateway/secure does without it"},
		{"test kit on the SDK", source{path: "gateway/gatewaytest/start.go", imports: []string{module + "/client"}}, ""},
		{"secure sessions on their libraries", source{path: "gateway/secure/proxy.go", imports: []string{"github.com/pires/go-proxyproto", "net"}}, ""},
		{"secure sessions on files", source{path: "gateway/secure/trust.go", imports: []string{"os"}}, "gateway/secure does without it"},
		{"secure sessions on the gateway", source{path: "gateway/secure/conn.go", imports: []string{module + "/gateway"}}, "gateway/secure knows only wire"},
		{"secure sessions with a goroutine", source{path: "gateway/secure/conn.go", spawns: true}, "starts a goroutine"},
		{"SDK on the gateway", source{path: "client/dial.go", imports: []string{module + "/gateway"}}, "client knows only wire"},
		{"bench on the gateway", source{path: "bench/run.go", imports: []string{module + "/gateway"}}, "bench knows only wire, client"},
		{"anything on cmd", source{path: "gateway/engine.go", imports: []string{module + "/cmd/bellwire"}}, "nothing imports cmd"},
		{"a test on cmd", source{path: "cmd/bellwire/main_test.go", test: true, external: true, imports: []string{module + "/cmd/bellwire"}}, "nothing imports cmd"},
		{"assertions in a test", source{path: "client/dial_test.go", test: true, imports: []string{"github.com/stretchr/testify/require"}}, ""},
		{"assertions outside of tests", source{path: "client/dial.go", imports: []string{"github.com/stretchr/testify/require"}}, "only github.com/valyala"},
		{"a package nobody decided on", source{path: "util/strings.go"}, "util is not in layers"},
		{"a package below one that is known", source{path: "gateway/socket/map.go"}, "gateway/socket is not in layers"},
		{"a package at the root", source{path: "bellwire.go"}, "is not in layers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := violations([]source{test.file})
			if test.want == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			require.True(t, strings.HasPrefix(found[0], test.file.path+": "), found[0])
			require.Contains(t, found[0], test.want)
		})
	}
}

func TestSourceIsReadAsItIs(t *testing.T) {
	got, err := parseSource("wire/x_test.go", "package wire_test\nimport (\n_ \"net\"\nw \"a.b/c\"\n)\nfunc f() { go f() }\n")
	require.NoError(t, err)
	require.Equal(t, source{path: "wire/x_test.go", test: true, external: true, imports: []string{"net", "a.b/c"}, spawns: true}, got)
}

// sources reads every Go file of the module, whatever its build tags.
func sources(t *testing.T) []source {
	t.Helper()
	var files []source
	for _, path := range repositoryFiles(t) {
		if !strings.HasSuffix(path, ".go") || slices.Contains(strings.Split(path, "/"), "testdata") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
		require.NoError(t, err)
		file, err := parseSource(path, string(text))
		require.NoError(t, err)
		files = append(files, file)
	}
	return files
}

func parseSource(path, text string) (source, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	file := source{path: path, test: strings.HasSuffix(path, "_test.go")}
	file.external = file.test && strings.HasSuffix(tree.Name.Name, "_test")
	for _, spec := range tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		file.imports = append(file.imports, imported)
	}
	ast.Inspect(tree, func(node ast.Node) bool {
		_, spawns := node.(*ast.GoStmt)
		file.spawns = file.spawns || spawns
		return true
	})
	return file, nil
}

// root is the top of the repository, seen from this package's directory, where its tests run.
const root = ".."

// repositoryFiles are the files that the repository is made of, relative to its top; what make creates is left out.
func repositoryFiles(t *testing.T) []string {
	t.Helper()
	created := []string{".git", ".tools", "bin", "dist"}
	var files []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if slices.Contains(created, name) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil // the .git of a work tree beside another is a file
		}
		if entry.Type().IsRegular() {
			files = append(files, name)
		}
		return nil
	}))
	return files
}
