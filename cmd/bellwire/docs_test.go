package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

var (
	bellwireCall = regexp.MustCompile(`(?:^|[\s/|(])bellwire ([^|)#\n]+)`)
	flagWord     = regexp.MustCompile(`^--([a-z][a-z-]*)(=.*)?$`)
)

// calls are the command lines of bellwire in the code blocks of a Markdown text, split at spaces.
func calls(markdown string) [][]string {
	var found [][]string
	for i, part := range strings.Split("\n"+markdown, "\n```") {
		if i%2 == 0 {
			continue
		}
		_, block, _ := strings.Cut(part, "\n")
		for _, line := range strings.Split(block, "\n") {
			if strings.HasPrefix(line, "bellwire: ") {
				continue // an error that is shown
			}
			for _, match := range bellwireCall.FindAllStringSubmatch(line, -1) {
				found = append(found, strings.Fields(match[1]))
			}
		}
	}
	return found
}

// unknownIn names the first word of a call that the command line does not have, or nothing.
func unknownIn(node *kong.Node, call []string) string {
	for len(call) > 0 && len(node.Children) > 0 && !strings.HasPrefix(call[0], "-") {
		child := childOf(node, call[0])
		if child == nil {
			return call[0]
		}
		node, call = child, call[1:]
	}
	for _, word := range call {
		match := flagWord.FindStringSubmatch(word)
		if match == nil {
			continue
		}
		known := match[1] == "help"
		for _, group := range node.AllFlags(false) {
			for _, flag := range group {
				known = known || flag.Name == match[1]
			}
		}
		if !known {
			return word
		}
	}
	return ""
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

func model(t *testing.T) *kong.Node {
	t.Helper()
	base, err := defaultSettings()
	require.NoError(t, err)
	parser, err := newParser(base)
	require.NoError(t, err)
	return parser.Model.Node
}

func TestReadmeNamesOnlyCommandsThatExist(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	found := calls(string(readme))
	require.NotEmpty(t, found, "the README shows no command at all")
	root := model(t)
	for _, call := range found {
		require.Empty(t, unknownIn(root, call), "the README says: bellwire %s", strings.Join(call, " "))
	}
}

func TestReadingOfCalls(t *testing.T) {
	found := calls("bellwire words\n```\n$ bin/bellwire config show --json   # why\ntail -f x | bellwire version --json | cat\nbellwire: an error\n```\nbellwire none\n")
	require.Equal(t, [][]string{{"config", "show", "--json"}, {"version", "--json"}}, found)
	root := model(t)
	for _, test := range []struct{ call, want string }{
		{"config show --limits-frame=4KiB --json", ""},
		{"config check bellwire.yaml", ""},
		{"version --help", ""},
		{"config shw", "shw"},
		{"serf", "serf"},
		{"config show --limit-frame 4KiB", "--limit-frame"},
		{"version --jsn", "--jsn"},
	} {
		require.Equal(t, test.want, unknownIn(root, strings.Fields(test.call)), test.call)
	}
}

// TestReadmeShowsTheExample: the code that the README shows is the code that runs as an example.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(example), "\nfunc embed(")
	require.True(t, found)
	require.Contains(t, string(readme), "```go\nfunc embed("+code+"```\n")
}

var markdownLink = regexp.MustCompile(`\]\(([^)#:]+)\)`)

func TestReadmeLinksToWhatIsThere(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	links := markdownLink.FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		_, err := os.Stat("../../" + link[1])
		require.NoError(t, err)
	}
}

// yamlBlocks are the fenced YAML blocks of a Markdown text.
func yamlBlocks(markdown string) []string {
	var blocks []string
	for _, part := range strings.Split(markdown, "\n```yaml\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		blocks = append(blocks, block+"\n")
	}
	return blocks
}

// TestReadmeSettingsAreGood: the settings and the policy of the part "Secure it" are ones that a gateway takes, and their
// number is what `config check` is shown to say.
func TestReadmeSettingsAreGood(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	blocks := yamlBlocks(string(readme))
	require.Len(t, blocks, 2)
	settings, err := defaultSettings()
	require.NoError(t, err)
	origins, err := parseConfig("secure.yaml", []byte(blocks[0]), &settings)
	require.NoError(t, err)
	require.NoError(t, (&effective{Settings: settings, origins: origins}).check())
	require.Contains(t, string(readme), fmt.Sprintf("\nsecure.yaml: good, %d of %d settings\n", len(origins), len(settingTable)))

	policy, quotas, err := parsePolicy("policy.yaml", []byte(blocks[1]))
	require.NoError(t, err)
	require.Empty(t, quotas)
	hall := access.Subject{ID: wire.Identity{Tenant: "acme", Device: "hall"}}
	require.True(t, policy.May(hall, access.Publish, "broadcast/hall/door"))
	require.False(t, policy.May(hall, access.Publish, "broadcast/kitchen/door"))
	require.Equal(t, access.Whole, policy.Filter(hall, access.Subscribe, "broadcast/#"))
}

// TestSecurityNamesTestsThatExist: a promise without a test that holds it would be a hope.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../.github/SECURITY.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, named)
	var tests strings.Builder
	for _, dir := range []string{"../../gateway", "../../gateway/secure", "../../gateway/access", "../../peer", "../../wire", "."} {
		files, err := filepath.Glob(dir + "/*_test.go")
		require.NoError(t, err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			tests.Write(content)
		}
	}
	for _, name := range named {
		require.True(t, strings.Contains(tests.String(), "\nfunc "+name[1]+"("), "SECURITY.md cites %s", name[1]) // a failure would print all tests
	}
}
