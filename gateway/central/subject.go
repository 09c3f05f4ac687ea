package central

import (
	"fmt"
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// subjects maps topics to NATS subjects and back, below one prefix:
//
//	<prefix>.t.<tenant>.<level>.<level>…        a topic, one token for each level
//	<prefix>.inject.<tenant>.<level>.<level>…   a request to publish to it
//
// What NATS cannot carry in a token is written %XX, two capital hexadecimal digits:
// the dot, *, >, % itself, the space, control bytes. An empty level is a lone %.
// All else stands for itself, so that most subjects can be read, and typed. Nothing
// may be escaped that need not be: two subjects never mean one topic.
type subjects struct{ prefix string }

const (
	topicPart  = ".t."
	injectPart = ".inject."
)

// topic is the subject of a checked topic.
func (s subjects) topic(tenant, topic string) string { return s.of(topicPart, tenant, topic) }

func (s subjects) of(part, tenant, topic string) string {
	b := make([]byte, 0, 128)
	b = append(b, s.prefix...)
	b = append(b, part...)
	b = appendToken(b, tenant)
	for more := true; more; {
		var level string
		level, topic, more = strings.Cut(topic, "/")
		b = appendToken(append(b, '.'), level)
	}
	return string(b)
}

// filter is what to subscribe to for a checked filter: one subject, or two for
// "a/#", since > does not match "a".
func (s subjects) filter(tenant, filter string) []string {
	b := appendToken([]byte(s.prefix+topicPart), tenant)
	whole := len(b)
	for more := true; more; {
		var level string
		level, filter, more = strings.Cut(filter, "/")
		switch level {
		case "#":
			rest := string(append(b, ".>"...))
			if len(b) == whole {
				return []string{rest}
			}
			return []string{string(b), rest}
		case "+":
			b = append(b, ".*"...)
		default:
			b = appendToken(append(b, '.'), level)
		}
	}
	return []string{string(b)}
}

// parse is the tenant and topic of a subject below part. It refuses what topic would
// not have made.
func (s subjects) parse(part, subject string) (tenant, topic string, err error) {
	rest, ours := strings.CutPrefix(subject, s.prefix+part)
	if !ours {
		return "", "", fmt.Errorf("subject %q: want %s%s<tenant>.<level>.<level>…", subject, s.prefix, part)
	}
	first, levels, more := strings.Cut(rest, ".")
	if !more {
		return "", "", fmt.Errorf("subject %q: no topic behind the tenant", subject)
	}
	t, ok := appendLevel(nil, first)
	if !ok {
		return "", "", badToken(subject, first)
	}
	tenant = string(t)
	if err := checkTenant(tenant); err != nil {
		return "", "", fmt.Errorf("subject %q: %w", subject, err)
	}
	b := make([]byte, 0, len(levels))
	for more := true; more; {
		var token string
		token, levels, more = strings.Cut(levels, ".")
		if b, ok = appendLevel(b, token); !ok {
			return "", "", badToken(subject, token)
		}
		if more {
			b = append(b, '/')
		}
	}
	if err := wire.CheckTopic(b); err != nil {
		return "", "", fmt.Errorf("subject %q: %w", subject, err)
	}
	return tenant, string(b), nil
}

func badToken(subject, token string) error {
	return fmt.Errorf("subject %q: token %q: want a lone %% for an empty level, and %%XX for . * > %% space and control bytes, for nothing else", subject, token)
}

const digits = "0123456789ABCDEF"

// escaped reports what a token cannot hold as it is. No level has a slash: it is here so
// that a token with one is refused.
func escaped(c byte) bool {
	return c <= ' ' || c == 0x7F || c == '.' || c == '*' || c == '>' || c == '%' || c == '/'
}

func appendToken(dst []byte, level string) []byte {
	if level == "" {
		return append(dst, '%')
	}
	for i := range len(level) {
		if c := level[i]; escaped(c) {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendLevel is the reverse of appendToken, and false for all that it never makes.
func appendLevel(dst []byte, token string) ([]byte, bool) {
	if token == "%" {
		return dst, true
	}
	if token == "" {
		return dst, false
	}
	for i := 0; i < len(token); i++ {
		c := token[i]
		switch {
		case c == '%':
			if i+2 >= len(token) {
				return dst, false
			}
			hi, lo := strings.IndexByte(digits, token[i+1]), strings.IndexByte(digits, token[i+2])
			if hi < 0 || lo < 0 {
				return dst, false
			}
			// A slash in a level would make it two.
			if c = byte(hi<<4 | lo); !escaped(c) || c == '/' {
				return dst, false
			}
			i += 2
		case escaped(c):
			return dst, false
		}
		dst = append(dst, c)
	}
	return dst, true
}

// checkTenant says what is wrong with the name of a tenant.
func checkTenant(tenant string) error {
	return wire.Identity{Tenant: tenant, Device: "d"}.Check()
}
