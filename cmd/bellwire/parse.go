package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// settingsFlags is embedded by each command that runs with settings: one flag per setting, and the file below them. The
// command asks for the result with a Run(…, *effective) parameter.
type settingsFlags struct {
	Config   string `placeholder:"FILE" help:"Read settings from this YAML file; flags and environment win over it."`
	Settings `embed:""`
}

// settingsHolder is met by each command that embeds settingsFlags.
type settingsHolder interface {
	heldSettings() *settingsFlags
}

func (f *settingsFlags) heldSettings() *settingsFlags { return f }

// invocation is a command line that was understood. Run does it.
type invocation struct {
	command  string     // such as "config show"; empty if help was asked for
	settings *effective // nil for a command without settings
	context  *kong.Context
}

// Run runs the command, unless the command line only asked for help, which parse has printed. Commands may ask for *env,
// *effective (if they embed settingsFlags), *kong.Context and whatever else is bound.
func (i *invocation) Run(e *env, bound ...any) error {
	if i.context == nil {
		return nil
	}
	bound = append(bound, e)
	if i.settings != nil {
		bound = append(bound, i.settings)
	}
	return i.context.Run(bound...)
}

// parse reads a command line into a fresh cli, with the precedence flag > environment > file > default for every setting,
// and checks the settings. The environment comes in through getenv alone, an empty variable being none; help goes to stdout.
//
// Kong puts its resolvers above the environment, so here the environment is the resolver, and the file is laid under what
// kong found: wherever neither a flag nor a variable spoke.
func parse(args []string, getenv func(string) string, stdout, stderr io.Writer) (*invocation, error) {
	base, err := defaultSettings()
	if err != nil {
		return nil, err
	}
	helped := false
	parser, err := newParser(base,
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.Resolvers(environment(getenv)),
	)
	if err != nil {
		return nil, err
	}
	context, err := parser.Parse(args)
	if helped {
		return &invocation{}, nil
	}
	if err != nil {
		return nil, err
	}
	parsed := &invocation{command: commandOf(context), context: context}
	held := heldBy(context.Selected())
	if held == nil {
		return parsed, nil
	}
	parsed.settings, err = layered(base, held, context)
	if err != nil {
		return nil, err
	}
	parsed.settings.reparse = func() (*effective, error) {
		again, err := parse(args, getenv, io.Discard, io.Discard)
		if err != nil {
			return nil, err
		}
		return again.settings, nil
	}
	return parsed, nil
}

// layered lays what flags and environment gave held over the file over base, and checks the result.
func layered(base Settings, held *settingsFlags, context *kong.Context) (*effective, error) {
	result := &effective{Settings: base, origins: map[string]origin{}}
	if held.Config != "" {
		origins, err := readConfigFile(held.Config, &result.Settings)
		if err != nil {
			return nil, err
		}
		result.origins = origins
	}
	given := givenBy(context)
	for _, row := range settingTable {
		if from, ok := given[row.flag()]; ok {
			result.origins[row.key] = from
			reflect.ValueOf(row.target(&result.Settings)).Elem().Set(reflect.ValueOf(row.target(&held.Settings)).Elem())
		}
	}
	held.Settings = result.Settings // so that a command that looks at its own fields sees the same
	return result, result.check()
}

// givenBy says which flags were given, on the command line or by the environment.
func givenBy(context *kong.Context) map[string]origin {
	given := map[string]origin{}
	for _, step := range context.Path {
		switch {
		case step.Flag == nil:
		case step.Resolved:
			given[step.Flag.Name] = origin{fromEnvironment, envName(step.Flag.Name)}
		default:
			given[step.Flag.Name] = origin{fromFlag, "--" + step.Flag.Name}
		}
	}
	return given
}

// newParser is the kong parser of the whole command line.
func newParser(base Settings, options ...kong.Option) (*kong.Kong, error) {
	options = append([]kong.Option{
		kong.Name("bellwire"),
		kong.Description("An edge gateway that very many small devices stay connected to, and that broadcasts to them.\n\n" +
			"Settings and most other flags may also be set in the environment: --log-level as " + envName("log-level") + "."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.PostBuild(func(k *kong.Kong) error {
			showDefaults(k.Model.Node)
			return describeSettings(k.Model.Node, base)
		}),
	}, options...)
	return kong.New(new(cli), options...)
}

// showDefaults adds the default to the text of each flag below node that has a placeholder, which kong shows instead of it.
// A zero is no default that a person asks for: where it means something, the text says so.
func showDefaults(node *kong.Node) {
	for _, flag := range node.Flags {
		if flag.HasDefault && flag.PlaceHolder != "" && flag.Default != "" && flag.Default != "0" {
			flag.Help += " Default: " + flag.Default + "."
		}
	}
	for _, child := range node.Children {
		showDefaults(child)
	}
}

// describeSettings gives each flag that is a setting its text and its default, below node.
func describeSettings(node *kong.Node, base Settings) error {
	if held := heldBy(node); held != nil {
		flags := map[any]*kong.Flag{}
		for _, flag := range node.Flags {
			flags[flag.Target.Addr().Interface()] = flag
		}
		for _, row := range settingTable {
			flag := flags[row.target(&held.Settings)]
			if flag == nil || flag.Name != row.flag() {
				return fmt.Errorf("setting %s has no flag --%s", row.key, row.flag())
			}
			flag.Help = sentence(row.what)
			flag.Default, flag.HasDefault = valueText(row.target(&base)), true
			if section, _, found := strings.Cut(row.key, "."); found {
				flag.Group = &kong.Group{Key: section, Title: sectionTitle(section)}
			}
		}
	}
	for _, child := range node.Children {
		if err := describeSettings(child, base); err != nil {
			return err
		}
	}
	return nil
}

// sectionTitle stands above the flags of a section.
func sectionTitle(section string) string {
	if section == "tls" {
		return "TLS:"
	}
	return strings.ToUpper(section[:1]) + section[1:] + ":"
}

// heldBy is the settings of a command, or nil if it has none.
func heldBy(node *kong.Node) *settingsFlags {
	if node == nil || node.Target.Kind() != reflect.Struct || !node.Target.CanAddr() {
		return nil
	}
	holder, ok := node.Target.Addr().Interface().(settingsHolder)
	if !ok {
		return nil
	}
	return holder.heldSettings()
}

// notFromEnvironment is the tag of a flag whose name means something else in another command, where its variable belongs.
const notFromEnvironment = "noenv"

// environment is the kong resolver of BELLWIRE_… variables. It reads a value once on trial, so that an error can name
// the variable.
func environment(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		value := getenv(envName(flag.Name))
		if value == "" || flag.Name == "help" || flag.Tag.Has(notFromEnvironment) {
			return nil, nil
		}
		trial := reflect.New(flag.Target.Type()).Elem()
		token := kong.Token{Type: kong.FlagValueToken, Value: value}
		if err := flag.Parse(kong.ScanFromTokens(token), trial); err != nil {
			reason := strings.TrimPrefix(err.Error(), flag.ShortSummary()+": ")
			return nil, fmt.Errorf("%s=%q: %s", envName(flag.Name), value, reason)
		}
		return value, nil
	})
}

// commandOf is the command without its arguments: "config check", not "config check <file>".
func commandOf(context *kong.Context) string {
	if node := context.Selected(); node != nil {
		return strings.TrimPrefix(node.FullPath(), "bellwire ")
	}
	return ""
}
