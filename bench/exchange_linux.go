package bench

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/wire"
)

// joinWithin is how long a newcomer tries; it counts with this time if it did not
// succeed.
const joinWithin = 20 * time.Second

// exchange lets every device publish at a fixed rate, whatever has come back,
// and waits for what is still under way. A message's latency counts from the time
// at which it should have been sent.
func (g *good) exchange(ctx context.Context, o exchangeOrder) (a outcome, err error) {
	if o.Every <= 0 || o.For <= 0 {
		return a, errors.New("an exchange needs a positive rate and a time")
	}
	g.reset(o.Every)
	before := g.sent()
	joining := g.welcome(ctx, o)
	err = g.publish(ctx, o.For)
	for end := time.Now().Add(cmp.Or(o.LostAfter, lostAfter)); err == nil && g.missing() > 0 && time.Now().Before(end); {
		err = pause(ctx, 10*time.Millisecond)
	}
	a.Joined = joining()
	if err != nil {
		return a, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wrong != nil {
		return a, g.wrong
	}
	a.Messages, a.Lost = g.sent()-before, g.missing()
	a.Deliveries = a.Messages - a.Lost
	for _, d := range g.all {
		if d.gone.Load() {
			if a.Gone == 0 {
				a.Why = fmt.Sprintf("good device %d: %v", d.number+1, d.why)
			}
			a.Gone++
		}
	}
	a.Latency, err = percentiles(g.taken, a.Deliveries)
	return a, err
}

func (g *good) reset(every time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begin, g.every, g.taken = time.Now().Add(10*time.Millisecond), every, latencies()
	for i, d := range g.all {
		d.phase = every * time.Duration(i) / time.Duration(len(g.all))
		d.first = d.sent.Load()
		d.back.Store(0)
	}
}

func (g *good) sent() (n uint64) {
	for _, d := range g.all {
		n += d.sent.Load()
	}
	return n
}

// missing is how many messages of this exchange have not come back.
func (g *good) missing() (n uint64) {
	for _, d := range g.all {
		n += d.sent.Load() - d.first - d.back.Load()
	}
	return n
}

// publish sends each message at its time. The timers of Go are right within a
// millisecond, which would be most of the latency; the system's are better.
func (g *good) publish(ctx context.Context, length time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for turn := time.Duration(0); ; turn++ {
		for _, d := range g.all {
			after := turn*g.every + d.phase
			if after >= length {
				return nil
			}
			if left := time.Until(g.begin.Add(after)); left > 0 {
				wait := unix.NsecToTimespec(left.Nanoseconds())
				unix.Nanosleep(&wait, nil) //nolint:errcheck // a signal only makes it early by a little
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if d.gone.Load() {
				continue
			}
			if err := d.publish(); err != nil {
				return err
			}
		}
	}
}

func (d *goodDevice) publish() error {
	number := d.sent.Load()
	binary.BigEndian.PutUint64(d.payload, number)
	d.out = wire.Publish{Topic: wire.TopicID(d.id), Payload: d.payload}.Append(d.out[:0])
	if d.credit.Add(-int64(len(d.out))) < 0 {
		return fmt.Errorf("good device %d: the server has not given its credit back", d.number+1)
	}
	d.sent.Add(1)
	d.Write(d.out) //nolint:errcheck // the reader notices, and the message counts as lost
	return nil
}

// welcome lets new devices connect while the others exchange messages, over TLS
// and plain in turns. The function that it returns waits for them.
func (g *good) welcome(ctx context.Context, o exchangeOrder) (joined func() []time.Duration) {
	var all []time.Duration
	if o.Newcomers <= 0 {
		return func() []time.Duration { return nil }
	}
	var mu sync.Mutex
	var joining sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	first := g.newcomers
	due := int(o.For / o.Newcomers)
	g.newcomers += due
	joining.Go(func() {
		for i := range due {
			if pause(ctx, o.Newcomers) != nil {
				return
			}
			joining.Go(func() {
				took := g.join(ctx, g.Devices+first+i, i%2 == 0 && g.OverTLS > 0)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, took)
			})
		}
	})
	return func() []time.Duration {
		joining.Wait()
		cancel()
		return all
	}
}

// join is how long one newcomer takes to be subscribed.
func (g *good) join(ctx context.Context, number int, overTLS bool) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	begin := time.Now()
	d, err := g.one(ctx, number, overTLS)
	if err != nil {
		return joinWithin
	}
	defer d.tcp.Close()
	return time.Since(begin)
}
