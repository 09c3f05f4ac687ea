package wire

// Goaway asks the device to leave before the connection is closed [W-3.5].
type Goaway struct {
	Code   Code
	Within uint32 // milliseconds until the gateway closes the connection
	Spread uint32 // milliseconds over which the device picks a moment to leave
	Target []byte // host:port, or empty; aliases the frame after parsing
}

func (g Goaway) body() int {
	return 1 + VarintLen(uint64(g.Within)) + VarintLen(uint64(g.Spread)) + strLen(len(g.Target))
}

// Len is the length of the frame.
func (g Goaway) Len() int { return frameLen(g.body()) }

// Append appends the frame.
func (g Goaway) Append(dst []byte) []byte {
	dst = append(appendHeader(dst, TypeGoaway, g.body()), byte(g.Code))
	dst = AppendVarint(AppendVarint(dst, uint64(g.Within)), uint64(g.Spread))
	return appendStr(dst, g.Target)
}

// ParseGoaway reads the body of a GOAWAY.
func ParseGoaway(body []byte) (Goaway, error) {
	f := fields{t: TypeGoaway, b: body}
	g := Goaway{Code: Code(f.u8("code")), Within: f.u32v("within"), Spread: f.u32v("spread"), Target: f.str("target")}
	f.tlvs()
	if f.err != nil {
		return Goaway{}, f.err
	}
	return g, nil
}
