package peer

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/bellwire/bellwire/wire"
)

// The frames of peer links. Each is type (1 byte), length of the body (varint), body; types from 0x80 may be skipped.
type frameType uint8

const (
	typeHello     frameType = 0x20
	typeBatch     frameType = 0x21
	typeAck       frameType = 0x22
	typeHeartbeat frameType = 0x23
	typeFetch     frameType = 0x24
	typeFetched   frameType = 0x25
	typeSkip      frameType = 0x26
	typeEnd       frameType = 0x27
	typeTops      frameType = 0x28
	typeClose     frameType = 0x2F
)

// The bounds of what a peer may send.
const (
	// maxPayload is the largest frame of any device.
	maxPayload = 1 << wire.MaxFrameLog
	// maxFrame holds one message of the largest size with its names. A fixed 512 KiB would lose those above it.
	maxFrame = maxPayload + 1<<10
	// maxGreeting is for strangers: nobody is given more memory before HELLO.
	maxGreeting = 1 << 10
	maxRun      = 1<<24 - 1
	// maxText bounds the text of CLOSE.
	maxText = 200
)

// skippable types are those that a link that does not know them passes over.
func (t frameType) skippable() bool { return t >= 0x80 }

// nextFrame takes the first frame from b, as wire.Next does.
func nextFrame(b []byte, limit int) (t frameType, body, rest []byte, err error) {
	typ, body, rest, err := wire.Next(b, limit)
	return frameType(typ), body, rest, err
}

// base is a life without its run.
func base(l wire.Life) wire.Life { return l &^ maxRun }

// fields reads the body of a frame field by field; the first error sticks.
type fields struct {
	t   frameType
	b   []byte
	err error
}

func (f *fields) fail(what string) {
	if f.err == nil {
		f.err = &CloseError{Why: Broken, Text: fmt.Sprintf("frame %02x: %s", uint8(f.t), what)}
		f.b = nil
	}
}

func (f *fields) u8(name string) uint8 {
	if len(f.b) < 1 {
		f.fail(name + " is missing")
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fields) u64(name string) uint64 {
	if len(f.b) < 8 {
		f.fail(name + " is cut off")
		return 0
	}
	v := binary.BigEndian.Uint64(f.b)
	f.b = f.b[8:]
	return v
}

func (f *fields) varint(name string) uint64 {
	v, n := wire.ConsumeVarint(f.b)
	if n <= 0 {
		f.fail(name + " is not a whole shortest-form varint")
		return 0
	}
	f.b = f.b[n:]
	return v
}

// bounded is a varint of at most that.
func (f *fields) bounded(name string, most uint64) uint64 {
	v := f.varint(name)
	if v > most {
		f.fail(name + " is too large")
		return 0
	}
	return v
}

// bytes is a length and so many bytes, at most that many. It aliases the body.
func (f *fields) bytes(name string, most int) []byte {
	n := f.bounded(name, uint64(most))
	if n > uint64(len(f.b)) {
		f.fail(name + " is cut off")
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

// name is bytes that are not empty.
func (f *fields) name(what string, most int) []byte {
	v := f.bytes(what, most)
	if len(v) == 0 {
		f.fail(what + " is empty")
	}
	return v
}

// text is bytes that people can read.
func (f *fields) text(name string, most int) string {
	v := f.bytes(name, most)
	if !utf8.Valid(v) {
		f.fail(name + " is not UTF-8")
		return ""
	}
	return string(v)
}

// end says that nothing may follow.
func (f *fields) end() error {
	if len(f.b) > 0 {
		f.fail("something follows")
	}
	return f.err
}

func appendStr[S ~string | ~[]byte](dst []byte, s S) []byte {
	return append(wire.AppendVarint(dst, uint64(len(s))), s...)
}

// headRoom is the room that finish needs.
const headRoom = wire.MaxHeader

// begin leaves room for a header; finish fills it.
func begin(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// finish writes the header of the frame that began at dst[at:] and moves its body up to it.
func finish(dst []byte, at int, t frameType) []byte {
	body := dst[at+headRoom:]
	n := len(body)
	head := wire.AppendVarint(append(dst[:at], byte(t)), uint64(n))
	return append(head, dst[at+headRoom:at+headRoom+n]...)
}

// checkTenant is the tenant rule of wire.Identity, for bytes.
func checkTenant(tenant []byte) error {
	return wire.Identity{Tenant: string(tenant), Device: "x"}.Check()
}
