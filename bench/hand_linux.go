package bench

import (
	"context"
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// hand does orders with devices of this process.
type hand struct {
	devices *devices
	rush    *rush
	good    *good
	assault *assault
}

func (h *hand) close() {
	if h.good != nil {
		h.good.close()
		h.good = nil
	}
	if h.assault != nil {
		h.assault.close()
		h.assault = nil
	}
	if h.devices != nil {
		h.devices.close()
		h.devices = nil
	}
}

func (h *hand) do(ctx context.Context, o order) (a outcome, err error) {
	switch {
	case o.Batch != nil:
		return batch(ctx, *o.Batch)
	case o.Rush != nil:
		if !o.Rush.Resume || h.rush == nil {
			if h.rush, err = newRush(*o.Rush); err != nil {
				return a, err
			}
		}
		return h.rush.connect(ctx, o.Rush.PID)
	case o.Good != nil || o.Exchange != nil || o.Assault != nil || o.Watch > 0:
		return h.underAttack(ctx, o)
	case o.Connect != nil && h.devices == nil:
		begin := time.Now()
		h.devices, err = connectLoad(ctx, *o.Connect)
		return outcome{Elapsed: time.Since(begin)}, err
	case h.devices == nil || o.Connect != nil:
		return a, errors.New("an order out of turn: devices connect first, and once")
	}
	d := h.devices
	switch {
	case o.Burst != nil:
		a, err = d.bursts(ctx, *o.Burst)
	case o.Pace != nil:
		a, err = d.paced(ctx, *o.Pace)
	case o.Segments > 0:
		a, err = d.countSegments(ctx, o.Segments)
	case o.Replace != nil:
		err = d.replace(ctx, o.Replace.First, o.Replace.Count)
	case o.Rejoin > 0:
		a.Failed, err = d.rejoin(ctx, o.Rejoin)
	case o.Stop:
		d.stop()
	case o.Quiet:
		err = d.quiet(ctx)
	default:
		err = errors.New("an order that says nothing")
	}
	a.Kicked = d.kicked
	return a, err
}

// underAttack does the orders of an attack.
func (h *hand) underAttack(ctx context.Context, o order) (a outcome, err error) {
	switch {
	case o.Good != nil && h.good == nil:
		h.good, err = newGood(ctx, *o.Good)
		return a, err
	case o.Exchange != nil && h.good != nil:
		return h.good.exchange(ctx, *o.Exchange)
	case o.Assault != nil && h.assault == nil:
		begin := time.Now()
		h.assault, err = newAssault(ctx, *o.Assault)
		return outcome{Elapsed: time.Since(begin)}, err
	case o.Watch > 0 && h.assault != nil:
		return h.assault.watch(ctx, o.Watch)
	}
	return a, errors.New("an order out of turn: devices connect first, and once")
}

// account fills in what the server spent and delivered while something was done.
func (d *devices) account(pid int, something func() error) (a outcome, err error) {
	before, err := cpuOf(pid)
	if err != nil {
		return a, err
	}
	delivered, begin := d.delivered, time.Now()
	if err := something(); err != nil {
		return a, err
	}
	a.Elapsed = time.Since(begin)
	after, err := cpuOf(pid)
	a.CPU = after - before
	a.Deliveries = d.delivered - delivered
	return a, err
}

// bursts sends bursts for at least the time given, which may be one burst. A
// message before them is not counted: it finds the sockets where the turn of
// another system has left them, out of the caches.
func (d *devices) bursts(ctx context.Context, o burstOrder) (a outcome, err error) {
	if o.Window < 1 {
		return a, errors.New("a burst holds at least one message")
	}
	if err := d.burst(ctx, 1); err != nil {
		return a, err
	}
	var taken *hdrhistogram.Histogram
	var begin time.Time
	if o.Latency {
		taken = latencies()
		d.took = func(_ *receiver, now time.Time) { taken.RecordValue(now.Sub(begin).Nanoseconds()) } //nolint:errcheck // counted below
		defer func() { d.took = nil }()
	}
	burst, messages := d.burst, uint64(0)
	if o.Near {
		burst = d.burstNear
	}
	a, err = d.account(o.PID, func() error {
		for first := time.Now(); messages == 0 || time.Since(first) < o.AtLeast; messages += uint64(o.Window) {
			begin = time.Now()
			if err := burst(ctx, o.Window); err != nil {
				return err
			}
		}
		return d.settle(ctx)
	})
	a.Messages = messages
	if err == nil && taken != nil {
		a.Latency, err = percentiles(taken, a.Deliveries)
	}
	return a, err
}

func (d *devices) paced(ctx context.Context, o paceOrder) (a outcome, err error) {
	if o.Every <= 0 || o.Messages < 1 {
		return a, errors.New("an open loop needs a positive rate and messages")
	}
	if err := d.burst(ctx, 1); err != nil {
		return a, err
	}
	if len(d.Far) > 0 {
		return d.pacedFar(ctx, o)
	}
	taken := latencies()
	a, err = d.account(o.PID, func() error {
		return d.pace(ctx, o.Every, o.Messages, func(_ *receiver, _ int, t time.Duration) { taken.RecordValue(t.Nanoseconds()) }) //nolint:errcheck // counted below
	})
	a.Messages = uint64(o.Messages)
	if err == nil {
		a.Latency, err = percentiles(taken, a.Deliveries)
	}
	return a, err
}

func (d *devices) countSegments(ctx context.Context, window int) (a outcome, err error) {
	before, err := d.segments()
	if err != nil {
		return a, err
	}
	records := d.records
	if err := d.burst(ctx, window); err != nil {
		return a, err
	}
	after, err := d.segments()
	return outcome{Segments: after - before, Records: d.records - records}, err
}

// batch lets devices connect, subscribe and leave at once, and then gives the
// server time to clear up, which is not counted.
func batch(ctx context.Context, o batchOrder) (a outcome, err error) {
	before, err := cpuOf(o.PID)
	if err != nil {
		return a, err
	}
	begin := time.Now()
	d, err := connectLoad(ctx, o.Load)
	if err != nil {
		return a, err
	}
	a.Elapsed = time.Since(begin)
	after, err := cpuOf(o.PID)
	d.close()
	a.CPU = after - before
	if err != nil || o.PID == 0 {
		return a, err
	}
	return a, untilIdle(ctx, o.PID, time.Second)
}
