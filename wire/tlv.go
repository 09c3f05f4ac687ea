package wire

// TLVs stand at the end of a control frame's body, or in a block of their own
// before the payload of PUBLISH and MESSAGE: key varint, then a length and that
// many bytes. An odd key may be ignored, an even one must be understood [W-2.5].
// A parser skips the odd ones that it does not know and refuses the even ones.

// The keys that are defined. Each stands first, and is skipped anywhere else and
// where its value is not what it should be, like any odd key.
const (
	tlvText  = 1 // in ACK and SUBSCRIBED: why a request was refused, for people
	tlvRetry = 3 // in CLOSE with a code of ClassLater: milliseconds, a varint of 32 bits
)

// textLen is the length of the TLV of a text; an empty text has none.
func textLen(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	return VarintLen(tlvText) + strLen(len(text))
}

// appendText appends the TLV of a text.
func appendText(dst, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	return AppendTLV(dst, tlvText, text)
}

// retryLen is the length of the TLV of a delay; no delay has none.
func retryLen(ms uint32) int {
	if ms == 0 {
		return 0
	}
	return VarintLen(tlvRetry) + strLen(VarintLen(uint64(ms)))
}

// appendRetry appends the TLV of a delay.
func appendRetry(dst []byte, ms uint32) []byte {
	if ms == 0 {
		return dst
	}
	dst = AppendVarint(AppendVarint(dst, tlvRetry), uint64(VarintLen(uint64(ms))))
	return AppendVarint(dst, uint64(ms))
}

// AppendTLV appends one TLV.
func AppendTLV(dst []byte, key uint64, value []byte) []byte {
	return appendStr(AppendVarint(dst, key), value)
}

// NextTLV takes the first TLV from b; ok is false if b is not a whole one.
func NextTLV(b []byte) (key uint64, value, rest []byte, ok bool) {
	key, n := ConsumeVarint(b)
	if n <= 0 {
		return 0, nil, b, false
	}
	length, m := ConsumeVarint(b[n:])
	if m <= 0 || length > uint64(len(b)-n-m) {
		return 0, nil, b, false
	}
	v := b[n+m:]
	return key, v[:length:length], v[length:], true
}

func checkTLVs(t Type, b []byte) error {
	for len(b) > 0 {
		key, _, rest, ok := NextTLV(b)
		if !ok {
			return &Error{CodeMalformed, t, "TLV is cut off"}
		}
		if key%2 == 0 {
			return &Error{CodeUnknownType, t, "TLV with an even key must be understood"}
		}
		b = rest
	}
	return nil
}
