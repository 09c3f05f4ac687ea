package gateway

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipeListener accepts connections that are made in memory.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

// dial returns when the connection was accepted.
func (l *pipeListener) dial() net.Conn {
	here, there := net.Pipe()
	l.conns <- there
	return here
}

// get asks on a connection and reads the answer.
func get(t *testing.T, c net.Conn) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://admin/", http.NoBody)
	require.NoError(t, err)
	require.NoError(t, r.Write(c))
	w, err := http.ReadResponse(bufio.NewReader(c), r)
	require.NoError(t, err)
	require.NoError(t, w.Body.Close())
	require.Equal(t, http.StatusOK, w.StatusCode)
}

// Admin connections that do nothing, before a request or after it, hold up the next
// one for adminTimeout and no longer. Without the limit it would be answered at once.
func TestIdleAdminConnections(t *testing.T) {
	for name, c := range map[string]struct {
		most int
		wait time.Duration
	}{
		"limited":           {adminConns, adminTimeout},
		"without the limit": {1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPipeListener()
				srv := &http.Server{
					Handler:     http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
					ReadTimeout: adminTimeout, IdleTimeout: adminTimeout,
				}
				served := make(chan error, 1)
				go func() { served <- srv.Serve(newFewConns(l, c.most)) }()
				began := time.Now()
				for i := range adminConns {
					idle := l.dial()
					defer idle.Close()
					if i%2 == 0 {
						get(t, idle)
					}
				}
				next := l.dial()
				get(t, next)
				require.Equal(t, c.wait, time.Since(began))
				require.NoError(t, next.Close())
				require.NoError(t, srv.Close())
				require.ErrorIs(t, <-served, http.ErrServerClosed)
			})
		})
	}
}

// A place is free again after a close, once however often it is closed, and after
// an accept that failed; closing the listener ends an accept that waits for one.
func TestFewConnsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newPipeListener()
		broken := &brokenListener{Listener: inner, err: errors.New("no descriptor")}
		l := newFewConns(broken, 1)
		_, err := l.Accept()
		require.ErrorIs(t, err, broken.err)
		broken.err = nil
		for range 3 {
			go inner.dial()
			c, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, c.Close())
			require.NoError(t, c.Close())
		}
		require.Empty(t, l.slots)

		go inner.dial()
		_, err = l.Accept()
		require.NoError(t, err)
		waiting := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			waiting <- err
		}()
		synctest.Wait()
		require.Empty(t, waiting)
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-waiting, net.ErrClosed)
	})
}

type brokenListener struct {
	net.Listener
	err error
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.err != nil {
		return nil, l.err
	}
	return l.Listener.Accept()
}

// Admins that ask and do not read hold all places for adminWrite and no longer;
// without the deadline for ever.
func TestAdminsThatDoNotRead(t *testing.T) {
	for name, without := range map[string]bool{"guarded": false, "without the guard": true} {
		t.Run(name, func(t *testing.T) {
			g, err := New(Config{Audit: slog.New(slog.DiscardHandler), without: guards{adminWrite: without}})
			require.NoError(t, err)
			synctest.Test(t, func(t *testing.T) {
				l := newPipeListener()
				srv := g.adminServer()
				served := make(chan error, 1)
				go func() { served <- srv.Serve(newFewConns(l, adminConns)) }()
				for range adminConns {
					c := l.dial() // of a pipe nothing is read that nobody reads
					defer c.Close()
					_, err := c.Write([]byte("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"))
					require.NoError(t, err)
				}
				began := time.Now()
				here, there := net.Pipe()
				defer here.Close()
				waited := time.Hour
				select {
				case l.conns <- there:
					waited = time.Since(began)
					require.NoError(t, here.Close())
				case <-time.After(waited):
				}
				if without {
					require.Equal(t, time.Hour, waited)
				} else {
					require.Equal(t, adminWrite, waited)
				}
				require.NoError(t, srv.Close())
				require.ErrorIs(t, <-served, http.ErrServerClosed)
			})
		})
	}
}
