package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigFileErrors(t *testing.T) {
	for _, test := range []struct {
		name, file, want string
	}{
		{"unknown key", "lisen: x\n", "f.yaml:1:1: lisen: no such setting: is listen meant?"},
		{"unknown key in a section", "limits:\n  fram: 1KiB\n", "f.yaml:2:3: limits.fram: no such setting: is limits.frame meant?"},
		{"key of a section at the root", "frame: 1KiB\n", "f.yaml:1:1: frame: no such setting: is limits.frame meant?"},
		{"key with a dash", "limits: {pending-age: 1s}\n", "f.yaml:1:10: limits.pending-age: no such setting: is limits.pending_age meant?"},
		{"section misspelt", "limit: {frame: 1KiB}\n", "f.yaml:1:1: limit: no such setting: is limits meant?"},
		{"nothing near", "colour: red\n", "f.yaml:1:1: colour: no such setting: `bellwire config init` lists them all"},
		{"number for text", "name: 5\n", "f.yaml:1:7: name: is 5, a number, not text: write it in quotes"},
		{"number for an address", "listen: 7311\n", `f.yaml:1:9: listen: is 7311, a number, not text such as "127.0.0.1:7311": write it in quotes`},
		{"boolean for text", "name: true\n", "f.yaml:1:7: name: is true, a yes or no, not text: write it in quotes"},
		{"text for a number", "loops: \"4\"\n", `f.yaml:1:8: loops: is text ("4"), not a whole number such as 0`},
		{"fraction for a number", "loops: 1.5\n", "f.yaml:1:8: loops: is 1.5, a number, not a whole number such as 0"},
		{"number beyond all bounds", "loops: 99999999999999999999\n", "f.yaml:1:8: loops: "},
		{"text for a boolean", "pprof: yes\n", `f.yaml:1:8: pprof: is text ("yes"), not true or false`},
		{"number for a boolean", "pprof: 1\n", "f.yaml:1:8: pprof: is 1, a number, not true or false"},
		{"nothing", "loops:\n", "f.yaml:1:1: loops: has no value: give it one, or leave the line out for the default"},
		{"nothing in a list", "broadcast: [a, ~]\n", "f.yaml:1:16: broadcast: has nothing among its entries: write it in quotes"},
		{"text for a list", "broadcast: a/#\n", `f.yaml:1:12: broadcast: is text ("a/#"), not a list: write ["broadcast/#"]`},
		{"number in a list", "broadcast: [a, 5]\n", "f.yaml:1:16: broadcast: has 5, a number among its entries: write it in quotes"},
		{"list for text", "name: [a]\n", "f.yaml:1:7: name: is a list, not text: write it in quotes"},
		{"section for text", "name: {a: b}\n", "f.yaml:1:7: name: is a section, not text: write it in quotes"},
		{"value for a section", "limits: 5\n", "f.yaml:1:9: limits: is a section: put its keys below it, such as limits.connections"},
		{"list for a section", "log:\n  - a\n", "f.yaml:2:3: log: is a section: put its keys below it, such as log.level"},
		{"list for the file", "- a\n", "f.yaml:1:1: settings: is a section: put its keys below it, such as name"},
		{"duration without a unit", "drain: {spread: 10}\n", "f.yaml:1:17: drain.spread: 10 has no unit: write 10s if seconds are meant"},
		{"fraction without a unit", "drain: {spread: 1.5}\n", "f.yaml:1:17: drain.spread: 1.5 has no unit: write 1.5s if seconds are meant"},
		{"no duration", "drain: {spread: soon}\n", `f.yaml:1:17: drain.spread: "soon" is not a duration: write one such as 500ms, 30s, 10m or 1h`},
		{"no size", "limits: {frame: 64k}\n", `f.yaml:1:17: limits.frame: "64k" is not a size: write bytes, or a whole number of KiB, MiB or GiB such as 64KiB`},
		{"no level", "log: {level: loud}\n", `f.yaml:1:14: log.level: "loud" is not a log level: write debug, info, warn or error`},
		{"no format", "log: {format: xml}\n", `f.yaml:1:15: log.format: "xml" is not a log format: write auto, text or json`},
		{"no rate", "limits: {publish_rate: fast}\n", `f.yaml:1:24: limits.publish_rate: "fast" is not a rate: write a whole number per second such as 1000/s, or off, or auto`},
		{"anchor", "name: &a x\n", "f.yaml:1:7: name: is an anchor or a reference to one, which are not read, not text: write it in quotes"},
		{"merging", "log: &l {level: info}\n", "f.yaml:1:6: log: "},
		{"merge key", "<<: {name: x}\n", "f.yaml:1:1: <<: merging is not read: write the keys out"},
		{"twice", "name: a\nname: b\n", `f.yaml:2:1: settings: not YAML: mapping key "name" already defined at [1:1]`},
		{"second document", "name: a\n---\nname: b\n", "f.yaml:3:5: settings: a second document: keep all settings in one, without ---"},
		{"not YAML", "name: [\n", "f.yaml:1:7: settings: not YAML: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Settings
			_, err := parseConfig("f.yaml", []byte(test.file), &s)
			require.ErrorContains(t, err, test.want)
			require.Equal(t, exitFailed, codeOf(err))
		})
	}
}

