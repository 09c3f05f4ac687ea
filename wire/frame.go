package wire

// Next takes the first frame from b. max is the largest frame that this side
// takes, header included; it is checked as soon as the length is known, so that
// nobody waits for, or makes room for, a body that will be refused [W-2.2].
//
// body and rest alias b. The error is ErrShort, or an *Error that ends the
// connection. This is the only place that trusts a length.
func Next(b []byte, max int) (t Type, body, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, b, ErrShort
	}
	t = Type(b[0])
	length, n := uint64(b[1]), 1
	if length >= 0x80 {
		// Only the bytes of a permitted length are looked at, so that the verdict
		// is the same whether they came together or one by one.
		length, n = ConsumeVarint(b[1:min(len(b), MaxHeader)])
		switch {
		case n < 0:
			return t, nil, b, &Error{CodeMalformed, t, "length is not a shortest-form varint"}
		case n == 0 && len(b) >= MaxHeader:
			return t, nil, b, &Error{CodeFrameTooLarge, t, "length"}
		case n == 0:
			return t, nil, b, ErrShort
		}
	}
	if max < 1+n || length > uint64(max-1-n) {
		return t, nil, b, &Error{CodeFrameTooLarge, t, "length"}
	}
	b2 := b[1+n:]
	if uint64(len(b2)) < length {
		return t, nil, b, ErrShort
	}
	return t, b2[:length:length], b2[length:], nil
}

// frameLen is the length of a frame with a body of n bytes.
func frameLen(n int) int { return 1 + VarintLen(uint64(n)) + n }

// appendHeader starts a frame.
func appendHeader(dst []byte, t Type, body int) []byte {
	return AppendVarint(append(dst, byte(t)), uint64(body))
}

func appendStr[S ~string | ~[]byte](dst []byte, s S) []byte {
	return append(AppendVarint(dst, uint64(len(s))), s...)
}

func strLen(n int) int { return VarintLen(uint64(n)) + n }
