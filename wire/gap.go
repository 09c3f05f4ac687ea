package wire

import "strconv"

// Reason says why positions of a stream will not come.
type Reason uint8

// The reasons.
const (
	ReasonSlow       Reason = 1 // the subscriber was behind
	ReasonSuperseded Reason = 2 // a newer one took its place (LatestOnly)
	ReasonOwn        Reason = 3 // its own message, no echo wanted
	ReasonTooBig     Reason = 4 // does not fit the device
	ReasonLost       Reason = 5 // lost between gateways
	ReasonNotKept    Reason = 6 // no longer in the ring
	ReasonCentral    Reason = 7 // the central link was away
)

// String is the reason's name.
func (r Reason) String() string {
	switch r {
	case ReasonSlow:
		return "slow"
	case ReasonSuperseded:
		return "superseded"
	case ReasonOwn:
		return "own"
	case ReasonTooBig:
		return "too big"
	case ReasonLost:
		return "lost between gateways"
	case ReasonNotKept:
		return "no longer kept"
	case ReasonCentral:
		return "central link"
	}
	return "reason " + strconv.Itoa(int(r))
}

// Gap stands in the place of positions that will not come [W-6.4].
type Gap struct {
	Topic  TopicID // 0: all
	Origin uint32
	Reason Reason
	Count  uint64 // 0: unknown
}

func (g Gap) body() int {
	return VarintLen(uint64(g.Topic)) + VarintLen(uint64(g.Origin)) + 1 + VarintLen(g.Count)
}

// Len is the length of the frame.
func (g Gap) Len() int { return frameLen(g.body()) }

// Append appends the frame.
func (g Gap) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeGap, g.body())
	dst = AppendVarint(AppendVarint(dst, uint64(g.Topic)), uint64(g.Origin))
	return AppendVarint(append(dst, byte(g.Reason)), g.Count)
}

// ParseGap reads the body of a GAP.
func ParseGap(body []byte) (Gap, error) {
	f := fields{t: TypeGap, b: body}
	g := Gap{
		Topic: TopicID(f.u32v("id")), Origin: f.u32v("origin"),
		Reason: Reason(f.u8("reason")), Count: f.varint("count"),
	}
	f.tlvs()
	if f.err != nil {
		return Gap{}, f.err
	}
	return g, nil
}
