package wire

// Subscribed answers SUBSCRIBE [W-4.5].
type Subscribed struct {
	Sub   uint32
	Code  Code
	Topic TopicID // 0 for a wildcard or a refusal
	Retry uint32  // milliseconds; only with a code of ClassLater
	Text  []byte  // why, for people, at most MaxRefusalText; may be empty; aliases the frame after parsing
}

func (s Subscribed) body() int {
	n := VarintLen(uint64(s.Sub)) + 1 + VarintLen(uint64(s.Topic))
	if s.Code.hasRetry() {
		n += VarintLen(uint64(s.Retry))
	}
	return n + textLen(s.Text)
}

// Len is the length of the frame.
func (s Subscribed) Len() int { return frameLen(s.body()) }

// Append appends the frame.
func (s Subscribed) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeSubscribed, s.body())
	dst = append(AppendVarint(dst, uint64(s.Sub)), byte(s.Code))
	dst = AppendVarint(dst, uint64(s.Topic))
	if s.Code.hasRetry() {
		dst = AppendVarint(dst, uint64(s.Retry))
	}
	return appendText(dst, s.Text)
}

// ParseSubscribed reads the body of a SUBSCRIBED.
func ParseSubscribed(body []byte) (Subscribed, error) {
	f := fields{t: TypeSubscribed, b: body}
	s := Subscribed{Sub: f.u32v("sub"), Code: Code(f.u8("code")), Topic: TopicID(f.u32v("id"))}
	if s.Code.hasRetry() {
		s.Retry = f.u32v("retry")
	}
	s.Text = f.text()
	f.tlvs()
	if f.err != nil {
		return Subscribed{}, f.err
	}
	return s, nil
}
