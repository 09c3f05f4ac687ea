package wire_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func protocol(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("PROTOCOL.md")
	require.NoError(t, err)
	return string(b)
}

// The patterns are cut in two, so that this file does not seem to cite them.
var (
	tag      = regexp.MustCompile(`\[W` + `-\d+\.\d+\]`)
	tagLike  = regexp.MustCompile(`\[W` + `-[^\]\n]*\]?`)
	tagAtAll = regexp.MustCompile(`\*\*(\[W` + `-\d+\.\d+\])`)
)

// uncited are the clauses that nothing has to cite, with the reason.
var (
	notInCode = map[string]string{
		"1.2":  "a session in bytes: there is nothing to implement",
		"11.1": "the loop of a client of level 0: wire/testdata/python has it, the SDK that of level 1",
	}
	notInTests = map[string]string{}
)

// malformedTags are what looks like a citation and is none.
func malformedTags(text string) (bad []string) {
	for _, like := range tagLike.FindAllString(text, -1) {
		if tag.FindString(like) != like {
			bad = append(bad, like)
		}
	}
	return bad
}

func TestMalformedTagsAreSeen(t *testing.T) {
	open := "[W" + "-"
	for _, bad := range []string{open + "3]", open + "3.1, 3.2]", open + "3.1a]", open + "3.1 to", open + "]"} {
		require.Equal(t, []string{bad}, malformedTags("as "+bad+"\nsays"), bad)
	}
	require.Empty(t, malformedTags("as "+open+"3.1] and "+open+"10.12] say"))
}

// Every clause that Go code anywhere in the module cites exists, and is stated once;
// every clause that is stated is cited where it is implemented and where it is
// tested.
func TestCitations(t *testing.T) {
	stated := map[string]int{}
	for _, m := range tagAtAll.FindAllStringSubmatch(protocol(t), -1) {
		stated[m[1]]++
	}
	require.Greater(t, len(stated), 40)
	for clause, n := range stated {
		require.Equal(t, 1, n, clause)
	}
	require.Empty(t, malformedTags(protocol(t)))
	for _, clause := range tag.FindAllString(protocol(t), -1) {
		require.Contains(t, stated, clause, "cited within PROTOCOL.md")
	}
	inCode, inTests := map[string]bool{}, map[string]bool{}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && len(d.Name()) > 2 && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		b, err := os.ReadFile(path)
		require.Empty(t, malformedTags(string(b)), "in %s", path)
		for _, clause := range tag.FindAllString(string(b), -1) {
			require.Contains(t, stated, clause, "cited in %s", path)
			if strings.HasSuffix(path, "_test.go") {
				inTests[clause] = true
			} else {
				inCode[clause] = true
			}
		}
		return err
	}))
	for clause := range stated {
		number := clause[3 : len(clause)-1]
		if inCode[clause] == (notInCode[number] != "") {
			t.Errorf("%s: cited by code: %t; an exception: %q", clause, inCode[clause], notInCode[number])
		}
		if inTests[clause] == (notInTests[number] != "") {
			t.Errorf("%s: cited by a test: %t; an exception: %q", clause, inTests[clause], notInTests[number])
		}
	}
}

var sample = regexp.MustCompile(`^([DG]) ([A-Z]+)\b(.*?) +(\d+) B  ((?:[0-9a-f]{2} ?)+)$`)

// Every frame of the walk-through is a vector, has the length that is printed,
// the frame's name, and the direction that the vector says [W-1.2].
func TestSampleSession(t *testing.T) {
	byHex := map[string]vector{}
	for _, v := range load(t).Frames {
		byHex[v.Hex] = v
	}
	lines := 0
	for _, block := range regexp.MustCompile("(?s)```session\n(.*?)```").FindAllStringSubmatch(protocol(t), -1) {
		for line := range strings.Lines(block[1]) {
			m := sample.FindStringSubmatch(strings.TrimSpace(line))
			require.NotNil(t, m, line)
			lines++
			b := strings.ReplaceAll(m[5], " ", "")
			v, ok := byHex[b]
			require.True(t, ok, "no vector is %s", line)
			require.Equal(t, v.Type, m[2], line)
			require.Equal(t, m[4], strconv.Itoa(len(b)/2), line)
			if v.Direction != "both" {
				require.Equal(t, m[1], v.Direction[:1], line)
			}
		}
	}
	require.Equal(t, 30, lines)
}

// The table of types lists every type that has a name, with that name.
func TestTypeTable(t *testing.T) {
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-9A-F–]{2,5}(?: [0-9A-F]{2})*) \| ([A-Z]{2,}[A-Z, ]*) \|`).FindAllStringSubmatch(protocol(t), -1) {
		numbers := strings.Fields(strings.SplitN(m[1], "–", 2)[0])
		names := strings.Split(m[2], ", ")
		for i, n := range numbers {
			rows[n] = names[min(i, len(names)-1)]
		}
	}
	for i := range 256 {
		typ := wire.Type(i)
		if name := typ.String(); typ.Base() == typ && !strings.HasPrefix(name, "TYPE_") {
			require.Equal(t, name, rows[fmt.Sprintf("%02X", i)])
		}
	}
}

// What a gateway sends at a level is among what that level, or one below it, handles
// [W-9.1].
func TestLevelTable(t *testing.T) {
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-3]) \| [^|]+ \| ([^|]*) \|$`).FindAllStringSubmatch(protocol(t), -1) {
		if m[1] == strconv.Itoa(len(rows)) {
			rows = append(rows, m[2])
		}
	}
	require.Len(t, rows, 4)
	require.Contains(t, rows[0], "HELLO")
	for _, v := range load(t).Frames {
		if v.Direction != "D>G" {
			require.Regexp(t, `\b`+v.Type+`\b`, strings.Join(rows[:v.Level+1], ", "), v.Name)
		}
	}
}

// The table of codes lists every code under its range, with the code's text.
func TestCodeTable(t *testing.T) {
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^\| [0-9A-F]{2}–[0-9A-F]{2} \| [^|]+ \| ([^|]*) \|$`).FindAllStringSubmatch(protocol(t), -1) {
		rows = append(rows, m[1])
	}
	require.Len(t, rows, 8)
	for i := range 256 {
		c := wire.Code(i)
		if text := c.String(); !strings.HasPrefix(text, "code 0x") {
			require.Contains(t, strings.Split(rows[c.Class()], " · "), fmt.Sprintf("%02X %s", i, text))
		}
	}
}
