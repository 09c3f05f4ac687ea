package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/bellwire/bellwire/wire"
)

// auditKind is what a line of the audit log is about. Each has its own rate, so
// that a flood of one does not hide the others.
type auditKind uint8

const (
	auditConnect      auditKind = iota // a connection was not taken
	auditProxy                         // a PROXY header that is not believed
	auditHandshake                     // TLS failed
	auditAuthenticate                  // a device did not prove who it is
	auditRenew                         // a new token was not taken
	auditFrame                         // a frame that breaks the protocol
	auditPublish                       // a publish that is not allowed
	auditSubscribe                     // a subscription that was refused
	auditQuota                         // a tenant's quota
	auditRevoke                        // a session that may not stay
	auditReplace                       // a newer connection took over
	auditAdminAccess                   // somebody may not use the admin API
	auditAdminDelete                   // an admin closed a session
	auditAdminReload                   // an admin had the settings read again
	auditAdminStored                   // an admin changed what the fleet has stored
	auditKinds
)

// String is the event in a line, and the label of the counter.
func (k auditKind) String() string {
	return [auditKinds]string{
		auditConnect: "connect", auditProxy: "proxy", auditHandshake: "handshake", auditAuthenticate: "authenticate",
		auditRenew: "renew", auditFrame: "frame", auditPublish: "publish", auditSubscribe: "subscribe", auditQuota: "quota",
		auditRevoke: "revoke", auditReplace: "replace", auditAdminAccess: "admin_access", auditAdminDelete: "admin_delete",
		auditAdminReload: "admin_reload", auditAdminStored: "admin_stored",
	}[k]
}

