package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// redis is Redis pub/sub, RESP 2. Every PUBLISH is answered with a number; a
// publisher pings at first.
type redis struct{}

func (redis) topic(name string) string { return name }

func (redis) greet(dst []byte, g greeting) []byte {
	if g.publisher {
		return respCommand(dst, []byte("PING"))
	}
	return respCommand(dst, []byte("SUBSCRIBE"), []byte(g.topic))
}

func (redis) publish(dst []byte, to destination, payload []byte) []byte {
	return respCommand(dst, []byte("PUBLISH"), []byte(to.topic), payload)
}

func respCommand(dst []byte, words ...[]byte) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n", len(words))
	for _, w := range words {
		dst = append(strconv.AppendInt(append(dst, '$'), int64(len(w)), 10), '\r', '\n')
		dst = append(append(dst, w...), '\r', '\n')
	}
	return dst
}

// errMore says that the bytes end before the frame does.
var errMore = errors.New("more bytes are needed")

// line takes a line that ends with CR LF.
func line(b []byte) (text, rest []byte, err error) {
	const longest = 64 << 10
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0 && len(b) > longest:
		return nil, nil, fmt.Errorf("a line of more than %d bytes", longest)
	case i < 0:
		return nil, nil, errMore
	case i == 0 || b[i-1] != '\r':
		return nil, nil, errors.New("a line that does not end with CR LF")
	}
	return b[:i-1], b[i+1:], nil
}

// respBulk takes a bulk string.
func respBulk(b []byte) (s, rest []byte, err error) {
	head, rest, err := line(b)
	if err != nil {
		return nil, nil, err
	}
	n := -1
	if len(head) > 1 && head[0] == '$' {
		n = decimal(head[1:])
	}
	if n < 0 {
		return nil, nil, fmt.Errorf("%q is no bulk string", head)
	}
	return block(rest, n)
}

// block takes n bytes and the CR LF behind them.
func block(b []byte, n int) (s, rest []byte, err error) {
	if len(b) < n+2 {
		return nil, nil, errMore
	}
	if b[n] != '\r' || b[n+1] != '\n' {
		return nil, nil, fmt.Errorf("CR LF is missing behind %d bytes", n)
	}
	return b[:n], b[n+2:], nil
}

// decimal is a number below 2^28, or -1.
func decimal(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n >= 1<<28/10 {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	if len(b) == 0 {
		return -1
	}
	return n
}

func (redis) frame(b []byte, r *receiver, t *tally) (int, error) {
	head, rest, err := line(b)
	if err == nil {
		switch {
		case string(head) == "*3":
			rest, err = respPush(rest, r, t)
		case string(head) == "+PONG":
			err = r.answered(t)
		case len(head) > 1 && head[0] == ':' && r.publisher:
		case len(head) > 0 && head[0] == '-':
			err = fmt.Errorf("the server refused: %s", head[1:])
		default:
			err = fmt.Errorf("an answer that no device here expects: %q", head)
		}
	}
	if errors.Is(err, errMore) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return len(b) - len(rest), nil
}

// respPush takes what is left of a message or of the answer to SUBSCRIBE.
func respPush(b []byte, r *receiver, t *tally) (rest []byte, err error) {
	kind, b, err := respBulk(b)
	if err != nil {
		return nil, err
	}
	topic, b, err := respBulk(b)
	if err != nil {
		return nil, err
	}
	switch string(kind) {
	case "message":
		payload, rest, err := respBulk(b)
		if err != nil {
			return nil, err
		}
		if err := r.named(topic, t); err != nil {
			return nil, err
		}
		return rest, r.message(payload, t)
	case "subscribe":
		_, rest, err := line(b)
		if err != nil {
			return nil, err
		}
		return rest, r.answered(t)
	}
	return nil, fmt.Errorf("an answer that no device here expects: %q", kind)
}
