package central

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Errors of an embedded server that no waiting helps against: Run returns them.
var (
	errDirInUse    = errors.New("central: another process uses the data directory")
	errListenInUse = errors.New("central: cannot listen")
)

// embedded keeps one NATS server in this process. Clients in the process find it by
// InProcessConn, whichever is there at the time.
type embedded struct {
	cfg Config
	log *slog.Logger

	mu   sync.Mutex
	srv  *server.Server // nil: none runs
	lock *os.File
	temp string // the directory of a server that is in memory
	port int    // that was bound, for the next server
	err  error  // why no server runs, or none that keeps records
}

// InProcessConn is how clients of the process connect.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	srv, err := e.srv, e.err
	e.mu.Unlock()
	if srv == nil {
		if err == nil {
			err = errors.New("central: the embedded server is not running")
		}
		return nil, err
	}
	return srv.InProcessConn()
}

// recheck closes the connections of the port: who is still believed connects again.
func (e *embedded) recheck() error {
	e.mu.Lock()
	srv := e.srv
	e.mu.Unlock()
	if srv == nil || e.cfg.Embedded.Listen == "" || e.cfg.TLS == nil {
		return nil
	}
	all, err := srv.Connz(&server.ConnzOptions{Limit: 1 << 16})
	if err != nil {
		return fmt.Errorf("central: %w", err)
	}
	for _, c := range all.Conns {
		if c.TLSVersion != "" { // else it is in this process
			_ = srv.DisconnectClientByID(c.Cid) // its error is that it has gone by itself
		}
	}
	return nil
}

// addr is where the fleet connects; nil: nowhere.
func (e *embedded) addr() net.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.srv == nil || e.cfg.Embedded.Listen == "" {
		return nil
	}
	return e.srv.Addr()
}

// problem is why records are not kept; nil: they are.
func (e *embedded) problem() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// start runs a server. What is in its way is the state, until another start succeeds.
func (e *embedded) start() error {
	srv, err := e.launch()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.srv, e.err = srv, err
	return err
}

func (e *embedded) launch() (*server.Server, error) {
	opts, err := e.options()
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("central: %w", err)
	}
	log := &serverLog{log: e.log, broken: e.failed}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	if fatal := log.fatal(); fatal != "" || !srv.ReadyForConnections(5*time.Second) || !srv.JetStreamEnabled() {
		halt(srv)
		if fatal == "" {
			fatal = "the embedded server did not get ready within 5 s"
		}
		return nil, fmt.Errorf("central: %s", fatal)
	}
	if a, ok := srv.Addr().(*net.TCPAddr); ok {
		e.port = a.Port
	}
	return srv, nil
}

func halt(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

func (e *embedded) options() (*server.Options, error) {
	dir, err := e.directory()
	if err != nil {
		return nil, err
	}
	c := &e.cfg.Embedded
	opts := &server.Options{
		ServerName: e.cfg.Name, DontListen: c.Listen == "", NoSigs: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: dir, SyncAlways: c.Dir != "", JetStreamMaxMemory: c.MaxMemory, JetStreamMaxStore: c.MaxStore,
		MaxPayload: MaxPayload, WriteDeadline: 10 * time.Second, PingInterval: 10 * time.Second,
	}
	if c.Listen == "" {
		return opts, nil
	}
	host, text, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: want host:port", errListenInUse, c.Listen)
	}
	if port == 0 {
		port = e.port
	}
	// The server would only log that it cannot, and go on.
	probe, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errListenInUse, err)
	}
	opts.Host, opts.Port = host, probe.Addr().(*net.TCPAddr).Port
	_ = probe.Close()
	if e.cfg.TLS != nil {
		opts.TLSConfig = e.cfg.TLS.Clone()
		opts.TLSConfig.ClientAuth = tls.RequireAndVerifyClientCert
		opts.TLSConfig.MinVersion = tls.VersionTLS13
		opts.TLS, opts.TLSVerify, opts.TLSTimeout = true, true, 5
	}
	return opts, nil
}

