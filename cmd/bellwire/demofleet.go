package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/bellwire/bellwire/client"
)

// fleet is the devices of the demo and what they have counted.
type fleet struct {
	address string
	began   time.Time // what times in payloads count from
	clients []*client.Client
	waiting sync.WaitGroup // for the devices' readers

	connected atomic.Int64
	published atomic.Uint64 // acknowledged by the gateway
	delivered atomic.Uint64
	gaps      atomic.Uint64 // messages that devices were told will not come
	unsized   atomic.Uint64 // gaps without a number
	wrong     atomic.Uint64 // messages twice, out of order or altered

	mu      sync.Mutex
	latency *hdrhistogram.Histogram // microseconds
}

// longestLatency bounds the histogram; what takes longer counts as this.
const longestLatency = time.Minute

func newFleet(address string, devices int) *fleet {
	return &fleet{
		address: address, began: time.Now(), clients: make([]*client.Client, devices),
		latency: hdrhistogram.New(1, longestLatency.Microseconds(), 3),
	}
}

// payload is the number of a message and the time at which it was made, 16 bytes.
func (f *fleet) payload(number uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, number)
	return binary.BigEndian.AppendUint64(b, uint64(time.Since(f.began)))
}

// connect has every device connect and subscribe; the first error ends it.
func (f *fleet) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var connecting sync.WaitGroup
	next := atomic.Int64{}
	for range min(demoConnectors, len(f.clients)) {
		connecting.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(f.clients) {
					return
				}
				if err := f.connectOne(ctx, i); err != nil {
					cancel(fmt.Errorf("device %d: %w", i+1, err))
				}
			}
		})
	}
	connecting.Wait()
	return context.Cause(ctx)
}

func (f *fleet) connectOne(ctx context.Context, i int) error {
	c, err := client.Dial(ctx, f.address, client.WithDevice(fmt.Sprintf("demo-%d", i+1)))
	if errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%w: take fewer devices, or raise the limit (ulimit -n)", err)
	}
	if err != nil {
		return err
	}
	f.clients[i] = c
	subscription, err := c.Subscribe(ctx, demoTopic, client.WithBuffer(16))
	if err != nil {
		return err
	}
	f.connected.Add(1)
	f.waiting.Go(func() { f.receive(subscription) })
	return nil
}

// receive is one device: it counts until it is closed.
func (f *fleet) receive(subscription *client.Subscription) {
	var last uint64
	for {
		event, err := subscription.Next(context.Background())
		if err != nil {
			return
		}
		switch v := event.(type) {
		case client.Message:
			last = f.message(v.Payload, last)
		case client.Gap:
			f.gaps.Add(v.Count)
			if v.Count == 0 {
				f.unsized.Add(1)
			}
			last += v.Count
		case client.End:
		}
	}
}

// message counts one message of a device whose last had this number.
func (f *fleet) message(payload []byte, last uint64) uint64 {
	if len(payload) != 16 {
		f.wrong.Add(1)
		return last
	}
	number, sent := binary.BigEndian.Uint64(payload), time.Duration(binary.BigEndian.Uint64(payload[8:]))
	took := time.Since(f.began) - sent
	if number != last+1 {
		f.wrong.Add(1)
	}
	f.delivered.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	// It fails only for values beyond the bounds it was made with.
	_ = f.latency.RecordValue(min(max(took.Microseconds(), 1), longestLatency.Microseconds()))
	return number
}

// expected is how many messages all devices together have to account for.
func (f *fleet) expected() uint64 { return f.published.Load() * uint64(len(f.clients)) }

// errUnsettled: some device neither got a message nor was told about it.
var errUnsettled = errors.New("not everything has arrived")

// settle waits until everything is accounted for.
func (f *fleet) settle(ctx context.Context, patience time.Duration) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for f.delivered.Load()+f.gaps.Load() < f.expected() {
		select {
		case <-look.C:
		case <-over.C:
			return errUnsettled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// percentile of the latencies of all deliveries so far.
func (f *fleet) percentile(p float64) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(f.latency.ValueAtPercentile(p)) * time.Microsecond
}

// close ends all devices and waits for their readers.
func (f *fleet) close() {
	var closing sync.WaitGroup
	for _, c := range f.clients {
		if c != nil {
			closing.Go(func() { _ = c.Close() }) // it has no error of its own
		}
	}
	closing.Wait()
	f.waiting.Wait()
}

// summarize prints the account; its error is what does not add up.
func (f *fleet) summarize(w io.Writer) error {
	published, delivered, gaps := f.published.Load(), f.delivered.Load(), f.gaps.Load()
	fmt.Fprintf(w, "\n%s broadcasts × %s devices = %s deliveries: %s arrived, %s announced as gaps\n",
		grouped(int64(published)), grouped(int64(len(f.clients))), grouped(int64(f.expected())), grouped(int64(delivered)), grouped(int64(gaps)))
	fmt.Fprintf(w, "latency: half within %s, 99 %% within %s, slowest %s\n", latencyText(f.percentile(50)), latencyText(f.percentile(99)), latencyText(f.percentile(100)))
	switch {
	case f.wrong.Load() > 0:
		return fmt.Errorf("%s messages came twice, out of order or altered", grouped(int64(f.wrong.Load())))
	case f.unsized.Load() > 0:
		return fmt.Errorf("%s gaps of unknown size were announced, so nothing can be added up", grouped(int64(f.unsized.Load())))
	case delivered+gaps != f.expected():
		return fmt.Errorf("%s deliveries are not accounted for", grouped(int64(f.expected())-int64(delivered+gaps)))
	}
	return nil
}
