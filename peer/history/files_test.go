package history

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kept reads the histories of a folder, by name.
func kept(t *testing.T, folder string) map[string]File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, paths, "histories are missing")
	all := map[string]File{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := Read(bytes.NewReader(b))
		require.NoError(t, err, path)
		all[strings.TrimSuffix(filepath.Base(path), ".jsonl")] = f
	}
	return all
}

// says reports whether text begins with the first part of want and has the others, which … parts, behind it in order.
func says(text, want string) bool {
	for i, part := range strings.Split(want, "…") {
		part = strings.TrimSpace(part)
		at := strings.Index(text, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

// Each of these was broken by hand in one place, and each must give just the findings that its first line names.
func TestBrokenHistories(t *testing.T) {
	broken := kept(t, "broken")
	require.GreaterOrEqual(t, len(broken), 40)
	rules := map[Rule]bool{}
	for name, file := range broken {
		t.Run(name, func(t *testing.T) {
			require.NotEmpty(t, file.Want)
			r := file.Check()
			require.Equal(t, Failed, r.Verdict(), r.String())
			require.Len(t, r.Findings, len(file.Want), r.String())
			for i, f := range r.Findings {
				require.True(t, says(f.String(), file.Want[i]), "%s\n%s", f, file.Want[i])
				rules[f.Rule] = true
			}
			require.Empty(t, r.Void, "it is broken, not void")
		})
	}
	require.Len(t, rules, 6, "there is one for every rule")
}

func TestGoodHistories(t *testing.T) {
	for name, file := range kept(t, "good") {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, file.Want)
			r := file.Check()
			require.Equal(t, Passed, r.Verdict(), r.String())
		})
	}
}

// A run that was less than it should have been has not passed, whatever came of it.
func TestVoidHistories(t *testing.T) {
	for name, file := range kept(t, "void") {
		t.Run(name, func(t *testing.T) {
			r := file.Check()
			require.Equal(t, Void, r.Verdict(), r.String())
			require.Len(t, r.Void, len(file.Want), r.String())
			for i, reason := range r.Void {
				require.Contains(t, reason, file.Want[i])
			}
		})
	}
}

// What is written is read again as it was.
func TestFileSurvivesWriting(t *testing.T) {
	for _, folder := range []string{"broken", "good", "void"} {
		for name, file := range kept(t, folder) {
			var b bytes.Buffer
			require.NoError(t, file.Write(&b))
			again, err := Read(&b)
			require.NoError(t, err, name)
			require.Equal(t, file, again, name)
		}
	}
}

func TestBadFiles(t *testing.T) {
	const head = `{"rules":{}}` + "\n"
	for name, test := range map[string]struct{ text, want string }{
		"empty":         {"// nothing\n\n", "no first line with the rules"},
		"unknown rule":  {`{"rules":{"fast":1}}`, `unknown field "fast"`},
		"no JSON":       {head + "message", "line 2: invalid character"},
		"unknown field": {head + `{"t":1,"do":"born","gate":"g1"}`, `line 2: json: unknown field "gate"`},
		"bad life":      {head + `{"t":1,"do":"message","life":"xyz"}`, `line 2: history: life "xyz": want up to 16 hexadecimal digits`},
		"bad END":       {"\n" + head + `{"t":1,"do":"end","how":"dead"}`, `line 3: history: END "dead": want complete, lost or restarted`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(test.text))
			require.ErrorContains(t, err, test.want)
		})
	}
}

// What is no history is an error; what is one is judged, however little sense it makes, and so is each excerpt.
func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*", "*.jsonl"))
	require.NoError(f, err)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		file, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		r := file.Check()
		_ = r.String()
		for _, finding := range r.Findings {
			_ = r.Excerpt(finding).Check()
		}
	})
}
