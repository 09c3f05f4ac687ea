package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// rushOrder asks for devices that all connect and subscribe at once over TLS, and
// leave when the last is in.
type rushOrder struct {
	TLS     secret
	Topic   string
	Devices int
	Resume  bool // the sessions of the order before
	PID     int  // of the server
}

// rush is a fleet that comes more than once. Each device keeps its certificate
// and the session of its last connection.
type rush struct {
	caller  *caller
	configs []*tls.Config
}

func newRush(o rushOrder) (*rush, error) {
	if o.Devices < 1 {
		return nil, errors.New("a rush needs devices")
	}
	c, err := o.TLS.callers(o.Topic)
	if err != nil {
		return nil, err
	}
	r := &rush{caller: c, configs: make([]*tls.Config, o.Devices)}
	for i := range r.configs {
		if r.configs[i], err = c.config(i, true); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// connect lets all devices connect at once, each as often as it takes, and then
// leave.
func (r *rush) connect(ctx context.Context, pid int) (a outcome, err error) {
	before, err := cpuOf(pid)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	taken := latencies()
	devices := make([]*called, len(r.configs))
	var calling sync.WaitGroup
	begin := time.Now()
	for i, cfg := range r.configs {
		calling.Go(func() {
			d, again, err := r.caller.insist(ctx, i, cfg)
			if err != nil {
				cancel(fmt.Errorf("device %d of %d: %w", i+1, len(r.configs), err))
				return
			}
			devices[i] = d
			mu.Lock()
			defer mu.Unlock()
			r.count(&a, taken, time.Since(begin), d.resumed, again)
		})
	}
	calling.Wait()
	a.Elapsed = time.Since(begin)
	after, failed := cpuOf(pid)
	for _, d := range devices {
		if d != nil {
			d.tcp.SetLinger(0) //nolint:errcheck // then its port rests for a minute
			d.tcp.Close()
		}
	}
	if err := errors.Join(context.Cause(ctx), failed); err != nil {
		return a, err
	}
	a.CPU = after - before
	if a.Latency, err = percentiles(taken, uint64(len(devices))); err != nil || pid == 0 {
		return a, err
	}
	return a, untilIdle(ctx, pid, 2*time.Second)
}

func (r *rush) count(a *outcome, taken *hdrhistogram.Histogram, after time.Duration, resumed bool, again int) {
	taken.RecordValue(after.Nanoseconds()) //nolint:errcheck // what is beyond a minute is missed in the percentiles
	a.Failed += again
	if again > 0 {
		a.Again++
	}
	if resumed {
		a.Resumed++
	}
}
