package wire

// Unsubscribe ends a subscription [W-4.6].
type Unsubscribe struct{ Sub uint32 }

// Len is the length of the frame.
func (u Unsubscribe) Len() int { return frameLen(VarintLen(uint64(u.Sub))) }

// Append appends the frame.
func (u Unsubscribe) Append(dst []byte) []byte {
	return AppendVarint(appendHeader(dst, TypeUnsubscribe, VarintLen(uint64(u.Sub))), uint64(u.Sub))
}

// ParseUnsubscribe reads the body of an UNSUBSCRIBE.
func ParseUnsubscribe(body []byte) (Unsubscribe, error) {
	f := fields{t: TypeUnsubscribe, b: body}
	u := Unsubscribe{Sub: f.u32v("sub")}
	f.tlvs()
	if f.err != nil {
		return Unsubscribe{}, f.err
	}
	return u, nil
}

// Unsubscribed says that a subscription has ended: asked for, or because the
// grant was withdrawn [W-4.6].
type Unsubscribed struct {
	Sub  uint32
	Code Code
}

// Len is the length of the frame.
func (u Unsubscribed) Len() int { return frameLen(VarintLen(uint64(u.Sub)) + 1) }

// Append appends the frame.
func (u Unsubscribed) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeUnsubscribed, VarintLen(uint64(u.Sub))+1)
	return append(AppendVarint(dst, uint64(u.Sub)), byte(u.Code))
}

// ParseUnsubscribed reads the body of an UNSUBSCRIBED.
func ParseUnsubscribed(body []byte) (Unsubscribed, error) {
	f := fields{t: TypeUnsubscribed, b: body}
	u := Unsubscribed{Sub: f.u32v("sub"), Code: Code(f.u8("code"))}
	f.tlvs()
	if f.err != nil {
		return Unsubscribed{}, f.err
	}
	return u, nil
}
