package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/wire"
)

const (
	crowdPatience = 30 * time.Second       // without one more device or delivery before the run fails
	crowdQuiet    = 300 * time.Millisecond // after the last broadcast, for what would be one too many
	crowdTell     = 100 * time.Millisecond // between two lines of progress
	crowdSpin     = 2 * time.Millisecond   // before the instant of publication, waited without sleeping
	crowdLines    = -1                     // epoll's name of the command pipe
)

// crowd is one generator: very many devices of one gateway on one thread. A
// device is 16 bytes here; whatever else it needs it has only while it needs it.
type crowd struct {
	MillionLoadConfig
	epoll    int
	all      []crowdDevice // the publisher is the last
	partial  map[int][]byte
	payload  []byte // of the message under way, or of the next one
	number   uint64 // messages published so far
	begun    int    // devices that have started to connect
	ready    int    // devices subscribed, and the publisher welcomed
	received int    // of the message under way
	instant  time.Time
	arrived  arrivals
	in, out  []byte
	events   []unix.EpollEvent
	commands *os.File
	line     []byte // start of a command
	waiting  []string
	reports  io.Writer
	moved    time.Time // when something was last achieved
	told     time.Time
}

type crowdDevice struct {
	fd    int32
	topic uint32 // the number that the gateway gave
	count uint32 // messages received
	state crowdState
}

type crowdState uint8

const (
	crowdNone crowdState = iota
	crowdConnecting
	crowdGreeted
	crowdReady
)

// MillionLoad connects and subscribes devices, and then does what commands say,
// a line each:
//
//	publish NANOSECONDS   publish at this time of CLOCK_MONOTONIC, and report when each device had it
//	end                   make sure that nothing more comes, and return
//
// It reports in lines: "subscribed N", "received N", "published NANOSECONDS-LATE",
// "arrivals TEXT", "quiet". It returns an error if a message is lost, repeated,
// altered or out of order, if the gateway ends a connection, or when commands
// end, which they do when their writer dies. It uses one goroutine.
func MillionLoad(ctx context.Context, cfg MillionLoadConfig, commands *os.File, reports io.Writer) error {
	c, err := newCrowd(cfg, commands, reports)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.gather(ctx); err != nil {
		return err
	}
	return c.obey(ctx)
}

func newCrowd(cfg MillionLoadConfig, commands *os.File, reports io.Writer) (*crowd, error) {
	if cfg.Devices < 1 || cfg.Payload < sequenceLen || cfg.Sources < 1 || !cfg.Connect.Addr().Is4() {
		return nil, fmt.Errorf("%d devices, %d bytes, %d sources, gateway %v: this command is for the harness, which knows what it takes",
			cfg.Devices, cfg.Payload, cfg.Sources, cfg.Connect)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	c := &crowd{
		MillionLoadConfig: cfg, epoll: epoll, all: make([]crowdDevice, cfg.Devices+1), partial: map[int][]byte{}, payload: pattern(cfg.Payload),
		in: make([]byte, 64<<10), events: make([]unix.EpollEvent, 512), commands: commands, reports: reports, moved: time.Now(),
		arrived: make(arrivals, 0, cfg.Devices),
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: crowdLines}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(commands.Fd()), &ev); err != nil {
		c.close()
		return nil, fmt.Errorf("the harness's pipe: %w", err)
	}
	return c, nil
}

// gather connects all devices, a fixed number at a time.
func (c *crowd) gather(ctx context.Context) error {
	for c.ready < len(c.all) {
		for c.begun < len(c.all) && c.begun-c.ready < handshakes {
			if err := c.dial(c.begun); err != nil {
				return fmt.Errorf("device %d of %d: %w", c.begun+1, len(c.all), err)
			}
			c.begun++
		}
		if err := c.turn(ctx, wait*time.Millisecond); err != nil {
			return err
		}
		c.tell(false, "subscribed %d", min(c.ready, c.Devices))
	}
	c.tell(true, "subscribed %d", c.Devices)
	return nil
}

// obey does what the commands say until one says end.
func (c *crowd) obey(ctx context.Context) error {
	for {
		for len(c.waiting) == 0 {
			c.moved = time.Now() // the harness may take its time
			if err := c.turn(ctx, wait*time.Millisecond); err != nil {
				return err
			}
		}
		line := c.waiting[0]
		c.waiting = c.waiting[1:]
		var at int64
		switch _, err := fmt.Sscanf(line, "publish %d", &at); {
		case err == nil:
			if err := c.broadcast(ctx, at); err != nil {
				return err
			}
		case line == "end":
			return c.quiet(ctx)
		default:
			return fmt.Errorf("a command that is none: %q", line)
		}
	}
}

