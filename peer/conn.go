package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/bellwire/bellwire/wire"
)

const (
	firstRead  = maxGreeting
	usualRead  = 64 << 10
	keptRead   = 8 * usualRead          // a buffer up to this stays when a large frame is through
	goodbye    = 500 * time.Millisecond // for writing the last frame, and for the other side to close
	joinWrites = 16 << 10               // with TLS, frames up to this together are one record
)

// conn is the shell of a link: a goroutine that reads and one that writes.
type conn struct {
	dialer   *dialer // whose it is; nil: it was accepted
	net.Conn         // tls.Conn with TLS
	mesh     *Mesh
	link     *link
	wakes    chan struct{}
	done     chan struct{} // the reader has returned
	joined   []byte
	closing  sync.Once
}

// Close closes the connection below TLS, which never waits.
func (c *conn) Close() error {
	c.closing.Do(func() {
		if t, ok := c.Conn.(*tls.Conn); ok {
			_ = t.NetConn().Close()
			return
		}
		_ = c.Conn.Close()
	})
	return nil
}

func (c *conn) wake() {
	select {
	case c.wakes <- struct{}{}:
	default:
	}
}

// run has a connection linked until it ends. It returns why it did.
func (m *Mesh) run(c *conn, e endpoint) *CloseError {
	c.wakes, c.done = make(chan struct{}, 1), make(chan struct{})
	err := c.prove(&e)
	if err == nil {
		c.link = m.core.open(m.now(), e, c.wake)
		err = c.serve()
	}
	_ = c.Close()
	m.drop(c)
	if c.link == nil {
		cause := closeError(err)
		m.core.count(cause.Why)
		m.noteStranger(e, cause)
		return cause
	}
	m.core.gone(c.link, m.now(), err)
	cause := c.link.cause()
	m.note(c.link, cause)
	return cause
}

func closeError(err error) *CloseError {
	if e := (*CloseError)(nil); errors.As(err, &e) {
		return e
	}
	return &CloseError{Why: Failed, Text: err.Error()}
}

// note logs a link that has ended.
func (m *Mesh) note(l *link, cause *CloseError) {
	if l.member == nil {
		m.noteStranger(l.endpoint, cause)
		return
	}
	level := slog.LevelInfo
	if cause.Why == Linked {
		level = slog.LevelDebug
	}
	m.log.Log(context.Background(), level, "peer link ended", "peer", l.hello.name, "address", l.address, "why", cause.Error())
}

// noteStranger says that somebody was not let in, one a minute where it is seen: all are counted. Why one that was dialled
// is no link says tellFailed.
func (m *Mesh) noteStranger(e endpoint, cause *CloseError) {
	if !e.dialled && !cause.quiet() && !cause.Theirs && m.tellsStranger() {
		m.log.Warn("a stranger was refused where gateways link; more within the minute are only counted", "address", e.address, "why", cause.Error())
		return
	}
	m.log.Debug("peer not linked", "address", e.address, "why", cause.Error())
}

// tellsStranger reports, once a minute, that the log may have one.
func (m *Mesh) tellsStranger() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.told != 0 && now-m.told < time.Minute {
		return false
	}
	m.told = now
	return true
}

// prove has TLS shake hands and takes the name from the certificate.
func (c *conn) prove(e *endpoint) error {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.mesh.ctx, c.mesh.cfg.greeting)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	state := t.ConnectionState()
	certificates := state.PeerCertificates
	if len(certificates) == 0 {
		return &CloseError{Why: WrongName, Text: "no certificate"}
	}
	cluster, name, err := CertifiedName(certificates[0])
	if err != nil {
		return &CloseError{Why: WrongName, Text: err.Error()}
	}
	if cluster != c.mesh.cfg.Cluster {
		return &CloseError{Why: OtherFleet, Text: "its certificate is of " + cluster}
	}
	e.proven = name
	if verify := c.mesh.cfg.TLS.VerifyConnection; verify != nil {
		e.believed = func() error { return verify(state) }
	}
	return nil
}

// serve reads here and writes in a goroutine of its own, until both are done.
func (c *conn) serve() error {
	var writing sync.WaitGroup
	writing.Go(c.write)
	stop := context.AfterFunc(c.link.ctx, c.part)
	defer stop()
	err := c.read()
	c.link.fail(err)
	_, _ = io.Copy(io.Discard, c.Conn)
	close(c.done)
	writing.Wait()
	return err
}

