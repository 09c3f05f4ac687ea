package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// hopTimes are how long each message of an open loop was under way, until the
// last device near and the last device far had it.
type hopTimes struct{ near, far []time.Duration }

func (a *hopTimes) record(r *receiver, nth int, took time.Duration) {
	to := a.near
	if r.far {
		to = a.far
	}
	if to[nth] == 0 || took > to[nth] {
		to[nth] = took
	}
}

// pacedFar is an open loop whose messages also go to devices of other servers. It
// compares the two arrivals of each message, by the system's stamps. One that came
// there first took no time.
func (d *devices) pacedFar(ctx context.Context, o paceOrder) (a outcome, err error) {
	if err := d.stamp(ctx); err != nil {
		return a, err
	}
	came := hopTimes{make([]time.Duration, o.Messages), make([]time.Duration, o.Messages)}
	a, err = d.account(o.PID, func() error { return d.pace(ctx, o.Every, o.Messages, came.record) })
	if err == nil && slices.Min(slices.Concat(came.near, came.far)) < 0 {
		err = errors.New("a message came before it was sent: the clock was set, or bytes have no time stamp")
	}
	a.Messages = uint64(o.Messages) //nolint:gosec // positive
	if err != nil {
		return a, err
	}
	near, far, added := latencies(), latencies(), latencies()
	for i := range came.near {
		err = errors.Join(err,
			near.RecordValue(came.near[i].Nanoseconds()), far.RecordValue(came.far[i].Nanoseconds()),
			added.RecordValue(max(0, came.far[i]-came.near[i]).Nanoseconds()))
	}
	for _, of := range []struct {
		taken *hdrhistogram.Histogram
		to    *[]time.Duration
	}{{near, &a.Latency}, {far, &a.Far}, {added, &a.Added}} {
		var failed error
		*of.to, failed = percentiles(of.taken, a.Messages)
		err = errors.Join(err, failed)
	}
	return a, err
}