// broadcast publishes at an instant and waits until every device has the
// message.
func (c *crowd) broadcast(ctx context.Context, at int64) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	// Go's clock runs beside CLOCK_MONOTONIC and is read without a system call.
	c.instant = time.Now().Add(time.Duration(at - now.Nano()))
	c.received, c.arrived = 0, c.arrived[:0]
	binary.BigEndian.PutUint64(c.payload, c.number)
	frame := wire.Publish{Name: []byte(c.Topic), Payload: c.payload}.Append(nil)
	for left := time.Until(c.instant); left > 0; left = time.Until(c.instant) {
		if left > crowdSpin {
			if err := c.turn(ctx, left-crowdSpin); err != nil {
				return err
			}
		}
	}
	c.number++
	late := time.Since(c.instant)
	if err := c.send(len(c.all)-1, frame); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	c.moved = time.Now()
	c.tell(true, "published %d", late.Nanoseconds())
	for c.received < c.Devices {
		if err := c.turn(ctx, wait*time.Millisecond); err != nil {
			return err
		}
		c.tell(false, "received %d", c.received)
	}
	c.tell(true, "arrivals %s", c.arrived.text())
	return nil
}

// quiet waits for what would be one too many, which fails the run.
func (c *crowd) quiet(ctx context.Context) error {
	for end := time.Now().Add(crowdQuiet); time.Now().Before(end); {
		c.moved = time.Now()
		if err := c.turn(ctx, time.Until(end)); err != nil {
			return err
		}
	}
	c.tell(true, "quiet")
	return nil
}

// tell reports; what need not be told now is left out if something was told a
// moment ago. If nobody listens the run is over: the command pipe says so.
func (c *crowd) tell(now bool, format string, args ...any) {
	if !now && time.Since(c.told) < crowdTell {
		return
	}
	c.told = time.Now()
	fmt.Fprintf(c.reports, format+"\n", args...)
}

func (c *crowd) dial(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.all[i] = crowdDevice{fd: int32(fd), state: crowdConnecting}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: sourceAddress(i % c.Sources)}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	to := unix.SockaddrInet4{Port: int(c.Connect.Port()), Addr: c.Connect.Addr().As4()}
	if err := unix.Connect(fd, &to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %v: %w", c.Connect, err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

// greet sends HELLO and SUBSCRIBE in one segment.
func (c *crowd) greet(i int) error {
	c.all[i].state = crowdGreeted
	c.out = wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: wire.MaxFrameLog, Names: 1, Keepalive: keepaliveAsk,
		Incarnation: uint32(i + 1), Method: wire.AuthToken, Auth: fmt.Appendf(nil, "bench-device-%011d", c.name(i)),
	}.Append(c.out[:0])
	c.out = wire.Subscribe{Sub: 1, Filter: []byte(c.Topic), PublishOnly: i == c.Devices}.Append(c.out)
	return c.send(i, c.out)
}

// name is the number in the device's identity, which no other generator uses.
func (c *crowd) name(i int) int {
	if i == c.Devices {
		return maxMillion + c.First // a publisher
	}
	return c.First + i
}

// send is for what always fits an empty socket buffer.
func (c *crowd) send(i int, b []byte) error {
	n, err := unix.Write(int(c.all[i].fd), b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// turn waits for events once, at most for a time, and handles them.
func (c *crowd) turn(ctx context.Context, atMost time.Duration) error {
	// The time may be over by now, and a negative one would mean for ever.
	n, err := unix.EpollWait(c.epoll, c.events, int(max(0, atMost).Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, ev := range c.events[:n] {
		if ev.Fd == crowdLines {
			err = c.readCommands()
		} else if err = c.event(int(ev.Fd), ev.Events); err != nil {
			err = fmt.Errorf("device %d of %d: %w", ev.Fd+1, len(c.all), err)
		}
		if err != nil {
			return err
		}
	}
	if time.Since(c.moved) > crowdPatience {
		return fmt.Errorf("nothing came for %v: %d of %d subscribed, %d of %d have the message", crowdPatience, min(c.ready, c.Devices), c.Devices, c.received, c.Devices)
	}
	return ctx.Err()
}

func (c *crowd) readCommands() error {
	n, err := c.commands.Read(c.in)
	if err != nil {
		return fmt.Errorf("the harness is gone: %w", err)
	}
	c.line = append(c.line, c.in[:n]...)
	for {
		line, rest, whole := bytes.Cut(c.line, []byte("\n"))
		if !whole {
			return nil
		}
		c.waiting = append(c.waiting, strings.TrimSpace(string(line)))
		c.line = append([]byte(nil), rest...)
	}
}

func (c *crowd) event(i int, what uint32) error {
	d := &c.all[i]
	if what&unix.EPOLLERR != 0 {
		if code, err := unix.GetsockoptInt(int(d.fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
			return fmt.Errorf("connection to %v: %w", c.Connect, unix.Errno(code))
		}
	}
	if what&unix.EPOLLOUT != 0 && d.state == crowdConnecting {
		if err := c.greet(i); err != nil {
			return err
		}
	}
	if what&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
		return c.read(i)
	}
	return nil
}

// read empties the socket: a read that does not fill the buffer has done so.
func (c *crowd) read(i int) error {
	for {
		n, err := unix.Read(int(c.all[i].fd), c.in)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return errors.New("the gateway ended the connection")
		}
		if err := c.feed(i, c.in[:n]); err != nil {
			return err
		}
		if n < len(c.in) {
			return nil
		}
	}
}

func (c *crowd) close() {
	for _, d := range c.all[:c.begun] {
		if d.state != crowdNone {
			unix.Close(int(d.fd))
		}
	}
	unix.Close(c.epoll)
}