// level: what was asked for, and a device that moves, is no warning.
func (k auditKind) level() slog.Level {
	if k == auditReplace || k == auditAdminDelete || k == auditAdminReload || k == auditAdminStored {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// The rate of each kind of line.
const (
	auditBurst     = 100
	auditPerSecond = 20
	// auditQueue is how many lines may wait for whoever writes the log.
	auditQueue = 1024
	// auditPatience is how long the end of a gateway waits for them.
	auditPatience = time.Second
	// auditText is what is shown of a text that a device chose.
	auditText = 128
)

// denial is what the audit log says of one refusal. No field may hold a token, a
// key or a payload; an error's text may, if its author was careless.
type denial struct {
	code   wire.Code
	status int            // of HTTP, instead of the code
	id     wire.Identity  // whose session it is; zero: nobody's yet
	proven bool           // else id is only what the device says it is
	from   netip.AddrPort // who connected
	via    netip.AddrPort // through which proxy
	by     netip.AddrPort // who took over
	topic  string         // or filter
	admin  string         // who asked
	reason string         // for people, in our own words
}

// audit writes who was refused what, and why. Lines are written by a goroutine
// that is there only while there are some: a log that blocks holds up no loop.
// All methods are safe for concurrent use.
type audit struct {
	log   *slog.Logger
	kinds [auditKinds]auditCount

	mu      sync.Mutex
	queue   []slog.Record
	written chan struct{} // nil: nobody writes; else closed when all is written
}

// auditCount is what happened of one kind.
type auditCount struct {
	rate       *rate.Limiter
	seen       atomic.Uint64
	suppressed atomic.Uint64 // of seen, those without a line
	untold     atomic.Uint64 // of suppressed, those that no line has counted yet
}

func (c *auditCount) suppress() {
	c.suppressed.Add(1)
	c.untold.Add(1)
}

func newAudit(log *slog.Logger) *audit {
	a := &audit{log: log}
	for k := range a.kinds {
		a.kinds[k].rate = rate.NewLimiter(auditPerSecond, auditBurst)
	}
	return a
}

// refused counts a refusal and writes a line about it, if there is room for one.
func (a *audit) refused(k auditKind, d denial) {
	if a.admits(k) {
		a.line(k, d)
	}
}

// admits counts a refusal and reports whether it gets a line; then line has to be
// called. It comes first where making a denial costs something.
func (a *audit) admits(k auditKind) bool {
	c := &a.kinds[k]
	c.seen.Add(1)
	if !a.log.Enabled(context.Background(), k.level()) {
		return false
	}
	if !c.rate.Allow() {
		c.suppress()
		return false
	}
	return true
}

// line hands a line to whoever writes.
func (a *audit) line(k auditKind, d denial) {
	c := &a.kinds[k]
	r := slog.NewRecord(time.Now(), k.level(), "audit", 0)
	r.AddAttrs(slog.String("event", k.String()))
	r.AddAttrs(d.attrs()...)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) >= auditQueue {
		c.suppress()
		return
	}
	if n := c.untold.Swap(0); n > 0 {
		r.AddAttrs(slog.Uint64("suppressed", n))
	}
	a.queue = append(a.queue, r)
	if a.written == nil {
		a.written = make(chan struct{})
		go a.write()
	}
}

func (a *audit) write() {
	for {
		a.mu.Lock()
		lines := a.queue
		a.queue = nil
		if len(lines) == 0 {
			written := a.written
			a.written = nil
			a.mu.Unlock()
			close(written)
			return
		}
		a.mu.Unlock()
		for _, r := range lines {
			_ = a.log.Handler().Handle(context.Background(), r) // nobody is left to tell
		}
	}
}

// flush waits until all lines are written, but not for a log that blocks.
func (a *audit) flush(most time.Duration) {
	a.mu.Lock()
	written := a.written
	a.mu.Unlock()
	if written == nil {
		return
	}
	over := time.NewTimer(most)
	defer over.Stop()
	select {
	case <-written:
	case <-over.C:
	}
}

func (d *denial) attrs() []slog.Attr {
	out := make([]slog.Attr, 0, 10)
	if d.status != 0 {
		out = append(out, slog.Int("status", d.status))
	} else {
		out = append(out, slog.String("code", fmt.Sprintf("%02x", uint8(d.code))), slog.String("means", d.code.String()))
	}
	switch {
	case d.id.Tenant != "" && d.proven:
		out = append(out, slog.String("tenant", d.id.Tenant), slog.String("device", d.id.Device))
	case d.id.Tenant != "":
		out = append(out, slog.String("claimed", quoted(d.id.String())))
	}
	for _, a := range []struct {
		key  string
		addr netip.AddrPort
	}{{"from", d.from}, {"via", d.via}, {"by", d.by}} {
		if a.addr.IsValid() {
			out = append(out, slog.String(a.key, a.addr.String()))
		}
	}
	for _, t := range []struct{ key, text string }{{"topic", d.topic}, {"admin", d.admin}, {"reason", d.reason}} {
		if t.text != "" {
			out = append(out, slog.String(t.key, quoted(t.text)))
		}
	}
	return out
}

// quoted shows a text that somebody else chose: short, and on one line of plain
// letters, whatever it holds and whoever shows it. What is plain already and not
// cut stays as it is, so that it can be searched for.
func quoted(s string) string {
	cut := wire.CutText(s, auditText)
	q := strconv.QuoteToASCII(cut)
	switch {
	case len(cut) < len(s):
		return q + "..."
	case q[1:len(q)-1] == s:
		return s
	}
	return q
}

// audited has the audit log say that something was refused to a session. topic may
// be nil; reason is ours.
func (l *loop) audited(s *session, k auditKind, code wire.Code, topic []byte, reason string) {
	if !l.g.audit.admits(k) {
		return
	}
	d := denial{code: code, from: addressOf(s), via: viaOf(s), topic: string(topic), reason: reason}
	switch {
	case s.tenant != nil:
		d.id, d.proven = s.identity(), l.g.provesDevices()
	case s.proof != nil && s.proof.Proof != nil: // by a certificate, before its HELLO
		d.id, d.proven = s.proof.Identity, true
	}
	l.g.audit.line(k, d)
}

// provesDevices reports whether devices are who they say they are.
func (g *Gateway) provesDevices() bool {
	return g.cfg.Authenticate != nil || g.rules.Load().trust.ProvesDevices()
}

// auditFrame says that a frame ended a session. Of HELLO and AUTH no reason is
// given, because it may hold what the device proves itself by.
func (l *loop) auditFrame(s *session, t wire.Type, code wire.Code, err error) {
	k, reason := auditFrame, ""
	switch {
	case code == wire.CodeThrottled:
		k, reason = auditQuota, textOf(err)
	case t == wire.TypeHello && code.Class() != wire.ClassNeverSoftware:
		k = auditAuthenticate
	case t == wire.TypeHello || t == wire.TypeAuth:
	default:
		reason = err.Error()
	}
	l.audited(s, k, code, nil, reason)
}

// auditIdentity says that a device was not believed. The reason is that of a
// *wire.Error, because another error may quote the token; if this one does, it is
// not shown.
func (l *loop) auditIdentity(s *session, h wire.Hello, code wire.Code, err *wire.Error) {
	k, reason := auditAuthenticate, ""
	if code == wire.CodeThrottled {
		k = auditQuota
	}
	if err != nil && (len(h.Auth) == 0 || !strings.Contains(err.Field, string(h.Auth))) {
		reason = err.Field
	}
	l.audited(s, k, code, nil, reason)
}

// auditPublish says that a publish was not allowed; what passes by itself, such as
// a rate, is not worth a line.
func (l *loop) auditPublish(s *session, p wire.Publish, code wire.Code) {
	if code.Class() != wire.ClassNeverIdentity {
		return
	}
	name := p.Name
	if t := s.tenant.index.ByID(uint32(p.Topic)); name == nil && t != nil {
		name = []byte(t.Name())
	}
	l.audited(s, auditPublish, code, name, "")
}

// replace ends the session of a handle for a newer connection, which comes from by.
func (g *Gateway) replace(h handle, by netip.AddrPort) {
	g.loops[h.loop].mail.post(entry{call: func(l *loop) {
		s := l.slots.get(h)
		if s == nil || s.stage == stageClosing {
			return
		}
		if g.audit.admits(auditReplace) {
			d := denial{code: wire.CodeReplaced, id: s.identity(), proven: g.provesDevices(), from: addressOf(s), via: viaOf(s), by: by}
			g.audit.line(auditReplace, d)
		}
		l.closeWith(s, wire.CodeReplaced, "")
	}})
}
