package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// UsualConfig says where UsualServer listens and what it shows. All but the
// device authority is needed.
type UsualConfig struct {
	Listen, ListenTLS, Admin string
	Certificate, Key         string // PEM files
	DeviceCA                 string // PEM file; empty: devices show no certificate
}

// usualPatience is how long the usual server waits for HELLO.
const usualPatience = 6 * time.Second

// UsualServer serves devices as a Go program usually does: a goroutine for each
// connection, tls.Conn, and a bufio.Reader and Writer around it. It speaks just
// enough of the device protocol to be measured beside a gateway. It proves
// nobody, and whoever does not read holds up all others. It ends with ctx.
func UsualServer(ctx context.Context, cfg UsualConfig) error {
	pair, err := tls.LoadX509KeyPair(cfg.Certificate, cfg.Key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	secure := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if cfg.DeviceCA != "" {
		text, err := os.ReadFile(cfg.DeviceCA)
		if err != nil {
			return err
		}
		secure.ClientCAs, secure.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !secure.ClientCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s: no certificate in it", cfg.DeviceCA)
		}
	}
	s := &usualServer{topics: map[string]*usualTopic{}}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, at := range []struct {
		address string
		tls     *tls.Config
	}{{cfg.Listen, nil}, {cfg.ListenTLS, secure}} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp4", at.address)
		if err != nil {
			cancel(err)
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		if at.tls != nil {
			l = tls.NewListener(l, at.tls)
		}
		serving.Go(func() { cancel(s.accept(ctx, l)) })
	}
	admin, err := new(net.ListenConfig).Listen(ctx, "tcp4", cfg.Admin)
	if err != nil {
		cancel(err)
		return err
	}
	web := &http.Server{Handler: usualAdmin(), ReadHeaderTimeout: usualPatience}
	context.AfterFunc(ctx, func() { web.Close() })
	serving.Go(func() { web.Serve(admin) }) //nolint:errcheck // it ends with the context
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// usualAdmin answers what the harness asks of a gateway.
func usualAdmin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(w, "go_memstats_heap_inuse_bytes %d\ngo_memstats_heap_alloc_bytes %d\ngo_memstats_stack_inuse_bytes %d\ngo_memstats_last_gc_time_seconds %g\n",
			m.HeapInuse, m.HeapAlloc, m.StackInuse, float64(m.LastGC)/1e9)
	})
	return mux
}

type usualServer struct {
	mu     sync.Mutex
	topics map[string]*usualTopic
}

// usualTopic is a topic and who wants it.
type usualTopic struct {
	id          uint32
	subscribers map[*usualConn]bool
}

type usualConn struct {
	net.Conn
	in        *bufio.Reader
	mu        sync.Mutex
	out       *bufio.Writer
	topic     *usualTopic
	published []*usualConn // to be flushed
}

func (s *usualServer) accept(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			c := &usualConn{Conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}
			defer s.forget(c)
			s.serve(c) //nolint:errcheck // a device that leaves does so with an error
		}()
	}
}

func (s *usualServer) serve(c *usualConn) error {
	if err := c.SetReadDeadline(time.Now().Add(usualPatience)); err != nil {
		return err
	}
	for {
		typ, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		n := uint64(0)
		for shift := 0; ; shift += 7 {
			b, err := c.in.ReadByte()
			if err != nil {
				return err
			}
			n |= uint64(b&0x7f) << shift
			if b < 0x80 {
				break
			}
			if shift > 14 {
				return errors.New("a frame that is too large")
			}
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(c.in, body); err != nil {
			return err
		}
		if err := s.frame(c, wire.Type(typ), body); err != nil {
			return err
		}
		if c.in.Buffered() == 0 {
			c.flush()
		}
	}
}

func (s *usualServer) frame(c *usualConn, typ wire.Type, body []byte) error {
	switch {
	case typ == wire.TypeHello:
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		return c.send(wire.Welcome{Version: wire.Version, Recv: 16, Credit: unlimited, Keepalive: keepaliveAsk, MaxSubs: 1}.Append(nil))
	case typ == wire.TypeSubscribe:
		q, err := wire.ParseSubscribe(body)
		if err != nil {
			return err
		}
		return c.send(wire.Subscribed{Sub: q.Sub, Topic: wire.TopicID(s.join(c, string(q.Filter), !q.PublishOnly))}.Append(nil))
	case typ.Base() == wire.TypePublish:
		p, err := wire.ParsePublish(typ, body)
		if err != nil || c.topic == nil {
			return errors.New("a publication that nobody understands")
		}
		s.publish(c, wire.Message{Topic: wire.TopicID(c.topic.id), Payload: p.Payload}.Append(nil))
	}
	return nil
}

// join finds a connection's topic and makes it a subscriber, if it is one.
func (s *usualServer) join(c *usualConn, name string, subscribes bool) (id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		t = &usualTopic{id: uint32(len(s.topics) + 5), subscribers: map[*usualConn]bool{}}
		s.topics[name] = t
	}
	c.topic = t
	if subscribes {
		t.subscribers[c] = true
	}
	return t.id
}

func (s *usualServer) publish(c *usualConn, frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.published = c.published[:0]
	for to := range c.topic.subscribers {
		to.mu.Lock()
		to.out.Write(frame) //nolint:errcheck // flush has the same error
		to.mu.Unlock()
		c.published = append(c.published, to)
	}
}

// flush sends what the connection has published since the last time.
func (c *usualConn) flush() {
	for _, to := range c.published {
		to.mu.Lock()
		to.out.Flush() // its error is the device's own goroutine's
		to.mu.Unlock()
	}
	c.published = c.published[:0]
}

func (c *usualConn) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Write(b) //nolint:errcheck // Flush has the same error
	return c.out.Flush()
}

func (s *usualServer) forget(c *usualConn) {
	c.Close()
	if c.topic == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(c.topic.subscribers, c)
}
