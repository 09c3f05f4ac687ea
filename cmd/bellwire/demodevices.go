package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/bellwire/bellwire/client"
)

// demoDevices are the devices of the demo and what they have counted.
type demoDevices struct {
	servers []string // the devices begin at one after the other
	ledger  *demoLedger
	began   time.Time // what times in payloads count from
	all     []*demoDevice
	waiting sync.WaitGroup // for the devices' readers

	connected atomic.Int64
	delivered atomic.Int64
	resumed   atomic.Int64 // of the delivered: those that a gateway had kept
	gaps      atomic.Int64 // messages that devices were told will not come
	unsized   atomic.Int64 // gaps without a number
	ends      atomic.Int64

	mu      sync.Mutex
	latency *hdrhistogram.Histogram // microseconds, of messages that were not kept
}

// demoDevice is one device.
type demoDevice struct {
	client *client.Client

	mu      sync.Mutex
	server  string // that it is connected to; empty: none
	losses  int    // of its connection
	receipt demoReceipt
}

// longestLatency bounds the histogram; what takes longer counts as this.
const longestLatency = time.Minute

func newDemoDevices(servers []string, devices int, ledger *demoLedger) *demoDevices {
	d := &demoDevices{
		servers: servers, ledger: ledger, began: time.Now(), all: make([]*demoDevice, devices),
		latency: hdrhistogram.New(1, longestLatency.Microseconds(), 3),
	}
	for i := range d.all {
		d.all[i] = &demoDevice{}
	}
	return d
}

// demoPayload is the size of a message: its number, the time at which it was made, and its entry.
const demoPayload = 8 + 8 + 4

func (d *demoDevices) payload(number uint64, entry int) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, demoPayload), number)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Since(d.began)))
	return binary.BigEndian.AppendUint32(b, uint32(entry))
}

// connect has every device connect and subscribe; the first error ends it.
func (d *demoDevices) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var connecting sync.WaitGroup
	next := atomic.Int64{}
	for range min(demoConnectors, len(d.all)) {
		connecting.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(d.all) {
					return
				}
				if err := d.connectOne(ctx, i); err != nil {
					cancel(fmt.Errorf("device %d: %w", i+1, err))
				}
			}
		})
	}
	connecting.Wait()
	return context.Cause(ctx)
}

// connectOne connects a device; its servers begin with its own, and the others follow in turn, so that those of a gateway
// that is gone spread over all that are left.
func (d *demoDevices) connectOne(ctx context.Context, i int) error {
	n := len(d.servers)
	own, others := i%n, make([]string, 0, n-1)
	for k := range n - 1 {
		others = append(others, d.servers[(own+1+(i/n+k)%(n-1))%n])
	}
	device := d.all[i]
	c, err := client.Dial(ctx, d.servers[own], client.WithDevice(fmt.Sprintf("demo-%d", i+1)), client.WithServers(others...),
		client.WithBackoff(time.Second, 2*time.Second), client.WithOnState(func(s client.State) { d.moved(device, s) }))
	if errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%w: take fewer devices, or raise the limit (ulimit -n)", err)
	}
	if err != nil {
		return err
	}
	device.client = c
	subscription, err := c.Subscribe(ctx, demoTopic, client.WithBuffer(16))
	if err != nil {
		return err
	}
	d.waiting.Go(func() { d.receive(device, subscription) })
	return nil
}

// moved notes where a device is connected.
func (d *demoDevices) moved(device *demoDevice, s client.State) {
	device.mu.Lock()
	defer device.mu.Unlock()
	before := device.server
	device.server = ""
	if s.Phase == client.Connected {
		device.server = s.Server
	}
	switch {
	case before == "" && device.server != "":
		d.connected.Add(1)
	case before != "" && device.server == "":
		device.losses++
		d.connected.Add(-1)
	}
}

// receive is one device: it counts until it is closed.
func (d *demoDevices) receive(device *demoDevice, subscription *client.Subscription) {
	for {
		event, err := subscription.Next(context.Background())
		if err != nil {
			return
		}
		d.note(device, event, time.Now())
	}
}

// note counts one event of a device.
func (d *demoDevices) note(device *demoDevice, event client.Event, now time.Time) {
	device.mu.Lock()
	defer device.mu.Unlock()
	switch v := event.(type) {
	case client.Message:
		d.message(&device.receipt, v, now)
	case client.Gap:
		device.receipt.gaps += int64(v.Count)
		d.gaps.Add(int64(v.Count))
		if v.Count == 0 {
			device.receipt.unsized++
			d.unsized.Add(1)
		}
	case client.End:
		if !slices.Contains(device.receipt.ends, v.Life) {
			device.receipt.ends = append(device.receipt.ends, v.Life)
		}
		d.ends.Add(1)
	}
}

func (d *demoDevices) message(r *demoReceipt, m client.Message, now time.Time) {
	if len(m.Payload) != demoPayload {
		r.wrong.altered++
		return
	}
	number, sent := binary.BigEndian.Uint64(m.Payload), time.Duration(binary.BigEndian.Uint64(m.Payload[8:]))
	entry := int(binary.BigEndian.Uint32(m.Payload[16:]))
	if !d.ledger.met(m.Life, entry) {
		r.wrong.altered++
	}
	if !r.take(number, entry) {
		return
	}
	d.delivered.Add(1)
	if m.Replayed {
		d.resumed.Add(1)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	took := now.Sub(d.began) - sent
	// It fails only for values beyond the bounds it was made with.
	_ = d.latency.RecordValue(min(max(took.Microseconds(), 1), longestLatency.Microseconds()))
}

// account is that of some devices together.
func (d *demoDevices) account(some []*demoDevice) demoAccount {
	page := d.ledger.page()
	var sum demoAccount
	for _, device := range some {
		device.mu.Lock()
		sum.add(device.receipt.account(page))
		device.mu.Unlock()
	}
	return sum
}

// errUnsettled: some device neither got a message nor was told about it.
var errUnsettled = errors.New("not everything has arrived")

// settle waits until everything is accounted for.
func (d *demoDevices) settle(ctx context.Context, patience time.Duration) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if a := d.account(d.all); a.missing == 0 && a.vague == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-over.C:
			return errUnsettled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// at are the devices that are connected to a server, and how often each had lost its connection.
func (d *demoDevices) at(server string) (some []*demoDevice, losses []int) {
	for _, device := range d.all {
		device.mu.Lock()
		if device.server == server {
			some, losses = append(some, device), append(losses, device.losses)
		}
		device.mu.Unlock()
	}
	return some, losses
}

// back counts the devices that have lost their connection since and have another, by its server.
func (d *demoDevices) back(some []*demoDevice, losses []int) map[string]int {
	back := map[string]int{}
	for i, device := range some {
		device.mu.Lock()
		if device.server != "" && device.losses > losses[i] {
			back[device.server]++
		}
		device.mu.Unlock()
	}
	return back
}

// percentile of the latencies of all deliveries so far.
func (d *demoDevices) percentile(p float64) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.latency.ValueAtPercentile(p)) * time.Microsecond
}

// close ends all devices and waits for their readers.
func (d *demoDevices) close() {
	var closing sync.WaitGroup
	for _, device := range d.all {
		if device.client != nil {
			closing.Go(func() { _ = device.client.Close() }) // it has no error of its own
		}
	}
	closing.Wait()
	d.waiting.Wait()
}
