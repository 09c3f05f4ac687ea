package bench

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// sealer is what AES-128-GCM costs as crypto/tls has it: sessions of TLS 1.3 that
// write into memory.
type sealer struct {
	sessions []*tls.Conn
	next     int
	payload  []byte
}

// newSealer makes a number of sessions.
func newSealer(n int) (*sealer, error) {
	a, err := newAuthority()
	if err != nil {
		return nil, err
	}
	pair, err := a.server()
	if err != nil {
		return nil, err
	}
	root, err := a.encode(false)
	if err != nil {
		return nil, err
	}
	device, err := (&secret{Roots: root, X25519: true}).client()
	if err != nil {
		return nil, err
	}
	server := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true}
	s := &sealer{payload: pattern(1 << 20)}
	for range max(1, n) {
		c, err := sealed(server, device)
		if err != nil {
			return nil, err
		}
		s.sessions = append(s.sessions, c)
	}
	return s, nil
}

// sealed is a server's session whose records go nowhere.
func sealed(server, device *tls.Config) (*tls.Conn, error) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	t := &sink{Conn: ours}
	c := tls.Server(t, server)
	var other sync.WaitGroup
	var failed error
	other.Go(func() { failed = tls.Client(theirs, device).Handshake() })
	err := c.Handshake()
	if err != nil {
		theirs.Close()
	}
	other.Wait()
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("a handshake in memory: %w", err)
	}
	if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, fmt.Errorf("this machine's Go prefers %s to AES-128-GCM: a seal would be no measure for a gateway's", tls.CipherSuiteName(suite))
	}
	t.open = true
	return c, nil
}

// sink takes a session's records once it is open.
type sink struct {
	net.Conn
	open bool
}

func (s *sink) Write(b []byte) (int, error) {
	if s.open {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

// recordsOf is how many records a size takes.
func recordsOf(size int) int { return (size + recordPlain - 1) / recordPlain }

// sealFor seals payloads of a size for a time, of CPU or of the clock as cost
// says, and returns what one takes.
func (s *sealer) sealFor(size int, atLeast time.Duration, same bool, cost func() (time.Duration, error)) (time.Duration, error) {
	if size > len(s.payload) {
		return 0, fmt.Errorf("%d bytes in flight to each device: take fewer messages, or smaller ones", size)
	}
	round := func() error {
		for range len(s.sessions) {
			if _, err := s.sessions[s.next].Write(s.payload[:size]); err != nil {
				return err
			}
			if !same {
				s.next = (s.next + 1) % len(s.sessions)
			}
		}
		return nil
	}
	if err := round(); err != nil { // its buffers grow once
		return 0, err
	}
	begin, err := cost()
	if err != nil {
		return 0, err
	}
	for n := time.Duration(0); ; {
		if err := round(); err != nil {
			return 0, err
		}
		n += time.Duration(len(s.sessions))
		now, err := cost()
		if err != nil {
			return 0, err
		}
		if now-begin >= atLeast {
			return (now - begin) / n, nil
		}
	}
}
