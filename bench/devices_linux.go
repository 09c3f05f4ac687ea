package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/wire"
)

const (
	handshakes   = 64               // under way at once
	readSize     = 256 << 10        // bytes taken from a socket at once
	wait         = 100              // ms that one wait may last, so that a cancelled run ends
	patience     = 10 * time.Second // without a byte from the server before the run fails
	perSource    = 20_000           // connections of one source address; there are about 28,000 ports
	keepaliveAsk = 3600             // s; an idle device shall be silent
)

// devices are all connections to one server: subscribers of one topic, and a
// publisher that is the last one. They are used by one goroutine.
type devices struct {
	remote netip.AddrPort
	topic  string
	epoll  int
	all    []device
	tally
	number  uint64 // of the next message
	out     []byte // PUBLISH frames that are not sent yet
	frame   int    // length of one of them
	heard   time.Time
	in      []byte
	events  []unix.EpollEvent
	scratch []byte
}

type device struct {
	receiver
	fd    int
	begun bool // HELLO is sent
}

// connect opens n subscribers and a publisher and waits until all are
// subscribed. payload is the size of the messages to come, at least 8 bytes.
// The topic must be one that the server broadcasts.
func connect(ctx context.Context, remote netip.AddrPort, topic string, n, payload int) (*devices, error) {
	if limit := descriptorLimit(); uint64(n)+64 > limit {
		return nil, fmt.Errorf("%d devices need more descriptors than the %d this process may have: ask for fewer, or raise the limit (ulimit -n)", n, limit)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	d := &devices{
		remote: remote, topic: topic, epoll: epoll, all: make([]device, n+1), in: make([]byte, readSize),
		events: make([]unix.EpollEvent, 512), tally: tally{payload: pattern(payload)},
	}
	for i := range d.all {
		d.all[i].fd = -1
	}
	if err := d.connectAll(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// connectAll keeps a fixed number of handshakes under way. The publisher is the
// last, when all others are subscribed, so the credit of its WELCOME is the one
// that is remembered.
func (d *devices) connectAll(ctx context.Context) error {
	d.heard = time.Now()
	last := len(d.all) - 1
	for begun := 0; d.ready < len(d.all); {
		for begun < last && begun-d.ready < handshakes || begun == last && d.ready == last {
			if err := d.dial(begun); err != nil {
				return fmt.Errorf("device %d of %d: %w", begun+1, len(d.all), err)
			}
			begun++
		}
		if err := d.turn(ctx, func() string { return fmt.Sprintf("%d of %d devices subscribed", d.ready, len(d.all)) }); err != nil {
			return err
		}
	}
	d.credit = d.welcome.Credit
	d.frame = d.publication(0).Len()
	if limit := 1 << d.welcome.Recv; d.frame > limit {
		return fmt.Errorf("a message of %d bytes does not fit the server's limit of %d: take a smaller payload", len(d.payload), limit)
	}
	if uint64(d.frame) > d.credit {
		return fmt.Errorf("a message of %d bytes does not fit the %d bytes of credit that the server gives: take a smaller payload", len(d.payload), d.credit)
	}
	return nil
}

func (d *devices) dial(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d.all[i].fd = fd
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if i >= perSource && d.remote.Addr().IsLoopback() {
		from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + i/perSource)}}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &from); err != nil {
			return err
		}
	}
	to := unix.SockaddrInet4{Port: int(d.remote.Port()), Addr: d.remote.Addr().As4()}
	if err := unix.Connect(fd, &to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %v: %w", d.remote, err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
	return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

// greet sends HELLO and SUBSCRIBE in one segment. The name has 24 characters,
// as long as the names that fleets give.
func (d *devices) greet(i int) error {
	d.scratch = wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: wire.MaxFrameLog, Names: 1, Keepalive: keepaliveAsk,
		Incarnation: uint32(i + 1), Method: wire.AuthToken, Auth: fmt.Appendf(nil, "bench-device-%011d", i),
	}.Append(d.scratch[:0])
	d.scratch = wire.Subscribe{
		Sub: 1, Filter: []byte(d.topic), PublishOnly: i == len(d.all)-1,
	}.Append(d.scratch)
	return d.send(&d.all[i], d.scratch)
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
	n, err := unix.EpollWait(d.epoll, d.events, wait)
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
		if err := d.event(int(ev.Fd), ev.Events); err != nil {
			return fmt.Errorf("device %d of %d: %w", ev.Fd+1, len(d.all), err)
		}
	}
	return ctx.Err()
}

func (d *devices) event(i int, what uint32) error {
	v := &d.all[i]
	if what&unix.EPOLLERR != 0 {
		if code, err := unix.GetsockoptInt(v.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
			return fmt.Errorf("connection to %v: %w", d.remote, unix.Errno(code))
		}
	}
	if what&unix.EPOLLOUT != 0 {
		if !v.begun {
			v.begun = true
			if err := d.greet(i); err != nil {
				return err
			}
		} else if len(d.out) > 0 && i == len(d.all)-1 {
			if err := d.flush(); err != nil {
				return err
			}
		}
	}
	if what&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
		return d.read(i, v)
	}
	return nil
}

// read empties the socket: a read that does not fill the buffer has done so.
func (d *devices) read(i int, v *device) error {
	for {
		n, err := unix.Read(v.fd, d.in)
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
		if err := v.feed(d.in[:n], &d.tally); err != nil {
			return err
		}
		if len(d.answers) > 0 {
			if err := d.send(v, d.answers); err != nil {
				return err
			}
			d.answers = d.answers[:0]
		}
		if len(d.out) > 0 && i == len(d.all)-1 {
			if err := d.flush(); err != nil { // there may be new credit
				return err
			}
		}
		if n < len(d.in) {
			return nil
		}
	}
}

func (d *devices) publication(number uint64) wire.Publish {
	binary.BigEndian.PutUint64(d.payload, number)
	return wire.Publish{Topic: d.all[len(d.all)-1].topic, Payload: d.payload}
}

// burst publishes w messages in one write, if the credit allows, and waits until
// every subscriber has all of them.
func (d *devices) burst(ctx context.Context, w int) error {
	for range w {
		d.out = d.publication(d.number).Append(d.out)
		d.number++
	}
	if err := d.flush(); err != nil {
		return err
	}
	due := d.number * uint64(len(d.all)-1)
	d.heard = time.Now()
	for d.delivered < due {
		err := d.turn(ctx, func() string { return fmt.Sprintf("%d of %d deliveries are missing", due-d.delivered, due) })
		if err != nil {
			return err
		}
	}
	return nil
}

// flush sends as many whole frames as the credit and the socket allow.
func (d *devices) flush() error {
	begun := len(d.out) % d.frame // rest of a frame that the socket took in part
	n := min(len(d.out), int(min(d.credit, 1<<30)))
	n = begun + max(0, n-begun)/d.frame*d.frame
	if n == 0 {
		return nil
	}
	k, err := unix.Write(d.all[len(d.all)-1].fd, d.out[:n])
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

func (d *devices) close() {
	for _, v := range d.all {
		if v.fd >= 0 {
			unix.Close(v.fd)
		}
	}
	unix.Close(d.epoll)
}
