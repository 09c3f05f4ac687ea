package secure

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bellwire/bellwire/wire"
)

// maxHello bounds the bytes of a ClientHello with the headers of its records.
// What devices send has 250 bytes to 3 KiB; but a ticket has the device's
// certificates in it, which with RSA and a chain of maxChain are 9 KiB, and a device
// whose ticket is refused would come with it again and again. The longest costs
// 72 KiB with its goroutine until the handshake is over, an ordinary one 28 KiB.
const maxHello = 16 << 10

// ErrNoTLS means that a connection does not begin as a TLS client begins.
var ErrNoTLS = errors.New("secure: not TLS")

// Hello is what a ClientHello says about the work that it asks for.
type Hello struct {
	TLS13   bool // it offers TLS 1.3; without it the handshake ends in an alert
	Resumes bool // it holds a session ticket, so that the handshake is the cheap one if the ticket is good
}

// The parts of RFC 8446 that a ClientHello is read by.
const (
	recordHeader    = 5
	recordAlert     = 21
	recordHandshake = 22
	clientHello     = 1

	extensionPreSharedKey      = 41
	extensionSupportedVersions = 43
	versionTLS13               = 0x0304
)

// ClientHello looks at the beginning of a connection, of which b is all that has
// come so far. It returns wire.ErrShort until the records of the whole
// ClientHello are there, and an error that is ErrNoTLS as soon as it can be
// none, or would be longer than 16 KiB. It keeps nothing and changes nothing.
func ClientHello(b []byte) (Hello, error) {
	records, message, err := helloRecords(b)
	if err != nil {
		return Hello{}, err
	}
	return parseHello(joinHello(records, message))
}

// helloRecords are the records that a ClientHello of so many bytes lies in.
func helloRecords(b []byte) (records []byte, message int, err error) {
	var head [4]byte // of the message: type and length
	have := 0
	for at := 0; ; {
		if err := checkRecord(b[at:]); err != nil {
			return nil, 0, err
		}
		if len(b)-at < recordHeader {
			return nil, 0, wire.ErrShort
		}
		end := at + recordHeader + int(binary.BigEndian.Uint16(b[at+3:]))
		if end > maxHello {
			return nil, 0, fmt.Errorf("%w: hello of more than %d bytes", ErrNoTLS, maxHello)
		}
		payload := b[at+recordHeader : min(end, len(b))]
		if have < len(head) {
			copy(head[have:], payload)
		}
		have += len(payload)
		if have > 0 && head[0] != clientHello {
			return nil, 0, fmt.Errorf("%w: begins with handshake message %d instead of a hello", ErrNoTLS, head[0])
		}
		if have >= len(head) {
			message = len(head) + int(binary.BigEndian.Uint32(head[:])&0xFFFFFF)
			if message > maxHello {
				return nil, 0, fmt.Errorf("%w: hello of more than %d bytes", ErrNoTLS, maxHello)
			}
		}
		if end > len(b) {
			return nil, 0, wire.ErrShort
		}
		if message > 0 && have >= message {
			return b[:end], message, nil
		}
		at = end
	}
}

// checkRecord looks at what is there of the header of a record.
func checkRecord(b []byte) error {
	switch {
	case len(b) > 0 && b[0] != recordHandshake:
		return fmt.Errorf("%w: record of type %d instead of a handshake", ErrNoTLS, b[0])
	case len(b) > 1 && b[1] != 3:
		return fmt.Errorf("%w: record of version %d", ErrNoTLS, b[1])
	case len(b) >= recordHeader && b[3] == 0 && b[4] == 0:
		return fmt.Errorf("%w: empty record", ErrNoTLS)
	}
	return nil
}

// joinHello is the message without the headers of its records, which helloRecords
// has checked. It copies only if there are several.
func joinHello(records []byte, message int) []byte {
	if first := int(binary.BigEndian.Uint16(records[3:])); first >= message {
		return records[recordHeader : recordHeader+first]
	}
	joined := make([]byte, 0, len(records))
	for len(records) > 0 {
		end := recordHeader + int(binary.BigEndian.Uint16(records[3:]))
		joined = append(joined, records[recordHeader:end]...)
		records = records[end:]
	}
	return joined
}

// parseHello reads a whole message, with its header. Something behind it in its
// last record is refused: a client cannot know yet what to say.
func parseHello(message []byte) (Hello, error) {
	f := vectors{rest: message}
	f.skip(1)
	body := vectors{rest: f.vector(3), bad: f.bad || len(f.rest) > 0}
	body.skip(2 + 32) // version and random
	body.vector(1)    // session
	body.vector(2)    // cipher suites
	body.vector(1)    // compression methods
	var hello Hello
	if !body.bad && len(body.rest) > 0 {
		list := vectors{rest: body.vector(2)}
		for !body.bad && !list.bad && len(list.rest) > 0 {
			hello.extension(list.number(2), list.vector(2))
		}
		body.bad = body.bad || list.bad || len(body.rest) > 0
	}
	if body.bad {
		return Hello{}, fmt.Errorf("%w: hello that is cut or wrong inside", ErrNoTLS)
	}
	return hello, nil
}

func (h *Hello) extension(kind int, data []byte) {
	switch kind {
	case extensionPreSharedKey:
		h.Resumes = true
	case extensionSupportedVersions:
		f := vectors{rest: data}
		for list := (vectors{rest: f.vector(1)}); len(list.rest) > 0; {
			if list.number(2) == versionTLS13 {
				h.TLS13 = true
			}
		}
	}
}

// vectors reads TLS's fields one after the other: numbers, and bytes with their
// length before them. Where they do not fit, it is bad and has nothing left.
type vectors struct {
	rest []byte
	bad  bool
}

func (f *vectors) skip(n int) []byte {
	if n > len(f.rest) {
		f.rest, f.bad = nil, true
		return nil
	}
	skipped := f.rest[:n]
	f.rest = f.rest[n:]
	return skipped
}

func (f *vectors) number(size int) int {
	n := 0
	for _, b := range f.skip(size) {
		n = n<<8 | int(b)
	}
	return n
}

func (f *vectors) vector(size int) []byte { return f.skip(f.number(size)) }
