package wire

// AppendPing appends a PING with at most 8 bytes of data [W-3.4].
func AppendPing(dst, data []byte) []byte {
	return append(appendHeader(dst, TypePing, len(data)), data...)
}

// AppendPong appends the PONG that answers a PING with these data.
func AppendPong(dst, data []byte) []byte {
	return append(appendHeader(dst, TypePong, len(data)), data...)
}

// CheckPing says what is wrong with the body of a PING or PONG.
func CheckPing(t Type, body []byte) error {
	if len(body) > MaxPing {
		return &Error{CodeMalformed, t, "more than 8 bytes"}
	}
	return nil
}
