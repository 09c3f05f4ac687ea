// Package wire is the Bellwire device protocol, down to the bytes: frames,
// codes, topic syntax, identities and positions. It is codec only: no sockets,
// no goroutines, no clock. PROTOCOL.md beside it is the normative text; the tags
// in comments and tests ([W-2.1]) are its clauses. testdata/vectors.json has
// every frame in hex and in words, for clients in any language.
//
// # A session
//
// A device connects, by TLS or TCP alone, sends HELLO and, without waiting, what it wants:
//
//	HELLO       I am …, I take frames of up to 128 bytes
//	SUBSCRIBE   1 = broadcast/eu/#
//	PUBLISH     broadcast/eu/kitchen "21.5", seq 1
//
// The gateway answers each, and from then on sends what matches:
//
//	WELCOME     send something every 600 s; you have 16 KiB of publish credit
//	SUBSCRIBED  1: ok
//	ACK         1: ok
//	TOPIC       5 is broadcast/eu/kitchen
//	MESSAGE     5 "21.5"
//	GAP         5: 3 messages dropped, you were slow
//	CLOSE       restart: come back at once
//
// # Reading and writing
//
// Every frame has a struct. Append appends the whole frame to a buffer, Len says
// how long it will be, and ParseX reads the body:
//
//	t, body, rest, err := wire.Next(buf, limit) // ErrShort: read more
//	switch t.Base() {
//	case wire.TypeMessage:
//		m, err := wire.ParseMessage(t, body)
//
// Parsed slices alias the input: copy what must outlive the buffer. Nothing here
// allocates unless it returns an error. An error of Next or of a parser is
// an *Error, whose Code is what to close the connection with. Structs hold no
// state and all functions may be called from any goroutine.
//
// The example of the package is a whole session that runs.
package wire
