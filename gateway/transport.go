package gateway

// transport is what stands between the socket and the frames of a session, for
// TLS; it is met by *secure.Conn. All methods are called on the session's loop only;
// a plain session has none. Joining comes before Seal, so that a turn is one record.
type transport interface {
	// Open takes bytes from the socket and appends the plain bytes that they
	// completed to dst.
	Open(dst, cipher []byte) (plain []byte, err error)
	// Seal appends the bytes for the socket to dst.
	Seal(dst, plain []byte) []byte
	// Answer appends what the transport itself has to say after Open.
	Answer(dst []byte) []byte
	// CloseNotify appends the orderly end of what is sent.
	CloseNotify(dst []byte) []byte
}

// secured is what a session behind a transport holds.
type secured struct {
	transport            // nil until the handshake is done
	shake     *handshake // while it is under way
	plain     []byte     // opened, and not a whole frame yet
	unproven  int        // bytes that came after the handshake and before WELCOME
}
