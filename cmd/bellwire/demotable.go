package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// demoTable shows what a fleet counts: on a terminal one line that is drawn over, else a line for each second.
type demoTable struct {
	out      io.Writer
	terminal bool
	fleet    *fleet
	headed   bool
	recent   recentRate
}

const (
	demoHead = "%10s %14s %14s %10s %10s %8s"
	// demoDraw is how often a terminal is drawn over; a file gets a line a second.
	demoDraw  = 200 * time.Millisecond
	demoLines = time.Second
)

func newDemoTable(out io.Writer, terminal bool, f *fleet) *demoTable {
	return &demoTable{out: out, terminal: terminal, fleet: f}
}

// during shows the table while work runs, and once more at its end.
func (t *demoTable) during(ctx context.Context, work func(context.Context) error) error {
	if !t.headed {
		t.headed = true
		fmt.Fprintf(t.out, demoHead+"\n", "connected", "delivered", "deliveries/s", "p50", "p99", "gaps")
	}
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
			if t.terminal {
				fmt.Fprintln(t.out)
			}
			return err
		}
	}
}

func (t *demoTable) draw() {
	begin, end := "", "\n"
	if t.terminal {
		begin, end = "\r\x1b[K", ""
	}
	f := t.fleet
	delivered := f.delivered.Load()
	perSecond := t.recent.add(time.Now(), delivered)
	fmt.Fprintf(t.out, begin+demoHead+end, grouped(f.connected.Load()), grouped(int64(delivered)), grouped(int64(perSecond)),
		latencyText(f.percentile(50)), latencyText(f.percentile(99)), grouped(int64(f.gaps.Load())))
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
