package wire

import "strconv"

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

// Left is how many seconds the token in force is still good for, as a gateway says
// it; ok is false if that is not what the data are.
func (a Auth) Left() (seconds uint32, ok bool) {
	if a.Method != AuthToken || len(a.Data) == 0 || len(a.Data) > 10 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range a.Data {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return uint32(n), n <= 1<<32-1
}

// AuthLeft is the AUTH of a gateway that says how many seconds are left.
func AuthLeft(seconds uint32) Auth {
	return Auth{Method: AuthToken, Data: strconv.AppendUint(nil, uint64(seconds), 10)}
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
