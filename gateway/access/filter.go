package access

import (
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// filter is the set of topics that a filter matches [W-4.3], in a form that can be intersected. Sizes in bytes are left
// out: a topic that would be too long counts as one, which errs on the side of asking once more.
type filter struct {
	levels []level
	rest   bool // a # behind the levels
}

// level is a name, or any.
type level struct {
	any  bool // "+"
	text string
}

// parseFilter takes a checked filter.
func parseFilter(text string) filter {
	f := filter{levels: make([]level, 0, strings.Count(text, "/")+1)}
	for word := range strings.SplitSeq(text, "/") {
		switch word {
		case "#":
			f.rest = true
		case "+":
			f.levels = append(f.levels, level{any: true})
		default:
			f.levels = append(f.levels, level{text: word})
		}
	}
	return f
}

// fillFilter is parseFilter of a template. Levels are told apart before names are put in, so a name is never a wildcard.
// It fails where variables are wrong; whether the rest is a filter is for the caller to know.
func fillFilter(text string, id wire.Identity) (filter, error) {
	f := parseFilter(text)
	for i := range f.levels {
		l := &f.levels[i]
		if l.any {
			continue
		}
		filled, err := fill(l.text, id)
		if err != nil {
			return filter{}, err
		}
		l.text = filled
	}
	return f, nil
}

// meet is the filter that matches exactly what both match, if there is anything.
func (f filter) meet(g filter) (both filter, some bool) {
	n := max(len(f.levels), len(g.levels))
	if len(f.levels) < n && !f.rest || len(g.levels) < n && !g.rest {
		return filter{}, false
	}
	both = filter{levels: make([]level, n), rest: f.rest && g.rest}
	for i := range both.levels {
		a, b := f.at(i), g.at(i)
		switch {
		case a.any:
			both.levels[i] = b
		case b.any || a == b:
			both.levels[i] = a
		default:
			return filter{}, false
		}
	}
	return both, both.rest || !both.isEmptyName()
}

// at is a level, any beyond the last.
func (f filter) at(i int) level {
	if i < len(f.levels) {
		return f.levels[i]
	}
	return level{any: true}
}

// isEmptyName: one empty level would be a topic of no bytes, which there is not.
func (f filter) isEmptyName() bool { return len(f.levels) == 1 && f.levels[0] == level{} }

// covered reports whether every topic that f matches is matched by some filter of by.
//
// It is enough to look at one topic of each number of levels, the one with a name that stands in no filter wherever f takes
// any: only wildcards match that name, and they match every other as well.
func (f filter) covered(by []filter) bool {
	shortest, longest := len(f.levels), len(f.levels)
	if f.rest {
		longest = wire.MaxLevels
		if f.isEmptyName() || shortest == 0 {
			shortest++
		}
	}
	for n := shortest; n <= longest; n++ {
		if !f.coveredAt(n, by) {
			return false
		}
	}
	return true
}

// coveredAt is covered for topics of n levels.
func (f filter) coveredAt(n int, by []filter) bool {
	for _, g := range by {
		if g.coversAt(n, f) {
			return true
		}
	}
	return false
}

// coversAt reports whether g alone matches every topic of n levels that f matches.
func (f filter) coversAt(n int, g filter) bool {
	if n < len(f.levels) || n > len(f.levels) && !f.rest {
		return false
	}
	for i, l := range f.levels {
		if !l.any && l != g.at(i) {
			return false
		}
	}
	return true
}
