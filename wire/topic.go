package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// TopicID is a topic's number within a tenant on one gateway. It dies with the
// connection that it was told on; 0 means none, or all [W-4.2].
type TopicID uint32

// CheckTopic says what is wrong with a topic name: 1–255 bytes of UTF-8 without
// control characters, at most 16 levels, no wildcards, not the gateway's own
// ($…) [W-4.1].
func CheckTopic(name []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if i := bytes.IndexAny(name, "+#"); i >= 0 {
		return fmt.Errorf("topic %q: %c is a wildcard, use it in filters only", name, name[i])
	}
	return nil
}

// CheckFilter says what is wrong with a filter: a topic in which + may stand for
// one whole level, and a last # for all the rest [W-4.1].
func CheckFilter(filter []byte) error {
	if err := checkName(filter); err != nil {
		return err
	}
	for rest := filter; ; {
		level, tail, more := bytes.Cut(rest, []byte{'/'})
		if bytes.IndexByte(level, '+') >= 0 && len(level) > 1 {
			return fmt.Errorf("filter %q: + must be a whole level", filter)
		}
		if bytes.IndexByte(level, '#') >= 0 {
			if len(level) > 1 {
				return fmt.Errorf("filter %q: # must be a whole level", filter)
			}
			if more {
				return fmt.Errorf("filter %q: # must be last", filter)
			}
		}
		if !more {
			return nil
		}
		rest = tail
	}
}

func checkName(name []byte) error {
	switch {
	case len(name) == 0:
		return errors.New("topic or filter is empty")
	case len(name) > MaxName:
		return fmt.Errorf("%q… is %d bytes long, want at most %d", name[:16], len(name), MaxName)
	case !utf8.Valid(name):
		return fmt.Errorf("%q is not UTF-8", name)
	case name[0] == '$':
		return fmt.Errorf("%q begins with $, which is the gateway's own", name)
	case bytes.Count(name, []byte{'/'}) >= MaxLevels:
		return fmt.Errorf("%q has more than %d levels", name, MaxLevels)
	}
	for i, c := range name {
		// U+0080–U+009F are c2 80 – c2 9f; some terminals obey them like escapes.
		if c < 0x20 || c == 0x7F || c == 0xC2 && name[i+1] < 0xA0 {
			return fmt.Errorf("%q: byte %d is a control character", name, i)
		}
	}
	return nil
}

// IsWildcard reports whether a checked filter has a wildcard.
func IsWildcard(filter []byte) bool { return bytes.ContainsAny(filter, "+#") }

// Match reports whether a checked filter matches a checked topic: the plain,
// normative matcher, for tests and small lists. "a/#" matches "a" too [W-4.3].
func Match(filter, topic string) bool {
	for {
		fl, frest, fmore := strings.Cut(filter, "/")
		if fl == "#" {
			return true
		}
		tl, trest, tmore := strings.Cut(topic, "/")
		if fl != "+" && fl != tl {
			return false
		}
		switch {
		case !fmore && !tmore:
			return true
		case fmore && !tmore:
			return frest == "#"
		case !fmore:
			return false
		}
		filter, topic = frest, trest
	}
}
