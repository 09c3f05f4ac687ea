package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/wire"
)

// bindLate lets a socket that is bound to an address choose its port when it
// connects, so that all ports can be used towards each server.
func bindLate(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) })
	if err != nil {
		return err
	}
	return set
}

// openSecret connects all subscribers over TLS and hands their sockets to the
// epoll set. Handshakes run on goroutines, a fixed number at a time.
func (d *devices) openSecret(ctx context.Context) error {
	c, err := d.TLS.callers(d.Topics[0])
	if err != nil {
		return err
	}
	d.clear = make([]byte, readSize)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	numbers, connected := make(chan int), make(chan numbered)
	var working sync.WaitGroup
	for range min(d.AtOnce, d.Devices) {
		working.Go(func() {
			for i := range numbers {
				cfg, err := c.config(i, false)
				var v *called
				if err == nil {
					v, _, err = c.insist(ctx, i, cfg)
				}
				if err != nil {
					cancel(fmt.Errorf("device %d of %d: %w", i+1, d.Devices, err))
					return
				}
				connected <- numbered{i, v}
			}
		})
	}
	go func() {
		defer close(connected)
		defer working.Wait()
		defer close(numbers)
		for i := range d.Devices {
			select {
			case numbers <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	for v := range connected {
		if err := d.adopt(v.number, v.called); err != nil {
			cancel(fmt.Errorf("device %d of %d: %w", v.number+1, d.Devices, err))
		}
	}
	return context.Cause(ctx)
}

type numbered struct {
	number int
	*called
}

// adopt makes a connection one of the set's devices. What it has to send is not
// waited for any more: it only listens from now on.
func (d *devices) adopt(i int, c *called) error {
	fd, err := handOver(c.tcp)
	if err != nil {
		return err
	}
	v := &d.all[i]
	v.fd, v.begun, v.up, v.id = fd, true, true, c.id
	v.tls = &opened{unit: wire.Message{Topic: wire.TopicID(c.id), Payload: d.payload}.Len()}
	d.ready++
	d.heard = time.Now()
	if len(c.rest) > 0 {
		return fmt.Errorf("%d bytes followed the answer to SUBSCRIBE: nothing is published yet", len(c.rest))
	}
	if i < d.TLS.Opened {
		c.tap.cut = true
		v.tls.conn, v.tls.tap = c.Conn.(*tls.Conn), c.tap
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
	return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

// handOver takes the socket away from Go's own poller.
func handOver(c *net.TCPConn) (fd int, err error) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = failed
	}
	return fd, err
}
