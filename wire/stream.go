package wire

import "encoding/binary"

// Flags of STREAM.
const (
	StreamMain   = 0x01 // messages without an origin are of this one
	StreamSparse = 0x02 // offsets are not dense: only the full form counts
)

// Stream tells a tracking subscriber a stream's life, its origin index on this
// connection, and the offset of what comes next [W-6.3].
type Stream struct {
	Topic  TopicID
	Origin uint32
	Flags  uint8
	Life   Life
	Next   uint64
}

func (s Stream) body() int {
	return VarintLen(uint64(s.Topic)) + VarintLen(uint64(s.Origin)) + 1 + 8 + VarintLen(s.Next)
}

// Len is the length of the frame.
func (s Stream) Len() int { return frameLen(s.body()) }

// Append appends the frame.
func (s Stream) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeStream, s.body())
	dst = AppendVarint(AppendVarint(dst, uint64(s.Topic)), uint64(s.Origin))
	dst = binary.BigEndian.AppendUint64(append(dst, s.Flags), uint64(s.Life))
	return AppendVarint(dst, s.Next)
}

// ParseStream reads the body of a STREAM.
func ParseStream(body []byte) (Stream, error) {
	f := fields{t: TypeStream, b: body}
	s := Stream{
		Topic: TopicID(f.u32v("id")), Origin: f.u32v("origin"), Flags: f.u8("flags"),
		Life: Life(f.u64("life")), Next: f.varint("next"),
	}
	f.tlvs()
	if f.err != nil {
		return Stream{}, f.err
	}
	return s, nil
}
