package wire

// Auth renews a token on a live connection [W-3.3].
type Auth struct {
	Method AuthMethod
	Data   []byte // D→G: the new token; G→D: seconds left as decimal digits; aliases the frame after parsing
}

func (a Auth) body() int { return 1 + strLen(len(a.Data)) }

// Len is the length of the frame.
func (a Auth) Len() int { return frameLen(a.body()) }

// Append appends the frame.
func (a Auth) Append(dst []byte) []byte {
	return appendStr(append(appendHeader(dst, TypeAuth, a.body()), byte(a.Method)), a.Data)
}

// ParseAuth reads the body of an AUTH.
func ParseAuth(body []byte) (Auth, error) {
	f := fields{t: TypeAuth, b: body}
	a := Auth{Method: AuthMethod(f.u8("method")), Data: f.bytes("data")}
	f.tlvs()
	if f.err != nil {
		return Auth{}, f.err
	}
	return a, nil
}
