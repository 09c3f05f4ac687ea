package gateway

import (
	"net"
	"sync"
	"time"
)

const (
	// adminConns is the most admin connections at once: they come out of the
	// reserve of descriptors, and a gateway without any is stopped.
	adminConns = 16
	// adminTimeout ends admin connections that are idle or send too slowly.
	adminTimeout = 10 * time.Second
)

// fewConns is a listener with a limit: the next connection is accepted when one
// has gone.
type fewConns struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newFewConns(l net.Listener, most int) *fewConns {
	return &fewConns{Listener: l, slots: make(chan struct{}, most), done: make(chan struct{})}
}

// Accept waits for a free place, then for a connection.
func (l *fewConns) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &fewConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close also ends an Accept that waits for a place.
func (l *fewConns) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type fewConn struct {
	net.Conn
	release func()
}

// Close gives the place free.
func (c *fewConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
