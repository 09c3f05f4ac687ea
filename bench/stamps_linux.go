package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// stamp has the system note when bytes arrive at the subscribers, from now on.
// Else two messages that come before the load wakes up would seem to come at the
// same time.
func (d *devices) stamp(ctx context.Context) error {
	if d.stamps != nil {
		return nil
	}
	for i := range d.all[:d.Devices] {
		if err := unix.SetsockoptInt(d.all[i].fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return fmt.Errorf("time stamps of device %d: %w", i+1, err)
		}
	}
	d.stamps = make([]byte, 128)
	defer func() { d.took = nil }()
	for end := time.Now().Add(patience); ; {
		without := 0
		d.took = func(_ *receiver, now time.Time) {
			if now.IsZero() {
				without++
			}
		}
		if err := d.burst(ctx, 1); err != nil || without == 0 {
			return err
		}
		if time.Now().After(end) {
			return errors.New("the system does not say when bytes come: it has no time stamps of TCP")
		}
		if err := pause(ctx, time.Millisecond); err != nil { // it begins a moment after it was asked to
			return err
		}
	}
}

// readStamped is a read that says when the last of its bytes came; zero: the system
// does not say. A publisher has no stamps: it gets no messages.
func (d *devices) readStamped(v *device) (n int, at time.Time, err error) {
	n, extra, _, _, err := unix.Recvmsg(v.fd, d.in, d.stamps, 0)
	if err != nil || n == 0 || v.publisher {
		return n, time.Now(), err
	}
	at, err = stampIn(d.stamps[:extra])
	return n, at, err
}

// stampIn is the time in what came beside bytes; zero if there is none.
func stampIn(control []byte) (at time.Time, err error) {
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return at, fmt.Errorf("time stamp: %w", err)
	}
	for _, m := range all {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SO_TIMESTAMPNS {
			continue
		}
		switch len(m.Data) { // a timespec
		case 16:
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), nil //nolint:gosec // it is signed
		case 8:
			return time.Unix(int64(binary.NativeEndian.Uint32(m.Data)), int64(binary.NativeEndian.Uint32(m.Data[4:]))), nil
		}
	}
	return at, nil
}
