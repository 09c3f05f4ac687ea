package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// hand does orders with devices of this process.
type hand struct{ devices *devices }

func (h *hand) close() {
	if h.devices != nil {
		h.devices.close()
		h.devices = nil
	}
}

func (h *hand) do(ctx context.Context, o order) (a outcome, err error) {
	switch {
	case o.Batch != nil:
		return batch(ctx, *o.Batch)
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

// cpuOf is the server's CPU time; 0 if it is not asked.
func cpuOf(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	return processCPU(pid)
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
		d.took = func(_ int32, _ uint64, now time.Time) { taken.RecordValue(now.Sub(begin).Nanoseconds()) } //nolint:errcheck // counted below
		defer func() { d.took = nil }()
	}
	messages := uint64(0)
	a, err = d.account(o.PID, func() error {
		for first := time.Now(); messages == 0 || time.Since(first) < o.AtLeast; messages += uint64(o.Window) {
			begin = time.Now()
			if err := d.burst(ctx, o.Window); err != nil {
				return err
			}
		}
		return nil
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
	taken := latencies()
	a, err = d.account(o.PID, func() error {
		return d.pace(ctx, o.Every, o.Messages, func(t time.Duration) { taken.RecordValue(t.Nanoseconds()) }) //nolint:errcheck // counted below
	})
	a.Messages = uint64(o.Messages)
	if err == nil {
		a.Latency, err = percentiles(taken, a.Deliveries)
	}
	return a, err
}

// latencies holds times of up to a minute with three digits.
func latencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, time.Minute.Nanoseconds(), 3) }

func percentiles(h *hdrhistogram.Histogram, deliveries uint64) ([]time.Duration, error) {
	if uint64(h.TotalCount()) != deliveries {
		return nil, fmt.Errorf("%d of %d latencies are beyond a minute", deliveries-uint64(h.TotalCount()), deliveries)
	}
	all := make([]time.Duration, len(latencyPercentiles))
	for i, p := range latencyPercentiles {
		all[i] = time.Duration(h.ValueAtQuantile(p))
	}
	return all, nil
}

func (d *devices) countSegments(ctx context.Context, window int) (a outcome, err error) {
	before, err := d.segments()
	if err != nil {
		return a, err
	}
	if err := d.burst(ctx, window); err != nil {
		return a, err
	}
	after, err := d.segments()
	return outcome{Segments: after - before}, err
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

// untilIdle waits until a process has used next to no CPU for a moment.
func untilIdle(ctx context.Context, pid int, atMost time.Duration) error {
	const moment = 5 * time.Millisecond
	for end := time.Now().Add(atMost); time.Now().Before(end); {
		before, err := processCPU(pid)
		if err != nil {
			return err
		}
		if err := pause(ctx, moment); err != nil {
			return err
		}
		after, err := processCPU(pid)
		if err != nil {
			return err
		}
		if after-before < moment/50 {
			return nil
		}
	}
	return nil
}
