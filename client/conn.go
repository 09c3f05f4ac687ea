package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bellwire/bellwire/wire"
)

const (
	// firstRead is the reader's buffer to begin with; it grows with the frames.
	firstRead = 4 << 10
	// mostPending bounds what waits to be written: credit bounds publishing, so
	// only a gateway that asks without reading the answers gets here.
	mostPending = 8 << 20
	// writeTimeout is how long the gateway may take nothing.
	writeTimeout = 30 * time.Second
	// leaveWithin is how long a Publish may wait for its ACK once the client leaves.
	leaveWithin = time.Second
	// protestWithin is how long a gateway that broke the protocol may take to be told.
	protestWithin = time.Second
	// goodbyeWithin is how long Shutdown waits for the gateway to close.
	goodbyeWithin = 2 * time.Second
)

// conn is one connection: a reader, on the client's own goroutine, and a writer,
// which also keeps the time. All protocol is in its session.
type conn struct {
	// Static.
	client *Client
	nc     net.Conn
	addr   string
	wake   chan struct{} // something is to be written, or the times changed
	over   chan struct{} // closed by the reader when it has ended
	wrote  chan struct{} // closed by the writer when it has ended
	ctx    context.Context
	cancel context.CancelFunc // when the reader has ended

	helpers sync.WaitGroup // what else runs
	ends    chan time.Time // when the token in force ends, for renewals; nil: nobody renews; the reader's
	token   string         // the one that was sent last; renewals' own

	// Guarded by client.mu.
	session *session
	end     error     // why this side closes; first one stays
	leaveAt time.Time // when GOAWAY is obeyed; zero: not asked
	bye     bool      // close once all is written

	heard   atomic.Int64 // when bytes came last, in nanoseconds since started
	stalled atomic.Bool  // the application is behind, so nothing is read
	started time.Time
}

func newConn(c *Client, nc net.Conn, a attempt, auth string) *conn {
	ctx, cancel := context.WithCancel(c.ctx)
	return &conn{
		client: c, nc: nc, addr: a.addr, started: time.Now(),
		wake: make(chan struct{}, 1), over: make(chan struct{}), wrote: make(chan struct{}),
		ctx: ctx, cancel: cancel, token: auth,
		session: newSession(&c.opts, &c.outbox, auth, c.incarnation, a.hops),
	}
}

// serve runs the connection to its end and returns when nothing of it runs any more.
func (k *conn) serve() ending {
	go k.write()
	err := k.read()
	c := k.client
	c.mu.Lock()
	if k.end != nil {
		err = k.end
	}
	leave, welcomed, bye := k.session.leave, k.session.welcomed, k.bye
	k.session.retries = nil
	c.mu.Unlock()
	close(k.over)
	k.cancel()
	if errors.Is(err, ErrProtocol) {
		c.opts.logger.Error("the gateway broke the protocol", "server", k.addr, "error", err)
		k.protest(err)
	}
	_ = k.nc.Close()
	<-k.wrote
	k.helpers.Wait()
	c.disconnected(k)

	e := endingOf(err)
	e.welcomed, e.served, e.bye = welcomed, time.Since(k.started), bye
	if leave != nil {
		e.spread = errors.Is(err, errLeft)
		e.target = leave.target
		if !e.coded || e.code.Class() == wire.ClassFine {
			e.coded, e.code = true, leave.code
		}
	}
	return e
}

// protest tells the gateway why it is left, if it still takes that.
func (k *conn) protest(err error) {
	t := time.NewTimer(protestWithin)
	defer t.Stop()
	select {
	case <-k.wrote: // its bytes and these must not mix
	case <-t.C:
		return
	}
	_ = k.nc.SetWriteDeadline(time.Now().Add(protestWithin))
	_, _ = k.nc.Write(wire.Close{Code: wire.CodeOf(err)}.Append(nil))
}

