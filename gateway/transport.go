package gateway

// transport is what stands between the socket and the frames of a session, for
// TLS. Both methods are called on the session's loop only; a plain session has
// none. Joining comes before seal, so that a turn is one record.
type transport interface {
	// open takes bytes from the socket and returns the plain bytes that they
	// completed, valid until the next call.
	open(cipher []byte) (plain []byte, err error)
	// seal appends the bytes for the socket to dst.
	seal(dst, plain []byte) []byte
}
