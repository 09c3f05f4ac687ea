package wire

// Live says that the replay of a subscription is done [W-6.6].
type Live struct{ Sub uint32 }

// Len is the length of the frame.
func (l Live) Len() int { return frameLen(VarintLen(uint64(l.Sub))) }

// Append appends the frame.
func (l Live) Append(dst []byte) []byte {
	return AppendVarint(appendHeader(dst, TypeLive, VarintLen(uint64(l.Sub))), uint64(l.Sub))
}

// ParseLive reads the body of a LIVE.
func ParseLive(body []byte) (Live, error) {
	f := fields{t: TypeLive, b: body}
	l := Live{Sub: f.u32v("sub")}
	f.tlvs()
	if f.err != nil {
		return Live{}, f.err
	}
	return l, nil
}
