package secure

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveEcho carries one connection over a socket, as a loop would, and sends
// back what comes.
func serveEcho(conn *Conn, socket net.Conn) error {
	defer socket.Close()
	done := make(chan error, 1)
	go func() {
		_, err := conn.Handshake(context.Background(), nil, func(b []byte) { _, _ = socket.Write(b) })
		done <- err
	}()
	open := func(cipher []byte) error {
		plain, err := conn.Open(nil, cipher)
		out := conn.Answer(nil)
		if len(plain) > 0 {
			out = conn.Seal(out, plain)
		}
		if err != nil {
			out = conn.CloseNotify(out)
		}
		_, _ = socket.Write(out)
		return err
	}
	came := make(chan []byte, 16)
	go func() {
		defer close(came)
		for {
			buf := make([]byte, 1000)
			n, err := socket.Read(buf)
			if err != nil {
				return
			}
			came <- buf[:n]
		}
	}()
	for hand := conn.Feed; ; {
		select {
		case err := <-done:
			if err == nil {
				err = open(nil)
			}
			if err != nil {
				return err
			}
			hand = nil
		case b, more := <-came:
			switch {
			case !more:
				return io.ErrUnexpectedEOF
			case hand != nil:
				hand(b)
			default:
				if err := open(b); err != nil {
					return err
				}
			}
		}
	}
}

// OpenSSL's client shakes hands, echoes, changes its keys, with and without
// asking for ours, resumes, and closes.
func TestOpenSSL(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	require.NoError(t, err, "install openssl to run this test")
	s := newSite(t, secret(1))
	s.now = time.Now() // the client's clock
	resumes := make(chan bool, 2)
	s.verdict = func(state tls.ConnectionState) (*Proof, error) { resumes <- state.DidResume; return nil, nil }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	ended := make(chan error, 2)
	go func() {
		for {
			socket, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { ended <- serveEcho(s.conn(), socket) }()
		}
	}()
	session := filepath.Join(t.TempDir(), "session.pem")
	for _, resumed := range []bool{false, true} {
		args := []string{"s_client", "-connect", listener.Addr().String(), "-servername", "gw1.example", "-tls1_3", "-sess_out", session}
		if resumed {
			args = append(args, "-sess_in", session)
		}
		client := exec.CommandContext(t.Context(), tool, args...)
		stdin, err := client.StdinPipe()
		require.NoError(t, err)
		stdout, both, err := os.Pipe()
		require.NoError(t, err)
		client.Stdout, client.Stderr = both, both
		require.NoError(t, client.Start())
		require.NoError(t, both.Close())
		seen := &bytes.Buffer{}
		// A line is a command if it begins with k, K or Q, so each waits for its turn.
		until := func(word string) {
			buf := make([]byte, 4096)
			for !strings.Contains(seen.String(), word) {
				n, err := stdout.Read(buf)
				seen.Write(buf[:n])
				require.NoError(t, err, "waiting for %q: %s", word, seen)
			}
		}
		for _, line := range []string{"one\n", "k\n", "two\n", "K\n", "three\n", "k\n", "four\n", "K\n", "five\n"} {
			_, err := io.WriteString(stdin, line)
			require.NoError(t, err)
			if len(line) > 2 {
				until("\n" + line)
			} else {
				until("KEYUPDATE")
				seen.Reset()
				seen.WriteString("\n")
			}
		}
		_, err = io.WriteString(stdin, "Q\n")
		require.NoError(t, err)
		rest, err := io.ReadAll(stdout)
		require.NoError(t, err)
		require.NoError(t, client.Wait(), "%s", rest)
		require.NoError(t, stdout.Close())
		require.Equal(t, io.EOF, <-ended)
		require.Equal(t, resumed, <-resumes)
	}
}
