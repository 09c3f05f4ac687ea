package wire

import "errors"

// ErrShort means that more bytes are needed before the frame is complete.
var ErrShort = errors.New("wire: frame is not complete yet")

// Error is a frame that breaks the protocol, with the code to close with.
type Error struct {
	Code  Code   // what to tell the sender
	Type  Type   // the frame
	Field string // the field of the frame, and what is wrong with it
}

// Error names the frame and the field.
func (e *Error) Error() string {
	return "wire: " + e.Type.String() + ": " + e.Field + " (" + e.Code.String() + ")"
}

// CodeOf is the code that err asks to close with: that of an *Error anywhere in
// its chain, else CodeMalformed.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeMalformed
}
