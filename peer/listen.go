package peer

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"
)

// maxStrangers bounds the connections that have not been linked yet.
const maxStrangers = 64

// accept takes connections until the listener is closed. An error of accept, such as no descriptor left, is waited out.
func (m *Mesh) accept(listener net.Listener) {
	pause := time.Duration(0)
	for {
		raw, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) || m.ctx.Err() != nil {
			if err == nil {
				_ = raw.Close()
			}
			return
		}
		if err != nil {
			pause = min(max(10*time.Millisecond, 2*pause), time.Second)
			m.log.Warn("peer accept", "why", err)
			m.rest(m.ctx, pause)
			continue
		}
		pause = 0
		tune(raw)
		m.welcome(raw)
	}
}

// welcome begins a link on an accepted connection. When too many strangers wait the one that has waited longest goes.
func (m *Mesh) welcome(raw net.Conn) {
	c := &conn{Conn: raw, mesh: m}
	e := endpoint{address: raw.RemoteAddr().String(), begun: m.now()}
	if m.cfg.TLS != nil {
		c.Conn = tls.Server(raw, m.cfg.serverTLS())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	started := !m.stopping && m.goLocked(func() { _ = m.run(c, e) })
	if !started {
		_ = raw.Close()
		return
	}
	m.conns[c] = struct{}{}
	m.waiting = append(m.waiting, c)
	if len(m.waiting) > maxStrangers {
		m.crowded++
		_ = m.waiting[0].Close()
		m.waiting = m.waiting[1:]
	}
}

// known takes a connection that is linked off the list of strangers.
func (m *Mesh) known(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = slices.DeleteFunc(m.waiting, func(w *conn) bool { return w == c })
	if c.dialer != nil {
		c.dialer.tried.Store(true)
		c.dialer.failed.Store(nil)
	}
}