// part bounds what is left of a link that has ended. One of which nothing is heard gets no goodbye: nobody would read it,
// and what waits in the socket would hold it up; TLS even waits 5 s with its own.
func (c *conn) part() {
	if cause := c.link.cause(); cause != nil && cause.Why == Silent && !cause.Theirs {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Now().Add(goodbye))
}

func (c *conn) read() error {
	buf := make([]byte, firstRead)
	n := 0
	for {
		used, err := c.frames(buf[:n])
		if err != nil {
			return err
		}
		n = copy(buf, buf[used:n])
		buf = c.room(buf, n)
		k, err := c.Conn.Read(buf[n:])
		n += k
		if err != nil && k == 0 {
			if errors.Is(err, io.EOF) {
				err = errors.New("the other side closed the connection")
			}
			return err
		}
		c.link.enter(c.mesh.now())
	}
}

// room makes the buffer larger when a frame needs it, and small again when none does.
func (c *conn) room(buf []byte, n int) []byte {
	need := usualRead
	if c.link.at() == greeting {
		need = firstRead
	}
	switch {
	case n == len(buf):
		need = max(need, min(2*n, wire.MaxHeader+c.link.limit()))
	case len(buf) >= need && (n > 0 || len(buf) <= keptRead):
		return buf
	}
	bigger := make([]byte, need)
	copy(bigger, buf[:n])
	return bigger
}

// frames handles what has come and returns how much of it was whole frames.
func (c *conn) frames(b []byte) (used int, err error) {
	defer func() { c.link.leave(c.mesh.now()) }()
	for {
		t, body, rest, err := nextFrame(b[used:], c.link.limit())
		if errors.Is(err, wire.ErrShort) {
			return used, nil
		}
		if err != nil {
			return used, &CloseError{Why: Broken, Text: err.Error()}
		}
		used = len(b) - len(rest)
		if err := c.link.handle(c.mesh.now(), t, body); err != nil {
			return used, err
		}
		c.linked()
	}
}

// linked takes it off the list of strangers, once, and logs it.
func (c *conn) linked() {
	l := c.link
	if l.noted || l.member == nil || l.at() != up {
		return
	}
	l.noted = true
	c.mesh.known(c)
	level, filters := slog.LevelInfo, "same"
	if l.hello.filters != c.mesh.core.filters.Load() {
		level, filters = slog.LevelWarn, "they differ: its broadcast topics are not those of this gateway"
	}
	c.mesh.log.Log(context.Background(), level, "peer linked", "peer", l.hello.name, "address", l.address, "life", l.hello.life.String(), "filters", filters)
}

func (c *conn) write() {
	var bufs [][]byte
	for {
		var last bool
		bufs, last = c.link.next(c.mesh.now(), bufs[:0])
		if len(bufs) > 0 {
			if err := c.send(bufs); err != nil {
				c.link.fail(err)
				break
			}
		}
		if last {
			break
		}
		if len(bufs) > 0 {
			continue // what gathered meanwhile
		}
		<-c.wakes
	}
	c.leave()
}

// leave gives the other side a moment to read what was sent last: a connection that is closed while something is unread
// takes its last bytes back.
func (c *conn) leave() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		<-c.done // there is a deadline
	}
	_ = c.Close()
}

// send writes frames in one system call, or with TLS in as few records as may be.
func (c *conn) send(bufs [][]byte) error {
	if len(bufs) == 1 {
		_, err := c.Conn.Write(bufs[0])
		return err
	}
	if _, ok := c.Conn.(*net.TCPConn); ok {
		list := net.Buffers(bufs)
		_, err := list.WriteTo(c.Conn)
		return err
	}
	c.joined = c.joined[:0]
	for _, b := range bufs {
		if len(c.joined) > 0 && len(c.joined)+len(b) > joinWrites {
			if _, err := c.Conn.Write(c.joined); err != nil {
				return err
			}
			c.joined = c.joined[:0]
		}
		c.joined = append(c.joined, b...)
	}
	_, err := c.Conn.Write(c.joined)
	if cap(c.joined) > 8*joinWrites {
		c.joined = nil
	}
	return err
}
