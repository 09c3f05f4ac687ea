package wire

import "strconv"

// Policy is what happens to a subscriber that is behind.
type Policy uint8

// The policies. Whatever is dropped leaves a GAP in its place.
const (
	DropOldest Policy = 0 // the oldest waiting message goes
	LatestOnly Policy = 1 // only the newest of each topic waits
	Lossless   Policy = 2 // it leaves the live list and reads on from the ring while that lasts
)

// String is the policy's name on the command line.
func (p Policy) String() string {
	switch p {
	case DropOldest:
		return "oldest"
	case LatestOnly:
		return "latest"
	case Lossless:
		return "lossless"
	}
	return "policy " + strconv.Itoa(int(p))
}

// Start is where a subscription begins.
type Start uint8

// The starts. All but StartNow need an exact filter.
const (
	StartNow    Start = 0 // with the next message
	StartLast   Start = 1 // with the last one that is still held
	StartKept   Start = 2 // with the oldest that is still held
	StartCursor Start = 3 // after the positions of the cursor
)

// Subscribe asks for the messages of one filter [W-4.4].
type Subscribe struct {
	Sub         uint32 // the device's number for it, not 0
	Policy      Policy
	Track       bool // the device counts: it is told STREAM
	Start       Start
	NoEcho      bool    // its own messages are left out
	PublishOnly bool    // only the topic's id is wanted
	Topic       TopicID // if not 0: a preloaded id instead of the filter
	Filter      []byte  // aliases the frame after parsing
	Cursor      Cursor  // with StartCursor; aliases the frame after parsing
}

const (
	subTrack       = 1 << 2
	subNoEcho      = 1 << 5
	subPublishOnly = 1 << 6
	subByID        = 1 << 7
)

func (s Subscribe) opts() uint8 {
	o := uint8(s.Policy)&3 | uint8(s.Start)&3<<3
	if s.Track {
		o |= subTrack
	}
	if s.NoEcho {
		o |= subNoEcho
	}
	if s.PublishOnly {
		o |= subPublishOnly
	}
	if s.Topic != 0 {
		o |= subByID
	}
	return o
}

func (s Subscribe) body() int {
	n := VarintLen(uint64(s.Sub)) + 1
	if s.Topic != 0 {
		n += VarintLen(uint64(s.Topic))
	} else {
		n += strLen(len(s.Filter))
	}
	if s.Start == StartCursor {
		n += VarintLen(uint64(s.Cursor.Len())) + len(s.Cursor)
	}
	return n
}

// Len is the length of the frame.
func (s Subscribe) Len() int { return frameLen(s.body()) }

// Append appends the frame.
func (s Subscribe) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeSubscribe, s.body())
	dst = append(AppendVarint(dst, uint64(s.Sub)), s.opts())
	if s.Topic != 0 {
		dst = AppendVarint(dst, uint64(s.Topic))
	} else {
		dst = appendStr(dst, s.Filter)
	}
	if s.Start == StartCursor {
		dst = AppendVarint(dst, uint64(s.Cursor.Len()))
		dst = append(dst, s.Cursor...)
	}
	return dst
}

// ParseSubscribe reads the body of a SUBSCRIBE. The filter's syntax is the
// business of CheckFilter: a bad one is refused, it does not end the connection.
func ParseSubscribe(body []byte) (Subscribe, error) {
	f := fields{t: TypeSubscribe, b: body}
	s := Subscribe{Sub: f.u32v("sub")}
	o := f.u8("opts")
	s.Policy, s.Start = Policy(o&3), Start(o>>3&3)
	s.Track, s.NoEcho, s.PublishOnly = o&subTrack != 0, o&subNoEcho != 0, o&subPublishOnly != 0
	if o&subByID != 0 {
		if s.Topic = TopicID(f.u32v("id")); s.Topic == 0 {
			f.fail(CodeMalformed, "id is 0")
		}
	} else {
		s.Filter = f.bytes("filter")
	}
	if s.Start == StartCursor {
		s.Cursor = f.cursor()
	}
	f.tlvs()
	switch {
	case f.err != nil:
	case s.Sub == 0:
		f.fail(CodeMalformed, "sub is 0")
	case s.Policy > Lossless:
		f.fail(CodeMalformed, "policy is not known")
	}
	if f.err != nil {
		return Subscribe{}, f.err
	}
	return s, nil
}

func (f *fields) cursor() Cursor {
	n := f.varint("cursor")
	if n > MaxCursor {
		f.fail(CodeMalformed, "cursor has more than 64 positions")
	}
	start := f.b
	for range n {
		f.u64("cursor life")
		f.varint("cursor offset")
		if f.err != nil {
			return nil
		}
	}
	return Cursor(start[:len(start)-len(f.b)])
}
