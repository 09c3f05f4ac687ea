package bench

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/wire"
)

// assault holds connections half open: each as long as the server lets it, and
// then it comes again. One goroutine and one epoll set drive them all.
type assault struct {
	assaultOrder
	epoll  int
	all    []attacker
	hellos map[attackKind][]byte // of which a part is sent
	again  []int                 // attackers that are to connect
	budget int                   // connections that this tick still has
	events []unix.EpollEvent
	in     []byte
	ended  chan struct{} // closed when the goroutine is gone
	stop   context.CancelFunc

	mu      sync.Mutex // guards what follows, which others read
	open    int        // connected, and not ended by the server
	dialled int
	err     error
}

type attacker struct {
	fd   int
	up   bool
	sent int // bytes of its hello
}

const (
	lowestPriority = 19

	assaultTick  = 100 * time.Millisecond
	assaultTicks = int(time.Second / assaultTick)
	// assaultRate bounds the connections of a second, if the server ends each at once.
	assaultRate = 6000
)

// newAssault begins and returns when as many connections are open as the order
// wants.
func newAssault(ctx context.Context, o assaultOrder) (*assault, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	plain := wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: wire.MaxFrameLog, Names: 1, Method: wire.AuthToken, Auth: []byte(deviceName(0)),
	}.Append(nil)
	secure, err := clientHello()
	if err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	a := &assault{
		assaultOrder: o, epoll: epoll, all: make([]attacker, o.aim()), events: make([]unix.EpollEvent, 512), in: make([]byte, 4096),
		ended: make(chan struct{}), stop: stop,
	}
	for i := range a.all {
		a.all[i].fd = -1
	}
	a.hellos = map[attackKind][]byte{partHello: plain[:len(plain)/2], partTLS: secure[:len(secure)/2], dripHello: plain[:len(plain)-1], dripTLS: secure[:len(secure)-1]}
	go a.run(running)
	within := cmp.Or(o.Within, assaultWithin)
	for end := time.Now().Add(within); ; {
		if err := pause(ctx, assaultTick); err != nil {
			a.close()
			return nil, err
		}
		open, _, err := a.state()
		if err == nil && open < o.Open && time.Now().After(end) {
			err = fmt.Errorf("%d of %d attackers are connected after %v", open, o.Open, within)
		}
		if err != nil {
			a.close()
			return nil, err
		}
		if open >= o.Open {
			return a, nil
		}
	}
}

// clientHello is what a TLS client sends first, as Go makes it.
func clientHello() ([]byte, error) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		tls.Client(theirs, &tls.Config{ServerName: certifiedName, MinVersion: tls.VersionTLS13}).Handshake() //nolint:errcheck // it gets no answer
	}()
	head := make([]byte, recordHeader)
	if _, err := io.ReadFull(ours, head); err != nil {
		return nil, err
	}
	hello := append(head, make([]byte, int(head[3])<<8|int(head[4]))...)
	_, err := io.ReadFull(ours, hello[recordHeader:])
	return hello, err
}

func (a *assault) state() (open, dialled int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open, a.dialled, a.err
}

// watch counts each second how many connections are open.
func (a *assault) watch(ctx context.Context, length time.Duration) (o outcome, err error) {
	_, before, _ := a.state()
	step := min(time.Second, length)
	next := time.Now()
	for range length / step {
		next = next.Add(step)
		if err := pause(ctx, time.Until(next)); err != nil {
			return o, err
		}
		open, _, err := a.state()
		if err != nil {
			return o, err
		}
		o.Open = append(o.Open, open)
	}
	_, after, err := a.state()
	o.Dialled = after - before
	return o, err
}

func (a *assault) close() {
	a.stop()
	<-a.ended
}

// run is the attackers' goroutine. They would be elsewhere: on this machine they
// have a thread of the lowest priority, so that good devices do not wait for them
// but for the server. It ends with the goroutine.
func (a *assault) run(ctx context.Context) {
	defer close(a.ended)
	runtime.LockOSThread()
	unix.Setpriority(unix.PRIO_PROCESS, 0, lowestPriority) //nolint:errcheck // then they are as others
	defer func() {
		for i := range a.all {
			if a.all[i].fd >= 0 {
				unix.Close(a.all[i].fd)
			}
		}
		unix.Close(a.epoll)
	}()
	begin := time.Now()
	begun, tick := 0, 0
	for ctx.Err() == nil {
		for ; time.Since(begin) >= time.Duration(tick)*assaultTick; tick++ {
			due := min(len(a.all), int(int64(len(a.all))*int64(time.Duration(tick+1)*assaultTick)/int64(a.ramp())))
			for ; begun < due; begun++ {
				a.again = append(a.again, begun)
			}
			a.budget = assaultRate / assaultTicks
			a.drip(tick % assaultTicks)
		}
		err := a.dial()
		if err == nil {
			err = a.turn()
		}
		if err != nil {
			a.mu.Lock()
			a.err = err
			a.mu.Unlock()
			return
		}
	}
}

// dial connects attackers that are to come again, as many as this tick may have.
func (a *assault) dial() error {
	n := min(a.budget, len(a.again))
	a.budget -= n
	for _, i := range a.again[:n] {
		if err := a.connect(i); err != nil {
			return fmt.Errorf("attacker %d: %w", i, err)
		}
	}
	a.again = a.again[:copy(a.again, a.again[n:])]
	return nil
}

func (a *assault) connect(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	a.all[i] = attacker{fd: fd}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: a.source(i)}); err != nil {
		return err
	}
	at := a.kind(i).address(a.assaultOrder)
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %v: %w", at, err)
	}
	a.mu.Lock()
	a.dialled++
	a.mu.Unlock()
	return unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

// drip sends one byte more for those whose turn it is.
func (a *assault) drip(turn int) {
	for i := turn; i < len(a.all); i += assaultTicks {
		v := &a.all[i]
		if kind := a.kind(i); v.up && kind.drips() && v.sent < len(a.hellos[kind]) {
			unix.Write(v.fd, a.hellos[kind][v.sent:v.sent+1]) //nolint:errcheck // the server may just have ended it
			v.sent++
		}
	}
}

// turn waits for events and handles them, at most until the next tick.
func (a *assault) turn() error {
	n, err := unix.EpollWait(a.epoll, a.events, int(assaultTick/4/time.Millisecond))
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, ev := range a.events[:n] {
		a.event(int(ev.Fd), ev.Events)
	}
	return nil
}

func (a *assault) event(i int, what uint32) {
	v := &a.all[i]
	over := what&(unix.EPOLLERR|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0
	if what&unix.EPOLLIN != 0 {
		for !over {
			n, err := unix.Read(v.fd, a.in)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			over = n == 0 || err != nil && !errors.Is(err, unix.EAGAIN)
			if n < len(a.in) {
				break
			}
		}
	}
	if over {
		a.end(i)
		return
	}
	if what&unix.EPOLLOUT != 0 && !v.up {
		v.up = true
		a.count(1)
		if kind := a.kind(i); !kind.drips() {
			v.sent = len(a.hellos[kind])
			unix.Write(v.fd, a.hellos[kind]) //nolint:errcheck // an event says so
		}
	}
}

// end is a connection that the server has ended: another takes its place.
func (a *assault) end(i int) {
	if a.all[i].up {
		a.count(-1)
	}
	unix.Close(a.all[i].fd)
	a.all[i] = attacker{fd: -1}
	a.again = append(a.again, i)
}

func (a *assault) count(change int) {
	a.mu.Lock()
	a.open += change
	a.mu.Unlock()
}
