package access

// Overlap reports whether some topic matches both filters.
func Overlap(a, b string) bool {
	_, some := parseFilter(a).meet(parseFilter(b))
	return some
}

// Meet is the filter that matches what both match, as text.
func Meet(a, b string) (string, bool) {
	both, some := parseFilter(a).meet(parseFilter(b))
	if !some {
		return "", false
	}
	text := ""
	for i, l := range both.levels {
		if i > 0 {
			text += "/"
		}
		if l.any {
			text += "+"
		}
		text += l.text
	}
	if both.rest && len(both.levels) > 0 {
		text += "/"
	}
	if both.rest {
		text += "#"
	}
	return text, true
}

// Covered reports whether every topic that the filter matches is matched by one of by.
func Covered(filter string, by ...string) bool {
	parsed := make([]filterSet, len(by))
	for i, text := range by {
		parsed[i] = parseFilter(text)
	}
	return parseFilter(filter).covered(parsed)
}

type filterSet = filter

// MaxPlaces is the bound on tenants times devices.
const MaxPlaces = maxPlaces
