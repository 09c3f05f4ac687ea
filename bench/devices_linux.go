package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize = 256 << 10 // bytes taken from a socket at once
	wait     = 100       // ms that one wait may last, so that a cancelled run ends
	clock    = -1        // what stands in an event for the timer of an open loop
)

// devices are all connections to one server: subscribers, and a publisher that
// is the last one. They are used by one goroutine.
type devices struct {
	load
	tally
	epoll int
	all   []device

	numbers  []uint64 // of the next message, by topic
	audience []uint64 // subscribers that read, by topic
	turnOf   int      // topic of the next message
	due      uint64   // deliveries of all that was published
	dueFar   uint64   // of them those to devices of Far
	out      []byte   // publications that are not sent yet
	unit     int      // length of one of them
	heard    time.Time

	again  []attempt // connections to be tried once more, in the order of their time
	failed int       // attempts to connect that failed
	kicked int       // devices that did not read and lost their connection
	retry  time.Duration

	in      []byte
	stamps  []byte // what comes beside it; nil: arrivals are not stamped
	clear   []byte // what was opened of it
	events  []unix.EpollEvent
	scratch []byte
}

type device struct {
	receiver
	tls     *opened // nil: plain
	fd      int
	begun   bool // its greeting is sent
	stopped bool // it does not read
}

// attempt is a device that shall connect at a time.
type attempt struct {
	device int
	at     time.Time
}

// connect opens n subscribers of one topic of a gateway and a publisher and
// waits until all are subscribed. payload is the size of the messages to come, at
// least 8 bytes. The topic must be one that the server broadcasts.
func connect(ctx context.Context, remote netip.AddrPort, topic string, n, payload int) (*devices, error) {
	return connectLoad(ctx, load{Remote: remote, Protocol: "bellwire", Topics: []string{topic}, Devices: n, Payload: payload})
}

func connectLoad(ctx context.Context, l load) (*devices, error) {
	l.AtOnce = cmp.Or(l.AtOnce, handshakes)
	if err := l.check(); err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	d := &devices{
		load: l, epoll: epoll, in: make([]byte, readSize), events: make([]unix.EpollEvent, 512),
		numbers: make([]uint64, len(l.Topics)), audience: make([]uint64, len(l.Topics)),
		tally: tally{speaks: protocols[l.Protocol], payload: pattern(l.Payload), bodies: bodiesOf(l.Body, l.Payload)},
	}
	for _, t := range l.Topics {
		d.topics = append(d.topics, d.speaks.topic(t))
	}
	d.all = make([]device, l.Devices, l.Devices+1)
	for i := range d.all {
		d.all[i] = device{fd: -1, receiver: receiver{topic: int32(i % len(l.Topics)), far: l.distant(i)}}
		d.audience[i%len(l.Topics)]++
	}
	if !l.Alone {
		d.all = append(d.all, device{fd: -1, receiver: receiver{publisher: true}})
	}
	if err := d.open(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// open connects all devices that are not; the publisher is the last, when all
// others are subscribed.
func (d *devices) open(ctx context.Context) error {
	if err := d.subscribers(ctx); err != nil || d.Alone {
		return err
	}
	if err := d.openFrom(ctx, d.Devices, len(d.all)); err != nil {
		return err
	}
	d.unit = len(d.speaks.publish(nil, d.destination(0), d.payload))
	if limit := 1 << d.welcome.Recv; d.Protocol == "bellwire" && d.unit > limit {
		return fmt.Errorf("a message of %d bytes does not fit the server's limit of %d: take a smaller payload", len(d.payload), limit)
	}
	if uint64(d.unit) > d.credit {
		return fmt.Errorf("a message of %d bytes does not fit the %d bytes of credit that the server gives: take a smaller payload", len(d.payload), d.credit)
	}
	return nil
}

func (d *devices) subscribers(ctx context.Context) error {
	if d.TLS != nil {
		return d.openSecret(ctx)
	}
	return d.openFrom(ctx, 0, d.Devices)
}

// openFrom connects the devices of a range that are not, with a fixed number of
// handshakes under way.
func (d *devices) openFrom(ctx context.Context, from, to int) error {
	d.heard = time.Now()
	closed := 0
	for _, v := range d.all[from:to] {
		if v.fd < 0 {
			closed++
		}
	}
	next, begun, before, failed := from, 0, d.ready, d.failed
	for d.ready-before < closed {
		for now := time.Now(); begun-(d.failed-failed)-(d.ready-before) < d.AtOnce; begun++ {
			var i int
			if len(d.again) > 0 && !now.Before(d.again[0].at) {
				i, d.again = d.again[0].device, d.again[1:]
			} else {
				for next < to && d.all[next].fd >= 0 {
					next++
				}
				if next == to {
					break
				}
				i = next
				next++
			}
			if err := d.dial(i); err != nil {
				if err = d.forgive(i, err); err != nil {
					return fmt.Errorf("device %d of %d: %w", i+1, len(d.all), err)
				}
			}
		}
		state := func() string { return fmt.Sprintf("%d of %d devices subscribed", d.ready, len(d.all)) }
		if err := d.turn(ctx, state); err != nil {
			return err
		}
	}
	return nil
}

// forgive lets a device that is not up yet try again, if this is the time for it.
func (d *devices) forgive(i int, err error) error {
	v := &d.all[i]
	if d.retry == 0 || v.up {
		return err
	}
	d.shut(i, false)
	d.failed++
	d.again = append(d.again, attempt{i, time.Now().Add(d.retry)})
	return nil
}

func (d *devices) dial(i int) error {
	v := &d.all[i]
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	v.fd = fd
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if i < d.Stopped {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			return err
		}
	}
	if i >= perSource && d.Remote.Addr().IsLoopback() {
		from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + i/perSource)}}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &from); err != nil {
			return err
		}
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
	remote := d.remote(i)
	to := unix.SockaddrInet4{Port: int(remote.Port()), Addr: remote.Addr().As4()}
	if err := unix.Connect(fd, &to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %v: %w", remote, err)
	}
	return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

