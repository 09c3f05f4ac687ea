// Package wire is the Bellwire device protocol, down to the bytes: frames,
// codes, topic syntax, identities and positions. It is codec only: no sockets,
// no goroutines, no clock. PROTOCOL.md beside it is the normative text; the tags
// in comments and tests ([W-2.1]) are its clauses.
//
// Every frame has a struct, a ParseX function that reads its body, and Append
// and Len methods. Next cuts a byte stream into frames. Parsed slices alias the
// input; nothing here allocates unless it returns an error.
package wire
