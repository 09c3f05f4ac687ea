package wire

// Refusal is the ERROR frame: it names the frame that it answers. It does not
// end the connection by itself; CLOSE follows where it does [W-7.2].
type Refusal struct {
	Code   Code
	Type   Type   // of the frame that is answered
	Number uint64 // its sub, seq or handle; 0: it has none
	Text   []byte // for people; aliases the frame after parsing
}

func (r Refusal) body() int { return 2 + VarintLen(r.Number) + strLen(len(r.Text)) }

// Len is the length of the frame.
func (r Refusal) Len() int { return frameLen(r.body()) }

// Append appends the frame.
func (r Refusal) Append(dst []byte) []byte {
	dst = append(appendHeader(dst, TypeError, r.body()), byte(r.Code), byte(r.Type))
	return appendStr(AppendVarint(dst, r.Number), r.Text)
}

// ParseRefusal reads the body of an ERROR.
func ParseRefusal(body []byte) (Refusal, error) {
	f := fields{t: TypeError, b: body}
	r := Refusal{Code: Code(f.u8("code")), Type: Type(f.u8("type")), Number: f.varint("number"), Text: f.str("text")}
	f.tlvs()
	if f.err != nil {
		return Refusal{}, f.err
	}
	return r, nil
}
