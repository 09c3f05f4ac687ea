package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bellwire/bellwire/wire"
)

// Status is what GET /v1/gateway answers.
type Status struct {
	Name          string    `json:"name"`
	Listen        string    `json:"listen"`               // empty: none
	ListenTLS     string    `json:"listen_tls,omitempty"` // empty: none
	Ready         bool      `json:"ready"`
	Draining      bool      `json:"draining"`
	Life          wire.Life `json:"-"`
	LifeText      string    `json:"life"`
	Started       time.Time `json:"started"`
	Loops         int       `json:"loops"`
	Broadcast     []string  `json:"broadcast"`
	Connections   int64     `json:"connections"`
	Handshakes    int       `json:"handshakes"`
	MaxConns      int       `json:"connections_max"`
	Sessions      int64     `json:"sessions"`
	Subscriptions int64     `json:"subscriptions"`
	Topics        int64     `json:"topics"`
	Published     uint64    `json:"published"`
	Deliveries    uint64    `json:"deliveries"`
	Replayed      uint64    `json:"replayed"`
	Dropped       uint64    `json:"dropped"`
	Mailbox       int       `json:"mailbox_entries"`
	CreditUsed    int64     `json:"publish_credit_used_bytes"`
	RingBytes     int64     `json:"ring_bytes"`
	Memory        int64     `json:"memory_bytes"`        // resident; 0: unknown
	MemoryBudget  int64     `json:"memory_budget_bytes"` // 0: none
	PressureStep  int       `json:"pressure_step"`       // of Config.Memory, 0 to 3
}

// Handler is the admin API. /healthz and /readyz are for everyone; all else asks
// Config.AdminAuth, if there is one. An admin of a tenant sees and closes the
// sessions of that tenant only: another's are not found, and lists and their totals
// leave them out; it publishes for that tenant. /v1/gateway, /v1/fleet and what is
// below it, /metrics, /debug/pprof and POST /v1/reload are for admins of all tenants,
// others get 403.
//
// Without AdminAuth it has no authentication: serve it on loopback, or behind
// something that has, which then also has to look at the Host of requests.
func (g *Gateway) Handler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{g}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !g.isReady() {
			text(w, http.StatusServiceUnavailable, "not ready\n")
			return
		}
		text(w, http.StatusOK, "ready\n")
	})
	mux.HandleFunc("GET /metrics", g.operator(promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP))
	mux.HandleFunc("GET /v1/gateway", g.operator(func(w http.ResponseWriter, _ *http.Request) { answer(w, g.Status()) }))
	mux.HandleFunc("GET /v1/fleet", g.operator(func(w http.ResponseWriter, _ *http.Request) { answer(w, g.Fleet()) }))
	mux.HandleFunc("GET /v1/fleet/policy", g.stored(g.getPolicy))
	mux.HandleFunc("PUT /v1/fleet/policy", g.stored(g.putPolicy))
	mux.HandleFunc("DELETE /v1/fleet/policy", g.stored(g.deletePolicy))
	mux.HandleFunc("GET /v1/fleet/broadcast", g.stored(g.getBroadcast))
	mux.HandleFunc("PUT /v1/fleet/broadcast", g.stored(g.putBroadcast))
	mux.HandleFunc("GET /v1/sessions", g.asAdmin(g.listSessions))
	mux.HandleFunc("GET /v1/topics", g.asAdmin(g.listTopics))
	mux.HandleFunc("POST /v1/publish", g.asAdmin(g.publishFor))
	mux.HandleFunc("DELETE /v1/sessions/{tenant}/{device}", g.asAdmin(g.deleteSession))
	if g.cfg.OnReload != nil {
		mux.HandleFunc("POST /v1/reload", g.asOperator(g.reloadSettings))
	}
	if g.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", g.operator(pprof.Index))
		mux.HandleFunc("GET /debug/pprof/profile", g.operator(pprof.Profile))
		mux.HandleFunc("GET /debug/pprof/symbol", g.operator(pprof.Symbol))
		mux.HandleFunc("GET /debug/pprof/trace", g.operator(pprof.Trace))
	}
	return mux
}

// Status is a snapshot of the gateway; its figures are each true, but not all of
// the same instant.
func (g *Gateway) Status() Status {
	t := g.totals()
	s := Status{
		Name: g.Name(), Ready: g.isReady(), Draining: g.draining.Load(), Life: g.life, LifeText: g.life.String(),
		Started: g.started, Loops: g.cfg.Loops, Broadcast: g.classes().filters,
		Connections: g.conns.Load(), Handshakes: g.shaking.len(), MaxConns: g.maxConns(), Sessions: t.sessions, Subscriptions: t.subscriptions,
		Topics: g.topics.Load(), Published: t.published + g.external.Load(), Deliveries: t.messages,
		Replayed: t.replayed, Dropped: t.dropped, Mailbox: t.mail,
		CreditUsed: g.credit.used.Load(), RingBytes: g.rings.Used(),
		Memory: g.memory.resident(), MemoryBudget: g.memory.budget, PressureStep: int(g.memory.at()),
	}
	if a := g.Addr(); a != nil {
		s.Listen = a.String()
	}
	if a := g.TLSAddr(); a != nil {
		s.ListenTLS = a.String()
	}
	return s
}

func (g *Gateway) deleteSession(w http.ResponseWriter, r *http.Request, who admin) {
	id := wire.Identity{Tenant: r.PathValue("tenant"), Device: r.PathValue("device")}
	if err := id.Check(); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	h, ok := g.identities.find(id)
	switch {
	case !who.sees(id.Tenant):
		// Whether it is there is not told either.
		g.denied(r, http.StatusNotFound, who, "DELETE of "+id.String()+" by an admin of tenant "+who.tenant)
		fallthrough
	case !ok:
		fail(w, http.StatusNotFound, id.String()+" is not connected to this gateway")
		return
	}
	g.audit.refused(auditAdminDelete, denial{code: wire.CodeRestart, id: id, proven: g.provesDevices(), admin: who.name, from: sourcePort(r)})
	g.closeHandle(h, wire.CodeRestart)
	w.WriteHeader(http.StatusNoContent)
}

// onLoops runs fn on each loop, one after the other, so that fn may share state
// without locks; false if the gateway does not run, or stops meanwhile: then fn
// may still be called.
func (g *Gateway) onLoops(r *http.Request, fn func(*loop)) bool {
	select {
	case <-g.ready:
	default:
		return false
	}
	for _, l := range g.loops {
		done := make(chan struct{})
		if !l.mail.post(entry{call: func(l *loop) {
			defer close(done)
			fn(l)
		}}) {
			return false
		}
		select {
		case <-done:
		case <-g.ctx.Done():
			return false
		case <-r.Context().Done():
			return false
		}
	}
	return true
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s))
}

func answer(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}

// bodyOf reads the body of a request, which is answered if that cannot be.
func bodyOf(w http.ResponseWriter, r *http.Request, most int64) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, "body: "+err.Error())
		return nil, false
	}
	return body, true
}

func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	b, _ := json.Marshal(map[string]string{"error": message})
	_, _ = w.Write(append(b, '\n'))
}