// read takes frames until the connection ends.
func (k *conn) read() error {
	_ = k.nc.SetReadDeadline(k.started.Add(dialTimeout)) // if it fails, so does Read, which says whether something came
	most := 1 << k.client.opts.recv
	buf := make([]byte, min(firstRead, most))
	have := 0
	for {
		n, err := k.nc.Read(buf[have:])
		k.heard.Store(int64(time.Since(k.started)))
		have += n
		if k.misled(buf[:have], err) {
			return fmt.Errorf("client: connecting to %s: %w: it ended the connection before WELCOME", k.addr, ErrWantsTLS)
		}
		rest, ferr := k.frames(buf[:have], most)
		if ferr != nil {
			return ferr
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("client: connection to %s lost: %w", k.addr, err)
		}
		have = copy(buf, rest)
		if have == len(buf) {
			buf = append(make([]byte, 0, min(2*len(buf), most)), buf...)
			buf = buf[:cap(buf)]
		}
	}
}

// misled reports that a plain connection, the first one that this client has, is at
// a port for TLS: an alert came, or the end of it and nothing else.
func (k *conn) misled(came []byte, err error) bool {
	if k.client.opts.tls != nil || k.client.wasWelcomed() {
		return false
	}
	ended := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	return alert(came) || len(came) == 0 && ended
}

// frames feeds every whole frame to the session and returns what is left.
func (k *conn) frames(b []byte, most int) ([]byte, error) {
	c := k.client
	for {
		t, body, rest, err := wire.Next(b, most)
		if errors.Is(err, wire.ErrShort) {
			return b, nil
		}
		if err != nil {
			return b, &violation{err}
		}
		b = rest
		deliveries, first, err := k.feed(t, body)
		if first {
			c.opts.logger.Info("connected", "server", k.addr)
			_ = k.nc.SetReadDeadline(time.Time{})
			c.opts.onState(State{Phase: Connected, Server: k.addr})
		}
		c.deliver(k, deliveries)
		if err != nil {
			return b, err
		}
	}
}

// feed gives the session one frame and takes away what it has to say. first is
// true for WELCOME.
func (k *conn) feed(t wire.Type, body []byte) (all []delivery, first bool, err error) {
	c, s := k.client, k.session
	c.mu.Lock()
	defer c.mu.Unlock()
	was := s.welcomed
	err = s.feed(t, body)
	if first = s.welcomed && !was; first {
		c.connected(k)
	}
	if t == wire.TypeGoaway && s.leave != nil {
		k.leaveAt = time.Now().Add(min(time.Duration(rand.Float64()*float64(s.leave.spread)), s.leave.within))
	}
	if s.expiring {
		s.expiring = false
		k.expiring(s.left)
	}
	for _, r := range s.retries {
		k.retryLater(r)
	}
	for _, f := range s.log {
		c.opts.logger.Warn("the gateway reports an error", "code", f.Code.String(), "frame", f.Type.String(),
			"number", f.Number, "text", string(f.Text))
	}
	s.retries, s.log = nil, nil
	all, s.out.deliveries = s.out.deliveries, nil
	if err == nil && len(s.pending) > mostPending {
		err = violated("the gateway asks without reading the answers")
	}
	if first || len(s.pending) > 0 || !k.leaveAt.IsZero() {
		k.poke()
	}
	return all, first, err
}

// retryLater repeats a SUBSCRIBE after its delay; the lock is held.
func (k *conn) retryLater(r retry) {
	wait := r.after
	if wait == 0 {
		wait = time.Duration(rand.Float64() * float64(atOnceMost))
	}
	time.AfterFunc(wait, func() {
		c := k.client
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.conn == k {
			k.session.again(r.link)
			k.poke()
		}
	})
}

// stall says whether the reader waits for the application.
func (k *conn) stall(on bool) {
	if !on {
		k.heard.Store(int64(time.Since(k.started)))
	}
	k.stalled.Store(on)
}

// poke wakes the writer.
func (k *conn) poke() { poke(k.wake) }

// goodbye closes the connection once all is written, said once; the lock is held.
func (k *conn) goodbye() {
	if k.bye {
		return
	}
	k.session.pending = wire.Close{Code: wire.CodeOK}.Append(k.session.pending)
	k.bye = true
	k.poke()
}
