package secure

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"
)

const (
	// maxRecord is the longest payload that TLS allows a record to have on the wire.
	maxRecord = 1<<14 + 256
	// maxSilent is how many bytes of records may come without any plain byte.
	// A device has a new key to tell, in 27 bytes, or an empty record to hide
	// behind; crypto/tls would collect 256 KiB of an unfinished message.
	maxSilent = recordHeader + maxRecord + 2<<10
)

var errSilent = errors.New("secure: too many records without data")

// pipe is the net.Conn below crypto/tls. While there is a handshake its methods
// wait; afterwards Read answers at once that there is nothing yet, in the way
// that crypto/tls takes as no failure, and Write appends.
//
// crypto/tls keeps the buffer that its longest read needed, for as long as the
// connection lives. So it is never given more than one record at a time, and
// never a part of one: then this buffer has the size of the longest record, not
// a multiple of it that depends on how the bytes came.
type pipe struct {
	handshake *handshake // nil: it is over
	in        inlet
	out       []byte
	silent    int // bytes read since the last plain ones
}

// Read implements net.Conn.
func (p *pipe) Read(b []byte) (int, error) {
	if p.handshake != nil {
		return p.handshake.read(b)
	}
	n := p.in.read(b)
	if n == 0 {
		return 0, errEmpty
	}
	if p.silent += n; p.silent > maxSilent {
		return 0, errSilent
	}
	return n, nil
}

// Write implements net.Conn.
func (p *pipe) Write(b []byte) (int, error) {
	if p.handshake != nil {
		return p.handshake.write(b)
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

// Close implements net.Conn. Nobody calls it: the owner closes the socket.
func (p *pipe) Close() error { return nil }

// LocalAddr implements net.Conn: there is none.
func (p *pipe) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

// RemoteAddr implements net.Conn: there is none.
func (p *pipe) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

// SetDeadline implements net.Conn: nothing waits.
func (p *pipe) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn: nothing waits.
func (p *pipe) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn: nothing waits.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// empty is the net.Error that crypto/tls does not keep.
type empty struct{}

var errEmpty error = empty{}

func (empty) Error() string   { return "secure: no whole record yet" }
func (empty) Timeout() bool   { return true }
func (empty) Temporary() bool { return true }

// inlet gives out whole records, at most to the end of one at a time.
type inlet struct {
	b    []byte // records, of the first of which some may be gone
	left int    // what is left of the first; 0: all of it
}

func (i *inlet) read(b []byte) int {
	if i.left == 0 {
		i.left = min(recordSize(i.b), len(i.b))
	}
	n := copy(b[:min(len(b), i.left)], i.b)
	if i.b = i.b[n:]; len(i.b) == 0 {
		i.b = nil
	}
	i.left -= n
	return n
}

// recordSize is how many bytes the record that b begins with has, or at least
// its header if that is not there yet. A record that is too long counts as its
// header, at which crypto/tls refuses it.
func recordSize(b []byte) int {
	if len(b) < recordHeader {
		return recordHeader
	}
	if n := int(binary.BigEndian.Uint16(b[3:])); n <= maxRecord {
		return recordHeader + n
	}
	return recordHeader
}

// wholeRecords is how many bytes of b are whole records.
func wholeRecords(b []byte) int {
	whole := 0
	for {
		n := recordSize(b[whole:])
		if n > len(b)-whole {
			return whole
		}
		whole += n
	}
}
