package wire

import "unicode/utf8"

// Close ends a socket, or with handle 0 the connection [W-3.6].
type Close struct {
	Handle uint32
	Code   Code
	Text   []byte // for people; aliases the frame after parsing
	// Retry is when to come back, in milliseconds; 0: not told. Only with a code of
	// ClassLater, else it is not written. It is spread over the devices already.
	Retry uint32
}

func (c Close) body() int {
	return VarintLen(uint64(c.Handle)) + 1 + strLen(len(c.Text)) + retryLen(c.retry())
}

// retry is Retry where the code allows one.
func (c Close) retry() uint32 {
	if !c.Code.hasRetry() {
		return 0
	}
	return c.Retry
}

// Len is the length of the frame.
func (c Close) Len() int { return frameLen(c.body()) }

// Append appends the frame.
func (c Close) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeClose, c.body())
	dst = appendStr(append(AppendVarint(dst, uint64(c.Handle)), byte(c.Code)), c.Text)
	return appendRetry(dst, c.retry())
}

// ParseClose reads the body of a CLOSE.
func ParseClose(body []byte) (Close, error) {
	f := fields{t: TypeClose, b: body}
	c := Close{Handle: f.u32v("handle"), Code: Code(f.u8("code")), Text: f.str("text")}
	if c.Code.hasRetry() {
		c.Retry = f.retry()
	}
	f.tlvs()
	if f.err != nil {
		return Close{}, f.err
	}
	return c, nil
}

// CutText cuts a text for people to at most n bytes without splitting a letter,
// so that a control frame stays within MaxControl.
func CutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n = max(n, 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
