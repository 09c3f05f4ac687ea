package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// tap is the connection below TLS. Until it is cut it is the socket; after that
// the bytes come from whoever reads the socket instead.
type tap struct {
	net.Conn
	cut bool
	in  []byte
}

// dryError is a tap that has no bytes now. TLS goes on after an error that is
// temporary.
type dryError struct{}

func (dryError) Error() string   { return "no bytes at the moment" }
func (dryError) Timeout() bool   { return true }
func (dryError) Temporary() bool { return true }

// Read takes bytes from the socket or from what was fed.
func (t *tap) Read(b []byte) (int, error) {
	if !t.cut {
		return t.Conn.Read(b)
	}
	if len(t.in) == 0 {
		return 0, dryError{}
	}
	n := copy(b, t.in)
	t.in = t.in[n:]
	return n, nil
}

// Write fails once the tap is cut: such a device only listens.
func (t *tap) Write(b []byte) (int, error) {
	if t.cut {
		return 0, errors.New("a device that only listens was made to write")
	}
	return t.Conn.Write(b)
}

// opened is the TLS side of a device that is read by an epoll set.
type opened struct {
	records
	unit    int       // bytes of a delivery, before TLS
	surplus int       // bytes of a delivery that is not complete
	conn    *tls.Conn // of a device that opens its records; nil: it counts them
	tap     *tap
	plain   int // bytes that conn has opened
}

// feed takes bytes of the device's stream, however cut, and counts or opens what
// is complete.
func (o *opened) feed(b []byte, r *receiver, t *tally, scratch []byte) error {
	if o.conn == nil {
		return o.records.feed(b, func(plain int) error { return o.counted(plain, r, t) })
	}
	if err := o.records.feed(b, func(int) error { t.records++; return nil }); err != nil {
		return err
	}
	o.tap.in = b
	for {
		n, err := o.conn.Read(scratch)
		o.plain += n
		if err := r.feed(scratch[:n], t); err != nil {
			return err
		}
		if errors.As(err, &dryError{}) {
			return o.agrees(r)
		}
		if err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
	}
}

// counted takes one record of so many bytes. Nothing but deliveries comes, and
// all are of one length, which those devices verify that open theirs.
func (o *opened) counted(plain int, r *receiver, t *tally) error {
	t.records++
	for o.surplus += plain; o.surplus >= o.unit; o.surplus -= o.unit {
		if t.took != nil {
			t.took(r, t.now)
		}
		r.next++
		t.delivered++
	}
	return nil
}

// agrees checks that the messages that were opened have the length by which the
// other devices count.
func (o *opened) agrees(r *receiver) error {
	if want := int(r.next)*o.unit + len(r.partial); o.plain != want { //nolint:gosec // a run has far fewer
		return fmt.Errorf("%d messages took %d bytes, not %d of %d each: records cannot be counted instead of opened", r.next, o.plain, want, o.unit)
	}
	return nil
}

// records follows a stream of TLS 1.3 records by their headers.
type records struct {
	header [5]byte
	have   int // bytes of the header
	left   int // bytes of the record
}

const (
	recordHeader   = 5
	recordTag      = 16                           // of AES-GCM
	recordOverhead = recordHeader + 1 + recordTag // bytes of a record that are not plaintext
	recordPlain    = 1 << 14                      // bytes of plaintext, at most
	recordMost     = 1<<14 + 256                  // bytes after the header
	recordOfData   = 23                           // what a header begins with
)

// feed calls each with the plaintext length of every record that is complete.
func (r *records) feed(b []byte, each func(plain int) error) error {
	for len(b) > 0 {
		if r.have < recordHeader {
			n := copy(r.header[r.have:], b)
			r.have, b = r.have+n, b[n:]
			if r.have < recordHeader {
				return nil
			}
			r.left = int(r.header[3])<<8 | int(r.header[4])
			if r.header[0] != recordOfData || r.header[1] != 3 || r.header[2] != 3 || r.left <= recordTag || r.left > recordMost {
				return fmt.Errorf("% x is no header of a TLS record with data", r.header)
			}
		}
		n := min(r.left, len(b))
		r.left, b = r.left-n, b[n:]
		if r.left > 0 {
			return nil
		}
		plain := int(r.header[3])<<8 | int(r.header[4])
		r.have = 0
		if err := each(plain - recordTag - 1); err != nil {
			return err
		}
	}
	return nil
}
