package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// The variables of a template.
const (
	tenantVariable = "tenant"
	deviceVariable = "device"
)

// template is a filter in which variables may stand. It is matched as it stands, level by level and variable by variable.
type template struct {
	text     string
	head     string // its first levels as far as they are plain, each with the / behind it
	variable bool   // a variable stands in it
	exact    bool   // it is a topic, the same for everyone
	plain    filter // what it is for everyone, unless variable
}

// newTemplate takes a text that CheckTemplate found good.
func newTemplate(text string) template {
	t := template{text: text, variable: strings.Contains(text, "{")}
	if special := strings.IndexAny(text, "{+#"); special < 0 {
		t.exact = true
	} else {
		t.head = text[:strings.LastIndexByte(text[:special], '/')+1]
	}
	if !t.variable {
		t.plain = parseFilter(text)
	}
	return t
}

// matches is the function of that name; most templates are dismissed by their head.
func (t *template) matches(topic string, id wire.Identity) bool {
	if t.exact {
		return t.text == topic
	}
	rest, found := strings.CutPrefix(topic, t.head)
	if !found {
		return t.text[len(t.head):] == "#" && t.head[:len(t.head)-1] == topic // "a/#" matches "a"
	}
	return matches(t.text[len(t.head):], rest, id)
}

// CheckTemplate says what is wrong with a topic of a rule or a token: it must be a filter [W-4.1] with short names in the
// place of its variables. A longer name may still make it too long, see the package comment.
func CheckTemplate(text string) error {
	filled, err := fill(text, wire.Identity{Tenant: "x", Device: "x"})
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	err = wire.CheckFilter([]byte(filled))
	if err != nil && filled != text {
		return fmt.Errorf("%q: with names put in: %w", text, err)
	}
	return err
}

// valueOf is what a variable stands for.
func valueOf(variable string, id wire.Identity) (string, bool) {
	switch variable {
	case tenantVariable:
		return id.Tenant, true
	case deviceVariable:
		return id.Device, true
	}
	return "", false
}

var (
	errOpen  = errors.New("a { is not closed: write {tenant} or {device}")
	errClose = errors.New("a } was not opened: write {tenant} or {device}")
)

// fill puts the names into a text. What comes out must never be parsed to decide anything.
func fill(text string, id wire.Identity) (string, error) {
	var filled strings.Builder
	for {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return "", errClose
		}
		filled.WriteString(literal)
		if !found {
			return filled.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errOpen
		}
		value, known := valueOf(name, id)
		if !known {
			return "", fmt.Errorf("there is no variable {%s}: write {tenant} or {device}", name)
		}
		filled.WriteString(value)
		text = after
	}
}

// matches asks whether a checked topic is one of the template's [W-4.3]. A text that CheckTemplate refuses, as a token may
// bring, matches nothing that fits also says yes to.
func matches(text, topic string, id wire.Identity) bool {
	for {
		want, wantRest, wantMore := strings.Cut(text, "/")
		if want == "#" {
			return !wantMore
		}
		have, haveRest, haveMore := strings.Cut(topic, "/")
		if want != "+" && !sameLevel(want, have, id) {
			return false
		}
		switch {
		case !wantMore && !haveMore:
			return true
		case wantMore && !haveMore:
			return wantRest == "#"
		case !wantMore:
			return false
		}
		text, topic = wantRest, haveRest
	}
}

// sameLevel holds a level of a template against one of a topic.
func sameLevel(want, have string, id wire.Identity) bool {
	switch want { // as most do
	case "{" + tenantVariable + "}":
		return have == id.Tenant
	case "{" + deviceVariable + "}":
		return have == id.Device
	}
	for {
		literal, rest, found := strings.Cut(want, "{")
		if strings.IndexByte(literal, '}') >= 0 {
			return false
		}
		if !found {
			return literal == have
		}
		name, after, closed := strings.Cut(rest, "}")
		value, known := valueOf(name, id)
		if !closed || !known || !strings.HasPrefix(have, literal) || !strings.HasPrefix(have[len(literal):], value) {
			return false
		}
		want, have = after, have[len(literal)+len(value):]
	}
}

// fits reports whether the text is within the bounds of a filter once the names stand in it.
func fits(text string, id wire.Identity) bool {
	size := len(text) +
		strings.Count(text, "{"+tenantVariable+"}")*(len(id.Tenant)-len(tenantVariable)-2) +
		strings.Count(text, "{"+deviceVariable+"}")*(len(id.Device)-len(deviceVariable)-2)
	return size <= wire.MaxName && strings.Count(text, "/") < wire.MaxLevels
}

// filter is what the template is for one identity.
func (t *template) filter(id wire.Identity) filter {
	if !t.variable {
		return t.plain
	}
	f, _ := fillFilter(t.text, id)
	return f
}
