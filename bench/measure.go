package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// cpuOf is the server's CPU time; 0 if it is not asked.
func cpuOf(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	return processCPU(pid)
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
