package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// demoTable shows what devices count: on a terminal one line that is drawn over, else a line for each second.
type demoTable struct {
	out      io.Writer
	terminal bool
	devices  *demoDevices

	mu     sync.Mutex
	headed bool
	recent recentRate
}

const (
	demoHead = "%10s %14s %14s %10s %10s %9s %8s"
	// demoDraw is how often a terminal is drawn over; a file gets a line a second.
	demoDraw  = 200 * time.Millisecond
	demoLines = time.Second
)

func newDemoTable(out io.Writer, terminal bool, d *demoDevices) *demoTable {
	return &demoTable{out: out, terminal: terminal, devices: d}
}

// during shows the table while work runs, and once more at its end.
func (t *demoTable) during(ctx context.Context, work func(context.Context) error) error {
	t.head()
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	every := demoLines
	if t.terminal {
		every = demoDraw
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.draw()
		case err := <-done:
			t.draw()
			t.note("")
			return err
		}
	}
}

func (t *demoTable) head() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.headed {
		t.headed = true
		fmt.Fprintf(t.out, demoHead+"\n", "connected", "delivered", "deliveries/s", "p50", "p99", "resumed", "gaps")
	}
}

func (t *demoTable) draw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	begin, end := "", "\n"
	if t.terminal {
		begin, end = "\r\x1b[K", ""
	}
	d := t.devices
	delivered := d.delivered.Load()
	perSecond := t.recent.add(time.Now(), uint64(delivered))
	fmt.Fprintf(t.out, begin+demoHead+end, grouped(d.connected.Load()), grouped(delivered), grouped(int64(perSecond)),
		latencyText(d.percentile(50)), latencyText(d.percentile(99)), grouped(d.resumed.Load()), grouped(d.gaps.Load()))
}

// note writes a line of its own below the figures; an empty one only ends a line that is drawn over.
func (t *demoTable) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.terminal {
		fmt.Fprintln(t.out)
	}
	if text != "" {
		fmt.Fprintln(t.out, text)
	}
}

// latencyText has three digits at most, and a dash for nothing.
func latencyText(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 100*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// recentRate is how fast a counter grew in the last full second.
type recentRate struct {
	at        time.Time
	count     uint64
	perSecond float64
}

// rateWindow is a little less than a second, so that a ticker's jitter does not make it two.
const rateWindow = 950 * time.Millisecond

// add takes a reading. Bursts come once a second, so a rate over less would be nothing, or twice what it is.
func (r *recentRate) add(at time.Time, count uint64) float64 {
	elapsed := at.Sub(r.at)
	switch {
	case r.at.IsZero():
		r.at, r.count = at, count
	case elapsed >= rateWindow:
		r.perSecond = float64(count-r.count) / elapsed.Seconds()
		r.at, r.count = at, count
	}
	return r.perSecond
}
