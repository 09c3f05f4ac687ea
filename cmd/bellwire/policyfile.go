package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/bellwire/bellwire/gateway/access"
)

// maxPolicyFile bounds what is read: some 20,000 rules.
const maxPolicyFile = 1 << 20

// readPolicyFile reads who may do what, and how much, from a YAML file. Its error names everything that is wrong with its
// line. A file that grants nothing, an empty one too, is a policy that grants nothing: without an error the policy is
// never nil, which would grant everything.
func readPolicyFile(path string) (*access.Policy, map[string]quota, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPolicyFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	if len(text) > maxPolicyFile {
		return nil, nil, fmt.Errorf("cannot read the policy: %s is larger than %s: write patterns such as sensor-*, or {device} in the topics",
			path, Size(maxPolicyFile))
	}
	return parsePolicy(path, text)
}

// parsePolicy is readPolicyFile for a file that was read already; name is only for errors.
func parsePolicy(name string, text []byte) (*access.Policy, map[string]quota, error) {
	r := &policyReader{name: name, places: map[string]*token.Token{}, quotas: map[string]quota{}}
	err := readDocument(text, r.document, func(at *token.Token) {
		r.wrong(at, "policy", "a second document: keep all rules in one, without ---")
	})
	if err != nil {
		return nil, nil, r.syntaxError(err)
	}
	if len(r.failed.problems) > 0 {
		return nil, nil, &r.failed // rules that were not read would only be complained about twice
	}
	policy, err := access.New(r.rules)
	if err != nil {
		return nil, nil, r.locate(err)
	}
	return policy, r.quotas, nil
}

// policyReader walks the file's tree, so that each key and value is known with its place.
type policyReader struct {
	name   string
	places map[string]*token.Token // of what access.New may complain about, by its path
	rules  []access.Rule
	quotas map[string]quota
	failed settingsError
}

func (r *policyReader) wrong(at *token.Token, path, format string, args ...any) {
	where := r.name
	if at != nil && at.Position != nil {
		where = fmt.Sprintf("%s:%d", r.name, at.Position.Line)
	}
	r.failed.problems = append(r.failed.problems,
		settingsProblem{origin: origin{fromFile, where}, key: path, text: fmt.Sprintf(format, args...)})
}

func (r *policyReader) syntaxError(err error) error {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		r.wrong(syntax.Token, "policy", "not YAML: %s", syntax.Message)
		return &r.failed
	}
	return fmt.Errorf("%s: not YAML: %w", r.name, err)
}

// locate gives the problems of rules their lines.
func (r *policyReader) locate(err error) error {
	var invalid *access.InvalidError
	if !errors.As(err, &invalid) {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	for _, p := range invalid.Problems {
		at := p.Path
		for r.places[at] == nil && strings.ContainsAny(at, ".[") { // a list that is missing: its rule
			at = at[:strings.LastIndexAny(at, ".[")]
		}
		r.wrong(r.places[at], p.Path, "%s", p.Text)
	}
	return &r.failed
}

// document reads the root; a file with nothing but comments has no rules.
func (r *policyReader) document(body ast.Node) {
	switch body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return
	}
	for key, value := range r.section("", body, "rules", "quotas") {
		if _, empty := value.(*ast.NullNode); empty {
			continue // all its lines are comments
		}
		if key == "rules" {
			r.ruleList(value)
		} else {
			r.quotaTable(value)
		}
	}
}

func (r *policyReader) ruleList(node ast.Node) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		r.wrong(node.GetToken(), "rules", "is %s, not a list: begin each rule with -", kindOf(node))
		return
	}
	for i, value := range list.Values {
		r.rule(fmt.Sprintf("rules[%d]", i), value)
	}
}

// rule adds a rule even if it is wrong, so that the rules behind it keep their numbers.
func (r *policyReader) rule(path string, node ast.Node) {
	r.places[path] = startOf(node)
	var rule access.Rule
	var verbs []string
	for key, value := range r.section(path, node, "allow", "deny", "tenants", "devices", "topics") {
		switch list := r.texts(path+"."+key, value); key {
		case "allow", "deny":
			verbs = append(verbs, key)
			rule.Deny = key == "deny"
			rule.Actions = r.actions(path+"."+key, list)
		case "tenants":
			rule.Tenants = list
		case "devices":
			rule.Devices = list
		case "topics":
			rule.Topics = list
		}
	}
	switch {
	case len(verbs) == 0 && hasEntries(node):
		r.wrong(r.places[path], path, "has neither allow nor deny: write allow: [publish, subscribe], or deny:, or one of the two actions")
	case len(verbs) == 2:
		r.wrong(r.places[path], path, "has both allow and deny: make two rules of it")
	}
	r.rules = append(r.rules, rule)
}

func (r *policyReader) actions(path string, names []string) []access.Action {
	var actions []access.Action
	for i, name := range names {
		action, err := access.ParseAction(name)
		if err != nil {
			entry := fmt.Sprintf("%s[%d]", path, i)
			r.wrong(r.places[entry], entry, "%v", err)
			continue
		}
		actions = append(actions, action)
	}
	return actions
}

// texts reads a list of texts. An empty one is refused: to access it means all, which whoever wrote it hardly meant.
func (r *policyReader) texts(path string, node ast.Node) []string {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		r.wrong(node.GetToken(), path, "is %s, not a list: write it in brackets", kindOf(node))
		return nil
	}
	if len(list.Values) == 0 {
		r.wrong(node.GetToken(), path, "is empty, which is not the same as all: fill it, or leave the key out")
		return nil
	}
	r.places[path] = list.GetToken()
	texts, good := make([]string, len(list.Values)), true
	for i, value := range list.Values {
		entry := fmt.Sprintf("%s[%d]", path, i)
		r.places[entry] = value.GetToken()
		text, ok := value.(*ast.StringNode)
		if !ok {
			r.wrong(value.GetToken(), entry, "is %s, not text: write it in quotes", kindOf(value))
			good = false
			continue
		}
		texts[i] = text.Value
	}
	if !good {
		return nil
	}
	return texts
}
