package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"text/tabwriter"
)

// configCmd is `bellwire config`.
type configCmd struct {
	Init  configInitCmd  `cmd:"" help:"Print a settings file with every setting, its default and the reason for it."`
	Check configCheckCmd `cmd:"" help:"Check a settings file, and the files that it names; each error names file, line, key and the way out."`
	Show  configShowCmd  `cmd:"" help:"Print the settings that serve would run with, and where each came from."`
}

type configInitCmd struct{}

// Run prints the file.
func (c *configInitCmd) Run(e *env) error {
	_, err := e.stdout.Write(sampleConfig())
	return err
}

type configCheckCmd struct {
	File string `arg:"" help:"The settings file."`
}

// Run is silent about values that come from elsewhere: it judges the file as it is, over the defaults. It reads what the
// settings name, because a gateway that finds a certificate missing does not start.
func (c *configCheckCmd) Run(e *env) error {
	settings, err := defaultSettings()
	if err != nil {
		return err
	}
	origins, err := readConfigFile(c.File, &settings)
	if err != nil {
		return err
	}
	if err := (&effective{Settings: settings, origins: origins}).check(); err != nil {
		return err
	}
	if _, _, err := fullConfig(settings, slog.New(slog.DiscardHandler), nil); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s: good, %d of %d settings\n", c.File, len(origins), len(settingTable))
	return err
}

type configShowCmd struct {
	settingsFlags
	JSON bool `name:"json" help:"Print a JSON object: key to value and origin."`
}

// Run prints what the same flags, environment and file would give serve.
func (c *configShowCmd) Run(e *env, s *effective) error {
	if c.JSON {
		return showJSON(e.stdout, s)
	}
	table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, row := range settingTable {
		value := valueText(row.target(&s.Settings))
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", row.key, value, s.origin(row.key))
	}
	return table.Flush()
}

// showJSON keeps the order of settingTable, which a map would lose.
func showJSON(w io.Writer, s *effective) error {
	var object bytes.Buffer
	object.WriteByte('{')
	for i, row := range settingTable {
		if i > 0 {
			object.WriteByte(',')
		}
		o := s.origin(row.key)
		entry, err := json.Marshal(struct {
			Value  any        `json:"value"`
			Origin originKind `json:"origin"`
			Where  string     `json:"where,omitempty"`
		}{valueJSON(row.target(&s.Settings)), o.kind, o.where})
		if err != nil {
			return err
		}
		fmt.Fprintf(&object, "%q:%s", row.key, entry)
	}
	object.WriteByte('}')
	var indented bytes.Buffer
	if err := json.Indent(&indented, object.Bytes(), "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err := w.Write(indented.Bytes())
	return err
}

const sampleHead = `# Settings of a Bellwire gateway: every one, with its default and the reason for it.
# A flag wins over the environment, the environment over this file, this file over the defaults: limits.frame is the flag
# --limits-frame and the variable BELLWIRE_LIMITS_FRAME. Durations are 500ms, 30s, 10m, 1h; sizes are bytes or 64KiB,
# 32MiB. Files are looked for from the directory that the gateway is started in, so write whole paths in a service.
# SIGHUP makes a running gateway read this file again, and the files that tls, tokens, revoked, policy and fleet name,
# changed or not. It takes over these, log.level and the limits, but for those that say that they change at a restart, and
# opens the audit file anew. All other settings change at a restart.
`

// sampleConfig is what `config init` prints: settingTable as YAML.
func sampleConfig() []byte {
	var out bytes.Buffer
	out.WriteString(sampleHead)
	var settings Settings
	open := []string{}
	for _, row := range settingTable {
		words := strings.Split(row.key, ".")
		sections := words[:len(words)-1]
		same := 0
		for same < len(open) && same < len(sections) && open[same] == sections[same] {
			same++
		}
		out.WriteByte('\n')
		for depth := same; depth < len(sections); depth++ {
			fmt.Fprintf(&out, "%s%s:\n", indent(depth), sections[depth])
		}
		open = sections
		margin := indent(len(sections))
		what := sentence(row.what)
		if strings.HasPrefix(row.key, "limits.") && !row.live() {
			what += " Changes at a restart."
		}
		fmt.Fprintf(&out, "%s# %s\n%s# Why: %s\n", margin, what, margin, sentence(row.why))
		fmt.Fprintf(&out, "%s%s: %s\n", margin, words[len(words)-1], yamlValue(row, &settings))
	}
	return out.Bytes()
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// plainYAML is text that YAML reads as the same text without quotes, numbers excepted.
var plainYAML = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./:-]*$`)

// yamlValue is the default of a row as the file shows it; scratch is any Settings, for the row's type.
func yamlValue(row setting, scratch *Settings) string {
	switch row.target(scratch).(type) {
	case *[]string:
		if row.value == "" {
			return "[]"
		}
		entries := strings.Split(row.value, string(listSeparator))
		for i, entry := range entries {
			entries[i] = fmt.Sprintf("%q", entry)
		}
		return "[" + strings.Join(entries, ", ") + "]"
	case *string:
		if !plainYAML.MatchString(row.value) {
			return fmt.Sprintf("%q", row.value)
		}
	}
	return row.value
}