// directory has the data directory for this process, or makes one that ends with it.
func (e *embedded) directory() (string, error) {
	dir := e.cfg.Embedded.Dir
	if dir == "" {
		if e.temp == "" {
			var err error
			if e.temp, err = os.MkdirTemp("", "bellwire-central-"); err != nil {
				return "", fmt.Errorf("central: %w", err)
			}
		}
		return e.temp, nil
	}
	if e.lock == nil && !e.cfg.without.lock {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("central: data directory: %w", err)
		}
		lock, err := lockDir(dir)
		if errors.Is(err, errDirInUse) {
			return "", err
		}
		if err != nil {
			return "", fmt.Errorf("central: data directory: %w", err)
		}
		e.lock = lock
	}
	if err := writable(dir); err != nil {
		return "", fmt.Errorf("central: data directory: %w", err)
	}
	return dir, nil
}

// room is what has to fit before a server on a disk that was full is tried again.
const room = 1 << 20

// writable says why dir takes no more.
func writable(dir string) error {
	name := filepath.Join(dir, "probe")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, room))
	if err == nil {
		err = f.Sync()
	}
	_ = f.Close()
	return errors.Join(err, os.Remove(name))
}

// keep has a server run until ctx ends: it starts one that could not start, and starts
// again one that gave up its records because the disk was full, when there is room.
func (e *embedded) keep(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.check()
		}
	}
}

func (e *embedded) check() {
	e.mu.Lock()
	srv, before := e.srv, e.err
	e.mu.Unlock()
	if srv != nil && srv.JetStreamEnabled() && before == nil {
		return
	}
	if srv != nil {
		err := before
		if err == nil {
			err = errors.New("central: the embedded server keeps no more records: it could not write them")
			e.log.Error("central records are refused until the disk takes them again", "dir", e.cfg.Embedded.Dir)
		}
		if full := e.stillFull(); full != nil {
			err = fmt.Errorf("central: data directory: %w", full)
		} else if !e.cfg.without.restart {
			e.mu.Lock()
			e.srv = nil
			e.mu.Unlock()
			halt(srv)
			srv = nil
		}
		e.mu.Lock()
		e.err = err
		e.mu.Unlock()
		if srv != nil {
			return
		}
	}
	err := e.start()
	switch {
	case err == nil:
		e.log.Info("central: the embedded server runs again")
	case before == nil || err.Error() != before.Error():
		e.log.Error("central: the embedded server does not start, it is tried again", "error", err)
	}
}

func (e *embedded) stillFull() error {
	if e.cfg.Embedded.Dir == "" {
		return nil
	}
	return writable(e.cfg.Embedded.Dir)
}

// failed takes note that the server could not write to its disk: it does not try again
// by itself, so check starts it anew when there is room.
func (e *embedded) failed(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil && e.srv != nil {
		e.err = fmt.Errorf("central: the disk of the data directory takes no more: %s", text)
		e.log.Error("central records are refused until the disk takes them again", "dir", e.cfg.Embedded.Dir, "error", text)
	}
}

// stop ends the server, for good.
func (e *embedded) stop() {
	e.mu.Lock()
	srv := e.srv
	e.srv = nil
	e.mu.Unlock()
	if srv != nil {
		halt(srv)
	}
	if e.lock != nil {
		_ = e.lock.Close()
		e.lock = nil
	}
	if e.temp != "" {
		_ = os.RemoveAll(e.temp)
		e.temp = ""
	}
}

// serverLog writes what the server logs where Bellwire does.
type serverLog struct {
	log    *slog.Logger
	broken func(text string) // is told of a write that failed

	mu    sync.Mutex
	first string
}

func (l *serverLog) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// Noticef and the other methods are the server's interface.
func (l *serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }

// Warnf logs at level warn.
func (l *serverLog) Warnf(format string, v ...any) { l.say(slog.LevelWarn, format, v) }

// Errorf logs at level error. That a store is broken is said nowhere else.
func (l *serverLog) Errorf(format string, v ...any) {
	l.say(slog.LevelError, format, v)
	if text := fmt.Sprintf(format, v...); strings.Contains(text, "Critical write error") {
		l.broken(text)
	}
}

// Debugf logs at level debug.
func (l *serverLog) Debugf(format string, v ...any) { l.say(slog.LevelDebug, format, v) }

// Tracef logs nothing.
func (l *serverLog) Tracef(string, ...any) {}

// Fatalf is why the server does not start; it ends no process.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = fmt.Sprintf(format, v...)
	}
}

func (l *serverLog) say(level slog.Level, format string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "nats-server: "+strings.TrimSpace(fmt.Sprintf(format, v...)))
	}
}
