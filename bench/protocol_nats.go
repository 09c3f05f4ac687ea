package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// nats is the client protocol of NATS. CONNECT, SUB and PING leave in one
// segment, without waiting for the server's INFO; the PONG says that the
// subscription stands.
type nats struct{}

// topic has dots where others have slashes.
func (nats) topic(name string) string { return strings.ReplaceAll(name, "/", ".") }

func (nats) greet(dst []byte, g greeting) []byte {
	dst = fmt.Appendf(dst, `CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"1","protocol":1,"name":"bench-device-%011d"}`+"\r\n", g.number)
	if !g.publisher {
		dst = append(append(append(dst, "SUB "...), g.topic...), " 1\r\n"...)
	}
	return append(dst, "PING\r\n"...)
}

func (nats) publish(dst []byte, to destination, payload []byte) []byte {
	dst = append(append(append(dst, "PUB "...), to.topic...), ' ')
	dst = append(strconv.AppendInt(dst, int64(len(payload)), 10), '\r', '\n')
	return append(append(dst, payload...), '\r', '\n')
}

func (nats) frame(b []byte, r *receiver, t *tally) (int, error) {
	head, rest, err := line(b)
	if err == nil {
		verb, arguments, _ := bytes.Cut(head, []byte{' '})
		switch string(verb) {
		case "MSG":
			rest, err = natsMessage(arguments, rest, r, t)
		case "PONG":
			err = r.answered(t)
		case "PING":
			t.answers = append(t.answers, "PONG\r\n"...)
		case "INFO", "+OK":
		case "-ERR":
			err = fmt.Errorf("the server refused: %s", arguments)
		default:
			err = fmt.Errorf("an operation that no device here expects: %q", verb)
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

// natsMessage takes what follows MSG: subject, subscription, length; the payload.
func natsMessage(arguments, b []byte, r *receiver, t *tally) (rest []byte, err error) {
	subject, arguments, _ := bytes.Cut(arguments, []byte{' '})
	subscription, length, _ := bytes.Cut(arguments, []byte{' '})
	n := decimal(length)
	if string(subscription) != "1" || n < 0 {
		return nil, fmt.Errorf("a message of subscription %q with %q bytes", subscription, length)
	}
	payload, rest, err := block(b, n)
	if err != nil {
		return nil, err
	}
	if err := r.named(subject, t); err != nil {
		return nil, err
	}
	return rest, r.message(payload, t)
}
