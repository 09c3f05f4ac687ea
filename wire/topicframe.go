package wire

// Topic tells a topic's id before the first delivery to a wildcard; telling
// twice is harmless [W-4.7].
type Topic struct {
	Topic TopicID
	Name  []byte // aliases the frame after parsing
}

func (t Topic) body() int { return VarintLen(uint64(t.Topic)) + strLen(len(t.Name)) }

// Len is the length of the frame.
func (t Topic) Len() int { return frameLen(t.body()) }

// Append appends the frame.
func (t Topic) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeTopic, t.body())
	return appendStr(AppendVarint(dst, uint64(t.Topic)), t.Name)
}

// ParseTopic reads the body of a TOPIC.
func ParseTopic(body []byte) (Topic, error) {
	f := fields{t: TypeTopic, b: body}
	t := Topic{Topic: TopicID(f.u32v("id")), Name: f.str("name")}
	f.tlvs()
	if f.err != nil {
		return Topic{}, f.err
	}
	return t, nil
}
