package peer

import (
	"fmt"

	"github.com/bellwire/bellwire/wire"
)

// Why is the reason with which a link is refused or closed. It is the code of CLOSE, so the table is append-only.
type Why uint8

// The reasons.
const (
	Bye         Why = iota // it leaves, or has seen the other one leave
	OtherFleet             // another cluster
	Version                // no version in common
	WrongName              // the name is not that of the certificate, or not who was looked for
	NameInUse              // another gateway of that name, or that life, is linked and answers
	TooMany                // more peers than Config.Most
	OlderLife              // a newer life of that gateway has been here
	Self                   // a gateway that dialled itself
	Linked                 // the two are linked by another connection
	Unsupported            // a kind of connection that this gateway does not have
	Broken                 // the bytes are not the protocol
	Bomb                   // a batch that decompresses to more than is allowed
	Silent                 // nothing was heard for Config.Silence
	Late                   // no HELLO in time
	Crowded                // too many connections without HELLO
	Failed                 // the connection broke; never sent
	Disbelieved            // the certificate with which it was made is not believed any more
	reasons
)

var whyText = [reasons]string{
	"bye", "other fleet", "version", "wrong name", "name in use", "too many peers", "older life", "self", "linked already",
	"not supported", "broken", "bomb", "silent", "late", "crowded", "connection failed", "certificate not believed any more",
}

// String is the reason in words.
func (w Why) String() string {
	if w < reasons {
		return whyText[w]
	}
	return fmt.Sprintf("reason %d", uint8(w))
}

// CloseError is why a link was refused or closed, by this side or the other one.
type CloseError struct {
	Why  Why
	Text string
	// Theirs: the other side said so.
	Theirs bool
}

// Error has the reason and what was said with it.
func (e *CloseError) Error() string {
	who := ""
	if e.Theirs {
		who = "the other side says: "
	}
	if e.Text == "" {
		return who + e.Why.String()
	}
	return who + e.Why.String() + ": " + e.Text
}

// quiet errors are part of how links come and go.
func (e *CloseError) quiet() bool { return e.Why == Bye || e.Why == Linked }

// appendClose is 2F: why u8, text str. It is the last frame of a side.
func appendClose(dst []byte, why Why, text string) []byte {
	at := len(dst)
	dst = append(begin(dst), byte(why))
	dst = appendStr(dst, wire.CutText(text, maxText))
	return finish(dst, at, typeClose)
}

func parseClose(body []byte) (*CloseError, error) {
	f := fields{t: typeClose, b: body}
	e := &CloseError{Why: Why(f.u8("reason")), Text: f.text("text", maxText), Theirs: true}
	return e, f.end()
}
