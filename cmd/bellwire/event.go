package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bellwire/bellwire/client"
)

// The forms in which `sub` prints.
const (
	formatText = "text" // topic payload, one line each; notices on stderr
	formatJSON = "json" // one object a line, notices among them
	formatRaw  = "raw"  // payloads as they are, nothing between them; notices on stderr
)

// eventPrinter writes what a subscription tells.
type eventPrinter struct {
	format string
	out    io.Writer // messages
	notes  io.Writer // what is for a person only
}

// print writes one event of a filter with one Write, and says whether it was a message.
func (p *eventPrinter) print(filter string, event client.Event) (message bool, err error) {
	m, message := event.(client.Message)
	switch {
	case p.format == formatJSON:
		err = p.printJSON(filter, event)
	case !message:
		_, err = io.WriteString(p.notes, "bellwire: "+noticeText(filter, event)+"\n")
	case p.format == formatRaw:
		_, err = p.out.Write(m.Payload)
	default:
		_, err = io.WriteString(p.out, visibleName(m.Topic)+" "+visible(m.Payload)+"\n")
	}
	return message, err
}

// eventJSON is one line of --format json.
type eventJSON struct {
	Kind          string  `json:"kind"` // message, gap, end
	Topic         string  `json:"topic,omitempty"`
	Filter        string  `json:"filter,omitempty"`         // of a gap without a topic: any topic that it matches
	Payload       *string `json:"payload,omitempty"`        // if it is UTF-8
	PayloadBase64 *string `json:"payload_base64,omitempty"` // if not
	Life          string  `json:"life,omitempty"`
	Offset        uint64  `json:"offset,omitempty"`
	Replayed      bool    `json:"replayed,omitempty"`
	Reason        string  `json:"reason,omitempty"`
	Count         *uint64 `json:"count,omitempty"` // of a gap; missing: unknown
	How           string  `json:"how,omitempty"`
}

func (p *eventPrinter) printJSON(filter string, event client.Event) error {
	var line eventJSON
	switch v := event.(type) {
	case client.Message:
		line = eventJSON{Kind: "message", Topic: v.Topic, Offset: v.Offset, Replayed: v.Replayed}
		if v.Life != 0 {
			line.Life = v.Life.String()
		}
		text := string(v.Payload)
		if utf8.Valid(v.Payload) {
			line.Payload = &text
		} else {
			text = base64.StdEncoding.EncodeToString(v.Payload)
			line.PayloadBase64 = &text
		}
	case client.Gap:
		line = eventJSON{Kind: "gap", Topic: v.Topic, Reason: v.Reason.String()}
		if v.Topic == "" {
			line.Filter = filter
		}
		if v.Count > 0 {
			line.Count = &v.Count
		}
		if v.Life != 0 {
			line.Life = v.Life.String()
		}
	case client.End:
		line = eventJSON{Kind: "end", Topic: v.Topic, How: v.How.String(), Life: v.Life.String()}
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = p.out.Write(append(text, '\n'))
	return err
}

// noticeText is a gap or an end in words.
func noticeText(filter string, event client.Event) string {
	switch v := event.(type) {
	case client.Gap:
		topic := visibleName(v.Topic)
		if topic == "" {
			topic = "any topic of " + visibleName(filter)
		}
		if v.Count == 0 {
			return fmt.Sprintf("gap: messages of %s may be missing (%s)", topic, v.Reason)
		}
		return fmt.Sprintf("gap: %d of %s missing (%s)", v.Count, topic, v.Reason)
	case client.End:
		return fmt.Sprintf("end: life %s of %s is over (%s)", v.Life, visibleName(v.Topic), v.How)
	}
	return fmt.Sprint(event)
}

// visible is a payload on one line of a terminal: what a terminal would obey, what shows nothing or turns text, and what is
// not UTF-8, is escaped.
func visible(payload []byte) string {
	return escaped(payload, func(r rune) bool { return unseen(r) && r != joiner && r != nonJoiner })
}

// visibleName is the same for a topic or a filter, without the exception for what letters and emoji are joined with: names
// that differ must not look alike.
func visibleName(name string) string { return escaped([]byte(name), unseen) }

const (
	nonJoiner = '\u200C'
	joiner    = '\u200D'
)

// unseen: characters that show nothing themselves and may turn the text around them, and line separators.
func unseen(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// escaped is text with the control characters and those that hide says escaped.
func escaped(text []byte, hide func(rune) bool) string {
	var out strings.Builder
	out.Grow(len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == utf8.RuneError && n <= 1 || r < 0x80 && unicode.IsControl(r):
			fmt.Fprintf(&out, `\x%02x`, text[0])
		case r > 0xFFFF && hide(r):
			fmt.Fprintf(&out, `\U%08x`, r)
		case unicode.IsControl(r) || hide(r):
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.Write(text[:n])
		}
		text = text[n:]
	}
	return out.String()
}
