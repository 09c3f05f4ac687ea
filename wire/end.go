package wire

import "strconv"

// How says how a stream ended.
type How uint8

// The ways.
const (
	EndComplete  How = 0 // all of it was delivered
	EndLost      How = 1 // its gateway is gone; a tail may be missing, and it may come back
	EndRestarted How = 2 // it comes back as a new life
)

// String is the way's name.
func (h How) String() string {
	switch h {
	case EndComplete:
		return "complete"
	case EndLost:
		return "lost"
	case EndRestarted:
		return "restarted"
	}
	return "how " + strconv.Itoa(int(h))
}

// End says that a life of a stream is over [W-6.5].
type End struct {
	Topic  TopicID // 0: all topics of the origin
	Origin uint32
	How    How
}

func (e End) body() int { return VarintLen(uint64(e.Topic)) + VarintLen(uint64(e.Origin)) + 1 }

// Len is the length of the frame.
func (e End) Len() int { return frameLen(e.body()) }

// Append appends the frame.
func (e End) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeEnd, e.body())
	return append(AppendVarint(AppendVarint(dst, uint64(e.Topic)), uint64(e.Origin)), byte(e.How))
}

// ParseEnd reads the body of an END.
func ParseEnd(body []byte) (End, error) {
	f := fields{t: TypeEnd, b: body}
	e := End{Topic: TopicID(f.u32v("id")), Origin: f.u32v("origin"), How: How(f.u8("how"))}
	f.tlvs()
	if f.err != nil {
		return End{}, f.err
	}
	return e, nil
}
