package wire

// Credit gives bytes that may be sent; it is relative, and the acknowledgement
// of the bytes that were [W-5.3].
type Credit struct {
	Handle uint32 // 0: publishing
	Bytes  uint64
}

func (c Credit) body() int { return VarintLen(uint64(c.Handle)) + VarintLen(c.Bytes) }

// Len is the length of the frame.
func (c Credit) Len() int { return frameLen(c.body()) }

// Append appends the frame.
func (c Credit) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeCredit, c.body())
	return AppendVarint(AppendVarint(dst, uint64(c.Handle)), c.Bytes)
}

// ParseCredit reads the body of a CREDIT.
func ParseCredit(body []byte) (Credit, error) {
	f := fields{t: TypeCredit, b: body}
	c := Credit{Handle: f.u32v("handle"), Bytes: f.varint("bytes")}
	f.tlvs()
	if f.err != nil {
		return Credit{}, f.err
	}
	return c, nil
}
