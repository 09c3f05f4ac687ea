package fanout

import (
	"slices"
	"strings"
	"sync"
)

// filters is the set of groups of an index, arranged as a tree by the levels of their filters. A look-up visits only
// branches that can match, so filters that do not match cost nothing.
type filters struct {
	mu   sync.RWMutex
	root node
	ages uint64 // groups added so far
}

// node stands for the beginning of a filter.
type node struct {
	literal map[string]*node // by the next level
	single  *node            // the next level is "+"
	ends    []*Group         // filters that end here
	rest    []*Group         // filters that end here with "#"
}

// nextLevel cuts the first level off a filter or topic.
func nextLevel(s string) (level, rest string, more bool) { return strings.Cut(s, "/") }

// add returns once every later match finds the group.
func (f *filters) add(g *Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ages++
	g.age = f.ages
	n, rest, more := &f.root, g.filter, true
	for more {
		var level string
		level, rest, more = nextLevel(rest)
		switch {
		case level == "#" && !more:
			n.rest = append(n.rest, g)
			return
		case level == "+":
			if n.single == nil {
				n.single = new(node)
			}
			n = n.single
		default:
			n = n.child(level)
		}
	}
	n.ends = append(n.ends, g)
}

func (n *node) child(level string) *node {
	next := n.literal[level]
	if next == nil {
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		next = new(node)
		n.literal[level] = next
	}
	return next
}

func (f *filters) remove(g *Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.root.remove(g, g.filter)
}

// remove takes g out of the tree below n, where filter is what is left of its filter, and prunes branches that end
// nowhere.
func (n *node) remove(g *Group, filter string) {
	level, rest, more := nextLevel(filter)
	switch {
	case level == "#" && !more:
		n.rest = dropped(n.rest, g)
	case level == "+" && n.single != nil:
		if n.single.removeEnd(g, rest, more) {
			n.single = nil
		}
	case n.literal[level] != nil:
		if n.literal[level].removeEnd(g, rest, more) {
			delete(n.literal, level)
		}
	}
}

// removeEnd reports whether nothing is left below n.
func (n *node) removeEnd(g *Group, rest string, more bool) (empty bool) {
	if more {
		n.remove(g, rest)
	} else {
		n.ends = dropped(n.ends, g)
	}
	return len(n.literal) == 0 && n.single == nil && len(n.ends) == 0 && len(n.rest) == 0
}

func dropped(groups []*Group, g *Group) []*Group {
	i := slices.Index(groups, g)
	if i < 0 {
		return groups
	}
	if len(groups) == 1 {
		return nil
	}
	return slices.Delete(groups, i, i+1)
}

// match appends the groups whose filter matches the topic to found.
func (f *filters) match(topic string, found []*Group) []*Group {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if !strings.HasPrefix(topic, "$") {
		return f.root.match(topic, true, found)
	}
	// What the gateway itself says is for those who ask for it by name, not for everyone who asked for everything.
	level, rest, more := nextLevel(topic)
	if n := f.root.literal[level]; n != nil {
		found = n.match(rest, more, found)
	}
	return found
}

// match goes down the tree: levels are what is left of the topic, more whether there is any level left.
func (n *node) match(levels string, more bool, found []*Group) []*Group {
	found = append(found, n.rest...) // "a/#" matches "a" as well
	if !more {
		return append(found, n.ends...)
	}
	level, rest, more := nextLevel(levels)
	if next := n.literal[level]; next != nil {
		found = next.match(rest, more, found)
	}
	if n.single != nil {
		found = n.single.match(rest, more, found)
	}
	return found
}
