package wire

// OffsetForm says how much of its offset a MESSAGE carries.
type OffsetForm uint8

// The forms. A device knows the position by counting; the low byte only checks
// the count, the full offset stands in replays [W-6.2].
const (
	OffsetNone OffsetForm = iota
	OffsetLow             // the low byte
	OffsetFull            // all of it
	OffsetTLVs            // all of it, and a TLV block before the payload
)

// Message is a delivery [W-6.1].
type Message struct {
	Topic   TopicID // used if Name is nil
	Name    []byte  // aliases the frame after parsing, as TLVs and Payload do
	Origin  uint32  // origin index told in STREAM; 0: the topic's main origin
	Form    OffsetForm
	Offset  uint64 // with OffsetLow only the low byte counts
	TLVs    []byte // with OffsetTLVs
	Payload []byte
}

// Type is the frame's type with its flags.
func (m Message) Type() Type {
	t := TypeMessage | Type(m.Form)<<2
	if m.Name != nil {
		t |= MessageNamed
	}
	if m.Origin != 0 {
		t |= MessageOrigin
	}
	return t
}

// head is the length of the body before the payload.
func (m *Message) head() int {
	n := 0
	if m.Name != nil {
		n = strLen(len(m.Name))
	} else {
		n = VarintLen(uint64(m.Topic))
	}
	if m.Origin != 0 {
		n += VarintLen(uint64(m.Origin))
	}
	switch m.Form {
	case OffsetNone:
	case OffsetLow:
		n++
	case OffsetFull:
		n += VarintLen(m.Offset)
	case OffsetTLVs:
		n += VarintLen(m.Offset) + strLen(len(m.TLVs))
	}
	return n
}

// Len is the length of the frame.
func (m Message) Len() int { return frameLen(m.head() + len(m.Payload)) }

// Append appends the frame. The payload is its last len(m.Payload) bytes.
//
// The usual delivery, as ParseMessage has it, is written without a loop.
func (m Message) Append(dst []byte) []byte {
	if n := len(m.Payload); m.Topic < 0x80 && m.Name == nil && m.Origin == 0 && m.Form <= OffsetLow && n+2 < 0x80 {
		if m.Form == OffsetNone {
			dst = append(dst, byte(TypeMessage), byte(n+1), byte(m.Topic))
		} else {
			dst = append(dst, byte(TypeMessage|Type(OffsetLow)<<2), byte(n+2), byte(m.Topic), byte(m.Offset))
		}
		return append(dst, m.Payload...)
	}
	dst = appendHeader(dst, m.Type(), m.head()+len(m.Payload))
	if m.Name != nil {
		dst = appendStr(dst, m.Name)
	} else {
		dst = AppendVarint(dst, uint64(m.Topic))
	}
	if m.Origin != 0 {
		dst = AppendVarint(dst, uint64(m.Origin))
	}
	switch m.Form {
	case OffsetNone:
	case OffsetLow:
		dst = append(dst, byte(m.Offset))
	case OffsetFull:
		dst = AppendVarint(dst, m.Offset)
	case OffsetTLVs:
		dst = appendStr(AppendVarint(dst, m.Offset), m.TLVs)
	}
	return append(dst, m.Payload...)
}

// ParseMessage reads the body of a MESSAGE.
//
// The result is named so that the usual delivery (a small id, the main origin,
// at most a check byte) is written where the caller wants it, without a copy.
func ParseMessage(t Type, body []byte) (m Message, err error) {
	if len(body) > 1 && body[0] < 0x80 {
		if t == TypeMessage {
			m.Topic, m.Payload = TopicID(body[0]), body[1:]
			return m, nil
		}
		if t == TypeMessage|Type(OffsetLow)<<2 {
			m.Topic, m.Form, m.Offset, m.Payload = TopicID(body[0]), OffsetLow, uint64(body[1]), body[2:]
			return m, nil
		}
	}
	err = m.parse(t, body)
	return m, err
}

func (m *Message) parse(t Type, body []byte) error {
	f := fields{t: t, b: body}
	m.Form = OffsetForm(t & messageOffsetMask >> 2)
	if t&MessageNamed != 0 {
		m.Name = f.str("name")
	} else {
		m.Topic = TopicID(f.u32v("id"))
	}
	if t&MessageOrigin != 0 {
		if m.Origin = f.u32v("origin"); m.Origin == 0 {
			f.fail(CodeMalformed, "origin is 0")
		}
	}
	switch m.Form {
	case OffsetNone:
	case OffsetLow:
		m.Offset = uint64(f.u8("offset"))
	case OffsetFull:
		m.Offset = f.varint("offset")
	case OffsetTLVs:
		m.Offset, m.TLVs = f.varint("offset"), f.bytes("TLVs")
		if f.err == nil {
			f.err = checkTLVs(t, m.TLVs)
		}
	}
	m.Payload = f.b
	if f.err != nil {
		*m = Message{}
	}
	return f.err
}
