package main

import (
	"iter"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// section yields the entries of a node that are among keys, or all if there are none; the others are wrong, and so is a node
// that has no entries. An alias or a number is no key: its token could be taken for a name, even for "*".
func (r *policyReader) section(path string, node ast.Node, keys ...string) iter.Seq2[string, ast.Node] {
	return func(yield func(string, ast.Node) bool) {
		seen := map[string]bool{}
		for _, entry := range r.entries(path, node, keys) {
			at := entry.Key.GetToken()
			name, isText := entry.Key.(*ast.StringNode)
			if !isText {
				r.wrong(at, within(path, at.Value), "is no plain key: write names in letters, others in quotes")
				continue
			}
			full := within(path, name.Value)
			switch {
			case len(keys) > 0 && !slices.Contains(keys, name.Value):
				r.wrong(at, full, "no such key%s", isMeant(name.Value, keys))
			case seen[name.Value]:
				r.wrong(at, full, "stands twice")
			default:
				seen[name.Value] = true
				r.places[full] = at
				if !yield(name.Value, entry.Value) {
					return
				}
			}
		}
	}
}

// entries are those of a mapping, of which YAML's tree has two kinds.
func (r *policyReader) entries(path string, node ast.Node, keys []string) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	if path == "" {
		path = "policy"
	}
	if len(keys) == 0 {
		keys = []string{"a tenant's name"}
	}
	r.wrong(node.GetToken(), path, "is %s: put keys below it: %s", kindOf(node), strings.Join(keys, ", "))
	return nil
}

func hasEntries(node ast.Node) bool {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// startOf is where a node begins: a mapping's own token is its first colon.
func startOf(node ast.Node) *token.Token {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return node.GetToken()
}

func within(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// isMeant offers the nearest key, or all.
func isMeant(unknown string, keys []string) string {
	if best := nearest(unknown, keys); best != "" {
		return ": is " + best + " meant?"
	}
	return ": there are " + strings.Join(keys, ", ")
}
