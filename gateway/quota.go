package gateway

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/bellwire/bellwire/wire"
)

// Quota bounds one tenant on one gateway, so that the others notice nothing of it.
// A field that is 0 is no bound. Beyond it the tenant's devices get CodeThrottled
// and a time after which to try again.
type Quota struct {
	Connections int // devices at once
	PublishRate int // messages per second of all devices together
	BytesOut    int // bytes of deliveries per second to all devices together
}

// AnyTenant is the name in Config.Quotas of every tenant without its own.
const AnyTenant = "*"

func (q Quota) validate() error {
	if q.Connections < 0 || q.PublishRate < 0 || q.BytesOut < 0 {
		return fmt.Errorf("%+v: want no negative number", q)
	}
	return nil
}

// checkQuotas validates all of them.
func checkQuotas(quotas map[string]Quota) error {
	for name, q := range quotas {
		if err := q.validate(); err != nil {
			return fmt.Errorf("config: quotas[%q]: %w", name, err)
		}
	}
	return nil
}

// quotaOf is the quota of a tenant.
func quotaOf(quotas map[string]Quota, tenant string) Quota {
	if q, ok := quotas[tenant]; ok {
		return q
	}
	return quotas[AnyTenant]
}

// usage is what a tenant uses of its quota. Deliveries are paid for afterwards: who
// is in debt does not publish until a second's worth of bytes has paid for it. So a
// message goes to all of its subscribers or to none.
type usage struct {
	sessions atomic.Int64
	quota    atomic.Pointer[Quota]
	publish  atomic.Pointer[rate.Limiter]
	balance  atomic.Int64 // bytes
}

// set takes a quota over.
func (u *usage) set(q Quota) {
	old := u.quota.Load()
	if old == nil || old.BytesOut == 0 {
		u.balance.Store(int64(q.BytesOut)) // nothing was counted: it begins without debt
	}
	if old == nil || old.PublishRate != q.PublishRate {
		u.publish.Store(rate.NewLimiter(rateOf(q.PublishRate)))
	}
	u.quota.Store(&q)
}

// refill pays what one second pays.
func (u *usage) refill() {
	most := int64(u.quota.Load().BytesOut)
	for most > 0 {
		have := u.balance.Load()
		if u.balance.CompareAndSwap(have, min(have+most, most)) {
			return
		}
	}
}

// connect counts a session in, if there is room. One that replaces another of the
// same device needs none: the other is closed at once, and a device whose connection
// died unnoticed would be kept out by itself until keepalive ends it.
func (u *usage) connect(replaces bool) bool {
	most := u.quota.Load().Connections
	if n := u.sessions.Add(1); most > 0 && n > int64(most) && !replaces {
		u.sessions.Add(-1)
		return false
	}
	return true
}

// mayPublish takes one message of the rate, unless the tenant is in debt.
func (u *usage) mayPublish() bool {
	q := u.quota.Load()
	return !u.inDebt() && (q.PublishRate == 0 || u.publish.Load().Allow())
}

func (u *usage) inDebt() bool { return u.meters() && u.balance.Load() <= 0 }

// meters reports whether bytes are counted.
func (u *usage) meters() bool { return u.quota.Load().BytesOut > 0 }

// sent charges bytes that left for the tenant's devices.
func (u *usage) sent(bytes int) { u.balance.Add(-int64(bytes)) }

// throttled is the error of a tenant that is beyond its quota.
func throttled(what string) error {
	return &wire.Error{Code: wire.CodeThrottled, Field: what}
}
