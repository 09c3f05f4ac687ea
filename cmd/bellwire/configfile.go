package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxConfigFile bounds what is read: a file of every setting with its comments takes 7 KiB.
const maxConfigFile = 1 << 20

// readConfigFile lays a YAML file over s and says which keys it set, and on which line. Its error names everything that
// is wrong: keys that nobody knows, values of a wrong type, keys that stand twice.
func readConfigFile(path string, s *Settings) (map[string]origin, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings: %w", err)
	}
	if info.Size() > maxConfigFile {
		return nil, fmt.Errorf("cannot read the settings: %s has %d bytes, which is no settings file", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings: %w", err)
	}
	return parseConfig(path, text, s)
}

// parseConfig is readConfigFile for a file that was read already; name is only for errors.
func parseConfig(name string, text []byte, s *Settings) (map[string]origin, error) {
	reader := &configReader{name: name, settings: s, origins: map[string]origin{}}
	err := readDocument(text, reader.document, func(at *token.Token) {
		reader.wrong(at, "", "a second document: keep all settings in one, without ---")
	})
	if err != nil {
		return nil, reader.syntaxError(err)
	}
	if len(reader.failed.problems) > 0 {
		return nil, &reader.failed
	}
	return reader.origins, nil
}

// readDocument has the document of a YAML file read, and each further one complained about.
func readDocument(text []byte, read func(ast.Node), further func(at *token.Token)) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return err
	}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			further(doc.Body.GetToken())
			continue
		}
		read(doc.Body)
	}
	return nil
}

// configReader walks the file's tree, so that each key and value is known with its place. Every setting is a leaf of
// settingTable, so there is nothing to decode into by reflection.
type configReader struct {
	name     string
	settings *Settings
	origins  map[string]origin
	failed   settingsError
}

func (r *configReader) wrong(at *token.Token, key, format string, args ...any) {
	where := origin{kind: fromFile, where: r.name}
	if at != nil && at.Position != nil {
		where.where = fmt.Sprintf("%s:%d:%d", r.name, at.Position.Line, at.Position.Column)
	}
	if key == "" {
		key = "settings"
	}
	r.failed.problems = append(r.failed.problems, settingsProblem{origin: where, key: key, text: fmt.Sprintf(format, args...)})
}

func (r *configReader) syntaxError(err error) error {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		r.wrong(syntax.Token, "", "not YAML: %s", syntax.Message)
		return &r.failed
	}
	return fmt.Errorf("%s: not YAML: %w", r.name, err)
}

// document reads the root; a file with nothing but comments sets nothing.
func (r *configReader) document(body ast.Node) {
	switch body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return
	}
	r.section("", body)
}

func (r *configReader) section(section string, node ast.Node) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return // a section whose lines are all comments
	default:
		r.wrong(node.GetToken(), section, "is a section: put its keys below it, such as %s", exampleOf(section))
		return
	}
	for _, value := range values {
		key := value.Key.GetToken().Value
		if section != "" {
			key = section + "." + key
		}
		r.entry(key, value)
	}
}

func (r *configReader) entry(key string, value *ast.MappingValueNode) {
	at := value.Key.GetToken()
	if value.Key.IsMergeKey() {
		r.wrong(at, key, "merging is not read: write the keys out")
		return
	}
	if row, ok := settingByKey(key); ok {
		if before, twice := r.origins[key]; twice {
			r.wrong(at, key, "stands twice, first at %s", before.where)
			return
		}
		r.origins[key] = origin{fromFile, fmt.Sprintf("%s:%d", r.name, at.Position.Line)}
		if _, empty := value.Value.(*ast.NullNode); empty {
			r.wrong(at, key, "has no value: give it one, or leave the line out for the default")
			return
		}
		r.leaf(row, value.Value)
		return
	}
	if isSection(key) {
		r.section(key, value.Value)
		return
	}
	r.wrong(at, key, "no such setting%s", didYouMean(key))
}

func (r *configReader) leaf(row setting, node ast.Node) {
	at := node.GetToken()
	target := row.target(r.settings)
	if list, ok := target.(*[]string); ok {
		r.list(row, list, node)
		return
	}
	text, ok := scalar(target, node)
	if !ok {
		r.wrong(at, row.key, "is %s, not %s", kindOf(node), wantedBy(target, row))
		return
	}
	if err := setText(target, text); err != nil {
		r.wrong(at, row.key, "%v", err)
	}
}

func (r *configReader) list(row setting, target *[]string, node ast.Node) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		r.wrong(node.GetToken(), row.key, "is %s, not a list: write %s", kindOf(node), listExample(row))
		return
	}
	var entries []string // nil where there are none, as without the file
	for _, value := range sequence.Values {
		text, ok := value.(*ast.StringNode)
		if !ok {
			r.wrong(value.GetToken(), row.key, "has %s among its entries: write it in quotes", kindOf(value))
			return
		}
		entries = append(entries, text.Value)
	}
	*target = entries
}

// listExample is a list as one would write it.
func listExample(row setting) string {
	if row.value == "" {
		return "it in brackets"
	}
	return fmt.Sprintf("[%q]", row.value)
}

// scalar is the text of a node if its kind fits the setting: booleans and numbers are not taken for text, nor text for
// them, so a value in the wrong place is noticed.
func scalar(target any, node ast.Node) (text string, ok bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		switch target.(type) {
		case *bool, *int:
			return "", false
		}
		return n.Value, true
	case *ast.LiteralNode:
		_, isText := target.(*string)
		return n.Value.Value, isText
	case *ast.BoolNode:
		_, isBool := target.(*bool)
		return fmt.Sprint(n.Value), isBool
	case *ast.IntegerNode:
		switch target.(type) {
		case *int, *Size, *Rate, *time.Duration:
			return fmt.Sprint(n.Value), true
		}
	case *ast.FloatNode:
		_, isDuration := target.(*time.Duration)
		return n.Token.Value, isDuration
	}
	return "", false
}

func wantedBy(target any, row setting) string {
	switch target.(type) {
	case *bool:
		return "true or false"
	case *int:
		return "a whole number such as " + row.value
	case *string:
		if row.value == "" {
			return `text: write it in quotes`
		}
		return fmt.Sprintf("text such as %q: write it in quotes", row.value)
	}
	return fmt.Sprintf("a value such as %s", row.value)
}

func kindOf(node ast.Node) string {
	switch n := node.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return fmt.Sprintf("%v, a yes or no", n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value + ", a number"
	case *ast.StringNode:
		return fmt.Sprintf("text (%q)", n.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or a reference to one, which are not read"
	}
	return "something else (" + node.Type().String() + ")"
}

// isSection says whether some setting lies below key.
func isSection(key string) bool { return exampleOf(key) != "" }

// exampleOf is the first key of a section, or nothing.
func exampleOf(section string) string {
	for _, row := range settingTable {
		if section == "" || strings.HasPrefix(row.key, section+".") {
			return row.key
		}
	}
	return ""
}