// shut ends a device's connection. One that is aborted leaves no trace in the
// system; else its port rests for a minute.
func (d *devices) shut(i int, abort bool) {
	v := &d.all[i]
	if v.fd < 0 {
		return
	}
	if abort {
		unix.SetsockoptLinger(v.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) //nolint:errcheck // then it rests
	}
	unix.Close(v.fd)
	if v.up {
		d.ready--
	}
	fresh := receiver{publisher: v.publisher, topic: v.topic, far: v.far}
	if !v.publisher {
		fresh.next = d.numbers[v.topic]
	}
	*v = device{fd: -1, receiver: fresh}
}

// send is for what always fits an empty socket buffer.
func (d *devices) send(v *device, b []byte) error {
	n, err := unix.Write(v.fd, b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// turn waits for events once and handles them. state says for an error how far
// things have come.
func (d *devices) turn(ctx context.Context, state func() string) error {
	longest := wait
	if len(d.again) > 0 {
		longest = min(longest, 1+int(max(0, time.Until(d.again[0].at)).Milliseconds()))
	}
	if d.Spin && d.delivered < d.due {
		longest = 0
	}
	n, err := unix.EpollWait(d.epoll, d.events, longest)
	if errors.Is(err, unix.EINTR) {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if n == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Since(d.heard) > patience {
			return fmt.Errorf("the server was silent for %v: %s", patience, state())
		}
		return nil
	}
	d.heard = time.Now()
	for _, ev := range d.events[:n] {
		i := int(ev.Fd)
		if i == clock {
			continue // whoever set it looks at the time
		}
		if err := d.event(i, ev.Events); err != nil {
			if err = d.forgive(i, err); err != nil {
				return fmt.Errorf("device %d of %d: %w", i+1, len(d.all), err)
			}
		}
	}
	return ctx.Err()
}

func (d *devices) event(i int, what uint32) error {
	v := &d.all[i]
	if v.stopped {
		if what&(unix.EPOLLERR|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0 {
			d.kicked++
			d.shut(i, true)
		}
		return nil
	}
	if what&unix.EPOLLERR != 0 {
		if code, err := unix.GetsockoptInt(v.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
			return fmt.Errorf("connection to %v: %w", d.remote(i), unix.Errno(code))
		}
	}
	if what&unix.EPOLLOUT != 0 {
		if !v.begun {
			v.begun = true
			d.scratch = d.speaks.greet(d.scratch[:0], greeting{number: i, topic: d.topics[v.topic], publisher: v.publisher})
			if err := d.send(v, d.scratch); err != nil {
				return err
			}
		} else if len(d.out) > 0 && v.publisher {
			if err := d.flush(); err != nil {
				return err
			}
		}
	}
	if what&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
		return d.read(v)
	}
	return nil
}

// read empties the socket: a read that does not fill the buffer has done so.
func (d *devices) read(v *device) error {
	for {
		var n int
		var err error
		if d.took != nil && d.stamps != nil {
			n, d.now, err = d.readStamped(v)
		} else {
			n, err = unix.Read(v.fd, d.in)
		}
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return errors.New("the server ended the connection")
		}
		if d.took != nil && d.stamps == nil {
			d.now = time.Now()
		}
		if v.tls != nil {
			err = v.tls.feed(d.in[:n], &v.receiver, &d.tally, d.clear)
		} else {
			err = v.feed(d.in[:n], &d.tally)
		}
		if err != nil {
			return err
		}
		if len(d.answers) > 0 {
			if err := d.send(v, d.answers); err != nil {
				return err
			}
			d.answers = d.answers[:0]
		}
		if len(d.out) > 0 && v.publisher {
			if err := d.flush(); err != nil { // there may be new credit
				return err
			}
		}
		if n < len(d.in) {
			return nil
		}
	}
}

// close ends all connections at once.
func (d *devices) close() {
	for i := range d.all {
		d.shut(i, true)
	}
	unix.Close(d.epoll)
}
