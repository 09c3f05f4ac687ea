package wire

// Publish is a message from a device [W-5.1].
type Publish struct {
	Topic     TopicID // used if Name is nil
	Name      []byte  // aliases the frame after parsing, as TLVs and Payload do
	Ack       bool    // Seq is sent, an ACK is wanted
	Seq       uint64  // counts from 1 in the device's incarnation
	Confirmed bool
	TLVs      []byte // nil: none
	Payload   []byte
}

// Type is the frame's type with its flags.
func (p Publish) Type() Type {
	t := TypePublish
	if p.Name != nil {
		t |= PublishNamed
	}
	if p.Ack {
		t |= PublishAck
	}
	if p.Confirmed {
		t |= PublishConfirmed
	}
	if p.TLVs != nil {
		t |= PublishTLVs
	}
	return t
}

func (p Publish) body() int {
	n := len(p.Payload)
	if p.Ack {
		n += VarintLen(p.Seq)
	}
	if p.Name != nil {
		n += strLen(len(p.Name))
	} else {
		n += VarintLen(uint64(p.Topic))
	}
	if p.TLVs != nil {
		n += strLen(len(p.TLVs))
	}
	return n
}

// Len is the length of the frame.
func (p Publish) Len() int { return frameLen(p.body()) }

// Append appends the frame.
func (p Publish) Append(dst []byte) []byte {
	dst = appendHeader(dst, p.Type(), p.body())
	if p.Ack {
		dst = AppendVarint(dst, p.Seq)
	}
	if p.Name != nil {
		dst = appendStr(dst, p.Name)
	} else {
		dst = AppendVarint(dst, uint64(p.Topic))
	}
	if p.TLVs != nil {
		dst = appendStr(dst, p.TLVs)
	}
	return append(dst, p.Payload...)
}

// ParsePublish reads the body of a PUBLISH. The name's syntax is the business
// of CheckTopic: a bad one is refused, it does not end the connection.
func ParsePublish(t Type, body []byte) (Publish, error) {
	f := fields{t: t, b: body}
	p := Publish{Ack: t&PublishAck != 0, Confirmed: t&PublishConfirmed != 0}
	if p.Ack {
		p.Seq = f.varint("seq")
	}
	if t&PublishNamed != 0 {
		p.Name = f.bytes("name")
	} else {
		p.Topic = TopicID(f.u32v("id"))
	}
	if t&PublishTLVs != 0 {
		p.TLVs = f.bytes("TLVs")
		if f.err == nil {
			f.err = checkTLVs(t, p.TLVs)
		}
	}
	switch {
	case f.err != nil:
	case p.Ack && p.Seq == 0:
		f.fail(CodeMalformed, "seq is 0")
	case p.Confirmed && !p.Ack:
		f.fail(CodeMalformed, "confirmed without seq")
	}
	if f.err != nil {
		return Publish{}, f.err
	}
	p.Payload = f.b
	return p, nil
}
