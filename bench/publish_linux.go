package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

func (d *devices) publisher() *device { return &d.all[len(d.all)-1] }

// destination is a topic as the publisher names it: by number, if it has one.
func (d *devices) destination(topic int) destination {
	to := destination{topic: d.topics[topic]}
	if len(d.topics) == 1 {
		to.id = d.publisher().id
	}
	return to
}

// compose adds messages to those that are to be sent, to one topic after the
// other.
func (d *devices) compose(messages int) {
	for range messages {
		topic := d.turnOf
		d.turnOf = (topic + 1) % len(d.topics)
		payload := d.body(int32(topic), d.numbers[topic])
		binary.BigEndian.PutUint64(payload, d.numbers[topic])
		d.out = d.speaks.publish(d.out, d.destination(topic), payload)
		d.numbers[topic]++
		d.due += d.audience[topic]
		d.dueFar += uint64(len(d.Far))
	}
}

// burst publishes w messages in one write, if the credit allows, and waits until
// every subscriber has all of them.
func (d *devices) burst(ctx context.Context, w int) error {
	d.compose(w)
	if err := d.flush(); err != nil {
		return err
	}
	return d.settle(ctx)
}

// burstNear is burst, but waits for the subscribers of Remote alone.
func (d *devices) burstNear(ctx context.Context, w int) error {
	d.compose(w)
	if err := d.flush(); err != nil {
		return err
	}
	d.heard = time.Now()
	for d.delivered-d.far < d.due-d.dueFar {
		if err := d.turn(ctx, d.missing); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until all that was published has arrived.
func (d *devices) settle(ctx context.Context) error {
	d.heard = time.Now()
	for d.delivered < d.due {
		if err := d.turn(ctx, d.missing); err != nil {
			return err
		}
	}
	return nil
}

func (d *devices) missing() string {
	return fmt.Sprintf("%d of %d deliveries are missing", d.due-d.delivered, d.due)
}

// flush sends as many whole publications as the credit and the socket allow.
func (d *devices) flush() error {
	begun := len(d.out) % d.unit // rest of one that the socket took in part
	n := min(len(d.out), int(min(d.credit, 1<<30)))
	n = begun + max(0, n-begun)/d.unit*d.unit
	if n == 0 {
		return nil
	}
	k, err := unix.Write(d.publisher().fd, d.out[:n])
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	d.credit -= uint64(k)
	d.out = d.out[:copy(d.out, d.out[k:])]
	return nil
}

// quiet waits until nothing has come for the time of one wait. Whatever message
// still came would be one too many, and fails the run.
func (d *devices) quiet(ctx context.Context) error {
	d.heard = time.Now() // the devices may have been idle for long
	for {
		before := d.heard
		if err := d.turn(ctx, func() string { return "all deliveries have arrived" }); err != nil || d.heard.Equal(before) {
			return err
		}
	}
}

// pace publishes a number of messages in an open loop: each at its time, however
// late the ones before it are, and waits until all have arrived. A message's
// latency counts from the time at which it should have been sent; record is told
// which message it was.
func (d *devices) pace(ctx context.Context, every time.Duration, messages int, record func(r *receiver, nth int, took time.Duration)) error {
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	defer unix.Close(timer)
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: clock}
	if err := unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, timer, &ev); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	start := time.Now().Add(every) // of the first message; the timer fires just after it
	interval := unix.NsecToTimespec(every.Nanoseconds())
	if err := unix.TimerfdSettime(timer, 0, &unix.ItimerSpec{Interval: interval, Value: interval}, nil); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	base, first := append([]uint64(nil), d.numbers...), d.turnOf
	d.took = func(r *receiver, now time.Time) {
		nth := int(r.next-base[r.topic])*len(base) + (int(r.topic)-first+len(base))%len(base)
		record(r, nth, now.Sub(start.Add(time.Duration(nth)*every)))
	}
	defer func() { d.took = nil }()
	for sent := 0; sent < messages; {
		for ; sent < messages && !time.Now().Before(start.Add(time.Duration(sent)*every)); sent++ {
			d.compose(1)
			if err := d.flush(); err != nil {
				return err
			}
		}
		d.heard = time.Now()
		if err := d.turn(ctx, d.missing); err != nil {
			return err
		}
		// A timer that is not read does not go off again.
		if _, err := unix.Read(timer, d.in[:8]); err != nil && !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("timer: %w", err)
		}
	}
	return d.settle(ctx)
}

// segments counts the TCP segments with data that the subscribers have received:
// on loopback, where a segment may be 64 KiB, the sends of the server.
func (d *devices) segments() (uint64, error) {
	var n uint64
	for i := range d.all[:d.Devices] {
		if d.all[i].fd < 0 {
			continue
		}
		info, err := unix.GetsockoptTCPInfo(d.all[i].fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, fmt.Errorf("TCP information of device %d: %w", i+1, err)
		}
		n += uint64(info.Data_segs_in)
	}
	return n, nil
}
