package central

import "strings"

// A pattern is a NATS subject in which * stands for one token, and a last > for one or
// more.

// matches reports whether a pattern covers all that another one, or a subject, does.
func matches(pattern, other string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, ".")
		o, orest, omore := strings.Cut(other, ".")
		switch {
		case p == ">":
			return true
		case o == ">" || p != "*" && p != o:
			return false
		case pmore != omore:
			return false
		case !pmore:
			return true
		}
		pattern, other = prest, orest
	}
}

// intersect is the pattern of what two patterns both cover.
func intersect(a, b string) (string, bool) {
	var out []byte
	for {
		x, arest, amore := strings.Cut(a, ".")
		y, brest, bmore := strings.Cut(b, ".")
		switch {
		case x == ">":
			return string(append(out, b...)), true
		case y == ">":
			return string(append(out, a...)), true
		case x == "*":
			out = append(out, y...)
		case y == "*" || x == y:
			out = append(out, x...)
		default:
			return "", false
		}
		if amore != bmore {
			return "", false
		}
		if !amore {
			return string(out), true
		}
		out = append(out, '.')
		a, b = arest, brest
	}
}

// mostFilters is how many patterns a consumer of a stream is given.
const mostFilters = 256

// cover is as few patterns as cover all given ones, none of which overlap: JetStream
// takes no others. false: there is no such list that is short enough.
func cover(patterns []string) ([]string, bool) {
	if len(patterns) > 16*mostFilters {
		return nil, false // so many are not compared with each other
	}
	var out []string
	for i, p := range patterns {
		if !coveredBy(patterns, i) {
			out = append(out, p)
		}
	}
	if len(out) > mostFilters {
		return nil, false
	}
	for i, p := range out {
		for _, q := range out[:i] {
			if _, both := intersect(p, q); both {
				return nil, false
			}
		}
	}
	return out, true
}

// coveredBy reports whether another pattern covers that at i; of equal ones the first
// stays.
func coveredBy(patterns []string, i int) bool {
	for j, q := range patterns {
		if j != i && matches(q, patterns[i]) && (q != patterns[i] || j < i) {
			return true
		}
	}
	return false
}
