package wire

// Ack answers PUBLISH: CodeOK covers this sequence number and all before it
// that were not refused; any other code is about this one alone [W-5.2].
type Ack struct {
	Seq   uint64
	Code  Code
	Retry uint32 // milliseconds; only with a code of ClassLater
	Text  []byte // why, for people, at most MaxRefusalText; may be empty; aliases the frame after parsing
}

func (a Ack) body() int {
	n := VarintLen(a.Seq) + 1
	if a.Code.hasRetry() {
		n += VarintLen(uint64(a.Retry))
	}
	return n + textLen(a.Text)
}

// Len is the length of the frame.
func (a Ack) Len() int { return frameLen(a.body()) }

// Append appends the frame.
func (a Ack) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeAck, a.body())
	dst = append(AppendVarint(dst, a.Seq), byte(a.Code))
	if a.Code.hasRetry() {
		dst = AppendVarint(dst, uint64(a.Retry))
	}
	return appendText(dst, a.Text)
}

// ParseAck reads the body of an ACK.
func ParseAck(body []byte) (Ack, error) {
	f := fields{t: TypeAck, b: body}
	a := Ack{Seq: f.varint("seq"), Code: Code(f.u8("code"))}
	if a.Code.hasRetry() {
		a.Retry = f.u32v("retry")
	}
	a.Text = f.text()
	f.tlvs()
	if f.err != nil {
		return Ack{}, f.err
	}
	return a, nil
}
