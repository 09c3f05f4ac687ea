package client

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// ErrClosed is what calls return after Close or Shutdown, of the Client or of
// the Subscription. errors.Is(err, net.ErrClosed) holds too.
var ErrClosed = fmt.Errorf("client: closed: %w", net.ErrClosed)

// ErrUnknownOutcome means that a PUBLISH was sent and the connection, or the
// caller's context, ended before the gateway answered: subscribers may or may not
// see the message. WithRetry repeats it instead.
var ErrUnknownOutcome = errors.New("client: the connection ended before the answer: the message may or may not have been published")

// ErrProtocol means that the gateway broke the protocol. The client reports it to
// its logger and to WithOnState, leaves the connection and resumes on a new one.
var ErrProtocol = errors.New("client: the gateway broke the protocol")

// RefusedError is a request that the gateway refused; the connection goes on.
type RefusedError struct {
	Code  wire.Code     // Code.Class says whether to repeat it
	Retry time.Duration // only with wire.ClassLater: when to try again, 0 if not told
	What  string        // the request, for people
	// Text is why, as the gateway put it for people; it may be empty. With
	// wire.CodeNoCentral it names the topics that would do.
	Text string
}

// Error names the request and the reason, and says what the gateway said.
func (e *RefusedError) Error() string {
	s := "client: " + e.What + " refused: " + e.Code.String()
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	if e.Retry > 0 {
		s += fmt.Sprintf(", try again in %v", e.Retry)
	}
	return s
}

// retryable reports whether the same request may succeed on this connection [W-8.3].
func (e *RefusedError) retryable() bool {
	c := e.Code.Class()
	return c == wire.ClassLater || c == wire.ClassAtOnce
}

// StoppedError means that the gateway sent this device away for good: its
// identity, its software or what it asks of the connection is not accepted. The
// client does not come back by itself.
type StoppedError struct {
	Code wire.Code
	Text string // what the gateway said to people; may be empty
}

// Error gives the code and the gateway's text.
func (e *StoppedError) Error() string {
	s := "client: stopped by the gateway: " + e.Code.String()
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}

// closedByGateway is the end of a connection that the gateway gave a code for.
type closedByGateway struct {
	code  wire.Code
	text  string
	retry time.Duration // when to come back; 0: not told
}

func (e *closedByGateway) Error() string {
	s := "client: the gateway closed the connection: " + e.code.String()
	if e.text != "" {
		s += " (" + e.text + ")"
	}
	if e.retry > 0 {
		s += fmt.Sprintf(", come back in %v", e.retry)
	}
	return s
}

// violation is a breach of the protocol by the gateway, with the code that the
// client leaves with.
type violation struct{ cause error }

func (e *violation) Error() string   { return ErrProtocol.Error() + ": " + e.cause.Error() }
func (e *violation) Unwrap() []error { return []error{ErrProtocol, e.cause} }

func violated(format string, args ...any) error {
	return &violation{fmt.Errorf(format, args...)}
}
