package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// AdminAuthenticator says who may use the admin API with a bearer token: a tenant,
// or all of them if tenant is empty, and a name for the audit log. An error refuses;
// the code of a *wire.Error is told, no other text. It is called by several
// goroutines at once.
type AdminAuthenticator func(token string) (tenant, name string, err error)

// admin is who asks. The zero value may do everything: nobody had to prove anything.
type admin struct {
	tenant string // empty: all
	name   string
}

// sees reports whether what belongs to a tenant is the admin's business.
func (a admin) sees(tenant string) bool { return a.tenant == "" || a.tenant == tenant }

// adminHandler answers a request of somebody who may use the API.
type adminHandler func(w http.ResponseWriter, r *http.Request, who admin)

// checkAdmin says what is wrong with the admin address: beyond this machine it needs
// both encryption and somebody who is asked for a token.
func (c *Config) checkAdmin() error {
	if c.Admin == "" {
		return nil
	}
	addr, err := resolve(c.Admin)
	if err != nil {
		return fmt.Errorf("config: admin: %w", err)
	}
	if !addr.Addr().IsLoopback() && !c.Insecure && (c.AdminAuth == nil || c.AdminTLS == nil) {
		return fmt.Errorf("config: admin: %s is not loopback, so it needs TLS and tokens: give both AdminTLS and AdminAuth, listen on 127.0.0.1, or allow it with insecure", c.Admin)
	}
	if t := c.AdminTLS; t != nil && len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		return errors.New("config: admin: AdminTLS has no certificate: set Certificates or GetCertificate")
	}
	return nil
}

// operator is asOperator for those who do not need to know who asks.
func (g *Gateway) operator(fn http.HandlerFunc) http.HandlerFunc {
	return g.asOperator(func(w http.ResponseWriter, r *http.Request, _ admin) { fn(w, r) })
}

// asOperator is for what concerns the whole gateway: an admin of all tenants.
func (g *Gateway) asOperator(fn adminHandler) http.HandlerFunc {
	return g.asAdmin(func(w http.ResponseWriter, r *http.Request, who admin) {
		if who.tenant != "" {
			g.denied(r, http.StatusForbidden, who, "an admin of tenant "+who.tenant+" asked for "+r.Method+" "+r.URL.Path)
			fail(w, http.StatusForbidden, "this is for admins of all tenants")
			return
		}
		fn(w, r, who)
	})
}

// asAdmin has a request answered if its token allows that.
func (g *Gateway) asAdmin(fn adminHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if g.cfg.AdminAuth == nil {
			fn(w, r, admin{})
			return
		}
		if who, ok := g.authorize(w, r); ok {
			fn(w, r, who)
		}
	}
}

// authorize finds out who asks, or answers that nobody is believed.
func (g *Gateway) authorize(w http.ResponseWriter, r *http.Request) (admin, bool) {
	token, given := bearer(r)
	if !given {
		g.denied(r, http.StatusUnauthorized, admin{}, "no token")
		unauthorized(w, `Bearer realm="bellwire"`, "a token is needed: Authorization: Bearer …")
		return admin{}, false
	}
	source := networkOf(sourcePort(r).Addr())
	if wait := g.guesses.blocked(source); wait > 0 {
		// It is not even looked at: neither right nor wrong guesses are told apart.
		g.denied(r, http.StatusTooManyRequests, admin{}, "too many bad tokens from here")
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		fail(w, http.StatusTooManyRequests, "too many bad tokens from this address: try again later")
		return admin{}, false
	}
	tenant, name, err := g.cfg.AdminAuth(token)
	if err == nil {
		return admin{tenant, name}, true
	}
	g.guesses.failed(source)
	why := "the token is not believed"
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		why = e.Code.String()
	}
	g.denied(r, http.StatusUnauthorized, admin{}, why)
	unauthorized(w, `Bearer realm="bellwire", error="invalid_token"`, why)
	return admin{}, false
}

func unauthorized(w http.ResponseWriter, challenge, why string) {
	w.Header().Set("WWW-Authenticate", challenge)
	fail(w, http.StatusUnauthorized, why)
}

// denied has the audit log say that an admin was refused; reason is ours.
func (g *Gateway) denied(r *http.Request, status int, who admin, reason string) {
	g.audit.refused(auditAdminAccess, denial{status: status, admin: who.name, from: sourcePort(r), reason: reason})
}

// bearer is the token of a request.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// sourcePort is where a request comes from, invalid if that is no address.
func sourcePort(r *http.Request) netip.AddrPort {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// reloadSettings answers POST /v1/reload.
func (g *Gateway) reloadSettings(w http.ResponseWriter, r *http.Request, who admin) {
	d := denial{status: http.StatusNoContent, admin: who.name, from: sourcePort(r)}
	if err := g.cfg.OnReload(); err != nil {
		d.status = http.StatusUnprocessableEntity
		g.audit.refused(auditAdminReload, d)
		fail(w, d.status, err.Error())
		return
	}
	g.audit.refused(auditAdminReload, d)
	w.WriteHeader(d.status)
}

// adminWrite is how long an answer may take to be read, listing included: the
// port takes few connections, and who does not read would hold them.
const adminWrite = 30 * time.Second

// timed gives an answer a deadline. A profile takes as long as was asked for.
func (g *Gateway) timed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end := time.Time{}
		if !strings.HasPrefix(r.URL.Path, "/debug/pprof/") && !g.cfg.without.adminWrite {
			end = time.Now().Add(adminWrite)
		}
		_ = http.NewResponseController(w).SetWriteDeadline(end) // a writer without one has nobody behind it
		h.ServeHTTP(w, r)
	})
}

// local refuses what a browser was tricked into asking: a page whose name was made
// to lead to this machine shows by its Host, one that posts across by its Origin.
func (g *Gateway) local(h http.Handler) http.Handler {
	own, _, _ := net.SplitHostPort(g.cfg.Admin)
	same := http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !localHost(r.Host, own) {
			g.denied(r, http.StatusForbidden, admin{}, "Host "+quoted(r.Host)+" of a request to loopback")
			fail(w, http.StatusForbidden, "Host "+quoted(r.Host)+": ask for the address or for localhost")
			return
		}
		same.ServeHTTP(w, r)
	})
}

// localHost reports whether a Host may stand in a request to a loopback address: an
// address, which nobody else's name is, localhost, or the name that was configured.
func localHost(host, own string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.EqualFold(host, own) {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// adminServer is the server of the admin address.
func (g *Gateway) adminServer() *http.Server {
	h := g.Handler()
	if g.cfg.AdminAuth == nil && g.adminIsLoopback() && !g.cfg.without.hostCheck {
		h = g.local(h)
	}
	h = g.timed(h)
	return &http.Server{
		Handler: h, ReadTimeout: adminTimeout, IdleTimeout: adminTimeout, MaxHeaderBytes: 16 * kib,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), // strangers cause most of it
	}
}

func (g *Gateway) adminIsLoopback() bool {
	a, ok := g.AdminAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// adminTLS is l, with TLS 1.3 if that is asked for. The limit on connections is
// below it: a handshake that hangs is one of them, and ends with the read timeout.
func (g *Gateway) adminTLS(l net.Listener) net.Listener {
	if g.cfg.AdminTLS == nil {
		return l
	}
	cfg := g.cfg.AdminTLS.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS13)
	cfg.NextProtos = []string{"http/1.1"}
	return tls.NewListener(l, cfg)
}
