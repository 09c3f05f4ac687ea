package main

import (
	"bytes"
	"io"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

func TestEventsArePrinted(t *testing.T) {
	const life = wire.Life(0xabc)
	message := client.Message{Topic: "a", Payload: []byte("x\ny"), Life: life, Offset: 7, Replayed: true}
	bytesMessage := client.Message{Topic: "a", Payload: []byte{0xff}}
	empty := client.Message{Topic: "a", Payload: []byte{}, Life: life, Offset: 1}
	gap := client.Gap{Topic: "a", Reason: wire.ReasonSlow, Count: 3, Life: life}
	unknown := client.Gap{Reason: wire.ReasonNotKept}
	end := client.End{Topic: "a", How: wire.EndRestarted, Life: life}
	for _, test := range []struct {
		format string
		event  client.Event
		out    string
		notes  string
	}{
		{formatText, message, "a x\\ny\n", ""},
		{formatText, empty, "a \n", ""},
		{formatText, gap, "", "bellwire: gap: 3 of a missing (slow)\n"},
		{formatText, unknown, "", "bellwire: gap: messages of any topic of a/# may be missing (no longer kept)\n"},
		{formatText, end, "", "bellwire: end: life 0000000000000abc of a is over (restarted)\n"},
		{formatRaw, message, "x\ny", ""},
		{formatRaw, bytesMessage, "\xff", ""},
		{formatRaw, gap, "", "bellwire: gap: 3 of a missing (slow)\n"},
		{formatJSON, message, `{"kind":"message","topic":"a","payload":"x\ny","life":"0000000000000abc","offset":7,"replayed":true}` + "\n", ""},
		{formatJSON, bytesMessage, `{"kind":"message","topic":"a","payload_base64":"/w=="}` + "\n", ""},
		{formatJSON, empty, `{"kind":"message","topic":"a","payload":"","life":"0000000000000abc","offset":1}` + "\n", ""},
		{formatJSON, gap, `{"kind":"gap","topic":"a","life":"0000000000000abc","reason":"slow","count":3}` + "\n", ""},
		{formatJSON, unknown, `{"kind":"gap","filter":"a/#","reason":"no longer kept"}` + "\n", ""},
		{formatJSON, end, `{"kind":"end","topic":"a","life":"0000000000000abc","how":"restarted"}` + "\n", ""},
	} {
		var out, notes bytes.Buffer
		p := eventPrinter{format: test.format, out: &out, notes: &notes}
		isMessage, err := p.print("a/#", test.event)
		require.NoError(t, err)
		_, want := test.event.(client.Message)
		require.Equal(t, want, isMessage)
		require.Equal(t, test.out, out.String(), "%s %v", test.format, test.event)
		require.Equal(t, test.notes, notes.String(), "%s %v", test.format, test.event)
	}
}

func TestEventsThatCannotBePrinted(t *testing.T) {
	for _, format := range []string{formatText, formatRaw, formatJSON} {
		p := eventPrinter{format: format, out: brokenPipe{}}
		_, err := p.print("a", client.Message{Topic: "a", Payload: []byte("x")})
		require.ErrorIs(t, err, io.ErrClosedPipe, format)
	}
}

func TestVisible(t *testing.T) {
	for _, test := range []struct{ payload, want string }{
		{"", ""},
		{"plain ü 漢 👩‍🚀", "plain ü 漢 👩‍🚀"},
		{`back\slash`, `back\slash`},
		{"tab\tline\nreturn\r", `tab\tline\nreturn\r`},
		{"\x1b[2J\x00\x7f", `\x1b[2J\x00\x7f`},
		{"\u009b31m", `\u009b31m`},
		{"\u202eabc\u2066\u2028", `\u202eabc\u2066\u2028`},
		{"a\xffb\xc3", `a\xffb\xc3`},
		{"\ufffd", "\ufffd"},
		{"a\u200bb\u00ad\ufeff\u200e", `a\u200bb\u00ad\ufeff\u200e`},
		{"\U000e0041", `\U000e0041`},
	} {
		require.Equal(t, test.want, visible([]byte(test.payload)))
	}
}

// TestTopicsAreEscaped: whoever may publish chooses the topic, and it must not reach the terminal as it is.
func TestTopicsAreEscaped(t *testing.T) {
	const topic, shown = "a/\u202eb\x1b[2J\u200d\u2066\n", `a/\u202eb\x1b[2J\u200d\u2066\n`
	for _, test := range []struct {
		event client.Event
		want  string
	}{
		{client.Message{Topic: topic, Payload: []byte("x")}, shown + " x\n"},
		{client.Gap{Topic: topic, Reason: wire.ReasonSlow, Count: 3}, "bellwire: gap: 3 of " + shown + " missing (slow)\n"},
		{client.Gap{Topic: topic, Reason: wire.ReasonSlow}, "bellwire: gap: messages of " + shown + " may be missing (slow)\n"},
		{client.Gap{Reason: wire.ReasonSlow}, "bellwire: gap: messages of any topic of " + shown + "/# may be missing (slow)\n"},
		{client.End{Topic: topic, How: wire.EndLost, Life: 1}, "bellwire: end: life 0000000000000001 of " + shown + " is over (lost)\n"},
	} {
		var out bytes.Buffer
		p := eventPrinter{format: formatText, out: &out, notes: &out}
		_, err := p.print(topic+"/#", test.event)
		require.NoError(t, err)
		require.Equal(t, test.want, out.String())
	}
	require.Equal(t, "broadcast/ü/漢", visibleName("broadcast/ü/漢"))
}

func FuzzVisible(f *testing.F) {
	for _, payload := range []string{"", "plain", "\x1b[2J", "\xff\xfe", "\u202e", "\u009b"} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		text := visible(payload)
		require.True(t, utf8.ValidString(text))
		for _, r := range text {
			require.False(t, unicode.IsControl(r) || unseen(r) && r != joiner && r != nonJoiner, "%q", text)
		}
		for _, r := range visibleName(string(payload)) {
			require.False(t, unicode.IsControl(r) || unseen(r), "%q", text)
		}
	})
}
