package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// mostStored bounds what is read of a request; a record of the central service is
// smaller still.
const mostStored = 1 << 20

// stored has a request answered for an admin of all tenants where there is something
// to store in.
func (g *Gateway) stored(fn adminHandler) http.HandlerFunc {
	return g.asOperator(func(w http.ResponseWriter, r *http.Request, who admin) {
		if g.cfg.Stored == nil {
			fail(w, http.StatusNotImplemented, "this gateway has no central service")
			return
		}
		fn(w, r, who)
	})
}

func (g *Gateway) getPolicy(w http.ResponseWriter, r *http.Request, _ admin) {
	policy, err := g.cfg.Stored.Policy(r.Context())
	switch {
	case err != nil:
		fail(w, storedStatus(err), err.Error())
	case policy == nil:
		fail(w, http.StatusNotFound, "no policy is stored: each gateway goes by its own file, if it has one")
	default:
		text(w, http.StatusOK, string(policy))
	}
}

func (g *Gateway) putPolicy(w http.ResponseWriter, r *http.Request, who admin) {
	if policy, ok := bodyOf(w, r, mostStored); ok {
		if policy == nil {
			policy = []byte{} // nil would delete it
		}
		g.store(w, r, who, "policy", g.cfg.Stored.StorePolicy(r.Context(), policy))
	}
}

func (g *Gateway) deletePolicy(w http.ResponseWriter, r *http.Request, who admin) {
	g.store(w, r, who, "policy deleted", g.cfg.Stored.StorePolicy(r.Context(), nil))
}

func (g *Gateway) getBroadcast(w http.ResponseWriter, r *http.Request, _ admin) {
	b, err := g.cfg.Stored.Broadcast(r.Context())
	if err != nil {
		fail(w, storedStatus(err), err.Error())
		return
	}
	answer(w, b)
}

func (g *Gateway) putBroadcast(w http.ResponseWriter, r *http.Request, who admin) {
	body, ok := bodyOf(w, r, mostStored)
	if !ok {
		return
	}
	var filters []string
	err := json.Unmarshal(body, &filters)
	if err == nil && filters == nil {
		err = errors.New("null")
	}
	if err != nil {
		fail(w, http.StatusBadRequest, `want a JSON list of filters, such as ["broadcast/#"]: `+err.Error())
		return
	}
	if err := checkBroadcast("filters", filters); err != nil {
		fail(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	g.store(w, r, who, "broadcast: "+strings.Join(filters, " "), g.cfg.Stored.StoreBroadcast(r.Context(), filters))
}

// store answers a change, and has the audit log say what was asked for.
func (g *Gateway) store(w http.ResponseWriter, r *http.Request, who admin, what string, err error) {
	d := denial{status: http.StatusNoContent, admin: who.name, from: sourcePort(r), reason: what}
	if err != nil {
		d.status = storedStatus(err)
		g.audit.refused(auditAdminStored, d)
		fail(w, d.status, err.Error())
		return
	}
	g.audit.refused(auditAdminStored, d)
	w.WriteHeader(d.status)
}

// storedStatus is what an error of Stored is in HTTP.
func storedStatus(err error) int {
	if errors.Is(err, ErrNotStored) {
		return http.StatusUnprocessableEntity
	}
	return http.StatusServiceUnavailable
}
