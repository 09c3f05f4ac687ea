//go:build e2e && linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// natsRequest asks a NATS server something, as a backend would, and returns the answer. The protocol is a few lines of
// text, so no client is needed.
func natsRequest(t *testing.T, server, subject, payload string) []byte {
	t.Helper()
	answer, err := askNATS(server, subject, payload)
	require.NoError(t, err, subject)
	return answer
}

func askNATS(server, subject, payload string) ([]byte, error) {
	c, err := net.DialTimeout("tcp", server, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	const inbox = "_INBOX.faults"
	_, err = fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"lang\":\"text\"}\r\nSUB %s 1\r\nPUB %s %s %d\r\n%s\r\n", inbox, subject, inbox, len(payload), payload)
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("no answer to %s: %w", subject, err)
		}
		switch verb, rest, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "MSG":
			var size int
			fields := strings.Fields(rest)
			if _, err := fmt.Sscan(fields[len(fields)-1], &size); err != nil {
				return nil, err
			}
			b := make([]byte, size)
			_, err := io.ReadFull(r, b)
			return b, err
		case "PING":
			if _, err := io.WriteString(c, "PONG\r\n"); err != nil {
				return nil, err
			}
		case "-ERR":
			return nil, fmt.Errorf("%s: %s", subject, rest)
		}
	}
}
