package central

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// hardNames are topics that NATS could not carry as they are.
var hardNames = []string{
	"a b", "a.b", "a.b/c", "*", ">", "a/*/>", "a*", ">b", "/", "//", "/a", "a/", "a//b", "%", "%/%", "%41", "a%2Eb", "a/$b", " ", "  /  ",
	"é/ü/日本", "\u00a0", "\u2028", "-ERR", "MSG", "'", "\"", "{}", "~", "a:b@c", strings.Repeat("/", 15), strings.Repeat(".", 255),
}

func TestSubjects(t *testing.T) {
	s := subjects{"bw"}
	for _, c := range []struct{ topic, subject string }{
		{"orders/7", "bw.t.acme.orders.7"},
		{"a b/c.d", "bw.t.acme.a%20b.c%2Ed"},
		{"a//b/", "bw.t.acme.a.%.b.%"},
		{"/", "bw.t.acme.%.%"},
		{"*/>/x*", "bw.t.acme.%2A.%3E.x%2A"},
		{"50%", "bw.t.acme.50%25"},
		{"é/$x", "bw.t.acme.é.$x"},
	} {
		require.Equal(t, c.subject, s.topic("acme", c.topic))
		tenant, topic, err := s.parse(topicPart, c.subject)
		require.NoError(t, err)
		require.Equal(t, []string{"acme", c.topic}, []string{tenant, topic})
	}
	require.Equal(t, "bw.t.a%2Eb.x", s.topic("a.b", "x"))
	require.Equal(t, "bw.inject.acme.x.y", s.of(injectPart, "acme", "x/y"))
}

func TestFilters(t *testing.T) {
	s := subjects{"bw"}
	for _, c := range []struct {
		filter   string
		subjects []string
	}{
		{"a/b", []string{"bw.t.acme.a.b"}},
		{"a/+/c", []string{"bw.t.acme.a.*.c"}},
		{"#", []string{"bw.t.acme.>"}},
		{"a/#", []string{"bw.t.acme.a", "bw.t.acme.a.>"}},
		{"+/#", []string{"bw.t.acme.*", "bw.t.acme.*.>"}},
		{"a//#", []string{"bw.t.acme.a.%", "bw.t.acme.a.%.>"}},
		{"*/>", []string{"bw.t.acme.%2A.%3E"}},
	} {
		require.Equal(t, c.subjects, s.filter("acme", c.filter), c.filter)
	}
}

// What no topic is written as is no topic.
func TestSubjectsThatAreNone(t *testing.T) {
	s := subjects{"bw"}
	for subject, want := range map[string]string{
		"":                 "want bw.t.<tenant>",
		"other.t.acme.a":   "want bw.t.<tenant>",
		"bw.inject.acme.a": "want bw.t.<tenant>",
		"bw.t.acme":        "no topic behind the tenant",
		"bw.t.acme.":       "token",
		"bw.t..a":          "token",
		"bw.t.%.a":         "tenant",
		"bw.t.ac%2Fme.a":   "token",
		"bw.t.acme.a..b":   "token",
		"bw.t.acme.%61":    "token",
		"bw.t.acme.%2e":    "token",
		"bw.t.acme.%2":     "token",
		"bw.t.acme.a%":     "token",
		"bw.t.acme.%%":     "token",
		"bw.t.acme.%2F":    "token",
		"bw.t.acme.a/b":    "token",
		"bw.t.acme.*":      "token",
		"bw.t.acme.a>":     "token",
		"bw.t.acme.a+b":    "wildcard",
		"bw.t.acme.#":      "wildcard",
		"bw.t.acme.$SYS":   "gateway's own",
		"bw.t.acme.%0A":    "control character",
		"bw.t.acme.\xff":   "UTF-8",
		"bw.t.acme.%.%.%.%.%.%.%.%.%.%.%.%.%.%.%.%.%": "levels",
	} {
		_, _, err := s.parse(topicPart, subject)
		require.ErrorContains(t, err, want, "%q", subject)
	}
}

// Each topic comes back as it was, and no subject means what another one does.
func FuzzSubject(f *testing.F) {
	for _, n := range hardNames {
		f.Add("acme", n)
	}
	f.Add("a.b", "a.b/c")
	f.Fuzz(func(t *testing.T, tenant, topic string) {
		s := subjects{"bw"}
		if checkTenant(tenant) == nil && wire.CheckTopic([]byte(topic)) == nil {
			subject := s.topic(tenant, topic)
			require.LessOrEqual(t, len(subject), 5+3*(wire.MaxTenant+wire.MaxName)+wire.MaxLevels, "a line of the server's protocol holds 4096 bytes")
			for _, token := range strings.Split(subject, ".") {
				require.NotEmpty(t, token)
				require.NotContains(t, []string{"*", ">"}, token)
			}
			require.False(t, strings.ContainsAny(subject, " \t\r\n\x00"))
			gotTenant, gotTopic, err := s.parse(topicPart, subject)
			require.NoError(t, err)
			require.Equal(t, []string{tenant, topic}, []string{gotTenant, gotTopic})
		}
		// And the other way round, with anything as a subject.
		subject := "bw.t." + tenant + "." + topic
		if gotTenant, gotTopic, err := s.parse(topicPart, subject); err == nil {
			require.Equal(t, subject, s.topic(gotTenant, gotTopic), "two subjects for one topic")
		}
	})
}

// What a filter subscribes to matches what the filter does.
func FuzzFilter(f *testing.F) {
	for _, n := range hardNames {
		f.Add("a/+/#", n)
		f.Add("+/#", n)
		f.Add("#", n)
	}
	f.Add("a/#", "a")
	f.Add("a/+", "a/")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if wire.CheckFilter([]byte(filter)) != nil || wire.CheckTopic([]byte(topic)) != nil {
			return
		}
		s := subjects{"bw"}
		n := 0
		for _, pattern := range s.filter("acme", filter) {
			if matches(pattern, s.topic("acme", topic)) {
				n++
			}
			require.False(t, matches(pattern, s.topic("other", topic)))
		}
		want := 0
		if wire.Match(filter, topic) {
			want = 1
		}
		require.Equal(t, want, n, "%q and %q", filter, topic)
	})
}