func TestConfigFileNamesAllThatIsWrong(t *testing.T) {
	var s Settings
	_, err := parseConfig("f.yaml", []byte("nam: a\nloops: b\nlog:\n  level: c\n"), &s)
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	require.True(t, strings.HasPrefix(lines[0], "f.yaml:1:1: nam:"), lines[0])
	require.True(t, strings.HasPrefix(lines[1], "f.yaml:2:8: loops:"), lines[1])
	require.True(t, strings.HasPrefix(lines[2], "f.yaml:4:10: log.level:"), lines[2])
}

func TestConfigFileThatSetsNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# only words\n", "---\n", "limits:\n", "limits: {}\n", "limits:\n  # all\n"} {
		want, err := defaultSettings()
		require.NoError(t, err)
		got := want
		origins, err := parseConfig("f.yaml", []byte(text), &got)
		require.NoError(t, err, "%q", text)
		require.Empty(t, origins, "%q", text)
		require.Equal(t, want, got, "%q", text)
	}
}

func TestConfigFileStyles(t *testing.T) {
	var block, flow Settings
	_, err := parseConfig("f.yaml", []byte("admin: off\nlimits:\n  frame: 4096\n  replay:\n    bytes: 1MiB\nbroadcast:\n  - a\n  - b/#\n"), &block)
	require.NoError(t, err)
	_, err = parseConfig("f.yaml", []byte(`{admin: "off", limits: {frame: 4KiB, replay: {bytes: 1024KiB}}, broadcast: [a, 'b/#']}`), &flow)
	require.NoError(t, err)
	require.Equal(t, block, flow)
	require.Equal(t, Size(4096), flow.Limits.Frame)
	require.Equal(t, []string{"a", "b/#"}, flow.Broadcast)
}

func TestConfigFileThatIsNotThere(t *testing.T) {
	_, err := shown(t, nil, "--config", t.TempDir()+"/none.yaml")
	require.ErrorContains(t, err, "none.yaml")
	require.Equal(t, exitFailed, codeOf(err))
	_, err = shown(t, nil, "--config", t.TempDir())
	require.ErrorContains(t, err, "is a directory")
}

func TestProblemInFileNamesItsLine(t *testing.T) {
	file := writeFile(t, "limits:\n  keepalive:\n    min: 2h\n    default: 3h\n")
	_, err := shown(t, nil, "--config", file)
	require.EqualError(t, err, file+":4: limits.keepalive.default: 3h is out of range: write limits.keepalive.min to max, 2h to 1h")
	require.Equal(t, exitFailed, codeOf(err))
}

// FuzzParseConfig: any file gives settings or an error that names it; what was accepted can be shown and read back.
func FuzzParseConfig(f *testing.F) {
	f.Add(sampleConfig())
	f.Add([]byte("limits: {frame: 64KiB, replay: {age: 2m}}\nbroadcast: [a/#, \"b,c\"]\n"))
	f.Add([]byte("name: &a x\nadmin: *a\n<<: {}\n"))
	f.Add([]byte("? [a]\n: b\n---\n- |\n  c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := defaultSettings()
		require.NoError(t, err)
		origins, err := parseConfig("f.yaml", text, &s)
		if err != nil {
			require.Contains(t, err.Error(), "f.yaml")
			return
		}
		s.problems()
		for key := range origins {
			row, known := settingByKey(key)
			require.True(t, known, key)
			if _, list := row.target(&s).(*[]string); list {
				continue // shown for a person; an entry may hold what parts entries
			}
			again := new(Settings)
			require.NoError(t, setText(row.target(again), valueText(row.target(&s))), key)
			require.Equal(t, row.target(&s), row.target(again), key)
		}
	})
}
