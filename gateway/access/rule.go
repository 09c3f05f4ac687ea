package access

import (
	"fmt"
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// Rule allows or denies. Whoever makes rules from lists of their own should not make one of an empty list: here it means
// all.
type Rule struct {
	Deny    bool     // else the rule allows
	Actions []Action // empty: all
	Tenants []string // names, or beginnings of names with a * behind; empty: all
	Devices []string // likewise
	Topics  []string // filters in which {tenant} and {device} may stand; at least one
}

// InvalidError is all that is wrong with the rules given to [New].
type InvalidError struct {
	Problems []Problem // at least one, in the order of the rules
}

// Problem is what is wrong in one place, and the way out.
type Problem struct {
	Path string // such as rules[2].topics[0]
	Text string
}

// Error has a line for each problem.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Path + ": " + p.Text
	}
	return strings.Join(lines, "\n")
}

func (e *InvalidError) wrong(path, format string, args ...any) {
	e.Problems = append(e.Problems, Problem{path, fmt.Sprintf(format, args...)})
}

// check notes what is wrong with a rule.
func (e *InvalidError) check(path string, r Rule) {
	for i, a := range r.Actions {
		if !a.known() {
			e.wrong(fmt.Sprintf("%s.actions[%d]", path, i), "there is no %v", a)
		}
	}
	for i, pattern := range r.Tenants {
		if err := checkPattern(pattern, func(name string) wire.Identity { return wire.Identity{Tenant: name, Device: "x"} }); err != nil {
			e.wrong(fmt.Sprintf("%s.tenants[%d]", path, i), "%v", err)
		}
	}
	for i, pattern := range r.Devices {
		if err := checkPattern(pattern, func(name string) wire.Identity { return wire.Identity{Tenant: "x", Device: name} }); err != nil {
			e.wrong(fmt.Sprintf("%s.devices[%d]", path, i), "%v", err)
		}
	}
	if len(r.Topics) == 0 {
		e.wrong(path+".topics", "there are none: write at least one filter; # is every topic")
	}
	for i, topic := range r.Topics {
		if err := CheckTemplate(topic); err != nil {
			e.wrong(fmt.Sprintf("%s.topics[%d]", path, i), "%v", err)
		}
	}
}

// checkPattern refuses what no name can ever match: a rule with it would do nothing, silently.
func checkPattern(pattern string, identity func(name string) wire.Identity) error {
	name, prefix := strings.CutSuffix(pattern, "*")
	if strings.Contains(name, "*") {
		return fmt.Errorf("%q: * stands only at the end, once, for the rest of a name", pattern)
	}
	if prefix && name == "" {
		return nil
	}
	return identity(name).Check()
}
