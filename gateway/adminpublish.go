package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// publishPatience is how long POST /v1/publish waits for publish credit.
const publishPatience = 5 * time.Second

// Published is what POST /v1/publish answers. Of a topic of the central service only
// the topic is told.
type Published struct {
	Tenant string `json:"tenant"`
	Topic  string `json:"topic"`
	Life   string `json:"life,omitempty"`
	Offset uint64 `json:"offset,omitempty"`
}

// publishFor answers POST /v1/publish?tenant=…&topic=…: the body is the payload
// (BC-11).
func (g *Gateway) publishFor(w http.ResponseWriter, r *http.Request, who admin) {
	query := r.URL.Query()
	tenant, topic := query.Get("tenant"), query.Get("topic")
	if tenant == "" {
		tenant = DefaultTenant
	}
	if !who.sees(tenant) {
		g.denied(r, http.StatusForbidden, who, "publish for tenant "+quoted(tenant)+" by an admin of tenant "+who.tenant)
		fail(w, http.StatusForbidden, "an admin of tenant "+who.tenant+" publishes for that tenant only")
		return
	}
	payload, ok := bodyOf(w, r, 1<<wire.MaxFrameLog)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishPatience)
	defer cancel()
	receipt, err := g.Publish(ctx, tenant, topic, payload)
	if err != nil {
		fail(w, publishStatus(err), err.Error())
		return
	}
	done := Published{Tenant: tenant, Topic: topic, Offset: receipt.Offset}
	if receipt.Offset > 0 {
		done.Life = receipt.Life.String()
	}
	answer(w, done)
}

// publishStatus is what an error of Publish is in HTTP.
func publishStatus(err error) int {
	switch coded := (*wire.Error)(nil); {
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrClosed):
		return http.StatusServiceUnavailable
	case !errors.As(err, &coded):
		return http.StatusBadRequest
	default:
		if c := coded.Code.Class(); c == wire.ClassLater || c == wire.ClassAtOnce || c == wire.ClassElsewhere {
			return http.StatusServiceUnavailable
		}
		return http.StatusUnprocessableEntity
	}
}
